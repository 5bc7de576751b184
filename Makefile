# rtvis. `make` lists the targets; nothing needs to be prepared but python3, git and make.
#
#   PYTHON=python3.12       the interpreter for the virtual environment (default: the newest of
#                           3.11 to 3.13 on PATH)
#   PIP_ARGS="..."          for pip, for example --index-url https://download.pytorch.org/whl/cpu
#                           --extra-index-url https://pypi.org/simple for a torch without CUDA
#   ARGS="..."              for the program, or for pytest or a benchmark, whichever the target runs

VENV     ?= .venv
PYTHON   ?=
PIP_ARGS ?=
ARGS     ?=
BOOT     := $(shell command -v python3 || echo $(or $(PYTHON),python3))
BIN      := $(VENV)/bin
PIP      := $(BIN)/python -m pip --disable-pip-version-check
CODE     := rtvis tests benchmarks tools main.py gradcam.py guided_backprop.py

# What the fidelity tests compare with. Not in the dev extra: grad-cam depends on
# opencv-python-headless, which overwrites opencv-python's cv2 and with it the window. What it
# imports besides cv2 is in the extra.
PEERS    := "grad-cam>=1.5.5"

# One process each: what one leaves in memory and caches is no advantage of the next.
define every_benchmark
set -e; for file in $(filter-out benchmarks/bench_zoo.py,$(wildcard benchmarks/bench_*.py)); do \
    echo "== $$file on $(1)"; \
    $(BIN)/python -m benchmarks.$$(basename $$file .py) --device $(1) $(ARGS); \
done
endef

.DEFAULT_GOAL := help
.PHONY: help setup setup-system run test check test-slow docs tour bench bench-gpu bench-zoo image image-cpu clean
.DELETE_ON_ERROR:

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  ARGS="..." goes to the program: make run ARGS="--stream 0 --network resnet50"'

setup: $(VENV)/.ready-dev ## make .venv with all that development needs

setup-system: ## install the Debian packages of the tests and the window (as root or with sudo)
	@$(BOOT) tools/bootstrap.py $(if $(PYTHON),--python $(PYTHON)) system

run: $(VENV)/.ready ## start the program on the bundled clip, or as ARGS says
	@$(BIN)/python main.py $(ARGS)

test: $(VENV)/.ready-dev ## set up, then check
	@$(MAKE) --no-print-directory check

check: $(VENV)/.ready-dev ## what CI runs: format, lint, types, import contracts, tests
	$(BIN)/ruff format --check $(wildcard $(CODE))
	$(BIN)/ruff check $(wildcard $(CODE))
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/run_tests.py $(ARGS)

test-slow: $(VENV)/.ready-dev ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow $(ARGS)

docs: $(VENV)/.ready-dev ## build the pages of docs/ into build/site
	$(BIN)/mkdocs build --strict

tour: $(VENV)/.ready-dev ## press every key and click every pane under Xvfb; takes the pictures of docs/
	@$(BIN)/python -m tools.tour --docs $(ARGS)

bench: $(VENV)/.ready-dev ## measure on this machine's CPU; tables go to benchmarks/results
	@$(call every_benchmark,cpu)

bench-gpu: $(VENV)/.ready-dev ## measure on the CUDA device
	@$(call every_benchmark,cuda)

bench-zoo: $(VENV)/.ready-dev ## every architecture against plain autograd: hours; goes on where it ended
	@$(BIN)/python -m benchmarks.bench_zoo $(ARGS)

image: ## build the NVIDIA image, with docker, podman or buildah
	@sh tools/build_image.sh Dockerfile rtvis

image-cpu: ## build the CPU image
	@sh tools/build_image.sh Dockerfile.cpu rtvis:cpu

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@$(BOOT) tools/bootstrap.py $(if $(PYTHON),--python $(PYTHON)) venv $(VENV)
	@touch $@

# The stamps are older than pyproject.toml whenever a dependency may have changed: pip then brings
# the environment up to date, which takes seconds when there is nothing to do.
$(VENV)/.ready: pyproject.toml $(VENV)/.made
	@echo "installing rtvis and PyTorch; the first time some 5 GB with CUDA's libraries"
	$(PIP) install $(PIP_ARGS) --editable .
	@$(BIN)/python tools/check_install.py
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) install $(PIP_ARGS) --editable ".[dev]"
	$(PIP) install $(PIP_ARGS) --no-deps $(PEERS)
	@$(BIN)/python tools/check_install.py
	@touch $@
