#!/bin/sh
# Build the source distribution and a wheel for each CPython: wheels.sh [FOLDER [PYTHON ...]]
#
# FOLDER   where they go; dist/ of the repository when it is not given.
# PYTHON   interpreters to build for; those called python3.11 to python3.14 on PATH when none is given.
#
# Each wheel bears the manylinux tag that auditwheel finds true of it, and its bill of materials (PEP 770). For musl and
# other processors than this machine's the same is done by cibuildwheel, whose configuration is in pyproject.toml. A
# wheel that has no compiled packet path is refused: who wants plain Python installs the source distribution.
set -eu

source=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$source/dist}
[ $# -gt 0 ] && shift
if [ $# -eq 0 ]; then
    for version in 3.11 3.12 3.13 3.14; do
        "python$version" -c '' 2>/dev/null && set -- "$@" "python$version"
    done
fi
[ $# -gt 0 ] || { echo "wheels.sh: no CPython from 3.11 on: name one" >&2; exit 2; }

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Two builds of one commit are the same octet for octet.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH

# The first interpreter has the tools; what is built from is a copy, so that nothing is left in the tree.
"$1" -m venv "$work/tools"
"$work/tools/bin/pip" install -q --require-hashes -r "$source/deploy/package/tools.lock"
mkdir "$work/source"
(cd "$source" && cp -r pyproject.toml README.md LICENSE requirements.lock asyncnic "$work/source")
# Neither debugging information nor the name of a temporary folder belongs into what is shipped.
CFLAGS="${CFLAGS:-} -g0 -ffile-prefix-map=$work=."
export CFLAGS
find "$work/source" -name '*.so' -delete -o -name '_compiled.c' -delete

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }
cd "$work/source"
quietly "$work/tools/bin/python" -m build --no-isolation --sdist --outdir "$work/sdist" .
# setuptools writes the times of this build into the archive: pack it anew.
tar -xzf "$work"/sdist/*.tar.gz -C "$work/sdist"
name=$(basename "$work"/sdist/*.tar.gz .tar.gz)
tar -c --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX -C "$work/sdist" "$name" |
    gzip -9n >"$folder/$name.tar.gz"
for python in "$@"; do
    rm -rf build "$work/raw" "$work/venv"
    "$python" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --require-hashes -r "$source/deploy/package/tools.lock"
    quietly "$work/venv/bin/python" -m build --no-isolation --wheel --outdir "$work/raw" .
    "$work/tools/bin/python" "$source/deploy/package/sbom.py" requirements.lock "$work"/raw/*.whl
    PATH="$work/tools/bin:$PATH" quietly "$work/tools/bin/auditwheel" repair --wheel-dir "$folder" "$work"/raw/*.whl
done
ls "$folder"
