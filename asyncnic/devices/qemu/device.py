"""QEMU's PCnet chip as a device: `--device qemu:TAPNAME`.

The chip lives in a child process (machine.py). Registers go over its qtest socket, rings and buffers are RAM
that both processes map, and the wire is a descriptor that the child inherits (wire.py). It is a chip that nobody
here wrote; this file is neither a guest nor the in-process model, and does no packet work.
"""

import os
import select
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from asyncnic.devices.attachment import Attachment, opened
from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.qemu.machine import DMA_BUS, DMA_SIZE, IO_BASE, Machine, Ram, start
from asyncnic.devices.qemu.process import QEMU
from asyncnic.devices.qemu.qtest import QtestError
from asyncnic.devices.qemu.wire import TapWire, Wire
from asyncnic.devices.station import station_address
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import BULK
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.csr_watch import CsrWatch
from asyncnic.pcnet32.memory import DmaMemory

ENDED = f"{QEMU} has ended or does not answer, or its TAP was deleted or moved away"


class QemuPort:
    """The chip's registers over qtest, its memory in the machine's RAM; see `asyncnic.pcnet32.port.Port`.

    Once the machine is gone (dead, or silent for longer than the socket's time-out) every read is all ones and every
    write is lost, as with a card that was pulled. While the chip is stopped or suspended, the gate of the wire is
    closed.
    """

    def __init__(self, memory: DmaMemory, wire: Wire) -> None:
        self.memory = memory
        self.machine: Machine | None = None
        self._wire = wire
        self._watch = CsrWatch()
        self._started = self._suspended = self._gate_open = False
        self._intercepted = False
        self._raises = 0
        self._raised = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ready = select.epoll()
        self._ready.register(self._raised, select.EPOLLIN)
        self._ready.register(wire.news(), select.EPOLLIN)

    def fileno(self) -> int | None:
        """Readable when the line has risen, be it told on the idle socket or in the course of a command.

        None where this QEMU does not tell of its lines: the ring must be polled.
        """
        return self._ready.fileno() if self._intercepted else None

    def plug(self, machine: Machine) -> None:
        """Be the port of a machine that has just started; its chip is fresh from reset."""
        self.machine = machine
        self._watch = CsrWatch()
        self._started = self._suspended = self._gate_open = False
        self._raises = machine.qtest.raises
        self._ready.register(machine.qtest.fileno(), select.EPOLLIN)
        self._intercepted = machine.intercepted

    def unplug(self) -> None:
        """End the machine, if there is one. `fileno` becomes readable: whoever waits for the chip must learn of it."""
        machine, self.machine = self.machine, None
        if machine is not None:
            self._ready.unregister(machine.qtest.fileno())
            machine.close()
            self._announce()

    def close(self) -> None:
        """End the machine and close what `fileno` watches. Idempotent."""
        if not self._ready.closed:
            self.unplug()
            self._ready.close()
            os.close(self._raised)

    def acknowledge(self) -> bool:
        """Take in what the interrupt line has said and make `fileno` wait for the next time that it rises.

        False: machine or wire are gone. Then the machine is to be ended: QEMU would go on reading a deleted TAP, as
        fast as it can.
        """
        if self.machine is None:
            return False
        try:
            self.machine.qtest.drain()
        except QtestError:
            self.unplug()
            return False
        if self._wire.gone():
            return False
        self._raises = self.machine.qtest.raises
        with suppress(BlockingIOError):
            os.eventfd_read(self._raised)
        return True

    def read(self, offset: int, width: int) -> int:
        if self.machine is not None:
            try:
                if self._watch.resets(offset, width):
                    self._receive(started=False, suspended=False)
                value = self.machine.qtest.read_port(IO_BASE + offset, width)
                self._listen(self.machine)
            except QtestError:
                self.unplug()
            else:
                return value
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        if self.machine is None:
            return
        try:
            if self._watch.selects(offset, width):
                # Whatever selects a register goes on to use it, so this can travel with the next access.
                self._watch.write(offset, width, value)
                self.machine.qtest.defer_port(IO_BASE + offset, width, value)
                return
            started, suspended = self._started, self._suspended
            match self._watch.write(offset, width, value):
                case reg.CSR_STATUS if value & reg.CSR0_STOP:
                    started = suspended = False
                case reg.CSR_STATUS if value & reg.CSR0_INIT:
                    started = True
                case reg.EXTENDED_CONTROL:
                    suspended = bool(value & reg.CSR5_SPND)
            if not started or suspended:
                self._receive(started, suspended)  # before the chip stops listening
            self.machine.qtest.write_port(IO_BASE + offset, width, value)
            self._receive(started, suspended)
            self._listen(self.machine)
        except QtestError:
            self.unplug()

    def _receive(self, started: bool, suspended: bool) -> None:
        """Note whether the chip receives, and have the gate follow."""
        self._started, self._suspended = started, suspended
        wanted = started and not suspended
        if wanted != self._gate_open:
            self._gate_open = wanted
            if wanted:
                self._wire.open_gate()
            else:
                self._wire.close_gate()

    def _listen(self, machine: Machine) -> None:
        """An interrupt line that rose in the course of a command has been read off the socket: make `fileno` say so."""
        if machine.qtest.raises != self._raises:
            self._raises = machine.qtest.raises
            self._announce()

    def _announce(self) -> None:
        os.eventfd_write(self._raised, 1)


class QemuLane:
    """The one lane of QEMU's chip; see `asyncnic.devices.device.Lane`."""

    counts_filtered = False
    doorbell = None
    queue = None
    filtered = 0

    def __init__(self, name: str, port: QemuPort) -> None:
        self.name = name
        self.port = port

    def fileno(self) -> int | None:
        return self.port.fileno()

    def readable(self) -> bool:
        return False

    def poll(self, limit: int) -> int:
        if self.port.machine is None:
            raise DeviceLost(ENDED)
        return 0

    def interrupt(self) -> None:
        if not self.port.acknowledge():
            raise DeviceLost(ENDED)

    def unmask(self) -> None:
        """Nothing to do: the line is told of whenever it rises."""


class QemuDevice:
    """QEMU's chip on a wire; see `asyncnic.devices.device.Device`. Made by `open_device`."""

    backend = "qemu"
    chip = "Am79C970A"

    def __init__(self, name: str, wire: Wire, mac: bytes) -> None:
        self.name = name
        self._wire = wire
        self._mac = mac
        self._ram = Ram()
        self.port = QemuPort(DmaMemory(self._ram.view(DMA_BUS, DMA_SIZE), DMA_BUS), wire)
        self.lanes = (QemuLane(BULK, self.port),)
        self.attachment = Attachment(name, self._acquire)
        self._lost = True

    async def _acquire(self, held: AsyncExitStack) -> None:
        """Start a machine on the wire, which is attached to first where it is not: it outlives a machine that died.

        A new machine gets the RAM of the old one, so what the ring held is still there.
        """
        if not self._wire.intact():
            await self._wire.attachment.detach()
            await self._wire.attachment.attach()
        try:
            self.port.plug(await start(self._wire.netdev, self._wire.fileno(), self._mac.hex(":"), self._ram))
        except DeviceError as error:
            raise DeviceError(f"{self.name}: {error}") from None
        held.callback(self.port.unplug)
        self._wire.begin()
        self._lost = False

    def wire(self) -> WireCounters | None:
        """See `Device.wire`."""
        counters = self._wire.counters()
        if self.attachment.attached and not self._lost and self.port.machine is None:
            raise DeviceLost(ENDED)
        return counters

    def no_link(self) -> str:
        """See `Device.no_link`. The chip does not know: QEMU tells it of no TAP's state."""
        return self._wire.no_link()

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`. The machine is ended: one that hangs might go on some day, and read frames."""
        if not self._lost:
            self._lost = True
            self._wire.close_gate(settled=self.port.machine is not None)
            frames = came()
            self.port.unplug()
            self._wire.settle(frames)

    async def apply_knobs(self) -> None:
        await self._wire.apply_knobs()

    async def reattach(self) -> bool:
        """See `Device.reattach`."""
        return await self.attachment.reattach()

    async def close(self) -> None:
        await self.attachment.detach()
        self.port.close()
        await self._wire.attachment.detach()
        self._wire.close()
        self._ram.close()


async def open_device(name: str, options: DeviceOptions) -> QemuDevice:
    """Open "qemu:TAPNAME": QEMU's chip on a TAP, which is made when there is none.

    Raises:
        DeviceError, PrivilegeError: QEMU or the TAP cannot be had; the message says what to do.
    """
    mac = options.mac if options.mac is not None else station_address(name)
    return await opened(QemuDevice(f"qemu:{name}", TapWire(name, options), mac))
