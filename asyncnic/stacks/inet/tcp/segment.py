"""A TCP segment as fields: taken apart and put together, checksum included (RFC 9293 section 3.1). No state here."""

import struct

from asyncnic.stacks.inet.tcp.options import Options, parse

HEADER = 20
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128
_HEADER = struct.Struct("!HHIIHHHH")
_NONE = Options()


class HeaderError(Exception):
    """The octets are no TCP segment: its header does not fit."""


class ChecksumError(Exception):
    """The segment was damaged on the way."""


class Segment:
    """What one segment says. `seq` and `ack` are numbers; `window` is as it stands in the header, not scaled."""

    __slots__ = ("ack", "flags", "options", "payload", "port", "seq", "source_port", "window")

    def __init__(
        self,
        source_port: int,
        port: int,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        payload: bytes | memoryview = b"",
        options: Options = _NONE,
    ) -> None:
        self.source_port = source_port
        self.port = port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.window = window
        self.options = options
        self.payload = payload

    @property
    def length(self) -> int:
        """SEG.LEN: octets of sequence space, SYN and FIN included."""
        return len(self.payload) + (self.flags & 1) + (self.flags >> 1 & 1)


def decode(data: memoryview, addresses: int) -> Segment:
    """Take a segment apart.

    Args:
        data: header and payload, without padding of the link.
        addresses: sum of the pseudo header without its length: both addresses and the protocol.

    Raises:
        HeaderError, ChecksumError.
    """
    size = len(data)
    if size < HEADER:
        raise HeaderError
    source_port, port, seq, ack, word, window, _, _ = _HEADER.unpack_from(data)
    offset = word >> 10 & 0x3C
    if not HEADER <= offset <= size:
        raise HeaderError
    covered = int.from_bytes(data, "big")
    if ((covered << 8 if size & 1 else covered) + addresses + size) % 0xFFFF:
        raise ChecksumError
    options = _NONE if offset == HEADER else parse(data[HEADER:offset])
    return Segment(source_port, port, seq, ack, word & 0xFF, window, data[offset:], options)


def encode(
    ports: int,
    seq: int,
    ack: int,
    flags: int,
    window: int,
    options: bytes,
    payload: bytes | memoryview,
    addresses: int,
) -> bytes:
    """Put a segment together.

    Args:
        ports: source port in the upper, target port in the lower 16 bits.
        seq: number. ack: number, 0 without ACK.
        flags: the control bits.
        window: as it is to stand in the header.
        options: a multiple of 4 octets, at most 40.
        payload: the data.
        addresses: as for `decode`.
    """
    head = HEADER + len(options)
    word = head << 10 | flags
    data = int.from_bytes(payload, "big")
    if len(payload) & 1:
        data <<= 8
    total = ports + seq + ack + word + window + int.from_bytes(options, "big") + data + addresses + head + len(payload)
    checksum = -total % 0xFFFF
    header = _HEADER.pack(ports >> 16, ports & 0xFFFF, seq, ack, word, window, checksum, 0)
    return b"".join((header, options, payload))
