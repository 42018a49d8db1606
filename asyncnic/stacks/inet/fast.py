"""The way of almost every frame of a UDP flood: datagrams of flows that are already known, tagged or not.

One function, over a whole burst, without a call or an object that it could do without. It is not a second UDP: it
verifies what the slow way verifies (both checksums, all lengths), takes only what is beyond doubt, and leaves every
other frame, good or bad, to `Inet.input`. Only the slow way adds flows (udp.py).
"""

import struct
from collections.abc import Callable
from typing import Any

from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.ethernet import IPV4, IPV6, TAGGED

Flows = dict[bytes, tuple[Callable[[bytes, Any], None], tuple[Any, ...]]]
"""Addresses and ports as they lie in a packet (12 octets, IPv6: 36) -> the protocol's `datagram_received` and the
address it is told."""

# Target MAC, EtherType, the IPv4 header as three numbers, (ports), UDP length, UDP checksum.
_HEADERS = struct.Struct("!6s6xHQQI4xHH")
_LEAST = _HEADERS.size
_TAG = 4
_TAIL = struct.Struct("!HH")  # UDP length and checksum
# Of the header's first 8 octets: version 4, 5 words, and all of flags and offset but "don't fragment" 0.
_PLAIN_MASK, _PLAIN = 0xFF00_0000_0000_BFFF, 0x4500_0000_0000_0000
# Of the second 8 octets: protocol 17.
_UDP_MASK, _UDP = 0x00FF_0000_0000_0000, 0x0011_0000_0000_0000
# Of an IPv6 header's first 8 octets: version 6, and the next header 17; traffic class and flow label may be anything.
_PLAIN_MASK6, _PLAIN6 = 0xF000_0000_0000_FF00, 0x6000_0000_0000_1100


def udp_burst(burst: Burst, mac: bytes, flows: Flows) -> bool:
    """Deliver frames from `burst.taken` on, up to the first that is not a sound datagram of a known flow.

    `burst.taken` is brought up to date when this returns or raises. A sum of 16-bit words in one's
    complement is the number modulo 0xffff, since 2^16 is 1 there (RFC 1071 section 2); a sound header sums to 0.

    Args:
        burst: the frames; stops when its deadline has passed.
        mac: 6 octets, this host's; frames to other addresses (broadcast too) go the slow way.
        flows: known flows; the handlers called may empty it.

    Returns:
        True when the frame at `burst.taken` wants the slow way; False when no frame is left or the time is up.

    Raises:
        BaseException: whatever a handler raised; its frame is taken.
    """
    memory, clock, deadline = burst.memory, burst.clock, burst.deadline
    unpack, number, find = _HEADERS.unpack_from, int.from_bytes, flows.get
    taken = burst.taken
    try:
        for start, length in zip(burst.offsets[taken:], burst.lengths[taken:], strict=True):
            if length < _LEAST:
                return True
            target, kind, head, middle, tail, size, checksum = unpack(memory, start)
            if kind == TAGGED and length >= _LEAST + _TAG:
                start, length = start + _TAG, length - _TAG
                _, kind, head, middle, tail, size, checksum = unpack(memory, start)
            if target != mac:
                return True
            if kind == IPV4:
                if head & _PLAIN_MASK != _PLAIN or middle & _UDP_MASK != _UDP or (head + middle + tail) % 0xFFFF:
                    return True
                end, key = 14 + (head >> 32 & 0xFFFF), 12
                if size != end - 34:
                    return True
            elif kind == IPV6 and head & _PLAIN_MASK6 == _PLAIN6:
                end, key = 54 + (head >> 16 & 0xFFFF), 36
                if end > length or end < 62:
                    return True
                size, checksum = _TAIL.unpack_from(memory, start + 58)
                if size != end - 54 or not checksum:  # RFC 8200 section 8.1: no IPv6 without
                    return True
            else:
                return True
            if size < 8 or end > length:
                return True
            # Addresses, UDP header and payload are contiguous in both families.
            data = memory[start + (26 if key == 12 else 22) : start + end].tobytes()
            flow = find(data[:key])
            if flow is None:
                return True
            if checksum and ((number(data, "big") << (8 if size & 1 else 0)) + 17 + size) % 0xFFFF:
                return True
            taken += 1
            flow[0](data[key + 4 :], flow[1])
            if clock() >= deadline:
                return False
        return False
    finally:
        burst.taken = taken
