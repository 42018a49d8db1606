"""What the lab's guest boots: Debian's kernel, unpacked, and a root file system in RAM made of what is installed here.

The root holds busybox (Debian's busybox-static), the kernel's modules for the NIC and the agent, this Python, and
what this package requires. All that changes seldom, so it is built once and kept in a cache folder under a name that
its inputs give it. This package itself and what a caller adds are packed at each boot: the kernel unpacks archives
one after the other.
"""

import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from asyncnic.bench.guest import kernel as kernels
from asyncnic.bench.guest import python_tree
from asyncnic.bench.guest.cpio import Entry, archive, directory, regular
from asyncnic.errors import DeviceError

BUSYBOX_PACKAGE = "busybox-static"
BOOT_MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
)
LAB_MODULES = ("pcnet32", "uio_pci_generic", "tun")
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Image:
    """Files to boot: the kernel's ELF and the cached archive; `release` is what the kernel calls itself."""

    kernel: Path
    root: Path
    release: str

    def archive(self, entries: Iterable[Entry] = ()) -> Iterator[bytes]:
        """The whole initial file system: the cached archive, this package, and the caller's entries."""
        yield self.root.read_bytes()
        yield from archive([*python_tree.own_entries(), *entries])


def build_image(cache: Path | None = None) -> Image:
    """The image for the newest installed kernel and this Python, from the cache or built now (about 15 s).

    Args:
        cache: folder to keep it in; None is `asyncnic` below the user's cache folder.

    Raises:
        DeviceError: a Debian package is missing; the message names it.
    """
    kernel = kernels.installed()
    busybox = _busybox()
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asyncnic"
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(kernel, busybox)
    image = Image(folder / f"kernel-{key}", folder / f"root-{key}", kernel.release)
    if not image.kernel.exists():
        _write(image.kernel, [kernel.unpacked()])
    if not image.root.exists():
        _write(image.root, archive(_root(kernel, busybox)))
    _forget_old(folder)
    return image


def _root(kernel: kernels.Kernel, busybox: Path) -> Iterator[Entry]:
    for name in ("dev", "proc", "sys", "tmp", "run", "root", "sbin", "usr/sbin"):
        yield directory(name)
    # The first process needs somewhere to speak to before /dev is mounted.
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield regular("init", resources.files("asyncnic.bench.guest").joinpath("init.sh").read_bytes(), 0o755)
    yield regular("bin/busybox", busybox.read_bytes(), 0o755)
    yield regular("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    yield regular("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    yield regular("etc/hosts", b"127.0.0.1 localhost guest\n::1 localhost\n")
    place = f"lib/modules/{kernel.release}"
    boot = kernel.module_closure(BOOT_MODULES)
    modules = boot | kernel.module_closure(LAB_MODULES)
    in_order = sorted(boot, key=lambda path: _depth(boot, path))
    yield regular("etc/boot-modules", "".join(f"/{place}/{path}\n" for path in in_order).encode())
    yield regular(f"{place}/modules.dep", "".join(f"{p}: {' '.join(n)}\n" for p, n in modules.items()).encode())
    for path in modules:
        yield regular(f"{place}/{path}", (kernel.modules / path).read_bytes())
    yield from python_tree.python_entries()
    yield from python_tree.dependency_entries()


def _depth(modules: dict[str, list[str]], path: str) -> int:
    """How many modules a module needs: one that needs another needs all that the other needs, so more."""
    return len(modules[path])


def _busybox() -> Path:
    found = shutil.which("busybox", path="/bin:/usr/bin")
    if found is None:
        raise DeviceError(f"busybox not found: install the Debian package {BUSYBOX_PACKAGE}")
    return Path(found)


def _key(kernel: kernels.Kernel, busybox: Path) -> str:
    """A name for what the image is made of: versions of everything that is packed, and how it is packed."""
    digest = hashlib.sha256()
    for path in (kernel.image, busybox, Path(os.path.realpath(sys.executable))):
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    digest.update(f"{sys.version} {python_tree.requirements()}\n".encode())
    for distribution in sorted(metadata.distributions(), key=lambda d: d.metadata["Name"] or ""):
        digest.update(f"{distribution.metadata['Name']} {distribution.version}\n".encode())
    for source in sorted(Path(__file__).parent.iterdir()):
        if source.is_file():
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file that is either whole or not there, whoever else builds it at the same time."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.writelines(pieces)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _forget_old(folder: Path) -> None:
    """Keep only the newest images: each has about 150 MB."""
    for kind in ("kernel-*", "root-*"):
        images = sorted(folder.glob(kind), key=lambda path: path.stat().st_mtime)
        for old in images[:-_KEPT]:
            old.unlink(missing_ok=True)
