"""Frames with IP, TCP and UDP inside as a sender with an offloading card leaves them, and what pieces must be."""

import struct
from ipaddress import ip_address

from tests.wire import HOST, MAC

TCP, UDP = 6, 17
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}


def total(octets: bytes) -> int:
    """One's complement sum of 16-bit words."""
    octets += b"\0" * (len(octets) % 2)
    found: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while found >> 16:
        found = (found & 0xFFFF) + (found >> 16)
    return found


def pseudo(version: int, protocol: int, length: int) -> bytes:
    source, target = (ip_address(text).packed for text in ADDRESSES[version])
    return source + target + struct.pack("!II", length, protocol)


def packet(
    version: int, protocol: int, transport: bytes, *, identification: int = 7, flags: int = 0x4000, tag: bytes = b""
) -> bytes:
    """An Ethernet frame for `MAC` with an IP packet around `transport`."""
    source, target = (ip_address(text).packed for text in ADDRESSES[version])
    if version == 4:
        parts = (0x45, 0, 20 + len(transport), identification, flags, 64, protocol)
        header = struct.pack("!BBHHHBBxx", *parts) + source + target
        header = header[:10] + (0xFFFF - total(header)).to_bytes(2, "big") + header[12:]
    else:
        header = struct.pack("!IHBB", 6 << 28, len(transport), protocol, 64) + source + target
    return MAC + HOST + tag + (b"\x08\x00" if version == 4 else b"\x86\xdd") + header + transport


def udp(version: int, payload: bytes, *, unfinished: bool = True, **more: object) -> bytes:
    """A datagram from port 1000 to port 7; its checksum `unfinished`: the sum of the pseudo header."""
    length = 8 + len(payload)
    head = struct.pack("!HHH", 1000, 7, length)
    check = total(pseudo(version, UDP, length))
    if not unfinished:
        check = 0xFFFF - total(pseudo(version, UDP, length) + head + b"\0\0" + payload)
    return packet(version, UDP, head + check.to_bytes(2, "big") + payload, **more)  # type: ignore[arg-type]


def tcp(version: int, payload: bytes, *, flags: int = 0x99, **more: object) -> bytes:
    """A segment from port 1000 to port 80 with 12 octets of options; its checksum is unfinished."""
    length = 32 + len(payload)
    check = total(pseudo(version, TCP, length))
    head = struct.pack("!HHIIBBHHH", 1000, 80, 0xFFFF_FF00, 5, 8 << 4, flags, 1000, check, 0) + b"\x01" * 12
    return packet(version, TCP, head + payload, **more)  # type: ignore[arg-type]


def start_of(version: int) -> int:
    """Where the transport's header begins in an untagged frame."""
    return 34 if version == 4 else 54


def unpacked(frame: bytes, ip: int = 14) -> tuple[bytes, bytes]:
    """Headers from IP on and transport of a frame whose lengths and checksums (but a fragment's) are right.

    Raises:
        AssertionError: they are not.
    """
    version = frame[ip] >> 4
    if version == 4:
        length = int.from_bytes(frame[ip + 2 : ip + 4], "big")
        assert total(frame[ip : ip + 20]) == 0xFFFF
        header, transport, protocol = frame[ip : ip + 20], frame[ip + 20 : ip + length], frame[ip + 9]
    else:
        length = 40 + int.from_bytes(frame[ip + 4 : ip + 6], "big")
        header, transport, protocol = frame[ip : ip + 40], frame[ip + 40 : ip + length], frame[ip + 6]
    assert max(60, ip + length) == len(frame)
    fragment = version == 4 and int.from_bytes(header[6:8], "big") & 0x3FFF
    if protocol in (TCP, UDP) and not fragment:
        assert total(pseudo(version, protocol, len(transport)) + transport) == 0xFFFF
    if protocol == UDP and not fragment:
        assert int.from_bytes(transport[4:6], "big") == len(transport)
    return header, transport
