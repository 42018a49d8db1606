"""An Am79C970A in software: the other side of the same `Port` that the driver works against.

It is the chip as the data sheet has it (`SILICON`), or as QEMU has it (`QEMU`), down to the registers. This file is
what others hold: the register window, the address PROM, the wire and the bus. What registers do is in
model_registers.py; model_receive.py and model_transmit.py move the frames. It has no file descriptor, no thread and no
clock. Whoever owns it gives it the wire: frames in by `fill`, `drain` or `receive`, frames out by `wire_send`. It polls
its transmit ring on TDMD, and when `poll` is called.
"""

from collections.abc import Callable

from asyncnic import hot
from asyncnic.hot.reader import Read
from asyncnic.hot.wire import Doorbell, Line
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.core import ChipCounters, Core
from asyncnic.pcnet32.model.quirks import SILICON, Quirks
from asyncnic.pcnet32.model.receive import ReceiveUnit
from asyncnic.pcnet32.model.register_file import Registers
from asyncnic.pcnet32.model.transmit import Transmitter

_Doorbell = hot.choose(Doorbell)


class Am79C970A:
    """One chip.

    Args:
        memory: what the chip reaches by DMA.
        mac: 6 octets, for the address PROM.
        wire_send: takes a transmitted frame without FCS; the view is valid only during the call. False when the wire
            refused it. Where the wire is a file or a socket, `wire_file` may be set besides, and most frames are
            written to it.
        quirks: which chip it imitates.

    No register write, descriptor or frame raises or takes unbounded time.
    """

    __slots__ = ("_aprom", "_rap", "_registers", "_transmitter", "core", "counters", "memory", "quirks", "receiver")

    def __init__(
        self, memory: DmaMemory, mac: bytes, wire_send: Callable[[memoryview], bool], quirks: Quirks = SILICON
    ) -> None:
        self.memory = memory
        self.quirks = quirks
        self.core = Core(memory, quirks)
        self.counters: ChipCounters = self.core.counters
        self.receiver = ReceiveUnit(self.core)
        self._transmitter = Transmitter(self.core, self.receiver, wire_send)
        self._aprom = bytearray(mac.ljust(9, b"\0") + b"\x11\0\0\0\0WW")  # section 2.3
        self._aprom[12:14] = sum(self._aprom).to_bytes(2, "little")
        self._registers = Registers(self.core, self.receiver, self._transmitter, self._aprom)
        self.hard_reset()

    # The wire.

    @property
    def wire_file(self) -> Line | None:
        """The file that the wire is, each write a frame that is taken at once or not at all; None: call `wire_send`."""
        return self._transmitter.usual.file

    @wire_file.setter
    def wire_file(self, file: Line | None) -> None:
        self._transmitter.usual.file = file

    @property
    def taken(self) -> int:
        """Frames taken off the wire so far, whatever became of them."""
        return self.counters.read

    @property
    def silent(self) -> bool:
        """Whether the last `fill` or `drain` ended because `read` had no more frames."""
        return self.receiver.silent

    def fill(self, read: Read, limit: int) -> int:
        """Take frames off the wire only as long as there are descriptors for them; the others stay where they are.

        Args:
            read: fills a buffer with one frame (no FCS) and returns its octets, or None (or 0) when there is none.
            limit: how many frames to read at most.

        Returns the frames read, filtered ones included. Nothing is read while the receiver is off. MCNT counts the 4
        octets of the FCS; what they hold is undefined.
        """
        taken = self.receiver.fill(read, limit)
        self._after_wire()
        return taken

    def drain(self, read: Read, limit: int) -> int:
        """Take up to `limit` frames off the wire whether there are descriptors or not, as silicon does.

        Frames without a descriptor are dropped with MISS and CSR112, and with the receiver off all of them silently.
        Arguments and result as for `fill`.
        """
        taken = self.receiver.drain(read, limit)
        self._after_wire()
        return taken

    def receive(self, frame: bytes | bytearray | memoryview) -> None:
        """Take one frame (0 to 65535 octets, no FCS) that was on the wire."""
        self.receiver.receive(frame)
        self._after_wire()

    def _after_wire(self) -> None:
        if self.quirks.polls_on_access:
            self._look_around()
        elif not self.core.interrupt_line:  # what comes off the wire adds causes, and takes none away
            self.core.update_interrupt()

    def doorbell(self) -> Doorbell:
        """What the driver may call in place of `demand`: the same at less cost."""
        return _Doorbell(self.core, self._transmitter.usual, self.demand)

    def demand(self) -> None:
        """As a write of CSR0 that sets TDMD and leaves INEA as it is, on silicon."""
        core = self.core
        core.csr[reg.CSR_STATUS] |= reg.CSR0_TDMD
        self._transmitter.look()
        if not core.interrupt_line:  # what is sent adds causes, and takes none away
            core.update_interrupt()

    def _look_around(self) -> None:
        if self.core.csr[reg.CSR_STATUS] & reg.CSR0_TDMD:
            self._transmitter.look()
        self.poll()

    def poll(self) -> None:
        """What the chip's poll timer does some 500 times a second: look at the transmit ring, unless TXDPOLL."""
        core = self.core
        halted = core.csr[reg.CSR_STATUS] & reg.CSR0_STOP or core.csr[reg.EXTENDED_CONTROL] & reg.CSR5_SPND
        if not (halted or core.csr[reg.FEATURES] & reg.CSR4_TXDPOLL) and self._transmitter.has_work():
            self._transmitter.look()
        core.update_interrupt()

    @property
    def link_up(self) -> bool:
        """Whether there is a wire: BCR4 shows it; without, frames sent come back with LCAR and none is received."""
        return self.core.link_up

    @link_up.setter
    def link_up(self, up: bool) -> None:
        self.core.link_up = up

    # The bus.

    def hard_reset(self) -> None:
        """H_RESET: power on, or PCI RST#."""
        self._rap = 0
        self._registers.hard_reset()

    @property
    def bus_master(self) -> bool:
        """PCI command bit 2: without it the chip cannot reach memory."""
        return self.core.bus_master

    @bus_master.setter
    def bus_master(self, on: bool) -> None:
        self.core.bus_master = on

    @property
    def interrupt_line(self) -> bool:
        """Level of INTA#: True when asserted."""
        return self.core.interrupt_line

    @property
    def on_interrupt(self) -> Callable[[bool], None] | None:
        """Called with the new level whenever the interrupt line changes."""
        return self.core.on_interrupt

    @on_interrupt.setter
    def on_interrupt(self, callback: Callable[[bool], None] | None) -> None:
        self.core.on_interrupt = callback

    def read(self, offset: int, width: int) -> int:
        """Read `width` octets of the register window; all ones for a width or offset the mode lacks (section 2)."""
        self._on_access(offset, width)
        wide = bool(self.core.bcr[reg.BCR_BURST_CONTROL] & reg.BCR18_DWIO)
        ones = (1 << 8 * width) - 1
        if offset < reg.APROM_SIZE:
            return (
                int.from_bytes(self._aprom[offset : offset + width], "little")
                if self._aprom_answers(offset, width, wide)
                else ones
            )
        value = ones
        if width == (4 if wide else 2):
            if offset == reg.WIO_RDP:
                value = self._registers.read_csr(self._rap)
            elif offset == (reg.DWIO_RAP if wide else reg.WIO_RAP):
                value = self._rap
            elif offset == (reg.DWIO_RESET if wide else reg.WIO_RESET):
                self._rap = 0
                self._registers.soft_reset()
                value = 0
            elif offset == (reg.DWIO_BDP if wide else reg.WIO_BDP):
                value = self._registers.read_bcr(self._rap)
        self.core.update_interrupt()
        return value & ones

    def write(self, offset: int, width: int, value: int) -> None:
        """Write `width` octets of the register window; nothing happens at a width or offset that this mode lacks."""
        self._on_access(offset, width)
        bcr = self.core.bcr
        wide = bool(bcr[reg.BCR_BURST_CONTROL] & reg.BCR18_DWIO)
        if offset < reg.APROM_SIZE:
            if bcr[reg.BCR_MISCELLANEOUS] & reg.BCR2_APROMWE and self._aprom_answers(offset, width, wide):
                self._aprom[offset : offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        elif width == (4 if wide else 2):
            if offset == reg.WIO_RDP:
                self._registers.write_csr(self._rap, value & 0xFFFF)
            elif offset == (reg.DWIO_RAP if wide else reg.WIO_RAP):
                self._rap = value & reg.RAP_MASK
            elif offset == (reg.DWIO_BDP if wide else reg.WIO_BDP):
                self._registers.write_bcr(self._rap, value & 0xFFFF)
        elif width == 4 and offset == reg.DWIO_RDP:  # section 2.1: this is how DWIO is entered
            bcr[reg.BCR_BURST_CONTROL] |= reg.BCR18_DWIO
            if not self.quirks.dwio_by_bcr18:
                self._registers.write_csr(self._rap, value & 0xFFFF)
        self.core.update_interrupt()

    def _on_access(self, offset: int, width: int) -> None:
        if self.quirks.polls_on_access and offset >= reg.APROM_SIZE and width > 1:
            self._look_around()

    def _aprom_answers(self, offset: int, width: int, wide: bool) -> bool:
        if offset % width:
            return False
        if width == 1:
            return not wide or not self.quirks.aprom_needs_exact_width
        return width == (4 if wide else 2)
