"""pcapng blocks (draft-ietf-opsawg-pcapng): as much as a capture of one interface needs, as bytes.

Pure: no file, no clock. Section header, one interface (Ethernet, nanoseconds), packets, and at the end the interface's
statistics. `BlockSplitter` cuts a stream back into whole blocks; nothing here decodes captures.
"""

import struct
from collections.abc import Sequence

SECTION_HEADER, INTERFACE, PACKET, STATISTICS = 0x0A0D0D0A, 1, 6, 5
LINKTYPE_ETHERNET = 1
NANOSECONDS = b"\x09"
LARGEST_BLOCK = 1 << 20
"""Octets that a block may have to be waited for."""

_COMMENT = 1
_OPT_END = b"\0\0\0\0"
_SHB_USERAPPL, _IF_NAME, _IF_TSRESOL, _EPB_DROPCOUNT, _ISB_IFRECV, _ISB_IFDROP = 4, 2, 9, 4, 4, 5


def section_header(application: str) -> bytes:
    """Section Header Block (section 4.1): little endian, version 1.0, length of the section not given."""
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(SECTION_HEADER, body + _option(_SHB_USERAPPL, application.encode()) + _OPT_END)


def interface(name: str) -> bytes:
    """Interface Description Block (section 4.2): Ethernet without FCS, whole frames, time stamps in nanoseconds."""
    body = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0)
    return _block(INTERFACE, body + _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, NANOSECONDS) + _OPT_END)


def packet(time_ns: int, frame: bytes, dropped: int = 0, length: int = 0, comments: Sequence[str] = ()) -> bytes:
    """Enhanced Packet Block (section 4.3).

    Args:
        time_ns: nanoseconds since 1970.
        frame: its octets, or the first of them.
        dropped: packets lost between the one before and this one.
        length: octets of the whole frame where `frame` is not.
        comments: said of it.
    """
    whole = max(length, len(frame))
    body = struct.pack("<IIIII", 0, time_ns >> 32, time_ns & 0xFFFF_FFFF, len(frame), whole) + _padded(frame)
    options = b"".join(_option(_COMMENT, comment.encode()) for comment in comments)
    if dropped:
        options += _option(_EPB_DROPCOUNT, struct.pack("<Q", dropped))
    return _block(PACKET, body + options + _OPT_END if options else body)


def statistics(time_ns: int, received: int, dropped: int) -> bytes:
    """Interface Statistics Block (section 4.6): packets seen since the capture began, and copies of them lost."""
    body = struct.pack("<III", 0, time_ns >> 32, time_ns & 0xFFFF_FFFF)
    options = _option(_ISB_IFRECV, struct.pack("<Q", received)) + _option(_ISB_IFDROP, struct.pack("<Q", dropped))
    return _block(STATISTICS, body + options + _OPT_END)


class BlockSplitter:
    """Whole blocks out of a stream that comes in pieces; a block that is not complete yet waits."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self.packets = 0
        """Packets among the blocks so far."""

    def feed(self, piece: bytes) -> bytes:
        """The blocks that `piece` completes, as they came.

        Raises:
            ValueError: this is not a stream of blocks.
        """
        self._rest += piece
        end = 0
        while len(self._rest) - end >= 12:
            kind, length = struct.unpack_from("<II", self._rest, end)
            if not 12 <= length <= LARGEST_BLOCK or length % 4 or not (self._begun or kind == SECTION_HEADER):
                raise ValueError("not pcapng")
            if len(self._rest) - end < length:
                break
            self._begun = True
            self.packets += kind == PACKET
            end += length
        whole, self._rest = self._rest[:end], self._rest[end:]
        return whole


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)
