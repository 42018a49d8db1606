"""Init block, receive and transmit descriptors: their bits, how they are packed, and how people read them.

The constants serve code that works on ring words directly (`memory.words[4 * i + 1]`), which is what the hot paths do;
nothing here walks a ring, owns memory or knows who may write which word when. Sections are those of the chip's fact
sheet; init block: section 5, descriptors: section 6 and pp. 163 to 168 of the Am79C970A data sheet.

A 32-bit descriptor (styles 1, 2, 3) is four words. Word 1 is RMD1/TMD1 in each of them; style 3 swaps words 0 and 2:

    style 1, 2:   buffer address | RMD1 / TMD1 | RMD2 / TMD2    | the host's own
    style 3:      RMD2 / TMD2    | RMD1 / TMD1 | buffer address | the host's own

A 16-bit descriptor (style 0) is four half words:

    address 15:0 | status 31:24, address 23:16 | ONES, BCNT | MCNT / TMD2 31:16
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from asyncnic.pcnet32.registers import STYLE_LANCE, STYLE_PCNET_PCI_2

DESCRIPTOR_SIZE = 16  # octets, 32-bit styles
DESCRIPTOR_SIZE_16 = 8
RING_ALIGNMENT = 16
MAX_BUFFER = 4096  # octets a BCNT can say
FCS_SIZE = 4

# RMD1 and TMD1: the bits both have (sections 6.1 and 6.2).
OWN = 1 << 31  # 1 = the chip's
ERR = 1 << 30
STP = 1 << 25
ENP = 1 << 24
BPE = 1 << 23
ONES = 0xF000  # the host must write these
BCNT_MASK = 0x0FFF

# RMD1, set by the chip.
FRAM = 1 << 29
OFLO = 1 << 28
CRC = 1 << 27
BUFF = 1 << 26
PAM = 1 << 22  # matched the own address
LAFM = 1 << 21  # matched the multicast hash
BAM = 1 << 20  # matched broadcast

# RMD2.
MCNT_MASK = 0x0FFF
RMD2_ZEROS = 0xF000

# TMD1.
ADD_FCS = 1 << 29  # NO_FCS in style 1
LTINT = 1 << 28  # written by the host
MORE = 1 << 28  # written by the chip
ONE = 1 << 27
DEF = 1 << 26

# TMD2, set by the chip.
TMD2_BUFF = 1 << 31
TMD2_UFLO = 1 << 30
TMD2_EXDEF = 1 << 29
TMD2_LCOL = 1 << 28
TMD2_LCAR = 1 << 27
TMD2_RTRY = 1 << 26
TRC_MASK = 0x000F

RX_BITS: Mapping[str, int] = {
    "OWN": OWN,
    "ERR": ERR,
    "FRAM": FRAM,
    "OFLO": OFLO,
    "CRC": CRC,
    "BUFF": BUFF,
    "STP": STP,
    "ENP": ENP,
    "BPE": BPE,
    "PAM": PAM,
    "LAFM": LAFM,
    "BAM": BAM,
}
TX_BITS: Mapping[str, int] = {
    "OWN": OWN,
    "ERR": ERR,
    "ADD_FCS": ADD_FCS,
    "LTINT": LTINT,
    "ONE": ONE,
    "DEF": DEF,
    "STP": STP,
    "ENP": ENP,
    "BPE": BPE,
}
TX_ERROR_BITS: Mapping[str, int] = {
    "BUFF": TMD2_BUFF,
    "UFLO": TMD2_UFLO,
    "EXDEF": TMD2_EXDEF,
    "LCOL": TMD2_LCOL,
    "LCAR": TMD2_LCAR,
    "RTRY": TMD2_RTRY,
}


def byte_count(length: int) -> int:
    """Low half of RMD1/TMD1 for a buffer of `length` octets (1..4096): ONES and the two's complement of the length.

    Raises:
        ValueError: no BCNT says that length.

    4096 encodes as 0, which some chips read as 0 octets (section 6.2): do not use it.
    """
    if not 1 <= length <= MAX_BUFFER:
        raise ValueError(f"a descriptor's buffer has 1 to {MAX_BUFFER} octets, not {length}")
    return ONES | (-length & BCNT_MASK)


def buffer_length(word1: int) -> int:
    """Octets of the buffer that RMD1/TMD1 describes: 1..4096 (BCNT 0 is 4096, as emulators read it)."""
    return MAX_BUFFER - (word1 & BCNT_MASK)


def multicast_hash(address: bytes | memoryview) -> int:
    """Bit of LADRF (0..63) that an address of 6 octets falls on (section 7.1).

    It is the top 6 bits of the address's CRC-32 register, without the final inversion.
    """
    return (~crc32(address) & 0xFFFF_FFFF) >> 26


def ring_length_code(length: int) -> int:
    """RLEN/TLEN of a ring of `length` descriptors: its binary logarithm (section 5).

    Raises:
        ValueError: not a power of two from 1 to 512.
    """
    if not 1 <= length <= 512 or length & (length - 1):
        raise ValueError(f"a ring has a power of two of descriptors, 1 to 512, not {length}")
    return length.bit_length() - 1


_BLOCK_32 = struct.Struct("<HBB6s2xQII")
_BLOCK_16 = struct.Struct("<H6sQII")


@dataclass(frozen=True, slots=True)
class InitBlock:
    """What INIT loads into the chip (section 5).

    `padr` is the MAC address in wire order, bit n of `ladrf` is LADRF bit n, `rx_ring` and `tx_ring` are bus addresses,
    `rx_code` and `tx_code` the binary logarithms of the ring lengths (`ring_length_code`).
    """

    mode: int
    padr: bytes
    ladrf: int
    rx_ring: int
    tx_ring: int
    rx_code: int
    tx_code: int

    SIZE_32 = _BLOCK_32.size
    SIZE_16 = _BLOCK_16.size

    @property
    def rx_length(self) -> int:
        """Descriptors in the receive ring; codes above 9 mean 512."""
        return 1 << min(self.rx_code, 9)

    @property
    def tx_length(self) -> int:
        """Descriptors in the transmit ring; codes above 9 mean 512."""
        return 1 << min(self.tx_code, 9)

    def pack(self, style: int = STYLE_PCNET_PCI_2) -> bytes:
        """The block as memory: 28 octets, or 24 in style 0.

        Raises:
            struct.error: a field does not fit into its place.
        """
        if style == STYLE_LANCE:
            rx, tx = self.rx_code << 29 | self.rx_ring, self.tx_code << 29 | self.tx_ring
            return _BLOCK_16.pack(self.mode, self.padr, self.ladrf, rx, tx)
        lengths = self.rx_code << 4, self.tx_code << 4
        return _BLOCK_32.pack(self.mode, *lengths, self.padr, self.ladrf, self.rx_ring, self.tx_ring)

    @classmethod
    def unpack(cls, block: bytes | memoryview, style: int = STYLE_PCNET_PCI_2) -> "InitBlock":
        """Read a block of 28 octets (24 in style 0) back.

        Raises:
            struct.error: `block` has another length.
        """
        if style == STYLE_LANCE:
            mode, padr, ladrf, rx, tx = _BLOCK_16.unpack(block)
            return cls(mode, padr, ladrf, rx & 0xFF_FFFF, tx & 0xFF_FFFF, rx >> 29, tx >> 29)
        mode, rx_code, tx_code, padr, ladrf, rx, tx = _BLOCK_32.unpack(block)
        return cls(mode, padr, ladrf, rx, tx, rx_code >> 4, tx_code >> 4)


def _names(bits: Mapping[str, int], word: int) -> list[str]:
    return [name for name, bit in bits.items() if word & bit]


def _split(words: Sequence[int], style: int) -> tuple[int, int, int]:
    """Buffer address, word 1 and word 2 of a 32-bit descriptor in any style."""
    return (words[2], words[1], words[0]) if style == STYLE_PCNET_PCI_2 else (words[0], words[1], words[2])


def describe_rx(words: Sequence[int], style: int) -> dict[str, int | list[str]]:
    """A receive descriptor for people: `address`, `size` of the buffer, `bits` by name, `count` (MCNT, FCS included).

    `words` are the four 32-bit words of a descriptor of style 1, 2 or 3.
    """
    address, status, message = _split(words, style)
    bits = _names(RX_BITS, status)
    if status & ONES != ONES:
        bits.append("no-ONES")
    return {"address": address, "size": buffer_length(status), "bits": bits, "count": message & MCNT_MASK}


def describe_tx(words: Sequence[int], style: int) -> dict[str, int | list[str]]:
    """A transmit descriptor for people: `address`, `size` of the buffer, `bits` by name, `errors` of TMD2 by name.

    Bit 28 is LTINT while the chip owns the descriptor and MORE when it is back. `words` as in `describe_rx`.
    """
    address, status, errors = _split(words, style)
    bits = _names(TX_BITS, status)
    if status & (OWN | MORE) == MORE:
        bits[bits.index("LTINT")] = "MORE"
    if status & ONES != ONES:
        bits.append("no-ONES")
    return {"address": address, "size": buffer_length(status), "bits": bits, "errors": _names(TX_ERROR_BITS, errors)}
