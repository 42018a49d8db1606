"""An Am79C970A in software: the other side of the same `Port` that the driver works against.

It is the chip as the data sheet has it (`SILICON`), or as QEMU has it (`QEMU`), down to the registers: this file is the
register window, resets, INIT, STRT and STOP; model_receive.py and model_transmit.py move the frames. It has no file
descriptor, no thread and no clock. Whoever owns it gives it the wire: frames in by `fill`, `drain` or `receive`, frames
out by `wire_send`. It polls its transmit ring on TDMD, and when `poll` is called.
"""

from collections.abc import Callable

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import InitBlock
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model_core import BusFault, Core, Counters
from asyncnic.pcnet32.model_receive import Read, Receiver
from asyncnic.pcnet32.model_transmit import Transmitter
from asyncnic.pcnet32.quirks import SILICON, Quirks

_RUN_BITS = reg.CSR0_INIT | reg.CSR0_STRT | reg.CSR0_STOP
_POINTERS = range(reg.RX_BUFFER, reg.TX_POLL_INTERVAL + 1)
_RING_REGISTERS = (reg.RX_RING_COUNTER, reg.TX_RING_COUNTER, reg.RX_RING_LENGTH, reg.TX_RING_LENGTH)
_BASE_REGISTERS = (reg.RX_RING_BASE, reg.RX_RING_BASE + 1, reg.TX_RING_BASE, reg.TX_RING_BASE + 1)
_FILTER_REGISTERS = range(reg.LADRF_FIRST, reg.MODE + 1)
# Writable only in STOP or SPND on silicon (section 3).
_STOPPED_ONLY = frozenset(
    (reg.INIT_BLOCK_LOW, reg.INIT_BLOCK_HIGH, *_FILTER_REGISTERS, *_POINTERS, *_RING_REGISTERS, reg.MISSED_FRAMES)
)
_SILICON_ONLY = frozenset((reg.FIFO_THRESHOLDS, reg.BUS_TIMEOUT, reg.RX_COLLISIONS, reg.RX_ALIGNMENT, reg.TEST_CONTROL))
_LEDS = range(reg.BCR_LINK_LED, reg.BCR_LINK_LED + 4)
_LINK_LED_SOURCES = 0x017F  # of a LED register, those bits that can light it
_WRITABLE_BCRS = frozenset(
    (
        reg.BCR_MISCELLANEOUS,
        *_LEDS,
        reg.BCR_FULL_DUPLEX,
        reg.BCR_BURST_CONTROL,
        reg.BCR_EEPROM,
        reg.BCR_SOFTWARE_STYLE,
        reg.BCR_PCI_LATENCY,
    )
)
_SOFT_RESET = {
    reg.INTERRUPT_MASK: 0,
    reg.FEATURES: reg.CSR4_RESET,
    reg.EXTENDED_CONTROL: 0,
    reg.RING_LENGTHS: 0,
    **dict.fromkeys(range(reg.LADRF_FIRST, reg.LADRF_LAST + 1), 0),
    reg.FIFO_THRESHOLDS: 0x1410,
    reg.CHIP_ID_LOW: reg.CHIP_AM79C970A & 0xFFFF,
    reg.CHIP_ID_HIGH: reg.CHIP_AM79C970A >> 16,
    reg.BUS_TIMEOUT: 0x0200,
    reg.BUS_CONTROL: 0x0105,
    reg.MISSED_FRAMES: 0,
    reg.RX_COLLISIONS: 0,
    reg.RX_ALIGNMENT: 0,
    reg.TEST_CONTROL: 0,
}


class Am79C970A:
    """One chip.

    Args:
        memory: what the chip reaches by DMA.
        mac: 6 octets, for the address PROM.
        wire_send: takes a transmitted frame without FCS; the view is valid only during the call. False when the wire
            refused it.
        quirks: which chip it imitates.

    No register write, descriptor or frame raises or takes unbounded time.
    """

    __slots__ = ("_aprom", "_core", "_rap", "_receiver", "_transmitter", "counters", "memory", "quirks")

    def __init__(
        self, memory: DmaMemory, mac: bytes, wire_send: Callable[[memoryview], bool], quirks: Quirks = SILICON
    ) -> None:
        self.memory = memory
        self.quirks = quirks
        self._core = Core(memory, quirks)
        self.counters: Counters = self._core.counters
        self._receiver = Receiver(self._core)
        self._transmitter = Transmitter(self._core, self._receiver, wire_send)
        self._aprom = bytearray(mac.ljust(9, b"\0") + b"\x11\0\0\0\0WW")  # section 2.3
        self._aprom[12:14] = sum(self._aprom).to_bytes(2, "little")
        self._rap = 0
        self.hard_reset()

    # The wire.

    @property
    def silent(self) -> bool:
        """Whether the last `fill` or `drain` ended because `read` had no more frames."""
        return self._receiver.silent

    def fill(self, read: Read, limit: int) -> int:
        """Take frames off the wire only as long as there are descriptors for them; the others stay where they are.

        Args:
            read: fills a buffer with one frame (no FCS) and returns its octets, or None (or 0) when there is none.
            limit: how many frames to read at most.

        Returns the frames read, filtered ones included. Nothing is read while the receiver is off. MCNT counts the 4
        octets of the FCS; what they hold is undefined.
        """
        taken = self._receiver.fill(read, limit)
        self._after_wire()
        return taken

    def drain(self, read: Read, limit: int) -> int:
        """Take up to `limit` frames off the wire whether there are descriptors or not, as silicon does.

        Frames without a descriptor are dropped with MISS and CSR112, and with the receiver off all of them silently.
        Arguments and result as for `fill`.
        """
        taken = self._receiver.drain(read, limit)
        self._after_wire()
        return taken

    def receive(self, frame: bytes | bytearray | memoryview) -> None:
        """Take one frame (0 to 65535 octets, no FCS) that was on the wire."""
        self._receiver.receive(frame)
        self._after_wire()

    def _after_wire(self) -> None:
        if self.quirks.polls_on_access:
            self._look_around()
        else:
            self._core.update_interrupt()

    def _look_around(self) -> None:
        if self._core.csr[reg.CSR_STATUS] & reg.CSR0_TDMD:
            self._transmitter.look()
        self.poll()

    def poll(self) -> None:
        """What the chip's poll timer does some 500 times a second: look at the transmit ring, unless TXDPOLL."""
        core = self._core
        halted = core.csr[reg.CSR_STATUS] & reg.CSR0_STOP or core.csr[reg.EXTENDED_CONTROL] & reg.CSR5_SPND
        if not (halted or core.csr[reg.FEATURES] & reg.CSR4_TXDPOLL) and self._transmitter.has_work():
            self._transmitter.look()
        core.update_interrupt()

    @property
    def link_up(self) -> bool:
        """Whether there is a wire: BCR4 shows it; without, frames sent come back with LCAR and none is received."""
        return self._core.link_up

    @link_up.setter
    def link_up(self, up: bool) -> None:
        self._core.link_up = up

    # The bus.

    @property
    def bus_master(self) -> bool:
        """PCI command bit 2: without it the chip cannot reach memory."""
        return self._core.bus_master

    @bus_master.setter
    def bus_master(self, on: bool) -> None:
        self._core.bus_master = on

    @property
    def interrupt_line(self) -> bool:
        """Level of INTA#: True when asserted."""
        return self._core.interrupt_line

    @property
    def on_interrupt(self) -> Callable[[bool], None] | None:
        """Called with the new level whenever the interrupt line changes."""
        return self._core.on_interrupt

    @on_interrupt.setter
    def on_interrupt(self, callback: Callable[[bool], None] | None) -> None:
        self._core.on_interrupt = callback

    def read(self, offset: int, width: int) -> int:
        """Read `width` octets of the register window; all ones for a width or offset the mode lacks (section 2)."""
        self._on_access(offset, width)
        wide = bool(self._core.bcr[reg.BCR_BURST_CONTROL] & reg.BCR18_DWIO)
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
                value = self._read_csr(self._rap)
            elif offset == (reg.DWIO_RAP if wide else reg.WIO_RAP):
                value = self._rap
            elif offset == (reg.DWIO_RESET if wide else reg.WIO_RESET):
                self._soft_reset()
                value = 0
            elif offset == (reg.DWIO_BDP if wide else reg.WIO_BDP):
                value = self._read_bcr(self._rap)
        self._core.update_interrupt()
        return value & ones

    def write(self, offset: int, width: int, value: int) -> None:
        """Write `width` octets of the register window; nothing happens at a width or offset that this mode lacks."""
        self._on_access(offset, width)
        bcr = self._core.bcr
        wide = bool(bcr[reg.BCR_BURST_CONTROL] & reg.BCR18_DWIO)
        if offset < reg.APROM_SIZE:
            if bcr[reg.BCR_MISCELLANEOUS] & reg.BCR2_APROMWE and self._aprom_answers(offset, width, wide):
                self._aprom[offset : offset + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        elif width == (4 if wide else 2):
            if offset == reg.WIO_RDP:
                self._write_csr(self._rap, value & 0xFFFF)
            elif offset == (reg.DWIO_RAP if wide else reg.WIO_RAP):
                self._rap = value & reg.RAP_MASK
            elif offset == (reg.DWIO_BDP if wide else reg.WIO_BDP):
                self._write_bcr(self._rap, value & 0xFFFF)
        elif width == 4 and offset == reg.DWIO_RDP:  # section 2.1: this is how DWIO is entered
            bcr[reg.BCR_BURST_CONTROL] |= reg.BCR18_DWIO
            if not self.quirks.dwio_by_bcr18:
                self._write_csr(self._rap, value & 0xFFFF)
        self._core.update_interrupt()

    def _on_access(self, offset: int, width: int) -> None:
        if self.quirks.polls_on_access and offset >= reg.APROM_SIZE and width > 1:
            self._look_around()

    def _aprom_answers(self, offset: int, width: int, wide: bool) -> bool:
        if offset % width:
            return False
        if width == 1:
            return not wide or not self.quirks.aprom_needs_exact_width
        return width == (4 if wide else 2)

    # Resets (section 2.2).

    def hard_reset(self) -> None:
        """H_RESET: power on, or PCI RST#."""
        core = self._core
        core.bcr[:] = [reg.BCR_RESET.get(number, 0) for number in range(len(core.bcr))]
        core.csr[:] = [0] * len(core.csr)
        core.style = reg.STYLE_LANCE
        core.rx_length = core.rx_count = core.tx_length = core.tx_count = 1
        self._load_padr()
        self._soft_reset()
        core.update_interrupt()

    def _load_padr(self) -> None:
        for number in range(3):
            self._core.csr[reg.PADR_FIRST + number] = int.from_bytes(self._aprom[2 * number : 2 * number + 2], "little")

    def _soft_reset(self) -> None:
        core = self._core
        csr = core.csr
        self._rap = 0
        core.rx_base = core.tx_base = 0
        csr[reg.CSR_STATUS] = reg.CSR0_STOP
        for number, value in _SOFT_RESET.items():
            csr[number] = value
        csr[reg.MODE] &= reg.MODE_SOFT_RESET_KEEPS
        if self.quirks.emulator_soft_reset:
            core.bcr[reg.BCR_BURST_CONTROL] &= ~reg.BCR18_DWIO
            self._load_padr()
            core.rx_length = core.rx_count = core.tx_length = core.tx_count = 1
        self._receiver.reconfigure()

    # CSR0 (section 3.1).

    def _write_status(self, value: int) -> None:
        core = self._core
        csr = core.csr
        status = csr[reg.CSR_STATUS] & ~(value & reg.CSR0_WRITE_ONE_CLEARS) & ~reg.CSR0_INEA
        csr[reg.CSR_STATUS] = status | value & (reg.CSR0_INEA | reg.CSR0_TDMD)
        if value & _RUN_BITS == _RUN_BITS:
            value &= ~(reg.CSR0_INIT | reg.CSR0_STRT)
        if value & reg.CSR0_STOP and not csr[reg.CSR_STATUS] & reg.CSR0_STOP:
            self._stop()
        if value & reg.CSR0_INIT and not csr[reg.CSR_STATUS] & reg.CSR0_INIT:
            self._init()
        if value & reg.CSR0_STRT and not csr[reg.CSR_STATUS] & reg.CSR0_STRT:
            self._start()
        if csr[reg.CSR_STATUS] & reg.CSR0_TDMD:
            self._transmitter.look()

    def _stop(self) -> None:
        csr = self._core.csr
        csr[reg.CSR_STATUS] = reg.CSR0_STOP | (reg.CSR0_TXON if self.quirks.stop_leaves_txon else 0)
        csr[reg.FEATURES] &= ~reg.CSR4_STOP_CLEARS
        csr[reg.EXTENDED_CONTROL] &= ~reg.CSR5_STOP_CLEARS

    def _init(self) -> None:
        """Read the init block (section 5). A bus that fails gives MERR in place of IDON."""
        core = self._core
        csr = core.csr
        size = InitBlock.SIZE_16 if core.style == reg.STYLE_LANCE else InitBlock.SIZE_32
        try:
            image = core.fetch(csr[reg.INIT_BLOCK_LOW] | csr[reg.INIT_BLOCK_HIGH] << 16, size)
        except BusFault:
            core.fault()
            return
        block = InitBlock.unpack(image, core.style)
        csr[reg.RING_LENGTHS] = block.tx_code << 12 | block.rx_code << 8
        csr[reg.MODE] = block.mode
        csr[reg.LADRF_FIRST : reg.LADRF_LAST + 1] = [block.ladrf >> 16 * i & 0xFFFF for i in range(4)]
        csr[reg.PADR_FIRST : reg.PADR_LAST + 1] = [
            int.from_bytes(block.padr[2 * i : 2 * i + 2], "little") for i in range(3)
        ]
        core.rx_base, core.tx_base = block.rx_ring, block.tx_ring
        core.rx_length = core.rx_count = block.rx_length
        core.tx_length = core.tx_count = block.tx_length
        csr[reg.CSR_STATUS] = csr[reg.CSR_STATUS] & ~reg.CSR0_STOP | reg.CSR0_INIT | reg.CSR0_IDON
        self._receiver.reconfigure()

    def _start(self) -> None:
        csr = self._core.csr
        on = reg.CSR0_STRT
        if not csr[reg.MODE] & reg.MODE_DTX:
            on |= reg.CSR0_TXON
        if not csr[reg.MODE] & reg.MODE_DRX:
            on |= reg.CSR0_RXON
        csr[reg.CSR_STATUS] = csr[reg.CSR_STATUS] & ~reg.CSR0_STOP | on

    # The other CSRs (sections 3.2 to 3.10).

    def _stopped(self) -> bool:
        csr = self._core.csr
        return bool(csr[reg.CSR_STATUS] & reg.CSR0_STOP or csr[reg.EXTENDED_CONTROL] & reg.CSR5_SPND)

    def _write_csr(self, number: int, value: int) -> None:
        core, quirks = self._core, self.quirks
        csr = core.csr
        if number in (reg.INIT_BLOCK_LOW_ALIAS, reg.INIT_BLOCK_HIGH_ALIAS):
            number -= reg.INIT_BLOCK_LOW_ALIAS - reg.INIT_BLOCK_LOW
        always = quirks.writable_while_running and number != reg.MISSED_FRAMES
        if number in _STOPPED_ONLY and not (always or self._stopped()):
            return
        if number == reg.CSR_STATUS:
            self._write_status(value)
        elif number == reg.INTERRUPT_MASK:
            csr[number] = value
        elif number == reg.FEATURES:
            cleared = csr[number] & reg.CSR4_WRITE_ONE_CLEARS & ~value
            csr[number] = value & ~reg.CSR4_WRITE_ONE_CLEARS | cleared
            if value & reg.CSR4_UINTCMD and not quirks.transient_user_interrupt:
                csr[number] = csr[number] & ~reg.CSR4_UINTCMD | reg.CSR4_UINT
        elif number == reg.EXTENDED_CONTROL:
            cleared = csr[number] & reg.CSR5_WRITE_ONE_CLEARS & ~value
            csr[number] = value & ~reg.CSR5_WRITE_ONE_CLEARS | cleared
            if csr[reg.CSR_STATUS] & reg.CSR0_TDMD:  # asked for while suspended
                self._transmitter.look()
        elif number == reg.SOFTWARE_STYLE_ALIAS:
            self._write_bcr(reg.BCR_SOFTWARE_STYLE, value)
        elif number in _RING_REGISTERS:
            self._write_ring_register(number, value)
        elif number in _STOPPED_ONLY or (number in _SILICON_ONLY and not quirks.writable_while_running):
            csr[number] = value
            if number in _BASE_REGISTERS and not quirks.positive_ring_lengths:
                core.rx_base = csr[reg.RX_RING_BASE] | csr[reg.RX_RING_BASE + 1] << 16
                core.tx_base = csr[reg.TX_RING_BASE] | csr[reg.TX_RING_BASE + 1] << 16
                self._receiver.reconfigure()
            elif number in _FILTER_REGISTERS:
                self._receiver.reconfigure()

    def _write_ring_register(self, number: int, value: int) -> None:
        """CSR72 to CSR78: positions and lengths, negative on silicon (section 3.10)."""
        core = self._core
        if self.quirks.positive_ring_lengths:
            count, length = value, value or 512
        else:
            length = count = -value & 0xFFFF or 1
        if number == reg.RX_RING_LENGTH:
            core.rx_length = length
        elif number == reg.TX_RING_LENGTH:
            core.tx_length = length
        elif number == reg.RX_RING_COUNTER:
            core.rx_count = count
        else:
            core.tx_count = count
        if not self.quirks.positive_ring_lengths:
            core.rx_count = min(core.rx_count, core.rx_length)
            core.tx_count = min(core.tx_count, core.tx_length)
        self._receiver.reconfigure()

    def _read_csr(self, number: int) -> int:
        core = self._core
        csr = core.csr
        if number == reg.CSR_STATUS:
            core.update_interrupt()
            status = csr[number]
            return status | reg.CSR0_ERR if status & reg.CSR0_ERRORS else status
        if number in (reg.INIT_BLOCK_LOW_ALIAS, reg.INIT_BLOCK_HIGH_ALIAS):
            number -= reg.INIT_BLOCK_LOW_ALIAS - reg.INIT_BLOCK_LOW
        if number == reg.SOFTWARE_STYLE_ALIAS:
            return core.bcr[reg.BCR_SOFTWARE_STYLE]
        if number == reg.CHIP_ID_LOW:  # all of the id, where the access is wide enough
            return csr[reg.CHIP_ID_HIGH] << 16 | csr[reg.CHIP_ID_LOW]
        if number in _RING_REGISTERS:
            positions = core.rx_count, core.tx_count, core.rx_length, core.tx_length
            value = positions[_RING_REGISTERS.index(number)]
            return value if self.quirks.positive_ring_lengths else -value & 0xFFFF
        if number in _BASE_REGISTERS and not self.quirks.positive_ring_lengths:
            base = core.rx_base if number < reg.TX_RING_BASE else core.tx_base
            return base >> 16 * (number & 1 ^ reg.RX_RING_BASE & 1) & 0xFFFF
        current = self._current(number)
        return csr[number] if current is None else current

    def _current(self, number: int) -> int | None:
        """Address, byte count or status of a current descriptor (CSR28/29, 34/35, 40 to 43); None for other numbers."""
        core = self._core
        receiving = number in (reg.RX_DESCRIPTOR, reg.RX_DESCRIPTOR + 1, reg.RX_BYTE_COUNT, reg.RX_STATUS)
        transmitting = number in (reg.TX_DESCRIPTOR, reg.TX_DESCRIPTOR + 1, reg.TX_BYTE_COUNT, reg.TX_STATUS)
        if not receiving and not transmitting:
            return None
        base, address = (core.rx_base, core.rx_address()) if receiving else (core.tx_base, core.tx_address())
        status = message = 0
        if core.reach(address, core.descriptor_size) >= 0:
            _, status, message = core.load(address, 0 if receiving else 16)
        if not core.well_formed(base, address, status, message if receiving else 0):
            address = status = 0
        if number in (reg.RX_BYTE_COUNT, reg.TX_BYTE_COUNT):
            return status & 0x0FFF
        if number in (reg.RX_STATUS, reg.TX_STATUS):
            return status >> 16
        return address >> 16 * (number & 1 ^ reg.RX_DESCRIPTOR & 1) & 0xFFFF

    # BCRs (section 4).

    def _read_bcr(self, number: int) -> int:
        bcr = self._core.bcr
        if number >= len(bcr):
            return 0
        if number in _LEDS:
            lit = bcr[number] & _LINK_LED_SOURCES & (reg.BCR4_LNKSE if self._core.link_up else 0)
            return bcr[number] & ~reg.BCR4_LEDOUT | (reg.BCR4_LEDOUT if lit else 0)
        return bcr[number]

    def _write_bcr(self, number: int, value: int) -> None:
        core = self._core
        if number == reg.BCR_SOFTWARE_STYLE:
            if not self._stopped():
                return
            style = value & reg.BCR20_SWSTYLE
            if style in reg.BCR20_OF_STYLE:
                core.style = style
                value = value & ~0x0300 & ~reg.BCR20_SWSTYLE | reg.BCR20_OF_STYLE[style]
            else:  # no such layout: 16-bit descriptors
                core.style = reg.STYLE_LANCE
                value = reg.BCR20_CSRPCNET | (0 if self.quirks.illegal_style_reads_zero else style)
            self._receiver.reconfigure()
        elif number == reg.BCR_BURST_CONTROL and not self.quirks.dwio_by_bcr18:
            value = value & ~reg.BCR18_DWIO | core.bcr[number] & reg.BCR18_DWIO
        if number in _WRITABLE_BCRS:
            core.bcr[number] = value
