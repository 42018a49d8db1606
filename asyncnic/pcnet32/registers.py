"""Numbers and bits of the PCnet32 registers, and names for people.

Plain module-level ints: a mask on the hot path costs one load and one `&`. Beside each group stands the section of the
chip's fact sheet, and the data sheet's page where it was read. This file knows no chip state: who may write a bit when,
and what happens then, is model.py's business; the order of writes is driver.py's.
"""

from collections.abc import Mapping

# Register window, octets from the BAR's start: 16-bit (WIO) and 32-bit (DWIO) mode (section 2). WINDOW is its size.
APROM = 0x00
APROM_SIZE = 16
WIO_RDP = 0x10
WIO_RAP = 0x12
WIO_RESET = 0x14
WIO_BDP = 0x16
DWIO_RDP = 0x10
DWIO_RAP = 0x14
DWIO_RESET = 0x18
DWIO_BDP = 0x1C
WINDOW = 32
RAP_MASK = 0x7F

# CSR numbers (sections 3.2 to 3.10). Of a low and a high half, only the low one is named where the high one follows it.
CSR_STATUS = 0
INIT_BLOCK_LOW = 1
INIT_BLOCK_HIGH = 2
INTERRUPT_MASK = 3
FEATURES = 4
EXTENDED_CONTROL = 5
RING_LENGTHS = 6
EXTENDED_CONTROL_2 = 7
LADRF_FIRST = 8
LADRF_LAST = 11
PADR_FIRST = 12
PADR_LAST = 14
MODE = 15
INIT_BLOCK_LOW_ALIAS = 16
INIT_BLOCK_HIGH_ALIAS = 17
RX_BUFFER = 18
NEXT_RX_BUFFER = 22
RX_RING_BASE = 24
NEXT_RX_DESCRIPTOR = 26
RX_DESCRIPTOR = 28
TX_RING_BASE = 30
TX_DESCRIPTOR = 34
RX_BYTE_COUNT = 40
RX_STATUS = 41
TX_BYTE_COUNT = 42
TX_STATUS = 43
TX_POLL_INTERVAL = 47
SOFTWARE_STYLE_ALIAS = 58
RX_RING_COUNTER = 72
TX_RING_COUNTER = 74
RX_RING_LENGTH = 76
TX_RING_LENGTH = 78
FIFO_THRESHOLDS = 80
CHIP_ID_LOW = 88
CHIP_ID_HIGH = 89
BUS_TIMEOUT = 100
BUS_CONTROL = 103
MISSED_FRAMES = 112
RX_COLLISIONS = 114
RX_ALIGNMENT = 122
TEST_CONTROL = 124

# CSR0: status and control (section 3.1; data sheet of the Am79C971, p. 115).
CSR0_INIT = 0x0001
CSR0_STRT = 0x0002
CSR0_STOP = 0x0004
CSR0_TDMD = 0x0008
CSR0_TXON = 0x0010
CSR0_RXON = 0x0020
CSR0_INEA = 0x0040
CSR0_INTR = 0x0080
CSR0_IDON = 0x0100
CSR0_TINT = 0x0200
CSR0_RINT = 0x0400
CSR0_MERR = 0x0800
CSR0_MISS = 0x1000
CSR0_CERR = 0x2000
CSR0_BABL = 0x4000
CSR0_ERR = 0x8000
CSR0_CAUSES = CSR0_BABL | CSR0_MISS | CSR0_MERR | CSR0_RINT | CSR0_TINT | CSR0_IDON  # may interrupt (section 9)
CSR0_WRITE_ONE_CLEARS = CSR0_CAUSES | CSR0_CERR
CSR0_ERRORS = CSR0_BABL | CSR0_CERR | CSR0_MISS | CSR0_MERR  # what ERR is the OR of

# CSR3: interrupt masks, 1 = masked, each at the place of its cause in CSR0; and deferral (section 3.3).
CSR3_BABLM = 0x4000
CSR3_MISSM = 0x1000
CSR3_MERRM = 0x0800
CSR3_RINTM = 0x0400
CSR3_TINTM = 0x0200
CSR3_IDONM = 0x0100
CSR3_DXSUFLO = 0x0040
CSR3_LAPPEN = 0x0020
CSR3_DXMT2PD = 0x0010
CSR3_EMBA = 0x0008
CSR3_BSWP = 0x0004
CSR3_ACON = 0x0002
CSR3_BCON = 0x0001

# CSR4: features; events whose mask is the bit just below (section 3.4).
CSR4_EN124 = 0x8000
CSR4_DMAPLUS = 0x4000
CSR4_TIMER = 0x2000
CSR4_TXDPOLL = 0x1000
CSR4_APAD_XMT = 0x0800
CSR4_ASTRP_RCV = 0x0400
CSR4_MFCO = 0x0200
CSR4_MFCOM = 0x0100
CSR4_UINTCMD = 0x0080
CSR4_UINT = 0x0040
CSR4_RCVCCO = 0x0020
CSR4_RCVCCOM = 0x0010
CSR4_TXSTRT = 0x0008
CSR4_TXSTRTM = 0x0004
CSR4_JAB = 0x0002
CSR4_JABM = 0x0001
CSR4_EVENTS = CSR4_MFCO | CSR4_RCVCCO | CSR4_TXSTRT | CSR4_JAB
CSR4_WRITE_ONE_CLEARS = CSR4_EVENTS | CSR4_UINT
CSR4_STOP_CLEARS = CSR4_MFCO | CSR4_UINTCMD | CSR4_UINT | CSR4_JAB
CSR4_RESET = 0x0115

# CSR5: extended control; events whose enable is the bit just below (section 3.5).
CSR5_TOKINTD = 0x8000
CSR5_LTINTEN = 0x4000
CSR5_SINT = 0x0800
CSR5_SINTE = 0x0400
CSR5_SLPINT = 0x0200
CSR5_SLPINTE = 0x0100
CSR5_EXDINT = 0x0080
CSR5_EXDINTE = 0x0040
CSR5_MPPLBA = 0x0020
CSR5_MPINT = 0x0010
CSR5_MPINTE = 0x0008
CSR5_MPEN = 0x0004
CSR5_MPMODE = 0x0002
CSR5_SPND = 0x0001
CSR5_EVENTS = CSR5_EXDINT | CSR5_MPINT
CSR5_EVENTS_WITHOUT_INEA = CSR5_SINT | CSR5_SLPINT
CSR5_WRITE_ONE_CLEARS = CSR5_EVENTS | CSR5_EVENTS_WITHOUT_INEA
CSR5_STOP_CLEARS = CSR5_MPINT | CSR5_SPND

# CSR15: mode, loaded from the init block (section 3.8).
MODE_PROM = 0x8000
MODE_DRCVBC = 0x4000
MODE_DRCVPA = 0x2000
MODE_DLNKTST = 0x1000
MODE_DAPC = 0x0800
MODE_MENDECL = 0x0400
MODE_LRT = 0x0200
MODE_PORTSEL = 0x0180
MODE_INTL = 0x0040
MODE_DRTY = 0x0020
MODE_FCOLL = 0x0010
MODE_DXMTFCS = 0x0008
MODE_LOOP = 0x0004
MODE_DTX = 0x0002
MODE_DRX = 0x0001
MODE_SOFT_RESET_KEEPS = 0x21C4  # section 2.2

# CSR88/89: chip id (section 3.9). `(id & CHIP_SANITY_MASK) == CHIP_SANITY` says that a PCnet answers; part = id >> 12.
CHIP_SANITY_MASK = 0xFFF
CHIP_SANITY = 0x003
CHIP_AM79C970A = 0x0262_1003
CHIP_NAMES: Mapping[int, str] = {
    0x2420: "Am79C970",
    0x2430: "Am79C965",
    0x2621: "Am79C970A",
    0x2623: "Am79C971",
    0x2624: "Am79C972",
    0x2625: "Am79C973",
    0x2626: "Am79C978",
    0x2627: "Am79C975",
    0x2628: "Am79C976",
}

# BCR numbers and the bits that matter (section 4).
BCR_MISCELLANEOUS = 2
BCR_LINK_LED = 4
BCR_FULL_DUPLEX = 9
BCR_BURST_CONTROL = 18
BCR_EEPROM = 19
BCR_SOFTWARE_STYLE = 20
BCR_PCI_LATENCY = 22
BCR2_TMAULOOP = 0x4000
BCR2_LEDPE = 0x1000
BCR2_APROMWE = 0x0100
BCR2_INTLEVEL = 0x0080
BCR2_ASEL = 0x0002
BCR4_LEDOUT = 0x8000
BCR4_LNKSE = 0x0040
BCR9_FDEN = 0x0001
BCR18_DWIO = 0x0080
BCR18_BREADE = 0x0040
BCR18_BWRITE = 0x0020
BCR20_CSRPCNET = 0x0200
BCR20_SSIZE32 = 0x0100
BCR20_SWSTYLE = 0x00FF
BCR_RESET: Mapping[int, int] = {
    0: 0x0005,
    1: 0x0005,
    2: 0x0002,
    4: 0x00C0,
    5: 0x0084,
    6: 0x0088,
    7: 0x0090,
    18: 0x9001,
    19: 0x0002,
    20: 0x0200,
    22: 0xFF06,
}

# SWSTYLE: which layout the descriptors have (sections 4 and 6), and what BCR20 then reads.
STYLE_LANCE = 0
STYLE_ILACC = 1
STYLE_PCNET_PCI = 2
STYLE_PCNET_PCI_2 = 3
BCR20_OF_STYLE: Mapping[int, int] = {
    STYLE_LANCE: BCR20_CSRPCNET,
    STYLE_ILACC: BCR20_SSIZE32 | 1,
    STYLE_PCNET_PCI: BCR20_CSRPCNET | BCR20_SSIZE32 | 2,
    STYLE_PCNET_PCI_2: BCR20_CSRPCNET | BCR20_SSIZE32 | 3,
}

PCI_VENDOR = 0x1022
PCI_DEVICE = 0x2000


def _bits(prefix: str) -> Mapping[str, int]:
    """Single bits of this module that start with `prefix`, highest first, by their short names."""
    named = {
        name.removeprefix(prefix): value
        for name, value in globals().items()
        if name.startswith(prefix) and isinstance(value, int) and value.bit_count() == 1
    }
    return dict(sorted(named.items(), key=lambda item: -item[1]))


# For people: register number -> name -> bit. Fields of several bits (PORTSEL, SWSTYLE) are not in here.
CSR_BITS: Mapping[int, Mapping[str, int]] = {
    CSR_STATUS: _bits("CSR0_"),
    INTERRUPT_MASK: _bits("CSR3_"),
    FEATURES: _bits("CSR4_"),
    EXTENDED_CONTROL: _bits("CSR5_"),
    MODE: _bits("MODE_"),
}
BCR_BITS: Mapping[int, Mapping[str, int]] = {
    BCR_MISCELLANEOUS: _bits("BCR2_"),
    BCR_LINK_LED: _bits("BCR4_"),
    BCR_FULL_DUPLEX: _bits("BCR9_"),
    BCR_BURST_CONTROL: _bits("BCR18_"),
    BCR_SOFTWARE_STYLE: _bits("BCR20_"),
}


def _decode(bits: Mapping[str, int], value: int) -> list[str]:
    names = [name for name, bit in bits.items() if value & bit]
    unnamed = value & ~sum(bits.values())
    return [*names, f"{unnamed:#06x}"] if unnamed else names


def decode(number: int, value: int) -> list[str]:
    """Names of the bits set in CSR `number`, highest first; set bits without a name come last as one hex number.

    A CSR that holds a plain number (a counter, half an address) has no bits to name: the list is empty.
    """
    return _decode(CSR_BITS[number], value) if number in CSR_BITS else []


def decode_bcr(number: int, value: int) -> list[str]:
    """The same for BCR `number`."""
    return _decode(BCR_BITS[number], value) if number in BCR_BITS else []
