# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""The way of almost every TCP segment that comes in: on an established connection, in order, no surprises.

One text, interpreted as it stands and compiled as `asyncnic.hot._segments`, with the C types of _segments.pxd; only
where octets are summed and gathered do the two part. It is not a second TCP: it verifies what the slow way verifies,
takes only what is beyond doubt, and leaves every other frame, good or bad, to it. It sends nothing and knows no
connection from inside: consecutive segments of one are a run, of which its owner is told once.
"""

from array import array
from collections.abc import Callable
from typing import Any

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import (
        copy_octets,
        fold16,
        net16,
        same_octets,
        sum_octets,
    )
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize

MOST = 512
"""Segments of a run."""
_IPV4, _IPV6, _TAGGED = 0x0800, 0x86DD, 0x8100
_PROTOCOL = 6
_MASK, _HALF = 0xFFFF_FFFF, 0x8000_0000
_STAMPS = 0x0101_080A
# Header length and flags with and without time stamps, but for PSH: ACK alone.
_WITH_STAMPS, _WITHOUT, _PUSH = 0x8010, 0x5010, 0x0008

Expected = tuple[int, int, int, int, bool, int]
"""Of the next segment: sequence number; octets of room in our window; acknowledgment that is no news; octets that may
be acknowledged; whether there are time stamps; the latest one."""


def _half(frame: Any, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]  # type: ignore[no-any-return]


def _word(frame: Any, at: int) -> int:
    return frame[at] << 24 | frame[at + 1] << 16 | frame[at + 2] << 8 | frame[at + 3]  # type: ignore[no-any-return]


class SegmentReader:
    """Reads bursts for one host.

    Args:
        mac: 6 octets, this host's.
        connections: by addresses and ports as they lie in a packet (12 octets, IPv6: 36).
        expect: what a connection expects next; None when it expects surprises.
        took: told of a run: the connection, its payload in one piece, how many segments that was, how many octets of
            ours they acknowledged, and of the last of them window, time stamp and echo as they stand there; and when.
    """

    def __init__(
        self,
        mac: bytes,
        connections: dict[bytes, Any],
        expect: Callable[[Any], Expected | None],
        took: Callable[[Any, bytes, int, int, int, int, int, float], None],
    ) -> None:
        self._mac_high = int.from_bytes(mac[:4], "big")
        self._mac_low = int.from_bytes(mac[4:], "big")
        self._connections = connections
        self._expect = expect
        self._took = took
        self._pieces = memoryview(array("Q", bytes(16 * MOST)))
        self._connection: Any = None
        self._key = b""
        self._key_size = 0
        self._next = self._room = self._una = self._flight = self._recent = 0
        self._stamped = False
        self._segments = self._count = self._size = self._acknowledged = self._window = self._echo = 0

    def read(self, burst: Any) -> bool:
        """Take frames from `burst.taken` on, up to the first that is not the next one of an established connection.

        Returns:
            True when the frame at `burst.taken` wants another way; False when no frame is left or the time is up.
        """
        octets = burst.memory
        offsets, lengths, clock = burst.offsets, burst.lengths, burst.clock
        deadline = burst.deadline
        taken, count = burst.taken, len(burst.offsets)
        now = clock()
        more = in_time = True
        while taken < count and in_time:
            start, length = offsets[taken], lengths[taken]
            frame = cython.address(octets[start]) if cython.compiled else octets[start : start + length]
            if not self._take(frame, start, length):
                if not self._end(octets, now):
                    break
                continue  # after a run: perhaps it is the first of another one
            taken += 1
            in_time = clock() < deadline
        else:
            more = False
        burst.taken = taken
        self._end(octets, now)
        return more

    def _take(self, frame: Any, start: int, length: int) -> bool:
        """Take one frame, which begins at `start` of the burst's memory; whether it was as expected."""
        base, kind = 14, _half(frame, 12)
        if kind == _TAGGED and length >= 64:
            base, kind = 18, _half(frame, 16)
        if length < 60 or _word(frame, 0) != self._mac_high or _half(frame, 4) != self._mac_low:
            return False
        if kind == _IPV4:
            if frame[base] != 0x45 or frame[base + 6] & 0xBF or frame[base + 7] or frame[base + 9] != _PROTOCOL:
                return False  # options, a fragment ("don't fragment" may stand), another protocol
            if not _sound(frame, base, base + 20, 0):
                return False
            lead, transport, end = base + 12, base + 20, base + _half(frame, base + 2)
        elif kind == _IPV6 and length >= base + 60:
            if frame[base] >> 4 != 6 or frame[base + 6] != _PROTOCOL:
                return False
            lead, transport, end = base + 8, base + 40, base + 40 + _half(frame, base + 4)
        else:
            return False
        if end > length or end < transport + 20:
            return False
        if not self._known(frame, lead, transport + 4 - lead):
            return False
        word = _half(frame, transport + 12) & ~_PUSH
        stamp = echo = 0
        if self._stamped:
            payload = transport + 32
            if word != _WITH_STAMPS or end < payload or _word(frame, transport + 20) != _STAMPS:
                return False
            stamp, echo = _word(frame, transport + 24), _word(frame, transport + 28)
            if (stamp - self._recent) & _MASK > _HALF:
                return False
        else:
            payload = transport + 20
            if word != _WITHOUT:
                return False
        size = end - payload
        news = (_word(frame, transport + 8) - self._una) & _MASK
        window = _half(frame, transport + 14)
        if (
            _word(frame, transport + 4) != self._next
            or size > self._room
            or news > self._flight
            or not (size or news)
            or not window
            or not _sound(frame, lead, end, _PROTOCOL + end - transport)
        ):
            return False
        if size:
            self._pieces[2 * self._count] = start + payload
            self._pieces[2 * self._count + 1] = size
            self._count += 1
            self._size += size
            self._next = (self._next + size) & _MASK
            self._room -= size
        self._una = (self._una + news) & _MASK
        self._flight -= news
        self._acknowledged += news
        self._segments += 1
        self._recent, self._echo, self._window = stamp, echo, window
        return True

    def _known(self, frame: Any, lead: int, size: int) -> bool:
        """Whether the connection of these addresses and ports is the one of the run, or begins another."""
        if cython.compiled:
            same = (
                self._connection is not None
                and size == self._key_size
                and same_octets(frame + lead, cython.cast(cython.p_char, self._key), size)
            )
            if same and self._count < MOST:
                return True
            key = PyBytes_FromStringAndSize(cython.cast(cython.p_char, frame + lead), size)
        else:
            key = bytes(frame[lead : lead + size])
            if self._connection is not None and key == self._key and self._count < MOST:
                return True
        if self._connection is not None:
            return False  # the caller tells of the run before another begins
        connection = self._connections.get(key)
        expected = None if connection is None else self._expect(connection)
        if expected is None:
            return False
        self._connection, self._key, self._key_size = connection, key, size
        self._next, self._room, self._una, self._flight, self._stamped, self._recent = expected
        self._segments = self._count = self._size = self._acknowledged = 0
        return True

    def _end(self, octets: Any, now: float) -> bool:
        """Tell of the run, if there was one; whether there was."""
        connection, self._connection = self._connection, None
        if connection is None or not self._segments:
            return False
        data = self._gathered(octets)
        self._took(connection, data, self._segments, self._acknowledged, self._window, self._recent, self._echo, now)
        return True

    def _gathered(self, octets: Any) -> bytes:
        """The payload of the run in one piece."""
        if cython.compiled:
            data = PyBytes_FromStringAndSize(cython.NULL, self._size)
            to = PyBytes_AS_STRING(data)
            for index in range(self._count):
                copy_octets(to, cython.address(octets[self._pieces[2 * index]]), self._pieces[2 * index + 1])
                to += self._pieces[2 * index + 1]
            return data  # type: ignore[no-any-return]
        gathered = bytearray()
        for index in range(self._count):
            start = self._pieces[2 * index]
            gathered += octets[start : start + self._pieces[2 * index + 1]]
        return bytes(gathered)


def _sound(frame: Any, first: int, end: int, more: int) -> bool:
    """Whether the one's complement sum of these octets and of the number `more` is 0 (RFC 1071)."""
    if cython.compiled:
        return fold16(sum_octets(frame + first, end - first) + net16(more)) == 0xFFFF  # type: ignore[no-any-return]
    number = int.from_bytes(frame[first:end], "big")
    return ((number << 8 if end - first & 1 else number) + more) % 0xFFFF == 0
