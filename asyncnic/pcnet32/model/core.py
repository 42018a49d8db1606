"""What the model's receiver and transmitter share: registers, bus, ring positions, counters, the interrupt line.

It holds state and the two things everybody does with it: reach memory over the bus, and say whether the interrupt line
is up. What a register write means is model.py's business, what a frame does model_receive.py's and model_transmit.py's.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from asyncnic.pcnet32 import descriptors as desc
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.quirks import Quirks

_WORDS = struct.Struct("<4I")
_WORD = struct.Struct("<I")
_WORD_AND_HALVES = struct.Struct("<IHH")
_HALF = struct.Struct("<H")
_STATUS_OCTET = 0xFF00_0000


class BusFault(Exception):  # noqa: N818 - the chip's word for it
    """The chip could not reach an address: it is no bus master, or nothing answers there. Never leaves the model."""


@dataclass(slots=True)
class ChipCounters:
    """Frames. Everything the receiver was given, off the wire or looped back, ends in exactly one place:

    read = stored + filtered + missed + discarded
    """

    read: int = 0
    stored: int = 0  # in descriptors, those with an error included
    filtered: int = 0  # not for this card
    missed: int = 0  # no descriptor: what CSR112 counts, not wrapped
    discarded: int = 0  # receiver off, suspended, without link, or the bus failed
    transmitted: int = 0


class Core:
    """State of a chip between register accesses.

    `rx_count` and `tx_count` number the current descriptor from the ring's length (the first) down to 1 (the last);
    `rx_base` and `tx_base` are bus addresses. `on_interrupt(level)` is called when the line changes.
    """

    __slots__ = (
        "bcr",
        "bus_master",
        "counters",
        "csr",
        "interrupt_line",
        "link_up",
        "memory",
        "on_interrupt",
        "quirks",
        "rx_base",
        "rx_count",
        "rx_length",
        "style",
        "tx_base",
        "tx_count",
        "tx_length",
    )

    def __init__(self, memory: DmaMemory, quirks: Quirks) -> None:
        self.memory = memory
        self.quirks = quirks
        self.counters = ChipCounters()
        self.csr = [0] * 128
        self.bcr = [0] * 32
        self.style = reg.STYLE_LANCE
        self.rx_base = self.tx_base = 0
        self.rx_length = self.rx_count = 1
        self.tx_length = self.tx_count = 1
        self.bus_master = True
        self.link_up = True
        self.interrupt_line = False
        self.on_interrupt: Callable[[bool], None] | None = None

    # Interrupts (section 9).

    def update_interrupt(self) -> None:
        """Recompute INTR and the line from every cause and its gate; to be called after every change of either."""
        csr = self.csr
        status, features, extended = csr[reg.CSR_STATUS], csr[reg.FEATURES], csr[reg.EXTENDED_CONTROL]
        enabled = bool(status & reg.CSR0_INEA)
        pending = bool(
            status & ~csr[reg.INTERRUPT_MASK] & reg.CSR0_CAUSES
            or (features & reg.CSR4_EVENTS) >> 1 & ~features
            or (extended & reg.CSR5_EVENTS) >> 1 & extended
        )
        if self.quirks.transient_user_interrupt:
            if features & reg.CSR4_UINTCMD and enabled:
                csr[reg.FEATURES] = features & ~reg.CSR4_UINTCMD | reg.CSR4_UINT
                pending = True
        elif features & reg.CSR4_UINT:
            pending = True
        line = pending and enabled
        if (extended & reg.CSR5_EVENTS_WITHOUT_INEA) >> 1 & extended:
            pending = line = True
        csr[reg.CSR_STATUS] = status | reg.CSR0_INTR if pending else status & ~reg.CSR0_INTR
        if line != self.interrupt_line:
            self.interrupt_line = line
            if self.on_interrupt is not None:
                self.on_interrupt(line)

    # Bus (section 5: everything below 4 GiB; 16-bit styles put CSR2[15:8] on the upper address lines, section 3.2).

    def reach(self, address: int, length: int) -> int:
        """Offset of `length` octets of memory at a bus address, or -1 where the chip cannot reach all of them."""
        if self.style == reg.STYLE_LANCE:
            address |= (self.csr[reg.INIT_BLOCK_HIGH] & 0xFF00) << 16
        offset = address - self.memory.bus
        return offset if self.bus_master and 0 <= offset <= len(self.memory.octets) - length else -1

    def _reach_or_fault(self, address: int, length: int) -> int:
        offset = self.reach(address, length)
        if offset < 0 and not self.quirks.absent_memory_reads_zero:
            raise BusFault
        return offset

    def fetch(self, address: int, length: int) -> memoryview:
        """Read `length` octets by DMA. Raises BusFault."""
        offset = self._reach_or_fault(address, length)
        return self.memory.octets[offset : offset + length] if offset >= 0 else memoryview(bytes(length))

    def put(self, address: int, data: memoryview) -> None:
        """Write `data` by DMA. Raises BusFault."""
        offset = self._reach_or_fault(address, len(data))
        if offset >= 0:
            self.memory.octets[offset : offset + len(data)] = data

    def fault(self) -> None:
        """What a BusFault does to the chip: MERR, and both halves stop (section 10.4)."""
        self.csr[reg.CSR_STATUS] = self.csr[reg.CSR_STATUS] & ~(reg.CSR0_TXON | reg.CSR0_RXON) | reg.CSR0_MERR

    # Descriptors (section 6), as buffer address, word 1 and word 2 of style 2, whatever the style in force.

    @property
    def descriptor_size(self) -> int:
        """Octets from one descriptor to the next."""
        return desc.DESCRIPTOR_SIZE_16 if self.style == reg.STYLE_LANCE else desc.DESCRIPTOR_SIZE

    def rx_address(self, ahead: int = 0) -> int:
        """Bus address of the receive descriptor `ahead` places after the current one."""
        count = self.rx_count - ahead
        if count < 1:
            count += self.rx_length * -((count - 1) // self.rx_length)
        return self.rx_base + (self.rx_length - count) * self.descriptor_size & 0xFFFF_FFFF

    def tx_address(self) -> int:
        """Bus address of the current transmit descriptor."""
        return self.tx_base + (self.tx_length - self.tx_count) * self.descriptor_size & 0xFFFF_FFFF

    def advance_rx(self, descriptors: int) -> None:
        """Move on by 0 to `rx_length` descriptors."""
        for _ in range(descriptors):
            self.rx_count = self.rx_count - 1 if self.rx_count > 1 else self.rx_length

    def advance_tx(self) -> None:
        """Move on by one descriptor."""
        self.tx_count = self.tx_count - 1 if self.tx_count > 1 else self.tx_length

    def load(self, address: int, message_shift: int = 0) -> tuple[int, int, int]:
        """Read the descriptor at `address`. Raises BusFault.

        `message_shift` is where the last half word of a 16-bit descriptor lies in word 2: 0 for RMD2, 16 for TMD2.
        """
        offset = self._reach_or_fault(address, self.descriptor_size)
        if offset < 0:
            return 0, 0, 0
        octets = self.memory.octets
        if self.style == reg.STYLE_LANCE:
            head, count, message = _WORD_AND_HALVES.unpack_from(octets, offset)
            return head & 0xFF_FFFF, head & _STATUS_OCTET | count, message << message_shift
        word0, word1, word2, _ = _WORDS.unpack_from(octets, offset)
        return (word2, word1, word0) if self.style == reg.STYLE_PCNET_PCI_2 else (word0, word1, word2)

    def store(self, address: int, status: int, message: int, message_shift: int = 0) -> None:
        """Write word 2, then word 1, which has OWN, of the descriptor at `address` (section 6.3). Raises BusFault."""
        offset = self._reach_or_fault(address, self.descriptor_size)
        if offset < 0:
            return
        octets = self.memory.octets
        if self.style == reg.STYLE_LANCE:
            _HALF.pack_into(octets, offset + 6, message >> message_shift & 0xFFFF)
            octets[offset + 3] = status >> 24
            return
        _WORD.pack_into(octets, offset + (0 if self.style == reg.STYLE_PCNET_PCI_2 else 8), message)
        _WORD.pack_into(octets, offset + 4, status)

    def well_formed(self, base: int, address: int, status: int, message: int = 0) -> bool:
        """Whether the chip accepts a descriptor just loaded as one at all; silicon looks at nothing but OWN."""
        if not self.quirks.malformed_is_not_owned:
            return True
        return base != 0 and address != 0 and status & desc.ONES == desc.ONES and not message & desc.RMD2_ZEROS

    def usable(self, base: int, address: int, status: int, message: int = 0) -> bool:
        """Whether the chip takes a descriptor just loaded for its own. `message` is RMD2; for a TMD give 0."""
        return bool(status & desc.OWN) and self.well_formed(base, address, status, message)
