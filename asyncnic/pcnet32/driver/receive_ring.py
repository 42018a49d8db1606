"""The driver's walk of one receive ring: finished descriptors out, armed descriptors back, both in ring order.

Style 2 descriptors only, one 2048-octet buffer each. This is not the chip's side (model.py) and touches no register.
Whole frames, one descriptor each, are walked in bulk (hot/ring.py); what else may stand there is here.

What the driver may believe of a descriptor with OWN = 0 (fact sheet 6.1, 6.3, 7.3):

    STP and ENP, no ERR             a frame
    STP without ENP, ..., ENP       a frame in several buffers: put together in the scratch buffer
    ERR or BUFF, with or without    an error unit: counted, handed back
    none of ENP, ERR, BUFF          not finished, unless a later descriptor starts another frame (QEMU clears OWN first)
"""

from array import array
from dataclasses import dataclass

from asyncnic import hot
from asyncnic.hot.ring import ReceiveSlots
from asyncnic.pcnet32.descriptors import BUFF, CRC, ENP, ERR, FRAM, MCNT_MASK, OFLO, OWN, STP, byte_count
from asyncnic.pcnet32.memory import DmaMemory

BUFFER_SIZE = 2048
MIN_FRAME = 60
FCS = 4
_FRAME = OWN | ERR | STP | ENP
_WHOLE = STP | ENP
_ENDED = ENP | ERR | BUFF


_ReceiveSlots = hot.choose(ReceiveSlots)


@dataclass(slots=True)
class ReceiveCounters:
    """Frames, but for `resyncs`. Monotonic: a reset of the chip does not reset them."""

    seen: int = 0
    """Units (frames, and errors in a frame's place) that the walk has passed."""
    error_descriptor: int = 0
    """Lost: ERR for a fault of the wire (FCS, framing, FIFO overflow) or the bus."""
    buffer: int = 0
    """Lost: BUFF, the card ran out of descriptors inside the frame."""
    length: int = 0
    """Lost: a length that no frame has."""
    no_start: int = 0
    """Lost: no STP where a frame must start, or a frame that never ended."""
    oversize: int = 0
    """Lost: longer than the largest frame."""
    reset: int = 0
    """Lost: they stood in the ring when the chip was reset."""
    source_limit: int = 0
    """Lost: more than one source may send; the owner of the ring says so."""
    filtered: int = 0
    """Not for us, where the driver filters in the card's place."""
    resyncs: int = 0
    """Times that the walk followed the card over descriptors which it had jumped."""


class ReceiveRing:
    """One ring, its buffers, and how far the driver has come.

    Args:
        memory: where ring, buffers and scratch lie.
        ring: offset of the ring, 16-byte aligned.
        buffers: offset of `size` buffers of 2048 octets.
        scratch: offset of room for one frame of `max_frame` octets that came in several buffers.
        size: descriptors, a power of two from 1 to 512.
        max_frame: octets of the largest frame that is not oversize, without FCS.

    Each unit that the walk passes ends in exactly one place: taken (`leave`), or a loss in `ReceiveCounters`.
    """

    __slots__ = (
        "_armed",
        "_bus",
        "_chained",
        "_counters",
        "_counts",
        "_in_use",
        "_max_frame",
        "_memory",
        "_offsets",
        "_scratch",
        "_status",
        "_zeros",
        "errors",
        "size",
        "slots",
    )

    def __init__(self, memory: DmaMemory, ring: int, buffers: int, scratch: int, size: int, max_frame: int) -> None:
        self._memory = memory
        self._scratch = scratch
        self._max_frame = max_frame
        self._offsets = [buffers + i * BUFFER_SIZE for i in range(size)]
        words = memory.words[ring // 4 : ring // 4 + 4 * size]
        self._bus = words[0::4]
        self._status = words[1::4]
        self._counts = words[2::4]
        self._zeros = memoryview(array("I", [0]) * size)
        armed = OWN | byte_count(BUFFER_SIZE)
        self._armed = memoryview(array("I", [armed]) * size)
        self.slots = _ReceiveSlots(words, self._offsets, armed, max_frame)
        self._in_use = False  # until it was armed once, what the memory holds is nobody's
        self.size = size
        self._chained = 0  # descriptors of the frame last collected, where it has several
        self._counters = ReceiveCounters()
        self.errors = {"crc": 0, "framing": 0, "overflow": 0, "buffer": 0, "length": 0}

    def arm_all(self) -> None:
        """Hand every descriptor to the card and start over at the first, as after INIT.

        Finished units that stand in the ring are lost by it, which is counted.
        """
        if self._in_use:
            wiped = self.finished()
            self.slots.seen += wiped
            self._counters.reset += wiped
        self._in_use = True
        self._bus[:] = memoryview(array("I", [self._memory.bus + offset for offset in self._offsets]))
        self._counts[:] = self._zeros
        self._status[:] = self._armed
        self.slots.head = self.slots.span = self._chained = 0

    @property
    def counters(self) -> ReceiveCounters:
        """What the walk has passed, and what it lost."""
        self._counters.seen = self.slots.seen
        return self._counters

    def collect(self, limit: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths of up to `limit` finished frames, in order; nothing is handed back yet.

        Error units in front of them are counted and handed back at once. Frames never wrap over the ring's end: those
        behind it come with the next call.
        """
        slots = self.slots
        for _ in range(self.size):  # a card that returns errors as fast as they are dropped must not hold us here
            self._chained = 0
            found = slots.collect(limit)
            if slots.span or not slots.stands():
                return found
            if self._status[slots.head] & _FRAME == _WHOLE:
                self._drop_length((self._counts[slots.head] & MCNT_MASK) - FCS)
                continue
            frame = self._exception()
            if frame is not None:
                return frame
        return [], []

    def leave(self, taken: int) -> None:
        """End the burst: hand the first `taken` of the frames last collected back. The rest is collected again."""
        if self._chained and taken:
            self.slots.seen += 1
            self.slots.hand_back(self._chained)
            taken = 0
        self._chained = 0
        self.slots.leave(taken)

    def filter_out(self) -> None:
        """Count the first frame last collected as filtered and hand it back."""
        self._counters.filtered += 1
        self.leave(1)

    def finished(self) -> int:
        """Finished units in the ring: what `collect` will find, with what the burst in hand has not handed back."""
        return sum(1 for word in self._status.tolist() if not word & OWN and word & _ENDED)

    def card_descriptors(self) -> int:
        """Descriptors that the card owns now."""
        return sum(1 for word in self._status.tolist() if word & OWN)

    def resync(self) -> bool:
        """Follow a card that jumped descriptors: move the head to the first finished one. True when it moved.

        QEMU's chip does that after its ring was full (fact sheet 11, Q6). What it jumped is armed and stays the card's.
        """
        slots = self.slots
        if self._status == self._armed or slots.span or slots.stands():
            return False
        for step in range(1, self.size):
            index = (slots.head + step) & (self.size - 1)
            word = self._status[index]
            if not word & OWN and word & _ENDED:
                slots.head = index
                self._counters.resyncs += 1
                return True
        return False

    def words(self) -> list[tuple[int, int, int]]:
        """(buffer address, RMD1, RMD2) of each descriptor, as they stand now."""
        return list(zip(self._bus.tolist(), self._status.tolist(), self._counts.tolist(), strict=True))

    @property
    def head(self) -> int:
        """Index of the descriptor that the walk looks at next."""
        return self.slots.head

    def _drop_length(self, length: int) -> None:
        self.slots.seen += 1
        if length < MIN_FRAME:
            self._counters.length += 1
            self.errors["length"] += 1
        else:
            self._counters.oversize += 1
        self.slots.hand_back(1)

    def _exception(self) -> tuple[list[int], list[int]] | None:
        """Deal with what stands at the head and is no whole frame.

        Returns a chained frame, two empty lists where the card has not finished, or None when something was dropped.
        """
        unit, ended = self._unit()
        if not ended:
            return [], []
        first, last = unit[0], unit[-1]
        if last & (ERR | BUFF):
            self._count_error(last)
        elif not (first & STP and last & ENP):
            self._counters.no_start += 1
        else:
            frame = self._join(len(unit))
            if frame is not None:
                return frame
        self.slots.seen += 1
        self.slots.hand_back(len(unit))
        return None

    def _unit(self) -> tuple[list[int], bool]:
        """Status words from the head to the end of what started there, and whether it has ended.

        A descriptor that starts another frame ends the one before it, which then lacks its end.
        """
        unit: list[int] = []
        for step in range(self.size):
            word = self._status[(self.slots.head + step) & (self.size - 1)]
            if word & OWN:
                return unit, False
            if unit and word & STP:
                return unit, True
            unit.append(word)
            if word & _ENDED:
                return unit, True
        return unit, True

    def _count_error(self, word: int) -> None:
        if word & BUFF:
            self._counters.buffer += 1
            self.errors["buffer"] += 1
            return
        self._counters.error_descriptor += 1
        if word & OFLO and not word & ENP:
            self.errors["overflow"] += 1
        elif word & FRAM:
            self.errors["framing"] += 1
        elif word & CRC:
            self.errors["crc"] += 1

    def _join(self, descriptors: int) -> tuple[list[int], list[int]] | None:
        """Put a frame of several buffers together in the scratch buffer, or count why it cannot be."""
        last = (self.slots.head + descriptors - 1) & (self.size - 1)
        total = self._counts[last] & MCNT_MASK
        length = total - FCS
        if length < MIN_FRAME or not (descriptors - 1) * BUFFER_SIZE < total <= descriptors * BUFFER_SIZE:
            self._counters.length += 1
            self.errors["length"] += 1
            return None
        if length > self._max_frame:
            self._counters.oversize += 1
            return None
        octets = self._memory.octets
        for step in range(descriptors):
            source = self._offsets[(self.slots.head + step) & (self.size - 1)]
            done = step * BUFFER_SIZE
            part = max(0, min(BUFFER_SIZE, length - done))
            target = self._scratch + done
            octets[target : target + part] = octets[source : source + part]
        self._chained = descriptors
        self.slots.span = 1
        return [self._scratch], [length]
