"""PCI functions in sysfs: which driver has one, and handing it to another (fact sheet 12.1).

Only what sysfs does: no register of a device is touched here but the command word, and no memory is mapped (uio.py).
"""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.pcnet32.registers import PCI_DEVICE, PCI_VENDOR

SYSFS = Path("/sys/bus/pci")
UIO_DRIVER = "uio_pci_generic"
COMMAND = 4
"""Offset of the command word in configuration space; always written as 16 bits (section 12.4)."""
COMMAND_IO = 0x0001
COMMAND_MEMORY = 0x0002
COMMAND_MASTER = 0x0004
COMMAND_NO_INTX = 0x0400

_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_WORD = struct.Struct("<H")


class PciFunction:
    """One PCI function by its address, such as "0000:00:03.0".

    Raises:
        DeviceError: there is none at that address.
    """

    def __init__(self, address: str, sysfs: Path = SYSFS) -> None:
        self.address = address.lower()
        self.path = sysfs / "devices" / self.address
        self._sysfs = sysfs
        if not _ADDRESS.fullmatch(self.address) or not self.path.exists():
            raise DeviceError(f"{address}: no such PCI function: see lspci -D, or ls {sysfs}/devices")

    @property
    def driver(self) -> str:
        """Name of the driver that has it; empty when none has."""
        link = self.path / "driver"
        return os.path.basename(os.readlink(link)) if link.is_symlink() else ""

    @property
    def uio(self) -> Path | None:
        """Its /dev/uioN, when a UIO driver has it."""
        found = sorted((self.path / "uio").glob("uio*"))
        return Path("/dev") / found[0].name if found else None

    def is_pcnet(self) -> bool:
        """Whether its ids are those of a PCnet-PCI."""
        return (self._number("vendor"), self._number("device")) == (PCI_VENDOR, PCI_DEVICE)

    def _number(self, attribute: str) -> int:
        return int((self.path / attribute).read_text(), 16)

    def hand_to(self, driver: str) -> None:
        """Take it from the driver that has it and give it to `driver` and no other.

        Raises:
            PrivilegeError: sysfs may not be written. DeviceError: `driver` is not there, or refuses.
        """
        if self.driver == driver:
            return
        self._release()
        self._write("driver_override", driver)
        self._probe()
        if self.driver != driver:
            raise DeviceError(
                f"{self.address}: {driver} does not take it: its INTx-disable bit (PCI 2.3) may be missing; "
                f"undo with: asyncnic unbind {self.address}"
            )

    def hand_back(self) -> str:
        """Let the kernel choose the driver again. Returns its name, which is empty when there is none.

        Raises:
            PrivilegeError: sysfs may not be written.
        """
        if self.driver == UIO_DRIVER:
            self._release()
        self._write("driver_override", "\n")
        if not self.driver:
            self._probe()
        return self.driver

    def read_command(self, config: int) -> int:
        """The command word through an open `config` file."""
        word: int = _WORD.unpack(os.pread(config, 2, COMMAND))[0]
        return word

    def write_command(self, config: int, word: int) -> None:
        """Write the command word, all of it at once: QEMU looks at INTx-disable only then (section 12.4)."""
        os.pwrite(config, _WORD.pack(word), COMMAND)

    def _release(self) -> None:
        if self.driver:
            self._write("driver/unbind", self.address)

    def _probe(self) -> None:
        self._write_to(self._sysfs / "drivers_probe", self.address)

    def _write(self, attribute: str, text: str) -> None:
        self._write_to(self.path / attribute, text)

    def _write_to(self, path: Path, text: str) -> None:
        try:
            path.write_text(text)
        except PermissionError:
            raise PrivilegeError(f"{self.address}: {path} may not be written: run as root, on the host") from None
        except OSError as error:
            if error.strerror is not None and path.name == "drivers_probe":
                return  # the probe failed: who has the function afterwards says so
            raise DeviceError(f"{self.address}: {path}: {error.strerror}") from None


def bind(address: str, sysfs: Path = SYSFS) -> Path:
    """Hand a PCnet NIC to uio_pci_generic, loading that module when it is not there. Returns its /dev/uioN.

    Raises:
        DeviceError, PrivilegeError: it cannot be done; the message says what to do.
    """
    function = PciFunction(address, sysfs)
    if not function.is_pcnet():
        raise DeviceError(f"{address}: not a PCnet NIC ({PCI_VENDOR:04x}:{PCI_DEVICE:04x})")
    if not (sysfs / "drivers" / UIO_DRIVER).exists() and not _load(UIO_DRIVER, sysfs):
        raise DeviceError(f"{address}: the kernel has no {UIO_DRIVER}: run as root: modprobe {UIO_DRIVER}")
    function.hand_to(UIO_DRIVER)
    uio = function.uio
    if uio is None:
        raise DeviceError(f"{address}: {UIO_DRIVER} has it and shows no /dev/uioN")
    return uio


def unbind(address: str, sysfs: Path = SYSFS) -> str:
    """Give a NIC back to the kernel. Returns the driver that took it; empty when none did.

    Raises:
        DeviceError, PrivilegeError: it cannot be done; the message says what to do.
    """
    return PciFunction(address, sysfs).hand_back()


def _load(module: str, sysfs: Path) -> bool:
    program = shutil.which("modprobe", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if program is not None:
        subprocess.run([program, module], capture_output=True, check=False)
    return (sysfs / "drivers" / module).exists()
