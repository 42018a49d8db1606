"""What the model's registers do: resets, INIT, STRT and STOP, who may write what when (fact sheet, sections 2.2 to 4).

It is the chip behind the register window: numbers and values come in here, whatever the width and mode of the access
were; the window itself is model.py. It moves no frames.
"""

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import InitBlock
from asyncnic.pcnet32.model.core import BusFault, Core
from asyncnic.pcnet32.model.receive import ReceiveUnit
from asyncnic.pcnet32.model.transmit import Transmitter

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


class Registers:
    """CSRs and BCRs by number. `aprom` is the address PROM, whose first 6 octets a reset loads into PADR.

    None of the methods raises, whatever the number (0..127) and value (16 bits). The caller updates the interrupt line.
    """

    __slots__ = ("_aprom", "_core", "_quirks", "_receiver", "_transmitter")

    def __init__(self, core: Core, receiver: ReceiveUnit, transmitter: Transmitter, aprom: bytearray) -> None:
        self._core = core
        self._quirks = core.quirks
        self._receiver = receiver
        self._transmitter = transmitter
        self._aprom = aprom

    # Resets (section 2.2).

    def hard_reset(self) -> None:
        """H_RESET: power on, or PCI RST#."""
        core = self._core
        core.bcr[:] = [reg.BCR_RESET.get(number, 0) for number in range(len(core.bcr))]
        core.csr[:] = [0] * len(core.csr)
        core.style = reg.STYLE_LANCE
        core.rx_length = core.rx_count = core.tx_length = core.tx_count = 1
        self._load_padr()
        self.soft_reset()
        core.update_interrupt()

    def _load_padr(self) -> None:
        for number in range(3):
            self._core.csr[reg.PADR_FIRST + number] = int.from_bytes(self._aprom[2 * number : 2 * number + 2], "little")

    def soft_reset(self) -> None:
        """S_RESET: a read of RESET."""
        core = self._core
        csr = core.csr
        core.rx_base = core.tx_base = 0
        csr[reg.CSR_STATUS] = reg.CSR0_STOP
        for number, value in _SOFT_RESET.items():
            csr[number] = value
        csr[reg.MODE] &= reg.MODE_SOFT_RESET_KEEPS
        if self._quirks.emulator_soft_reset:
            core.bcr[reg.BCR_BURST_CONTROL] &= ~reg.BCR18_DWIO
            self._load_padr()
            core.rx_length = core.rx_count = core.tx_length = core.tx_count = 1
        self._receiver.reconfigure()
        self._transmitter.reconfigure()

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
        csr[reg.CSR_STATUS] = reg.CSR0_STOP | (reg.CSR0_TXON if self._quirks.stop_leaves_txon else 0)
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
        self._transmitter.reconfigure()

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

    def write_csr(self, number: int, value: int) -> None:
        """Write a CSR; nothing happens where the chip forbids it now."""
        core, quirks = self._core, self._quirks
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
            self.write_bcr(reg.BCR_SOFTWARE_STYLE, value)
        elif number in _RING_REGISTERS:
            self._write_ring_register(number, value)
        elif number in _STOPPED_ONLY or (number in _SILICON_ONLY and not quirks.writable_while_running):
            csr[number] = value
            if number in _BASE_REGISTERS and not quirks.positive_ring_lengths:
                core.rx_base = csr[reg.RX_RING_BASE] | csr[reg.RX_RING_BASE + 1] << 16
                core.tx_base = csr[reg.TX_RING_BASE] | csr[reg.TX_RING_BASE + 1] << 16
                self._receiver.reconfigure()
                self._transmitter.reconfigure()
            elif number in _FILTER_REGISTERS:
                self._receiver.reconfigure()
                self._transmitter.reconfigure()

    def _write_ring_register(self, number: int, value: int) -> None:
        """CSR72 to CSR78: positions and lengths, negative on silicon (section 3.10)."""
        core = self._core
        if self._quirks.positive_ring_lengths:
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
        if not self._quirks.positive_ring_lengths:
            core.rx_count = min(core.rx_count, core.rx_length)
            core.tx_count = min(core.tx_count, core.tx_length)
        self._receiver.reconfigure()
        self._transmitter.reconfigure()

    def read_csr(self, number: int) -> int:
        """Read a CSR: 16 bits, but CSR88, which gives all 32 of the chip id where the access is wide enough."""
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
        if number == reg.CHIP_ID_LOW:
            return csr[reg.CHIP_ID_HIGH] << 16 | csr[reg.CHIP_ID_LOW]
        if number in _RING_REGISTERS:
            positions = core.rx_count, core.tx_count, core.rx_length, core.tx_length
            value = positions[_RING_REGISTERS.index(number)]
            return value if self._quirks.positive_ring_lengths else -value & 0xFFFF
        if number in _BASE_REGISTERS and not self._quirks.positive_ring_lengths:
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

    def read_bcr(self, number: int) -> int:
        """Read a BCR; 0 for those this chip has not."""
        bcr = self._core.bcr
        if number >= len(bcr):
            return 0
        if number in _LEDS:
            lit = bcr[number] & _LINK_LED_SOURCES & (reg.BCR4_LNKSE if self._core.link_up else 0)
            return bcr[number] & ~reg.BCR4_LEDOUT | (reg.BCR4_LEDOUT if lit else 0)
        return bcr[number]

    def write_bcr(self, number: int, value: int) -> None:
        """Write a BCR; nothing happens where the chip forbids it now."""
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
                value = reg.BCR20_CSRPCNET | (0 if self._quirks.illegal_style_reads_zero else style)
            self._receiver.reconfigure()
            self._transmitter.reconfigure()
        elif number == reg.BCR_BURST_CONTROL and not self._quirks.dwio_by_bcr18:
            value = value & ~reg.BCR18_DWIO | core.bcr[number] & reg.BCR18_DWIO
        if number in _WRITABLE_BCRS:
            core.bcr[number] = value
