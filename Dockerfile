# rtvis on an NVIDIA GPU. The host needs the driver and the NVIDIA Container Toolkit; CUDA itself
# comes with torch's wheels.
#
#   docker build -t rtvis .
#   docker run --rm --gpus all -v rtvis-cache:/cache -v "$PWD:/data" --user "$(id -u):$(id -g)" rtvis \
#       --frames 100 --record out.mp4
#
# In a window on this desktop (with the same user number as on it, so that X lets it in):
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -e DISPLAY \
#       -v /tmp/.X11-unix:/tmp/.X11-unix -v rtvis-cache:/cache rtvis
# A webcam: --device /dev/video0 --group-add video, then --stream 0.

FROM debian:bookworm-slim AS base

# gcc and Python.h: Triton builds a launcher for its kernels on the machine that it runs on, and
# AOTInductor a C++ wrapper, for which rtvis finds CUDA's headers in the wheels. The libraries are
# what OpenCV's wheel expects.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
        python3 python3-venv python3-dev gcc g++ libgl1 libglib2.0-0 libsm6 libxext6 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --create-home rtvis \
 && mkdir /cache /data && chown rtvis /cache /data && chmod 1777 /cache

# Only the list of dependencies decides whether torch is installed anew: neither a change of the code
# nor one of the linters' settings does.
FROM base AS requirements
COPY pyproject.toml /
RUN python3 -c "import tomllib; p = tomllib.load(open('/pyproject.toml', 'rb'))['project']; \
print(*p['dependencies'], *p['optional-dependencies']['cuda'], sep='\n')" > /requirements.txt

FROM base
COPY --from=requirements /requirements.txt /app/
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir -r /app/requirements.txt

COPY . /app

# A volume: downloaded weights, compiled steps and kernels, and what units have learned outlive the
# container, and a second start is fast. MIT-SHM does not cross the border of a container's IPC
# namespace. USER is for `docker run --user`, whose number has no name here.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/cache XDG_DATA_HOME=/cache/data \
    TORCHINDUCTOR_CACHE_DIR=/cache/inductor TRITON_CACHE_DIR=/cache/triton \
    CUPY_CACHE_DIR=/cache/cupy NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    QT_X11_NO_MITSHM=1 HOME=/home/rtvis USER=rtvis
VOLUME /cache
USER rtvis
WORKDIR /data
ENTRYPOINT ["python", "/app/main.py"]
