"""Frames off the wire, straight into the buffers of armed descriptors: the loop that every received frame passes.

It knows buffers by their slot in the ring and nothing of descriptors, registers or chips: model_receive.py says which
slots are armed, and writes their words from what is found here. asyncnic/hot/_compiled.pyx has this class again in C;
`asyncnic.hot` chooses.
"""

from array import array
from collections.abc import Callable

from asyncnic.pcnet32.address_filter import REJECTED, AddressFilter
from asyncnic.pcnet32.memory import DmaMemory

Read = Callable[[memoryview], int | None]
"""Fills a buffer with one frame and returns its octets, or None (or 0) when there is none: `FileIO.readinto` of a
TAP.
"""

MIN_FRAME = 60  # octets without FCS; shorter ones are padded, since a TAP has no minimum
FCS = 4
_MAX_ROOM = 4092
_ZEROS = memoryview(bytes(MIN_FRAME))


class DirectReader:
    """The buffers of a ring of `slots` descriptors in `memory`, and the filter that frames for them must pass.

    After each `read`: `filtered` frames were rejected; `silent` tells that the wire had no more; `size` is that of a
    frame which stands in the slot returned and fits no buffer with its FCS (it may have been cut), else 0; `odd` has
    slot and flags of the frames that were accepted, but not for the own address.
    """

    __slots__ = (
        "_accept",
        "_heads",
        "_memory",
        "_quads",
        "_room",
        "_views",
        "counts",
        "filtered",
        "odd",
        "silent",
        "size",
    )

    def __init__(self, memory: DmaMemory, slots: int, accept: AddressFilter) -> None:
        self._memory = memory
        self._quads = memory.quads
        self._accept = accept
        self._views: list[memoryview] = [_ZEROS] * slots
        self._heads = [0] * slots
        self._room = _MAX_ROOM
        self.counts = memoryview(array("I", bytes(4 * slots)))
        """MCNT of each slot: octets with FCS."""
        self.filtered = 0
        self.silent = False
        self.size = 0
        self.odd: list[tuple[int, int]] = []

    def learn(self, slot: int, start: int, size: int) -> None:
        """The buffer of `slot` is `size` octets from offset `start` (8-byte aligned) on."""
        self._views[slot] = self._memory.octets[start : start + size]
        self._heads[slot] = start // 8
        self._room = min(self._room, size - FCS)

    def view(self, slot: int) -> memoryview:
        """The whole buffer of `slot`."""
        return self._views[slot]

    def read(self, read: Read, first: int, end: int, limit: int) -> int:
        """Read up to `limit` frames into the slots from `first` to before `end`, a rejected one's slot serving again.

        Returns the slot after the last one that was filled.

        Raises:
            OSError: the wire is broken. Frames that it gave before it broke are returned first: it will raise again.
        """
        views, heads, counts, quads, room = self._views, self._heads, self.counts, self._quads, self._room
        accept = self._accept
        own, mask, match = accept.own, accept.own_mask, accept.match
        odd: list[tuple[int, int]] = []
        slot, filtered = first, 0
        self.silent = False
        self.size = 0
        try:
            for _ in range(limit):
                view = views[slot]
                size = read(view) or 0
                if size < MIN_FRAME:
                    if not size:
                        self.silent = True
                        break
                    view[size:MIN_FRAME] = _ZEROS[size:]
                    size = MIN_FRAME
                elif size > room:
                    self.size = size
                    break
                if quads[heads[slot]] & mask != own:
                    flags = match(view)
                    if flags == REJECTED:
                        filtered += 1
                        continue
                    odd.append((slot, flags))
                counts[slot] = size + FCS
                slot += 1
                if slot == end:
                    break
        except OSError:
            if slot == first and not filtered:
                raise
            self.silent = True
        self.filtered = filtered
        self.odd = odd
        return slot
