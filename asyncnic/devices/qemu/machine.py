"""An empty PC around QEMU's PCnet chip: a machine whose processor halts at once.

It brings up the machine and its PCI bus. It is not a guest (nothing runs in it) and not the device (qemu.py). Nothing
of it touches a file system: firmware and RAM are memory files, the qtest socket and the wire are inherited
descriptors. The RAM is mapped here too, so rings and buffers are plain memory on both sides.
"""

import asyncio
import mmap
import os
import socket
from contextlib import ExitStack

from asyncnic.devices.qemu.process import QEMU, QemuProcess
from asyncnic.devices.qemu.qtest import Qtest, QtestError
from asyncnic.errors import DeviceError
from asyncnic.linux.thread import in_thread

RAM_SIZE = 16 << 20
DMA_BUS = 1 << 20
DMA_SIZE = 4 << 20
IO_BASE = 0xC000
INTERRUPT = 11

ANSWER_SECONDS = 0.75
"""How long a machine that runs may take for one command before it counts as dead: the event loop waits meanwhile."""

_FIRMWARE_SIZE = 1 << 16
_RESET_VECTOR = _FIRMWARE_SIZE - 16
_NIC_SLOT = 3
_BRIDGE_SLOT = 1  # PIIX3: ISA bridge and interrupt router
_PIRQ_ROUTES = range(0x60, 0x64)
_COMMAND = 0x04
_BAR0 = 0x10
_COMMAND_IO_MEMORY_MASTER = 0x0007
_PCNET_ID = 0x2000_1022


def firmware() -> bytes:
    """64 KiB whose reset vector disables interrupts and halts for ever; all else halts too."""
    image = bytearray(b"\xf4" * _FIRMWARE_SIZE)  # hlt
    image[_RESET_VECTOR : _RESET_VECTOR + 4] = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
    return bytes(image)


def arguments(firmware_fd: int, ram_fd: int, qtest_fd: int, netdev: str, mac: str) -> list[str]:
    """QEMU's arguments. The descriptors are the child's too; `netdev` is the back end without its id."""
    return [
        # Without its timers nothing but the NIC raises an interrupt line.
        *("-machine", "pc,memory-backend=ram,pit=off,hpet=off", "-accel", "tcg", "-m", f"{RAM_SIZE >> 20}M"),
        *("-object", f"memory-backend-file,id=ram,size={RAM_SIZE},share=on,mem-path=/dev/fd/{ram_fd}"),
        *("-bios", f"/dev/fd/{firmware_fd}"),
        *("-chardev", f"socket,id=qtest,fd={qtest_fd}", "-object", "qtest,id=server,chardev=qtest,log=/dev/null"),
        *("-netdev", f"{netdev},id=wire", "-device", f"pcnet,netdev=wire,mac={mac},addr={_NIC_SLOT},romfile="),
    ]


class Ram:
    """The machine's RAM: a memory file that QEMU maps and we map. It outlives the machine, and serves the next one."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("asyncnic-ram")
        os.ftruncate(self.descriptor, RAM_SIZE)
        self._map = mmap.mmap(self.descriptor, RAM_SIZE)

    def view(self, start: int, size: int) -> memoryview:
        """`size` octets from guest-physical address `start`."""
        return memoryview(self._map)[start : start + size]

    def close(self) -> None:
        """Close the file; the pages go when the last view of them does. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Machine:
    """A running machine with its PCnet chip on a wire, the chip's ports at `IO_BASE` and bus mastering on.

    Args:
        netdev: QEMU's back end for the wire, as `-netdev` takes it, with "{fd}" for the descriptor.
        wire: the descriptor that the child inherits as its wire; it stays ours too.
        mac: the chip's own address, such as "52:54:00:12:34:56".
        ram: what the machine has for memory.

    It is of use once it is `set_up`; `intercepted` is True from then on when the chip's interrupt line is told over the
    qtest socket.

    Raises:
        DeviceError: QEMU is not installed, or cannot be started.
    """

    __slots__ = ("intercepted", "process", "qtest")

    def __init__(self, netdev: str, wire: int, mac: str, ram: Ram) -> None:
        with ExitStack() as ours:
            code = os.memfd_create("asyncnic-firmware")  # no name in any file system; QEMU opens it again by /dev/fd
            ours.callback(os.close, code)
            os.write(code, firmware())
            near, far = socket.socketpair()
            ours.callback(far.close)
            descriptors = (code, ram.descriptor, far.fileno(), wire)
            self.qtest = Qtest(near)
            self.intercepted = False
            try:
                self.process = QemuProcess(
                    arguments(*descriptors[:3], netdev=netdev.format(fd=wire), mac=mac), descriptors
                )
            except DeviceError:
                self.qtest.close()
                raise

    def set_up(self) -> None:
        """Wait until QEMU answers, and do what firmware would. Blocks for some 50 ms, or as long as QEMU may take.

        Raises:
            DeviceError: it has ended, or has no such chip; then the machine is closed.
        """
        try:
            self.intercepted = _set_up_pci(self.qtest)
            self.qtest.set_timeout(ANSWER_SECONDS)
        except QtestError:
            reason = self.process.last_words()
            self.close()
            raise DeviceError(f"{QEMU} did not bring its PCnet chip up: {reason}") from None

    def close(self) -> None:
        """End the machine and wait for it. Idempotent."""
        self.qtest.close()
        self.process.close()


async def start(netdev: str, wire: int, mac: str, ram: Ram) -> Machine:
    """A machine that is set up. It is waited for in a thread, and started in this one: QEMU is killed when the thread
    that starts it ends.

    Raises:
        DeviceError: see `Machine` and `Machine.set_up`.
    """
    machine = Machine(netdev, wire, mac, ram)
    setting_up = asyncio.create_task(in_thread(machine.set_up))
    try:
        await asyncio.shield(setting_up)
    except BaseException:
        machine.process.kill()  # what the thread waits for ends with it
        await asyncio.gather(setting_up, return_exceptions=True)
        machine.close()
        raise
    return machine


def _set_up_pci(qtest: Qtest) -> bool:
    """What a PC's firmware does: route the interrupt, give the ports an address, let the chip master the bus.

    Returns whether interrupts will be told. Raises QtestError when the machine does not answer, or has another NIC.
    """
    if qtest.read_config(_NIC_SLOT, 0, 4) != _PCNET_ID:
        raise QtestError("no PCnet chip in its slot")
    for register in _PIRQ_ROUTES:
        qtest.write_config(_BRIDGE_SLOT, register, 1, INTERRUPT)
    qtest.write_config(_NIC_SLOT, _BAR0, 4, IO_BASE)
    qtest.write_config(_NIC_SLOT, _COMMAND, 2, _COMMAND_IO_MEMORY_MASTER)
    return qtest.intercept_interrupts("ioapic")
