#!/bin/sh
# Build an image with docker or podman where an engine answers, else with buildah, which needs none.
#
#   sh tools/build_image.sh Dockerfile.cpu rtvis:cpu
#
# TORCH_INDEX is handed on as a build argument. With buildah (as root): where the base image cannot
# be pulled, debootstrap makes it from Debian's packages, and the certificate that pip is told to
# use on this machine is lent to the build.
set -eu
file=$1
tag=$2
cd "$(dirname "$0")/.."

for engine in docker podman; do
    if command -v "$engine" >/dev/null && "$engine" info >/dev/null 2>&1; then
        echo "building $tag from $file with $engine"
        exec "$engine" build -t "$tag" -f "$file" ${TORCH_INDEX:+--build-arg TORCH_INDEX="$TORCH_INDEX"} .
    fi
done

if ! command -v buildah >/dev/null; then
    echo "error: no docker or podman engine answers, and there is no buildah; as root: apt-get install buildah debootstrap" >&2
    exit 1
fi

# vfs copies instead of mounting: slow, but it needs no kernel module and no privilege.
export STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}" BUILDAH_ISOLATION=chroot
base=$(awk 'toupper($1) == "FROM" { print $2; exit }' "$file")
suite=${base#*:}
suite=${suite%-slim}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/rtvis-image.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT INT TERM

if ! buildah inspect --type image "$base" >/dev/null 2>&1 && ! buildah pull "$base" 2>/dev/null; then
    case $base in
        debian:*) ;;
        *) echo "error: $base cannot be pulled, and only Debian can be made here" >&2; exit 1 ;;
    esac
    command -v debootstrap >/dev/null || {
        echo "error: $base cannot be pulled; to make it here, as root: apt-get install debootstrap" >&2
        exit 1
    }
    echo "$base cannot be pulled: making it with debootstrap"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/base"
    made=$(buildah from scratch)
    buildah add --quiet "$made" "$work/base" / >/dev/null
    buildah config --cmd bash "$made"
    buildah commit --quiet --rm "$made" "docker.io/library/$base" >/dev/null
    rm -rf --one-file-system "$work/base"
fi

certificate=$(python3 -m pip config get global.cert 2>/dev/null || printf '%s' "${PIP_CERT:-}")
set --
if [ -n "$certificate" ] && [ -f "$certificate" ]; then
    printf '[global]\ncert = /run/host-ca.crt\n' > "$work/pip.conf"
    set -- -v "$certificate:/run/host-ca.crt:ro" -v "$work/pip.conf:/etc/pip.conf:ro"
fi
echo "building $tag from $file with buildah"
buildah bud --layers --pull-never --format docker "$@" \
    ${TORCH_INDEX:+--build-arg TORCH_INDEX="$TORCH_INDEX"} -t "$tag" -f "$file" .
