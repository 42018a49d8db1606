# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""Frames off the wire into receive descriptors, as the chip stores them: the loop that every received frame passes.

One text, interpreted as it stands and compiled as `asyncnic.hot._reader`, with the C types of _reader.pxd. It fills
descriptors that are armed exactly as they were the last time round, whose buffers hold a whole frame each, and gives
them back as a vector; whatever else stands in the ring, and every state in which the chip is not simply receiving, it
leaves to model/receive.py. It knows no driver, no clock, no event loop.
"""

import io
import os
from array import array
from collections.abc import Callable
from typing import Any

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import clear_octets, load64, read_frame, same_octets, store32
    from cython.cimports.asyncnic.hot.source import Source
    from cython.cimports.cpython.pycapsule import PyCapsule_GetPointer

Read = Callable[[memoryview], int | None]
"""Fills a buffer with one frame and returns its octets, or None (or 0) when there is none: `FileIO.readinto` of a
TAP. One that is the `readinto` of a file is read(2) on that file where this is compiled; where it belongs to an object
with a C function of its own (`c_source`), that is called.
"""

MIN_FRAME = 60  # octets without FCS; shorter ones are padded, since a TAP has no minimum
FCS = 4
REJECTED = -1
_MAX_ROOM = 4092
_EAGAIN = 11
_OWN = 0x8000_0000
_MATCH = 0x0070_0000  # of a status word: which kind of address matched
_ZEROS = memoryview(bytes(MIN_FRAME))
# Of CSR0 the receiver is on, and RINT; of CSR5 suspended; of the mode loopback; of CSR4 automatic stripping of pads.
_STATUS, _FEATURES, _EXTENDED, _MODE = 0, 4, 5, 15
_RXON, _RINT, _SPND, _LOOP, _STRIPS = 0x20, 0x400, 0x1, 0x4, 0x400


class FrameReader:
    """The receive ring of a chip, and the filter that frames for it must pass.

    Args:
        core: the chip's state.
        ring: its descriptors, four 32-bit words each; empty: none that can be filled here.
        message: which of them has MCNT.
        accept: the address filter.

    After each `read`: `filtered` frames were rejected; `size` is that of a frame which stands in the slot returned and
    fits no buffer with its FCS (it may have been cut), else 0. `silent` tells that the wire had no more.
    """

    def __init__(self, core: Any, ring: memoryview, message: int, accept: Any) -> None:
        slots = len(ring) // 4
        self.slots = slots
        self._core = core
        self._memory = core.memory
        self._octets = core.memory.octets
        self._accept = accept
        self._takes_own = accept.own >= 0  # -1: a filter that refuses its own address
        self._own = accept.own if accept.own >= 0 else 0
        self._mask = accept.own_mask
        self._room = _MAX_ROOM
        self._message = message
        self._take: Read | None = None
        self._fd = -1
        self.filtered = 0
        self.silent = False
        self.size = 0
        self._odd: list[tuple[int, int]] = []
        self._unlearnt = slots
        if slots:
            self._words = ring
            self._armed = memoryview(array("I", bytes(16 * slots)))
            self._counts = memoryview(array("I", bytes(4 * slots)))
            self._finished = memoryview(array("I", bytes(4 * slots)))
            self._starts = memoryview(array("I", bytes(4 * slots)))
            self._sizes = memoryview(array("I", bytes(4 * slots)))
            if not cython.compiled:
                self._quads = core.memory.quads
                self._views: list[memoryview] = [_ZEROS] * slots

    def learn(self, slot: int, start: int, size: int, finished: int) -> None:
        """The buffer of `slot` is `size` octets from offset `start` (8-byte aligned) on, as its descriptor now says.

        Args:
            finished: its status word, once it holds a frame for the own address.
        """
        self._unlearnt -= not self._sizes[slot]
        self._starts[slot] = start
        self._sizes[slot] = size
        self._finished[slot] = finished
        for word in range(4 * slot, 4 * slot + 4):
            self._armed[word] = self._words[word]
        self._room = min(self._room, size - FCS)
        if not cython.compiled:
            self._views[slot] = self._memory.octets[start : start + size]

    def view(self, slot: int) -> memoryview:
        """The whole buffer of `slot`."""
        start: int = self._starts[slot]
        view: memoryview = self._memory.octets[start : start + self._sizes[slot]]
        return view

    def armed(self, slot: int, end: int) -> int:
        """Descriptors `slot` up to the returned one are the card's, and armed as they were learnt."""
        if cython.compiled:
            while (
                slot < end
                and same_octets(cython.address(self._words[4 * slot]), cython.address(self._armed[4 * slot]), 16)
                and self._armed[4 * slot + 1] & _OWN
            ):
                slot += 1
            return slot
        if not self._unlearnt and self._words[4 * slot : 4 * end] == self._armed[4 * slot : 4 * end]:
            return end
        while slot < end:
            place = slice(4 * slot, 4 * slot + 4)
            if self._words[place] != self._armed[place] or not self._armed[4 * slot + 1] & _OWN:
                break
            slot += 1
        return slot

    def receiving(self) -> bool:
        """Whether the chip takes what comes and does nothing else to it (section 7 of the fact sheet)."""
        core, csr = self._core, self._core.csr
        return bool(
            self.slots
            and csr[_STATUS] & _RXON
            and not csr[_EXTENDED] & _SPND
            and not csr[_MODE] & _LOOP
            and not csr[_FEATURES] & _STRIPS
            and core.link_up
            and core.bus_master
        )

    def fill(self, take: Read, limit: int) -> int:
        """Read up to `limit` frames into what is armed at the chip's place in the ring, and give that back.

        Returns the frames read, filtered ones included. It ends early where the wire is silent, and where something
        wants more than is done here.

        Raises:
            OSError: the wire is broken. Frames that it gave before it broke are returned first: it will raise again.
        """
        core = self._core
        done = 0
        self.silent = False
        self.size = 0
        while done < limit and not self.silent and not self.size and self.receiving():
            length = core.rx_length
            first = length - core.rx_count
            end = self.armed(first, min(first + limit - done, length))
            if end == first:
                break
            slot = self.read(take, first, end, limit - done)
            stored = slot - first
            if stored:
                self._give_back(first, slot)
                core.rx_count = length - slot or length
                core.csr[_STATUS] |= _RINT
            tally = core.counters
            tally.stored += stored
            tally.read += stored + self.filtered
            if self.filtered:
                tally.filtered += self.filtered
            done += stored + self.filtered
        return done

    def read(self, take: Read, first: int, end: int, limit: int) -> int:
        """Read up to `limit` frames into the slots from `first` to before `end`, a rejected one's slot serving again.

        Returns the slot after the last one that was filled. Nothing is given back.

        Raises:
            OSError: as `fill`.
        """
        slot, filtered = first, 0
        self.silent = False
        self.size = 0
        self._odd = []
        if cython.compiled and take is not self._take:
            self._find(take)
        try:
            while limit > 0:
                limit -= 1
                start = self._starts[slot]
                if cython.compiled and self._fd >= 0:
                    size = read_frame(self._fd, cython.address(self._octets[start]), self._sizes[slot])
                    if size < 0:
                        if size != -_EAGAIN and slot == first and not filtered:
                            raise OSError(-size, os.strerror(-size))
                        size = 0
                elif cython.compiled and self._source != cython.NULL:
                    size = self._source.take(self._source.owner, cython.address(self._octets[start]), self._sizes[slot])
                elif cython.compiled:
                    size = take(self.view(slot)) or 0
                else:
                    size = take(self._views[slot]) or 0
                if size < MIN_FRAME:
                    if not size:
                        self.silent = True
                        break
                    if cython.compiled:
                        clear_octets(cython.address(self._octets[start + size]), MIN_FRAME - size)
                    else:
                        self._octets[start + size : start + MIN_FRAME] = _ZEROS[size:]
                    size = MIN_FRAME
                elif size > self._room:
                    self.size = size
                    break
                head = load64(cython.address(self._octets[start])) if cython.compiled else self._quads[start // 8]
                if head & self._mask != self._own or not self._takes_own:
                    flags = self._accept.match(self.view(slot))
                    if flags == REJECTED:
                        filtered += 1
                        continue
                    self._odd.append((slot, flags))
                self._counts[slot] = size + FCS
                slot += 1
                if slot == end:
                    break
        except OSError:
            if slot == first and not filtered:
                raise
            self.silent = True
        self.filtered = filtered
        return slot

    def _find(self, take: Read) -> None:
        """Find what `take` reads from; kept until it is another."""
        owner = getattr(take, "__self__", None)
        self._take = take
        self._fd = -1
        if cython.compiled:
            self._source = cython.NULL
            if type(owner) is io.FileIO:
                self._fd = owner.fileno()
            elif (capsule := getattr(owner, "c_source", None)) is not None:
                pointer = PyCapsule_GetPointer(capsule, "asyncnic.source")
                self._source = cython.cast(cython.pointer(Source), pointer)

    def _give_back(self, first: int, end: int) -> None:
        """Return descriptors: all words with MCNT, then all with OWN."""
        finished = self._finished
        usual = [(slot, finished[slot]) for slot, _ in self._odd]
        for slot, flags in self._odd:
            finished[slot] = finished[slot] & ~_MATCH | flags
        if cython.compiled:
            for slot in range(first, end):
                store32(cython.address(self._words[4 * slot + self._message]), self._counts[slot])
            for slot in range(first, end):
                store32(cython.address(self._words[4 * slot + 1]), self._finished[slot])
        else:
            self._words[4 * first + self._message : 4 * end : 4] = self._counts[first:end]
            self._words[4 * first + 1 : 4 * end : 4] = finished[first:end]
        for slot, word in usual:
            finished[slot] = word
