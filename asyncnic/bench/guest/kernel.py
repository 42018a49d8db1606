"""Debian's kernel as its package installs it: the image made bootable, and the modules that the lab needs.

QEMU boots an uncompressed kernel directly (PVH), five seconds sooner than the packed image unpacks itself under
emulation. This boots nothing, and builds no module.
"""

import lzma
import re
from dataclasses import dataclass
from pathlib import Path

from asyncnic.errors import DeviceError

PACKAGE = "linux-image-amd64"
_XZ = b"\xfd7zXZ\0"
_ELF = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class Kernel:
    """An installed kernel: its release, its packed image, and the folder of its modules."""

    release: str
    image: Path
    modules: Path

    def unpacked(self) -> bytes:
        """The ELF file inside the packed image.

        Raises:
            DeviceError: the image holds none that is packed with xz, as Debian's are.
        """
        packed = self.image.read_bytes()
        start = packed.find(_XZ)
        while start >= 0:
            try:
                kernel = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(packed[start:])
            except lzma.LZMAError:
                kernel = b""
            if kernel.startswith(_ELF):
                return kernel
            start = packed.find(_XZ, start + 1)
        raise DeviceError(f"{self.image}: no kernel packed with xz in it: use the one of Debian's package {PACKAGE}")

    def module_closure(self, names: tuple[str, ...]) -> dict[str, list[str]]:
        """The modules `names` and all they need: path below `modules` -> paths it depends on, as modules.dep says.

        Raises:
            DeviceError: the kernel has no such module.
        """
        depends: dict[str, list[str]] = {}
        by_name: dict[str, str] = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            depends[path] = needs.split()
            by_name[Path(path).name.split(".")[0].replace("-", "_")] = path
        closure: dict[str, list[str]] = {}
        for name in names:
            if name not in by_name:
                raise DeviceError(f"{self.modules}: no module {name}: use the kernel of Debian's package {PACKAGE}")
            for path in (by_name[name], *depends[by_name[name]]):
                closure[path] = depends[path]
        return closure


def installed(boot: Path = Path("/boot"), modules: Path = Path("/lib/modules")) -> Kernel:
    """The newest Debian kernel on this machine.

    Raises:
        DeviceError: there is none.
    """
    found = [
        Kernel(release, image, modules / release)
        for image in boot.glob("vmlinuz-*-amd64")
        if (modules / (release := image.name.removeprefix("vmlinuz-")) / "modules.dep").exists()
    ]
    if not found:
        raise DeviceError(f"no Debian kernel in {boot}: install the Debian package {PACKAGE}")
    return max(found, key=lambda kernel: [int(number) for number in re.findall(r"\d+", kernel.release)])
