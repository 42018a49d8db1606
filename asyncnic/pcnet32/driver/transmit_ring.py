"""The driver's side of the transmit ring: frames in, returned descriptors reaped, both in ring order.

One buffer a frame, copied into DMA memory and padded to the 60 octets that every chip and emulator agrees on (fact
sheet 8.2). It writes no register: `Driver.kick` tells the card to look.
"""

from dataclasses import dataclass

from asyncnic.pcnet32.descriptors import (
    ADD_FCS,
    BCNT_MASK,
    ENP,
    ERR,
    ONES,
    OWN,
    STP,
    TMD2_BUFF,
    TMD2_LCAR,
    TMD2_LCOL,
    TMD2_RTRY,
    TMD2_UFLO,
)
from asyncnic.pcnet32.memory import DmaMemory

BUFFER_SIZE = 2048
MIN_FRAME = 60
_SEND = OWN | ADD_FCS | STP | ENP | ONES
_ZEROS = bytes(MIN_FRAME)
_ERRORS = (
    ("underflow", TMD2_UFLO | TMD2_BUFF),
    ("late_collision", TMD2_LCOL),
    ("carrier", TMD2_LCAR),
    ("retry", TMD2_RTRY),
)


@dataclass(slots=True)
class TransmitCounters:
    """Frames that left, and their octets without padding and FCS. Monotonic."""

    frames: int = 0
    octets: int = 0


class TransmitRing:
    """One transmit ring and its buffers.

    Args:
        memory: where they lie.
        ring: offset of the ring, 16-byte aligned.
        buffers: offset of `size` buffers of 2048 octets.
        size: descriptors, a power of two from 1 to 512. One stays free, so that the card never meets an all-owned ring
            (fact sheet 8.5), but for a ring of one.

    `errors` counts frames that did not leave, by reason: a reason of TMD2, `ring_full`, or `oversize`.
    `ring_full` is counted by whoever drops a frame for want of room.
    """

    __slots__ = (
        "_bus",
        "_capacity",
        "_head",
        "_lengths",
        "_octets",
        "_offsets",
        "_pending",
        "_ring",
        "_words",
        "counters",
        "errors",
        "size",
    )

    def __init__(self, memory: DmaMemory, ring: int, buffers: int, size: int) -> None:
        self._octets = memory.octets
        self._words = memory.words
        self._bus = memory.bus
        self._ring = ring // 4
        self._offsets = [buffers + i * BUFFER_SIZE for i in range(size)]
        self._lengths = [0] * size
        self._capacity = max(1, size - 1)
        self._head = 0  # the next descriptor to fill
        self._pending = 0  # descriptors given to the card and not reaped
        self.size = size
        self.counters = TransmitCounters()
        self.errors = {"underflow": 0, "late_collision": 0, "carrier": 0, "retry": 0, "ring_full": 0, "oversize": 0}

    def disarm_all(self) -> None:
        """Take every descriptor back and start over at the first, as after INIT.

        What was not sent counts as `carrier`.
        """
        self.reap()
        self.errors["carrier"] += self._pending
        for i, offset in enumerate(self._offsets):
            word = self._ring + 4 * i
            self._words[word] = self._bus + offset
            self._words[word + 1] = ONES
            self._words[word + 2] = 0
        self._head = self._pending = 0

    def put(self, frame: bytes | bytearray | memoryview) -> bool:
        """Copy `frame` (14 octets or more, no FCS) into the next descriptor and give it to the card.

        False: not taken. That it is oversize is counted; that there is no room its sender counts, who may try again.
        """
        length = len(frame)
        if length > BUFFER_SIZE:
            self.errors["oversize"] += 1
            return False
        if self._pending == self._capacity and not self.reap():
            return False
        index = self._head
        offset = self._offsets[index]
        self._octets[offset : offset + length] = frame
        self._lengths[index] = length
        if length < MIN_FRAME:
            self._octets[offset + length : offset + MIN_FRAME] = _ZEROS[length:]
            length = MIN_FRAME
        word = self._ring + 4 * index
        self._words[word + 2] = 0
        self._words[word + 1] = _SEND | -length & BCNT_MASK
        self._head = (index + 1) & (self.size - 1)
        self._pending += 1
        return True

    def reap(self) -> int:
        """Take back what the card has returned, and count how it fared. Returns the descriptors taken back."""
        reaped = 0
        while self._pending:
            index = (self._head - self._pending) & (self.size - 1)
            word = self._ring + 4 * index
            status = self._words[word + 1]
            if status & OWN:
                break
            if status & ERR:
                errors = self._words[word + 2]
                self.errors[next((name for name, bits in _ERRORS if errors & bits), "carrier")] += 1
            else:
                self.counters.frames += 1
                self.counters.octets += self._lengths[index]
            self._pending -= 1
            reaped += 1
        return reaped

    @property
    def pending(self) -> int:
        """Descriptors that the card owns, or has returned and nobody reaped yet."""
        return self._pending

    @property
    def room(self) -> int:
        """Frames that `put` takes now without reaping."""
        return self._capacity - self._pending

    def words(self) -> list[tuple[int, int, int]]:
        """(buffer address, TMD1, TMD2) of each descriptor, as they stand now."""
        ring = self._words[self._ring : self._ring + 4 * self.size].tolist()
        return list(zip(ring[0::4], ring[1::4], ring[2::4], strict=True))
