#!/bin/sh
# Build asyncnic.deb for Debian 12 from a wheel: deb.sh WHEEL [FOLDER]
#
# The package brings a virtual environment of its own in /opt/asyncnic, on Debian's Python, with the very versions that
# the lock file pins; the systemd unit, the example settings as /etc/asyncnic/asyncnic.toml (a configuration file: what an
# operator changed there survives an upgrade), completion and manual pages. Neither compiler nor registry is needed where
# it is installed. Needs python3-venv and dpkg-deb; nothing is left in the tree.
set -eu

[ $# -ge 1 ] && [ -f "$1" ] || { echo "deb.sh: name the wheel: deb.sh WHEEL [FOLDER]" >&2; exit 2; }
wheel=$(realpath "$1")
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=${2:-$source/dist}
mkdir -p "$folder"
version=$(basename "$wheel" | cut -d- -f2)
architecture=$(dpkg --print-architecture)
python=/usr/bin/python3
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
home=$root/opt/asyncnic
mkdir -p "$root/DEBIAN"

"$python" -m venv "$work/pip"
"$python" -m venv --without-pip "$home"
"$work/pip/bin/pip" --python "$home/bin/python" install -q --require-hashes --no-deps -r "$source/requirements.lock"
"$work/pip/bin/pip" --python "$home/bin/python" install -q --no-deps "$wheel"
"$work/pip/bin/pip" --python "$home/bin/python" uninstall -q --yes cython setuptools
find "$home" -name __pycache__ -prune -exec rm -rf {} +
# What was installed by name of a temporary folder is run by the name it has on the target.
grep -rlI "$home" "$home" | xargs -r sed -i "s|$home|/opt/asyncnic|g"

install -D -m 0644 "$source/deploy/systemd/asyncnic.service" "$root/usr/lib/systemd/system/asyncnic.service"
install -D -m 0644 "$source/deploy/asyncnic.toml" "$root/etc/asyncnic/asyncnic.toml"
install -D -m 0644 "$source/LICENSE" "$root/usr/share/doc/asyncnic/copyright"
mkdir -p "$root/usr/bin" "$root/usr/share/bash-completion/completions" "$root/usr/share/man/man1"
ln -s /opt/asyncnic/bin/asyncnic "$root/usr/bin/asyncnic"
"$home/bin/python" -m asyncnic completion bash >"$root/usr/share/bash-completion/completions/asyncnic"
"$home/bin/python" "$source/deploy/docs/manuals.py" --man "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*
find "$home" -name __pycache__ -prune -exec rm -rf {} +

for script in postinst prerm postrm; do
    install -m 0755 "$source/deploy/package/debian/$script" "$root/DEBIAN/$script"
done
echo /etc/asyncnic/asyncnic.toml >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<CONTROL
Package: asyncnic
Version: $version
Architecture: $architecture
Maintainer: The asyncnic authors <asyncnic@example.org>
Installed-Size: $(du -sk "$root" | cut -f1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), libc6
Recommends: libseccomp2
Section: net
Priority: optional
Description: user-space PCnet32 NIC driver and packet service
 An asyncio event loop reads the receive descriptors of an AMD PCnet32, hands
 every frame to a stack coroutine at once, and exports to Prometheus where every
 frame went.
CONTROL
dpkg-deb --root-owner-group -Zxz --build "$root" "$folder/asyncnic_${version}_$architecture.deb" >/dev/null
echo "$folder/asyncnic_${version}_$architecture.deb"
