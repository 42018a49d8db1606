"""Frames that are longer than a wire carries, cut into such as it does: what a card's offload, or the kernel's GRO and
GSO, would have put together again or not yet taken apart.

A run of TCP segments becomes segments, a run of datagrams datagrams (UDP_SEGMENT), both by the size that the kernel
says; anything else over IP that is too long becomes IP fragments. Pure: octets in, octets out.
"""

import itertools
import struct
from collections.abc import Iterator

DATAGRAMS = 5
"""virtio_net_hdr.gso_type: VIRTIO_NET_HDR_GSO_UDP_L4, a run of datagrams."""
RUNS = frozenset((1, 4, DATAGRAMS))
"""Those and runs of TCP segments, whose checksums are made anew for each piece."""
ECN = 0x80
"""A bit beside the type."""
_TCP, _UDP, _FRAGMENT = 6, 17, 44
_EXTENSIONS = frozenset((0, 43, 44, 60))
_FIN_PSH, _CWR = 0x09, 0x80
_MORE, _DONT = 0x2000, 0x4000
_IPV4, _IPV6, _TAG = b"\x08\x00", b"\x86\xdd", b"\x81\x00"
_identifications = itertools.count(1)

Pieces = Iterator[tuple[bytes, bool]]
"""Frames in order, each with whether it is the last one."""


def complete(frame: bytearray, start: int, offset: int) -> None:
    """Finish a checksum that covers `frame` from `start` on; its field at `offset` from there holds the sum of the
    pseudo header. One that lies outside the frame is left alone.
    """
    if start + offset + 2 <= len(frame):
        frame[start + offset : start + offset + 2] = _checksum(frame[start:], 0)


def cut(frame: bytearray, offload: bytes, longest: int) -> Pieces | None:
    """The pieces of a frame; None where it need not be cut, or cannot.

    Args:
        frame: whole, its tag included, its checksum complete unless it is a run.
        offload: its virtio_net_hdr, as the host has it.
        longest: octets of a frame, at most.
    """
    gso = offload[1] & ~ECN
    size = int.from_bytes(offload[4:6], "little")
    if (not gso and len(frame) <= longest) or len(frame) < 34:
        return None
    ip = 18 if frame[12:14] == _TAG else 14
    kind = bytes(frame[ip - 2 : ip])
    if kind == _IPV4 and frame[ip] >> 4 == 4 and frame[ip] & 15 >= 5:
        transport, protocol = ip + (frame[ip] & 15) * 4, frame[ip + 9]
        fragment = bool(int.from_bytes(frame[ip + 6 : ip + 8], "big") & 0x3FFF)
    elif kind == _IPV6 and len(frame) >= ip + 40:
        transport, protocol, fragment = ip + 40, frame[ip + 6], False
    else:
        return None
    if transport + 8 > len(frame):
        return None
    if gso == DATAGRAMS:
        headers = transport + 8
        return (
            _run(frame, ip, transport, headers, size)
            if _fits(frame, headers, size, longest, protocol == _UDP)
            else None
        )
    if protocol == _TCP and not fragment:
        if transport + 20 > len(frame):
            return None
        headers = transport + (frame[transport + 12] >> 4) * 4
        if not gso or headers + size > longest:
            size = longest - headers
        return _run(frame, ip, transport, headers, size) if _fits(frame, headers, size, longest, True) else None
    if kind == _IPV4:
        size = (longest - transport) & ~7
        return _fragments4(frame, ip, transport, size) if _fits(frame, transport, size, longest, True) else None
    size = (longest - transport - 8) & ~7
    whole = protocol not in _EXTENSIONS
    return _fragments6(frame, ip, transport, size) if _fits(frame, transport, size, longest, whole) else None


def _fits(frame: bytearray, headers: int, size: int, longest: int, known: bool) -> bool:
    return known and size > 0 and headers < len(frame) and headers + size <= longest


def _parts(frame: bytearray, headers: int, size: int) -> Iterator[tuple[int, int, bytes, bool]]:
    """Number, offset and octets of each piece of the payload, and whether it is the last."""
    starts = range(headers, len(frame), size)
    for index, start in enumerate(starts):
        yield index, start - headers, bytes(frame[start : start + size]), index == len(starts) - 1


def _run(frame: bytearray, ip: int, transport: int, headers: int, size: int) -> Pieces:
    """TCP segments (RFC 9293: sequence number; FIN and PSH are the last's, RFC 3168: CWR the first's) or datagrams."""
    tcp = headers > transport + 8
    for index, offset, payload, last in _parts(frame, headers, size):
        piece = frame[:headers] + payload
        length = len(piece) - transport
        if tcp:
            (sequence,) = struct.unpack_from("!I", piece, transport + 4)
            struct.pack_into("!I", piece, transport + 4, sequence + offset & 0xFFFF_FFFF)
            piece[transport + 13] &= 0xFF ^ ((0 if last else _FIN_PSH) | (_CWR if index else 0))
        else:
            struct.pack_into("!H", piece, transport + 4, length)
        if frame[ip] >> 4 == 4:
            (identification,) = struct.unpack_from("!H", piece, ip + 4)
            struct.pack_into("!H", piece, ip + 4, identification + index & 0xFFFF)
            _finish_ipv4(piece, ip)
            pseudo = piece[ip + 12 : ip + 20]
        else:
            struct.pack_into("!H", piece, ip + 4, length)
            pseudo = piece[ip + 8 : ip + 40]
        place = transport + (16 if tcp else 6)
        piece[place : place + 2] = bytes(2)
        covered = int.from_bytes(pseudo, "big") + (_TCP if tcp else _UDP) + length
        piece[place : place + 2] = _checksum(piece[transport:], covered)
        yield bytes(piece), last


def _fragments4(frame: bytearray, ip: int, transport: int, size: int) -> Pieces:
    """RFC 791 section 3.2. A packet that was not to be fragmented has an identification that says nothing."""
    identification, flags = struct.unpack_from("!HH", frame, ip + 4)
    if flags & _DONT:
        identification, flags = next(_identifications) & 0xFFFF, flags & ~_DONT
    for _, offset, payload, last in _parts(frame, transport, size):
        piece = frame[:transport] + payload
        struct.pack_into("!HH", piece, ip + 4, identification, flags + offset // 8 | (0 if last else _MORE))
        _finish_ipv4(piece, ip)
        yield bytes(piece), last


def _fragments6(frame: bytearray, ip: int, transport: int, size: int) -> Pieces:
    """RFC 8200 section 4.5."""
    identification = next(_identifications) & 0xFFFF
    for _, offset, payload, last in _parts(frame, transport, size):
        header = struct.pack("!BBHI", frame[ip + 6], 0, offset | (0 if last else 1), identification)
        piece = frame[:transport] + header + payload
        piece[ip + 6] = _FRAGMENT
        struct.pack_into("!H", piece, ip + 4, len(header) + len(payload))
        yield bytes(piece), last


def _finish_ipv4(frame: bytearray, ip: int) -> None:
    """Total length and header checksum (RFC 791 section 3.1)."""
    struct.pack_into("!H", frame, ip + 2, len(frame) - ip)
    struct.pack_into("!H", frame, ip + 10, 0)
    frame[ip + 10 : ip + 12] = (0xFFFF - _folded(frame[ip : ip + (frame[ip] & 15) * 4], 0)).to_bytes(2, "big")


def _checksum(octets: bytearray, covered: int) -> bytes:
    """A transport's checksum over `octets` and what `covered` sums up; never 0, which for UDP says: none."""
    return (0xFFFF - _folded(octets, covered) or 0xFFFF).to_bytes(2, "big")


def _folded(octets: bytearray, covered: int) -> int:
    """One's complement sum (RFC 1071), 0 only where everything is 0."""
    total = int.from_bytes(octets + b"\0" * (len(octets) & 1), "big") + covered
    return (total - 1) % 0xFFFF + 1 if total else 0
