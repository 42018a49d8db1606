"""TCP segments of one stream put together into one packet, before the kernel sees them.

The kernel's price is a packet, not an octet. What follows each other in a burst and belongs to one TCP stream is
handed over as one large packet, as a card with LRO or the kernel's own GRO would (same stream, next sequence number,
same acknowledgement, window, flags and options; RFC 9293 section 3.1). Nothing is copied: the pieces are views.

No checksum is trusted and no payload is summed here. One's complement sums add up (RFC 1071 section 2), so the
checksum of the whole follows from those that the segments claim; the kernel then verifies it over every octet, and a
damaged segment is found out as it would have been alone. Only packets to an own address are put together: one that is
routed on must keep its size. This knows IPv4 without options only; all else passes one by one.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

_HEADERS = 14 + 20 + 60
_MAX_PACKET = 65535
_MAX_SEGMENTS = 44
_TCP = 6
_ACK = 0x10
_PSH = 0x08
_MODULUS = 0xFFFF

Piece = memoryview | bytes
Segment = tuple[bytes, bytes, int, int, int]
"""Headers from the Ethernet header on; what must be equal; sequence number; size of the headers; size of the payload.
"""


class Coalescer:
    """Finds runs of segments in a vector of frames.

    Args:
        addresses: the own addresses; those of IPv6 are of no use here.
    """

    def __init__(self, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
        self._own = {address.packed for address in addresses if address.version == 4}

    def run(
        self, memory: memoryview, offsets: Sequence[int], lengths: Sequence[int], first: int
    ) -> tuple[int, list[Piece]]:
        """Frames from `first` on that make one packet (at least 1), and the pieces of that packet."""
        start, length = offsets[first], lengths[first]
        alone: list[Piece] = [memory[start : start + length]]
        head = self._segment(memory, start, length)
        if head is None or first + 1 == len(offsets):
            return 1, alone
        header, same, sequence, size, payload = head
        pieces: list[Piece] = [b"", memory[start + size : start + size + payload]]
        total = payload
        # Minus the sum of the payloads, as the checksums claim it: pseudo header, header and payload add up to 0.
        claimed = _sum(header[26:34]) + _TCP + size - 34 + payload + _sum(header[34:])
        last = header
        index = first + 1
        while index < len(offsets) and index - first < _MAX_SEGMENTS:
            start = offsets[index]
            segment = self._segment(memory, start, lengths[index])
            if segment is None or segment[1] != same or segment[2] != (sequence + total) & 0xFFFF_FFFF:
                break
            if total & 1 or size - 14 + total + segment[4] > _MAX_PACKET or last[47] & _PSH:
                break
            last, _, _, _, payload = segment
            claimed += _sum(last[26:34]) + _TCP + size - 34 + payload + _sum(last[34:])
            pieces.append(memory[start + size : start + size + payload])
            total += payload
            index += 1
        if index == first + 1:
            return 1, alone
        pieces[0] = _headers(header, size, total, last[47], claimed)
        return index - first, pieces

    def _segment(self, memory: memoryview, start: int, length: int) -> Segment | None:
        """A frame taken apart, if it is a TCP segment with data that may be put together with others."""
        header = bytes(memory[start : start + min(length, _HEADERS)])
        if len(header) < 54 or header[12:15] != b"\x08\x00\x45" or header[23] != _TCP or header[30:34] not in self._own:
            return None
        if header[20] & 0xBF or header[21] or header[47] & ~_PSH != _ACK:
            return None
        total = header[16] << 8 | header[17]
        size = 34 + (header[46] >> 4) * 4
        payload = 14 + total - size
        if size < 54 or payload <= 0 or 14 + total > length or _sum(header[14:34]):
            return None
        header = header[:size]
        same = header[:12] + header[15:16] + header[22:23] + header[26:38] + header[42:47] + header[48:50] + header[52:]
        return header, same, int.from_bytes(header[38:42], "big"), size, payload


def _headers(header: bytes, size: int, total: int, flags: int, claimed: int) -> bytes:
    """The run's headers: lengths of the whole, the last segment's flags, and checksums that fit."""
    made = bytearray(header)
    made[16:18] = (size - 14 + total).to_bytes(2, "big")
    made[24:26] = b"\0\0"
    made[24:26] = (-_sum(made[14:34]) % _MODULUS).to_bytes(2, "big")
    made[47] = flags
    made[50:52] = b"\0\0"
    others = _sum(made[26:34]) + _TCP + size - 34 + total + _sum(made[34:])
    made[50:52] = ((claimed - others) % _MODULUS).to_bytes(2, "big")
    return bytes(made)


def _sum(octets: bytes | bytearray) -> int:
    """One's complement sum of an even number of octets; 0 stands for both zeros."""
    return int.from_bytes(octets, "big") % _MODULUS
