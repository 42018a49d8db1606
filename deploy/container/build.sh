#!/bin/sh
# Build the image with podman: build.sh [IMAGE]
#
# BASE=IMAGE, BUILD_BASE=IMAGE   what to build on, see the Dockerfile. Unset: Python's images from the registry; when those
#                                cannot be pulled, roots made of Debian's packages by mmdebstrap (needs root, a minute, kept
#                                as localhost/asyncnic-base and -build).
# OCI_FLAGS=...                  more flags of `podman build`, for machines that forbid raising limits.
# The machine's certificates are mounted while building, so that pip works behind a proxy with a certificate of its own.
set -eu

image=${1:-localhost/asyncnic:latest}
source=$(cd "$(dirname "$0")/../.." && pwd)

# make_root IMAGE PACKAGES: essential and usr-is-merged bring neither apt nor all of perl; manuals and translations stay out.
make_root() {
    podman image exists "$1" && return
    echo "no registry within reach: making $1 with mmdebstrap" >&2
    mmdebstrap --quiet --variant=essential --include="usr-is-merged,ca-certificates,$2" \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm - | podman import --quiet - "$1" >/dev/null
}

if [ -z "${BASE:-}" ]; then
    BASE=docker.io/library/python:3.11-slim-bookworm
    if ! podman image exists "$BASE" && ! podman pull --quiet "$BASE" >/dev/null 2>&1; then
        BASE=localhost/asyncnic-base:bookworm-seccomp # a name of its own for what is in it: a kept one is not made again
        BUILD_BASE=localhost/asyncnic-build:bookworm
        make_root "$BASE" python3,libseccomp2
        make_root "$BUILD_BASE" python3-venv,python3-dev,gcc
    fi
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$source/pyproject.toml")
revision=$(git -C "$source" rev-parse HEAD 2>/dev/null || echo unknown)
# Two builds of one commit have the same times in them.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}

# --format docker: HEALTHCHECK is not in the OCI format. An argument without a value gets the environment's.
# shellcheck disable=SC2086 # OCI_FLAGS is a list
exec podman build ${OCI_FLAGS:-} --format docker --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --build-arg "BASE=$BASE" --build-arg "BUILD_BASE=${BUILD_BASE:-$BASE}" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --timestamp "$SOURCE_DATE_EPOCH" \
    ${PIP_INDEX_URL+--build-arg PIP_INDEX_URL} ${PIP_EXTRA_INDEX_URL+--build-arg PIP_EXTRA_INDEX_URL} \
    --ignorefile "$source/deploy/container/Dockerfile.dockerignore" \
    --file "$source/deploy/container/Dockerfile" --tag "$image" "$source"
