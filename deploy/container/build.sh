#!/bin/sh
# Build the image with podman: build.sh [IMAGE]
#
# BASE=IMAGE     base image. Unset: debian's python from the registry; when that cannot be pulled, a root made of Debian's
#                packages by mmdebstrap (as root, half a minute, kept as localhost/asyncnic-base).
# OCI_FLAGS=...  further flags of `podman build` and `run`, for machines that forbid raising limits or changing cgroups.
# The machine's certificates are mounted while building, so that pip works behind a proxy with a certificate of its own.
set -eu

image=${1:-localhost/asyncnic:latest}
source=$(cd "$(dirname "$0")/../.." && pwd)
local_base=localhost/asyncnic-base:bookworm
registry_base=docker.io/library/python:3.11-slim-bookworm

make_base() {
    echo "no registry within reach: making $local_base with mmdebstrap" >&2
    # essential + usr-is-merged: neither apt nor the whole of perl; documentation and translations are left out.
    mmdebstrap --quiet --variant=essential \
        --include=usr-is-merged,python3,python3-venv,ca-certificates \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm - | podman import --quiet - "$local_base" >/dev/null
}

if [ -z "${BASE:-}" ]; then
    if podman image exists "$registry_base" || podman pull --quiet "$registry_base" >/dev/null 2>&1; then
        BASE=$registry_base
    else
        podman image exists "$local_base" || make_base
        BASE=$local_base
    fi
fi

# --format docker: HEALTHCHECK is not in the OCI format. An argument without a value is taken from the environment, or left out.
# shellcheck disable=SC2086 - OCI_FLAGS is a list
exec podman build ${OCI_FLAGS:-} --format docker --network host --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --build-arg "BASE=$BASE" --build-arg PIP_INDEX_URL --build-arg PIP_EXTRA_INDEX_URL \
    --ignorefile "$source/deploy/container/Dockerfile.dockerignore" \
    --file "$source/deploy/container/Dockerfile" --tag "$image" "$source"
