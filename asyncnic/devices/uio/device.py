"""A PCI PCnet NIC through Linux's uio_pci_generic: `--device uio:0000:00:03.0`.

Registers go through sysfs `resource0` (I/O ports), the interrupt through /dev/uioN, rings and buffers lie in a huge
page. Who binds the NIC to that driver is pci.py's business; this opens it, and takes it off the bus again.

Memory ordering: the chip and we share memory without locks. On x86 the processor's stores become visible in program
order, and so do the chip's; CPython stores an element of a `memoryview` of format "I" or "Q" by one machine
instruction, and copies a strided view element by element in order. So what is written before OWN is seen before OWN.
On other processors a barrier would be needed that Python does not have: they are refused.
"""

import os
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.uio import pci
from asyncnic.devices.uio.huge_pages import HugePage
from asyncnic.devices.uio.pci import PciFunction
from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.lanes.rules import BULK
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.memory import DmaMemory

_PROCESSORS = ("x86_64", "i686", "i586", "i386")
_COUNT_SIZE = 4


class UioPort:
    """Registers of a PCI function through `resource0`; see `asyncnic.pcnet32.port.Port`.

    Once the function is gone, reads are all ones and writes are lost.
    """

    def __init__(self, registers: int, memory: DmaMemory) -> None:
        self.memory = memory
        self.gone = False
        self._registers = registers

    def read(self, offset: int, width: int) -> int:
        # sysfs shortens an access that crosses the window's end, and turns 1, 2 or 4 octets into one port access.
        try:
            octets = os.pread(self._registers, width, offset)
        except OSError:
            octets = b""
        if len(octets) != width:
            self.gone = True
            return (1 << 8 * width) - 1
        return int.from_bytes(octets, "little")

    def write(self, offset: int, width: int, value: int) -> None:
        try:
            os.pwrite(self._registers, (value & (1 << 8 * width) - 1).to_bytes(width, "little"), offset)
        except OSError:
            self.gone = True


class UioLane:
    """The one lane of a PCI NIC; see `asyncnic.devices.device.Lane`."""

    counts_filtered = True
    doorbell = None
    queue = None
    filtered = 0
    """The chip filters by itself. It does not say how much, but nobody counts what its wire offers either: a frame that
    was not for us is not among those offered, and cannot look like a lost one."""

    def __init__(self, name: str, port: UioPort, function: PciFunction, uio: int, config: int) -> None:
        self.name = name
        self.port = port
        self._function = function
        self._uio = uio
        self._config = config
        self._masked = False

    def fileno(self) -> int | None:
        return self._uio

    def readable(self) -> bool:
        return False

    def poll(self, limit: int) -> int:
        if self.port.gone:
            raise DeviceLost("the PCI function does not answer")
        return 0

    def interrupt(self) -> None:
        try:
            self._masked |= len(os.read(self._uio, _COUNT_SIZE)) == _COUNT_SIZE
        except BlockingIOError:
            return
        except OSError as error:
            self.port.gone = True
            raise DeviceLost(f"/dev/uio: {error.strerror}") from None

    def unmask(self) -> None:
        """Clear INTx-disable, which the kernel set when it told us of the interrupt: once for each, and never before.

        It is the same word that the kernel writes then, and this is a read and a write.
        """
        if self._masked:
            self._masked = False
            try:
                word = self._function.read_command(self._config)
                self._function.write_command(self._config, word & ~pci.COMMAND_NO_INTX)
            except OSError as error:
                self.port.gone = True
                raise DeviceLost(f"PCI configuration space: {error.strerror}") from None


class UioDevice:
    """A PCI NIC; see `asyncnic.devices.device.Device`. Made by `open_device`."""

    backend = "uio"
    chip = "PCnet32"

    def __init__(self, function: PciFunction, uio_path: Path, memory_size: int) -> None:
        self.name = f"uio:{function.address}"
        self._function = function
        self._opened: list[int] = []
        self._page: HugePage | None = None
        try:
            self._page = HugePage(self.name)
            # Bus mastering goes on only now that the file is open, since its release is what switches it off when we
            # are killed: from here on the chip can write only while the page is ours (huge_pages.py).
            self._uio = self._open(uio_path, os.O_RDWR | os.O_NONBLOCK)
            self._page.guard()
            self._config = self._open(function.path / "config", os.O_RDWR)
            registers = self._open(function.path / "resource0", os.O_RDWR)
            self.port = UioPort(registers, self._page.memory(memory_size))
            self.lanes = (UioLane(BULK, self.port, function, self._uio, self._config),)
            # A chip that another process left running has that one's ring: it must forget it before it may write.
            self._command(pci.COMMAND_IO | pci.COMMAND_MEMORY, pci.COMMAND_MASTER)
            for offset, width in ((reg.WIO_RESET, 2), (reg.DWIO_RESET, 4)):  # which mode it is in is not known
                self.port.read(offset, width)
            self._command(pci.COMMAND_MASTER, 0)
        except BaseException:
            self._close()
            raise

    def wire(self) -> WireCounters | None:
        """None: nobody counts what a real wire offers to a card."""
        return None

    def no_link(self) -> str:
        """See `Device.no_link`. Which LED register tells of the link is the board's choice: it is not asked."""
        return ""

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`. There is nothing to count, and a card that was pulled takes no frames."""

    async def apply_knobs(self) -> None:
        """Nothing to bring about: this wire has no queue of the kernel's."""

    async def reattach(self) -> bool:
        """See `Device.reattach`. A card that was pulled comes back to another driver, and what is open of a driver that
        was taken away stays dead though it is given back: start again then.
        """
        if self._function.uio is None:
            return False
        self.port.gone = False
        try:
            self.lanes[0].interrupt()
        except DeviceLost:
            return False
        return self.port.read(0, 1) != 0xFF

    async def close(self) -> None:
        self._close()

    def _open(self, path: Path, flags: int) -> int:
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
        except PermissionError:
            fix = f"run as root, or: chown {os.geteuid()} {path}"
            raise PrivilegeError(f"{self.name}: {path} may not be opened: {fix}") from None
        except OSError as error:
            raise DeviceError(f"{self.name}: {path}: {error.strerror}") from None
        self._opened.append(descriptor)
        return descriptor

    def _command(self, set_bits: int, clear_bits: int) -> None:
        word = self._function.read_command(self._config)
        self._function.write_command(self._config, (word | set_bits) & ~clear_bits & ~pci.COMMAND_NO_INTX)

    def _close(self) -> None:
        """Bus mastering off, then the files, then the page. Idempotent."""
        if hasattr(self, "lanes"):
            with suppress(OSError):
                self._command(0, pci.COMMAND_MASTER)
        while self._opened:
            os.close(self._opened.pop(0))
        if self._page is not None:
            self._page.close()


async def open_device(address: str, options: DeviceOptions) -> UioDevice:
    """Open "uio:PCI-ADDRESS": a PCnet NIC that `asyncnic bind` has handed to uio_pci_generic.

    Raises:
        DeviceError, PrivilegeError: it is not there, not bound, or not ours; the message says what to do.
    """
    if platform.machine() not in _PROCESSORS:
        raise DeviceError(f"uio:{address}: only x86 keeps the order of stores that DMA from Python needs")
    function = PciFunction(address)
    uio = function.uio
    if uio is None:
        driver = function.driver or "no driver"
        raise DeviceError(f"uio:{address}: {driver} has it, not {pci.UIO_DRIVER}: asyncnic bind {address}")
    if not function.is_pcnet():
        raise DeviceError(f"uio:{address}: not a PCnet NIC")
    return UioDevice(function, uio, options.memory_size)
