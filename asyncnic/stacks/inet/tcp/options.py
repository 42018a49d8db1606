"""TCP options: read from any segment, written for ours (RFC 9293 section 3.2, RFC 7323, RFC 2018).

Maximum segment size, window scale, SACK and time stamps. Others are skipped by their length (MUST-6); at a length that
cannot be, reading stops and what came before it counts (MUST-7).
"""

import struct
from collections.abc import Iterable, Sequence

END, NOTHING, MSS, SCALE, SACK_PERMITTED, SACK, STAMPS = 0, 1, 2, 3, 4, 5, 8
MAX_SCALE = 14
_STAMPS = struct.Struct("!II")
_STAMPS_ALONE = b"\x01\x01\x08\x0a"

Block = tuple[int, int]


class Options:
    """What the options of one segment say; None or empty where they do not say it."""

    __slots__ = ("blocks", "echo", "mss", "sack_permitted", "scale", "stamp")

    def __init__(self) -> None:
        self.mss: int | None = None
        self.scale: int | None = None
        self.sack_permitted = False
        self.blocks: Sequence[Block] = ()
        """SACK blocks as numbers: left edge, right edge."""
        self.stamp: int | None = None
        self.echo = 0


def parse(data: bytes | memoryview) -> Options:
    """Read what is between the header proper and the payload; no octets make this raise."""
    found = Options()
    size = len(data)
    if size == 12 and data[:4] == _STAMPS_ALONE:
        found.stamp, found.echo = _STAMPS.unpack_from(data, 4)
        return found
    at = 0
    while at < size:
        kind = data[at]
        if kind == NOTHING:
            at += 1
            continue
        if kind == END or at + 1 >= size:
            break
        length = data[at + 1]
        if length < 2 or at + length > size:
            break
        if kind == STAMPS and length == 10:
            found.stamp, found.echo = _STAMPS.unpack_from(data, at + 2)
        elif kind == SACK and length >= 10 and not (length - 2) & 7:
            words = struct.unpack_from(f"!{(length - 2) // 4}I", data, at + 2)
            found.blocks = list(zip(words[::2], words[1::2], strict=True))
        elif kind == MSS and length == 4:
            found.mss = data[at + 2] << 8 | data[at + 3]
        elif kind == SCALE and length == 3:
            found.scale = min(data[at + 2], MAX_SCALE)  # RFC 7323 section 2.3
        elif kind == SACK_PERMITTED and length == 2:
            found.sack_permitted = True
        at += length
    return found


def for_syn(mss: int, scale: int | None, sack_permitted: bool, stamps: tuple[int, int] | None) -> bytes:
    """The options of a SYN or SYN-ACK, padded to a multiple of 4 octets."""
    made = struct.pack("!BBH", MSS, 4, mss)
    if scale is not None:
        made += bytes((NOTHING, SCALE, 3, scale))
    if sack_permitted:
        made += bytes((NOTHING, NOTHING, SACK_PERMITTED, 2))
    if stamps is not None:
        made += for_stamps(*stamps)
    return made


def for_stamps(stamp: int, echo: int) -> bytes:
    """The time stamps option as RFC 7323 appendix A lays it out, 12 octets."""
    return _STAMPS_ALONE + _STAMPS.pack(stamp, echo)


def for_blocks(blocks: Iterable[Block]) -> bytes:
    """The SACK option with these blocks (numbers), padded; no octets when there are none."""
    body = b"".join(_STAMPS.pack(left, right) for left, right in blocks)
    return bytes((NOTHING, NOTHING, SACK, 2 + len(body))) + body if body else b""
