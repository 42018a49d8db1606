"""A child process that runs QEMU's PCnet chip: an empty PC whose processor halts at once.

It brings up the machine and its PCI bus and takes it down again. It is not a guest (nothing runs in it) and not the
device (qemu.py). Nothing of it touches a file system: firmware and RAM are memory files, the qtest socket and the wire
are inherited descriptors. The RAM is mapped here too, so rings and buffers are plain memory on both sides.
"""

import ctypes
import mmap
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from functools import partial

from asyncnic.devices.device import DeviceError
from asyncnic.devices.qtest import Qtest, QtestError

QEMU = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
RAM_SIZE = 16 << 20
DMA_BUS = 1 << 20
DMA_SIZE = 4 << 20
IO_BASE = 0xC000
INTERRUPT = 11

_FIRMWARE_SIZE = 1 << 16
_RESET_VECTOR = _FIRMWARE_SIZE - 16
_NIC_SLOT = 3
_BRIDGE_SLOT = 1  # PIIX3: ISA bridge and interrupt router
_PIRQ_ROUTES = range(0x60, 0x64)
_COMMAND = 0x04
_BAR0 = 0x10
_COMMAND_IO_MEMORY_MASTER = 0x0007
_PCNET_ID = 0x2000_1022
_PR_SET_PDEATHSIG = 1
_STOP_SECONDS = 5.0
_libc = ctypes.CDLL(None)


def firmware() -> bytes:
    """64 KiB whose reset vector disables interrupts and halts for ever; all else halts too."""
    image = bytearray(b"\xf4" * _FIRMWARE_SIZE)  # hlt
    image[_RESET_VECTOR : _RESET_VECTOR + 4] = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt
    return bytes(image)


def command_line(program: str, firmware_fd: int, ram_fd: int, qtest_fd: int, netdev: str, mac: str) -> list[str]:
    """QEMU's arguments. The descriptors are the child's too; `netdev` is the back end without its id."""
    return [
        program,
        *("-no-user-config", "-nodefaults", "-display", "none", "-vga", "none"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *("-machine", "pc,memory-backend=ram", "-accel", "tcg", "-m", f"{RAM_SIZE >> 20}M"),
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
    """A running QEMU: its process and its qtest socket.

    `intercepted` is True when the chip's interrupt line is told over the qtest socket.
    """

    __slots__ = ("_errors", "intercepted", "process", "qtest")

    def __init__(self, process: subprocess.Popen[bytes], qtest: Qtest, errors: int) -> None:
        self.process = process
        self.qtest = qtest
        self.intercepted = False
        self._errors = errors

    def last_words(self) -> str:
        """The last line that QEMU wrote to its standard error, or how it ended."""
        try:
            lines = os.read(self._errors, 1 << 16).decode("utf-8", "replace").split("\n")
        except OSError:
            lines = []
        spoken = [line for line in lines if line.strip()]
        return spoken[-1].strip() if spoken else f"exit status {self.process.poll()}"

    def close(self) -> None:
        """End the process and wait for it. Idempotent."""
        if self._errors < 0:
            return
        self.qtest.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: SIGKILL is pending, there is no more to do
            self.process.wait(_STOP_SECONDS)
        os.close(self._errors)
        self._errors = -1


def start(netdev: str, wire: int, mac: str, ram: Ram) -> Machine:
    """Start QEMU with its PCnet chip on a wire, the chip's ports at `IO_BASE` and bus mastering on.

    Args:
        netdev: QEMU's back end for the wire, as `-netdev` takes it, with "{fd}" for the descriptor.
        wire: the descriptor that the child inherits as its wire; it stays ours too.
        mac: the chip's own address, such as "52:54:00:12:34:56".
        ram: what the machine has for memory.

    The child dies with the *thread* that calls this: call it on one that lives as long as the device, not in an
    executor.

    Raises:
        DeviceError: QEMU is not installed, did not start, or has no such chip.
    """
    program = shutil.which(QEMU)
    if program is None:
        raise DeviceError(f"{QEMU} not found: install the Debian package {PACKAGE}")
    with ExitStack() as ours:
        code = os.memfd_create("asyncnic-firmware")  # no name in any file system; QEMU opens it again by /dev/fd
        ours.callback(os.close, code)
        os.write(code, firmware())
        near, far = socket.socketpair()
        ours.callback(far.close)
        errors, complaints = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        ours.callback(os.close, complaints)
        try:
            process = subprocess.Popen(
                command_line(program, code, ram.descriptor, far.fileno(), netdev.format(fd=wire), mac),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=(code, ram.descriptor, far.fileno(), wire),
                preexec_fn=partial(_die_with, os.getpid()),
            )
        except OSError as error:
            near.close()
            os.close(errors)
            raise DeviceError(f"{program} does not start: {error.strerror}") from error
        machine = Machine(process, Qtest(near), errors)
    try:
        _set_up_pci(machine)
    except QtestError:
        reason = machine.last_words()
        machine.close()
        raise DeviceError(f"{QEMU} did not bring its PCnet chip up: {reason}") from None
    return machine


def _die_with(parent: int) -> None:
    """In the child: be killed when the parent's thread ends, also when it ended before this was said."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _set_up_pci(machine: Machine) -> None:
    """What a PC's firmware does: route the interrupt, give the ports an address, let the chip master the bus.

    Raises:
        QtestError: the machine does not answer, or its NIC is another one.
    """
    qtest = machine.qtest
    if qtest.read_config(_NIC_SLOT, 0, 4) != _PCNET_ID:
        raise QtestError("no PCnet chip in its slot")
    for register in _PIRQ_ROUTES:
        qtest.write_config(_BRIDGE_SLOT, register, 1, INTERRUPT)
    qtest.write_config(_NIC_SLOT, _BAR0, 4, IO_BASE)
    qtest.write_config(_NIC_SLOT, _COMMAND, 2, _COMMAND_IO_MEMORY_MASTER)
    machine.intercepted = qtest.intercept_interrupts("ioapic")
