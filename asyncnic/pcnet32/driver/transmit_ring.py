"""The driver's side of the transmit ring: frames in, returned descriptors reaped, both in ring order.

One buffer a frame, copied into DMA memory and padded to the 60 octets that every chip and emulator agrees on (fact
sheet 8.2). It writes no register: `Driver.kick` tells the card to look.
"""

from dataclasses import dataclass

from asyncnic import hot
from asyncnic.hot.transmit import BUFFER_SIZE, TransmitSlots
from asyncnic.pcnet32.descriptors import TMD2_BUFF, TMD2_LCAR, TMD2_LCOL, TMD2_RTRY, TMD2_UFLO
from asyncnic.pcnet32.memory import DmaMemory

_TransmitSlots = hot.choose(TransmitSlots)
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

    __slots__ = ("_ring", "_words", "errors", "size", "slots")

    def __init__(self, memory: DmaMemory, ring: int, buffers: int, size: int) -> None:
        self._words = memory.words
        self._ring = ring // 4
        self.slots = _TransmitSlots(memory.octets, memory.words, memory.bus, ring // 4, buffers, size)
        self.size = size
        self.errors = {"underflow": 0, "late_collision": 0, "carrier": 0, "retry": 0, "ring_full": 0, "oversize": 0}

    def disarm_all(self) -> None:
        """Take every descriptor back and start over at the first, as after INIT.

        What was not sent counts as `carrier`.
        """
        self.reap()
        self.errors["carrier"] += self.slots.pending
        self.slots.disarm_all()

    def put(self, frame: bytes | bytearray | memoryview) -> bool:
        """Copy `frame` (14 octets or more, no FCS) into the next descriptor and give it to the card.

        False: not taken. That it is oversize is counted; that there is no room its sender counts, who may try again.
        """
        if len(frame) > BUFFER_SIZE:
            self.errors["oversize"] += 1
            return False
        if not self.slots.room() and not self.reap():
            return False
        return self.slots.put(frame)

    def reap(self) -> int:
        """Take back what the card has returned, and count how it fared. Returns the descriptors taken back."""
        slots = self.slots
        reaped = slots.reap()
        while (errors := slots.failed()) >= 0:
            self.errors[next((name for name, bits in _ERRORS if errors & bits), "carrier")] += 1
            reaped += 1 + slots.reap()
        return reaped

    @property
    def counters(self) -> TransmitCounters:
        """The frames that left, as far as they were reaped."""
        return TransmitCounters(self.slots.frames, self.slots.octets_sent)

    @property
    def pending(self) -> int:
        """Descriptors that the card owns, or has returned and nobody reaped yet."""
        return self.slots.pending

    @property
    def room(self) -> int:
        """Frames that `put` takes now without reaping."""
        return self.slots.room()

    def words(self) -> list[tuple[int, int, int]]:
        """(buffer address, TMD1, TMD2) of each descriptor, as they stand now."""
        ring = self._words[self._ring : self._ring + 4 * self.size].tolist()
        return list(zip(ring[0::4], ring[1::4], ring[2::4], strict=True))
