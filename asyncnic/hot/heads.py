# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""The heads of the last frames, in a ring of fixed size: when each came, in which lane, how long it was, how it ended.

One text, interpreted as it stands and compiled as `asyncnic.hot._heads`, with the C types of _heads.pxd; only the
copying parts the two. It is not a capture: nobody waits for it, it has no reader while it is written, and it knows
nothing of what a frame says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import copy_octets

HEAD = 128
"""Octets that are kept of a frame."""
_LANE, _END, _SIXTEEN = 16, 32, 0xFFFF  # bits: octets on the wire 0-15, lane 16-31, end from 32 on


class Head(NamedTuple):
    """What is kept of a frame."""

    time_ns: int
    """When its burst ended, in nanoseconds since 1970."""
    lane: int
    length: int
    """Octets on the wire, without FCS."""
    octets: bytes
    """The first `HEAD` of them."""
    end: str
    """How it ended, where somebody said so; empty: delivered."""


class HeadRing:
    """The last `frames` heads.

    Args:
        frames: how many are kept, 1 or more.
    """

    def __init__(self, frames: int) -> None:
        self._octets: Any = bytearray(frames * HEAD)
        self._times: Any = memoryview(bytearray(8 * frames)).cast("Q")
        self._facts: Any = memoryview(bytearray(8 * frames)).cast("Q")
        self._size = frames
        self._ends = [""]
        self._numbers = {"": 0}
        self.total = 0

    def record(
        self,
        memory: memoryview,
        offsets: Sequence[int],
        lengths: Sequence[int],
        count: int,
        time_ns: int,
        lane: int,
        ends: Mapping[int, str],
    ) -> None:
        """Keep the heads of the first `count` frames of a burst.

        Args:
            memory, offsets, lengths: the burst's vector; a frame that would reach beyond `memory` counts as empty.
            count: frames, from the first on.
            time_ns: now, in nanoseconds since 1970.
            lane: which lane they came by.
            ends: how frames ended, by their places in the burst, where it is known; of a small and closed set of words.
        """
        octets = memory
        room = len(memory)
        first = 0 if count <= self._size else count - self._size
        slot = (self.total + first) % self._size
        for place in range(first, count):
            at, length = offsets[place], lengths[place]
            kept = HEAD if length > HEAD else length
            if at < 0 or at + kept > room:
                kept = length = 0
            if cython.compiled:
                if kept > 0:
                    copy_octets(cython.address(self._octets[slot * HEAD]), cython.address(octets[at]), kept)
            else:
                self._octets[slot * HEAD : slot * HEAD + kept] = octets[at : at + kept]
            self._times[slot] = time_ns
            self._facts[slot] = (length & _SIXTEEN) | lane << _LANE
            slot += 1
            if slot == self._size:
                slot = 0
        if ends:
            for place in ends:
                if first <= place < count:
                    self._facts[(self.total + place) % self._size] |= self._number(ends[place]) << _END
        self.total += count

    def _number(self, end: str) -> int:
        number: int | None = self._numbers.get(end)
        if number is None:
            number = self._numbers[end] = len(self._ends)
            self._ends.append(end)
        return number

    def heads(self) -> Iterator[Head]:
        """All that is kept, the oldest first."""
        kept = min(self.total, self._size)
        for number in range(self.total - kept, self.total):
            slot = number % self._size
            facts = self._facts[slot]
            length = facts & _SIXTEEN
            start = slot * HEAD
            octets = bytes(self._octets[start : start + min(HEAD, length)])
            yield Head(self._times[slot], facts >> _LANE & _SIXTEEN, length, octets, self._ends[facts >> _END])

    def copy(self) -> "HeadRing":
        """The same heads, for whoever reads them while more are recorded."""
        made = HeadRing(self._size)
        made._octets[:] = self._octets
        made._times[:] = self._times
        made._facts[:] = self._facts
        made._ends[:] = self._ends
        made._numbers.update(self._numbers)
        made.total = self.total
        return made
