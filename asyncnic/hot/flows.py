# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""The way of almost every frame of a UDP flood: datagrams of flows that are already known, tagged or not.

One text, interpreted as it stands and compiled as `asyncnic.hot._flows`, with the C types of _flows.pxd; only what
looks into a frame has two bodies. It is not a second UDP: it verifies what the slow way verifies (both checksums, all
lengths), takes only what is beyond doubt, and leaves every other frame, good or bad, to it. Only that adds flows.
"""

import struct
import time
from collections.abc import Callable
from typing import Any

from asyncnic.hot.burst import Burst

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import (
        fold16,
        get16,
        load16,
        net16,
        same_octets,
        seconds_now,
        sum_octets,
    )
    from cython.cimports.cpython.buffer import Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize

Flows = dict[bytes, tuple[Callable[[bytes, Any], None], tuple[Any, ...]]]
"""Addresses and ports as they lie in a packet (12 octets, IPv6: 36) -> the protocol's `datagram_received` and the
address it is told."""

# Target MAC, EtherType, the IPv4 header as three numbers, (ports), UDP length, UDP checksum.
_HEADERS = struct.Struct("!6s6xHQQI4xHH")
_LEAST = 42
_TAG = 4
_TAIL = struct.Struct("!HH")  # UDP length and checksum
_IPV4, _IPV6, _TAGGED = 0x0800, 0x86DD, 0x8100
# Of the header's first 8 octets: version 4, 5 words, and all of flags and offset but "don't fragment" 0.
_PLAIN_MASK, _PLAIN = 0xFF00_0000_0000_BFFF, 0x4500_0000_0000_0000
# Of the second 8 octets: protocol 17.
_UDP_MASK, _UDP = 0x00FF_0000_0000_0000, 0x0011_0000_0000_0000
# Of an IPv6 header's first 8 octets: version 6, and the next header 17; traffic class and flow label may be anything.
_PLAIN_MASK6, _PLAIN6 = 0xF000_0000_0000_FF00, 0x6000_0000_0000_1100


def _datagram(octets: Any, start: int, length: int, mac: bytes) -> int:
    """Look at a frame's headers: where addresses, ports, UDP length and checksum, and payload lie, times two, plus one
    for IPv6; -1 where it is no whole datagram for `mac`, or has anything else that wants the slow way.
    """
    if cython.compiled:
        frame = octets + start
        if length < _LEAST or not same_octets(frame, mac, 6):
            return -1
        if get16(frame + 12) == _TAGGED and length >= _LEAST + _TAG:
            start, length, frame = start + _TAG, length - _TAG, frame + _TAG
        kind = get16(frame + 12)
        if kind == _IPV4:
            if frame[14] != 0x45 or frame[20] & 0xBF or frame[21] or frame[23] != 17:
                return -1
            size = get16(frame + 38)
            if get16(frame + 16) != size + 20 or size < 8 or size + 34 > length:
                return -1
            return -1 if fold16(sum_octets(frame + 14, 20)) != 0xFFFF else 2 * (start + 26)
        if kind != _IPV6 or frame[14] >> 4 != 6 or frame[20] != 17 or length < 62:
            return -1
        size = get16(frame + 58)
        if get16(frame + 18) != size or size < 8 or size + 54 > length or not get16(frame + 60):
            return -1
        return 2 * (start + 22) + 1
    if length < _LEAST:
        return -1
    target, kind, head, middle, tail, size, _ = _HEADERS.unpack_from(octets, start)
    if kind == _TAGGED and length >= _LEAST + _TAG:
        start, length = start + _TAG, length - _TAG
        _, kind, head, middle, tail, size, _ = _HEADERS.unpack_from(octets, start)
    if target != mac:
        return -1
    if kind == _IPV4:
        if head & _PLAIN_MASK != _PLAIN or middle & _UDP_MASK != _UDP or (head + middle + tail) % 0xFFFF:
            return -1
        if size != (head >> 32 & 0xFFFF) - 20 or size < 8 or size + 34 > length:
            return -1
        return 2 * (start + 26)
    if kind != _IPV6 or head & _PLAIN_MASK6 != _PLAIN6 or length < 62:
        return -1
    size, checksum = _TAIL.unpack_from(octets, start + 58)
    if size != head >> 16 & 0xFFFF or size < 8 or size + 54 > length or not checksum:  # RFC 8200 section 8.1
        return -1
    return 2 * (start + 22) + 1


def _sound(octets: Any, lead: int, key: int, size: int) -> bool:
    """Whether the UDP checksum is right, or there is none. Addresses, UDP header and payload are contiguous; the rest
    of the pseudo header is protocol and size.
    """
    if cython.compiled:
        place = octets + lead + key
        if not load16(place + 2):
            return True
        return bool(fold16(sum_octets(octets + lead, key - 4 + size) + net16(17) + load16(place)) == 0xFFFF)
    if not octets[lead + key + 2] and not octets[lead + key + 3]:
        return True
    data = octets[lead : lead + key - 4 + size]
    return not ((int.from_bytes(data, "big") << (8 if size & 1 else 0)) + 17 + size) % 0xFFFF


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
    offsets, lengths, taken, deadline, clock = burst.offsets, burst.lengths, burst.taken, burst.deadline, burst.clock
    count = len(offsets)
    system_clock = clock is time.monotonic
    # `flow` is that of the addresses and ports at `last` as long as `flows` has as many as then: within a burst it
    # loses flows only all at once, and gains none.
    flow: Any = None
    known = last = last_key = -1
    if cython.compiled:
        view = cython.declare(Py_buffer)
        PyObject_GetBuffer(burst.memory, cython.address(view), PyBUF_SIMPLE)
        octets = cython.cast(cython.p_uchar, view.buf)
    else:
        octets = burst.memory
    try:
        while taken < count:
            place = _datagram(octets, offsets[taken], lengths[taken], mac)
            if place < 0:
                return True
            lead, key = place >> 1, 36 if place & 1 else 12
            if cython.compiled:
                size = get16(octets + lead + key)
                if known != len(flows) or key != last_key or not same_octets(octets + lead, octets + last, key):
                    flow = flows.get(PyBytes_FromStringAndSize(cython.cast(cython.p_char, octets + lead), key))
                    known, last, last_key = len(flows), lead, key
            else:
                size = octets[lead + key] << 8 | octets[lead + key + 1]
                flow = flows.get(octets[lead : lead + key].tobytes())
            if flow is None or not _sound(octets, lead, key, size):
                return True
            if cython.compiled:
                data = PyBytes_FromStringAndSize(cython.cast(cython.p_char, octets + lead + key + 4), size - 8)
            else:
                data = octets[lead + key + 4 : lead + key - 4 + size].tobytes()
            taken += 1
            flow[0](data, flow[1])
            if (seconds_now() if cython.compiled and system_clock else clock()) >= deadline:
                return False
        return False
    finally:
        burst.taken = taken
        if cython.compiled:
            PyBuffer_Release(cython.address(view))


class DatagramInput:
    """Where a stack's bursts come in: the known flows' datagrams at once, whatever else comes by `slow`.

    Args:
        mac, flows: see `udp_burst`.
        counts: frames by outcome; `delivered` is the one of those that are delivered here.
        slow: takes the frame at `burst.taken`, and more if it likes; False: it is time to end.
        raised: told what the handler of the frame before `burst.taken` raised; counts that, and may raise it again.
        due, flush: what is to be called after a burst unless `due` is empty.
    """

    def __init__(
        self,
        mac: bytes,
        flows: Flows,
        counts: list[int],
        delivered: int,
        slow: Callable[[Burst], bool],
        raised: Callable[[Burst, BaseException], None],
        due: dict[Any, None],
        flush: Callable[[], None],
    ) -> None:
        self._mac = mac
        self._flows = flows
        self._counts = counts
        self._delivered = delivered
        self._slow = slow
        self._raised = raised
        self._due = due
        self._flush = flush

    def __call__(self, burst: Burst) -> None:
        """Take frames until none is left or the burst's deadline has passed; `burst.taken` says how many."""
        counts, delivered, total = self._counts, self._delivered, len(burst.offsets)
        taken = before = burst.taken
        try:
            while taken < total:
                try:
                    more = udp_burst(burst, self._mac, self._flows)
                except BaseException as error:
                    before, taken = taken, burst.taken
                    counts[delivered] += taken - before - 1
                    self._raised(burst, error)
                    if burst.clock() >= burst.deadline:
                        return
                    continue
                before, taken = taken, burst.taken
                counts[delivered] += taken - before
                if not more or not self._slow(burst):
                    return
                taken = burst.taken
        finally:
            if self._due:
                self._flush()
