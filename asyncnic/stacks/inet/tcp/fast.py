"""The way of almost every frame of a bulk transfer: data in order, on an established IPv4 connection, no surprises.

One function over a burst, as fast.py of the stack is for UDP: it verifies what the slow way verifies, takes only what
is beyond doubt, and leaves every other frame, good or bad, to it. It sends nothing and calls nobody: what it took is
told and acknowledged by `Tcp.flush`, once a burst and connection.
"""

import struct

from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.sequence import MASK, before
from asyncnic.stacks.inet.tcp.states import DATA, TcpState

# Target MAC, EtherType, the IPv4 header as three numbers, (ports), sequence number, acknowledgment, offset and flags,
# window, (checksum and urgent pointer), then what is the time stamps option where there is one.
_HEADERS = struct.Struct("!6s6xHQQI4xIIHH4xIII")
_LEAST = _HEADERS.size
_ETHERTYPE = 0x0800
# Of the IPv4 header: version 4, 5 words, no fragment ("don't fragment" may stand); and protocol 6.
_PLAIN_MASK, _PLAIN = 0xFF00_0000_0000_BFFF, 0x4500_0000_0000_0000
_TCP_MASK, _TCP = 0x00FF_0000_0000_0000, 0x0006_0000_0000_0000
_STAMPS = 0x0101_080A
# Header length and flags with and without time stamps, but for PSH: ACK alone.
_WITH_STAMPS, _WITHOUT, _PUSH = 0x8010, 0x5010, 0x0008


def tcp_burst(burst: Burst, mac: bytes, tcp: Tcp) -> bool:
    """Take frames from `burst.taken` on, up to the first that is not the next data of an established connection.

    Args:
        burst: the frames; stops when its deadline has passed.
        mac: 6 octets, this host's.
        tcp: whose connections they are for.

    Returns:
        True when the frame at `burst.taken` wants another way; False when no frame is left or the time is up.
    """
    memory, clock, deadline = burst.memory, burst.clock, burst.deadline
    unpack, number, find, touched = _HEADERS.unpack_from, int.from_bytes, tcp.connections.get, tcp.touched
    established = TcpState.ESTABLISHED
    taken = first = burst.taken
    now = clock()
    for start, length in zip(burst.offsets[taken:], burst.lengths[taken:], strict=True):
        if length < _LEAST:
            break
        target, kind, head, middle, tail, seq, ack, word, window, option, stamp, _ = unpack(memory, start)
        if (
            kind != _ETHERTYPE
            or head & _PLAIN_MASK != _PLAIN
            or middle & _TCP_MASK != _TCP
            or target != mac
            or (head + middle + tail) % 0xFFFF
        ):
            break
        total = head >> 32 & 0xFFFF
        if total + 14 > length:
            break
        data = memory[start + 26 : start + 14 + total].tobytes()  # addresses, TCP header, payload: contiguous
        connection = find(data[:12])
        if connection is None or connection.state is not established or connection.gone:
            break
        receiver, sender = connection.receiver, connection.sender
        if connection.stamps:
            if word & ~_PUSH != _WITH_STAMPS or option != _STAMPS or before(stamp, connection.recent):
                break
            size = total - 52
        else:
            if word & ~_PUSH != _WITHOUT:
                break
            size = total - 40
        if (
            size <= 0
            or seq != receiver.nxt & MASK
            or ack != sender.una & MASK
            or window << sender.shift != sender.window
            or receiver.nxt + size > receiver.edge
            or receiver.fin is not None
            or (receiver.reassembly is not None and receiver.reassembly.ranges)
        ):
            break
        if ((number(data, "big") << (8 if size & 1 else 0)) + total - 14) % 0xFFFF:  # protocol 6, and total - 20 octets
            break
        if connection.stamps:
            connection.recent, connection.recent_at = stamp, now
        end = start + 14 + total
        receiver.took(memory[end - size : end], size)
        connection.heard = now
        connection.news |= DATA
        touched[connection] = None
        taken += 1
        if clock() >= deadline:
            break
    else:
        burst.taken = taken
        tcp.counters.segments_in += taken - first
        return False
    burst.taken = taken
    tcp.counters.segments_in += taken - first
    return taken < len(burst.offsets) and clock() < deadline
