"""The driver's walk of one receive ring: finished descriptors out, armed descriptors back, both in ring order.

Style 2 descriptors only, one 2048-octet buffer each. This is not the chip's side (model.py) and touches no register.
The walk is in bulk: the status words of many descriptors are one strided view, so a frame costs a comparison, no call.

What the driver may believe of a descriptor with OWN = 0 (fact sheet 6.1, 6.3, 7.3):

    STP and ENP, no ERR             a frame
    STP without ENP, ..., ENP       a frame in several buffers: put together in the scratch buffer
    ERR or BUFF, with or without    an error unit: counted, handed back
    none of ENP, ERR, BUFF          not finished, unless a later descriptor starts another frame (QEMU clears OWN first)
"""

from array import array
from dataclasses import dataclass

from asyncnic import hot
from asyncnic.pcnet32.descriptors import BUFF, CRC, ENP, ERR, FRAM, MCNT_MASK, OFLO, OWN, STP, byte_count, hand_over
from asyncnic.pcnet32.memory import DmaMemory

BUFFER_SIZE = 2048
MIN_FRAME = 60
FCS = 4
_FRAME = OWN | ERR | STP | ENP
_WHOLE = STP | ENP
_ENDED = ENP | ERR | BUFF
_MESSAGE = 2  # place of RMD2 in a descriptor of style 2


def whole_frames(words: memoryview, first: int, end: int, most: int) -> list[int]:
    """Lengths, without FCS, of the whole frames from descriptor `first` to before `end`, up to whatever is none.

    Args:
        words: the ring, four 32-bit words a descriptor (style 2).
        first, end: indices of descriptors.
        most: octets of the longest frame that is no error.
    """
    lengths = []
    status, counts = words[4 * first + 1 : 4 * end : 4].tolist(), words[4 * first + 2 : 4 * end : 4].tolist()
    for word, count in zip(status, counts, strict=True):
        length = (count & MCNT_MASK) - FCS
        if word & _FRAME != _WHOLE or not MIN_FRAME <= length <= most:
            break
        lengths.append(length)
    return lengths


_whole_frames = hot.choose(whole_frames)
_hand_over = hot.choose(hand_over)


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
        "_counts",
        "_head",
        "_in_use",
        "_max_frame",
        "_memory",
        "_offsets",
        "_scratch",
        "_span",
        "_status",
        "_words",
        "_zeros",
        "counters",
        "errors",
        "size",
    )

    def __init__(self, memory: DmaMemory, ring: int, buffers: int, scratch: int, size: int, max_frame: int) -> None:
        self._memory = memory
        self._scratch = scratch
        self._max_frame = max_frame
        self._offsets = [buffers + i * BUFFER_SIZE for i in range(size)]
        self._words = words = memory.words[ring // 4 : ring // 4 + 4 * size]
        self._bus = words[0::4]
        self._status = words[1::4]
        self._counts = words[2::4]
        self._zeros = memoryview(array("I", [0]) * size)
        self._armed = memoryview(array("I", [OWN | byte_count(BUFFER_SIZE)]) * size)
        self._head = 0
        self._in_use = False  # until it was armed once, what the memory holds is nobody's
        self.size = size
        self._span = 0  # descriptors of the frames last collected
        self._chained = False  # whether they are one frame
        self.counters = ReceiveCounters()
        self.errors = {"crc": 0, "framing": 0, "overflow": 0, "buffer": 0, "length": 0}

    def arm_all(self) -> None:
        """Hand every descriptor to the card and start over at the first, as after INIT.

        Finished units that stand in the ring are lost by it, which is counted.
        """
        if self._in_use:
            wiped = self.finished()
            self.counters.seen += wiped
            self.counters.reset += wiped
        self._in_use = True
        self._bus[:] = memoryview(array("I", [self._memory.bus + offset for offset in self._offsets]))
        self._counts[:] = self._zeros
        self._status[:] = self._armed
        self._head = 0
        self._span = 0

    def collect(self, limit: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths of up to `limit` finished frames, in order; nothing is handed back yet.

        Error units in front of them are counted and handed back at once. Frames never wrap over the ring's end: those
        behind it come with the next call.
        """
        for _ in range(self.size):  # a card that returns errors as fast as they are dropped must not hold us here
            head = self._head
            word = self._status[head]
            if word & OWN:
                return [], []
            lengths = _whole_frames(self._words, head, min(head + limit, self.size), self._max_frame)
            if lengths:
                self._span = count = len(lengths)
                self._chained = False
                return self._offsets[head : head + count], lengths
            if word & _FRAME == _WHOLE:
                self._drop_length((self._counts[head] & MCNT_MASK) - FCS)
                continue
            frame = self._exception()
            if frame is not None:
                return frame
        return [], []

    def leave(self, taken: int) -> None:
        """End the burst: hand the first `taken` of the frames last collected back. The rest is collected again."""
        if taken:
            self.counters.seen += taken
            self._hand_back(self._span if self._chained else taken)
        self._span = 0

    def filter_out(self) -> None:
        """Count the first frame last collected as filtered and hand it back."""
        self.counters.filtered += 1
        self.leave(1)

    def stands(self) -> bool:
        """Whether the descriptor at the head is no longer the card's."""
        return not self._status[self._head] & OWN

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
        if self._status == self._armed or self._span or not self._status[self._head] & OWN:
            return False
        for step in range(1, self.size):
            index = (self._head + step) & (self.size - 1)
            word = self._status[index]
            if not word & OWN and word & _ENDED:
                self._head = index
                self.counters.resyncs += 1
                return True
        return False

    def words(self) -> list[tuple[int, int, int]]:
        """(buffer address, RMD1, RMD2) of each descriptor, as they stand now."""
        return list(zip(self._bus.tolist(), self._status.tolist(), self._counts.tolist(), strict=True))

    @property
    def head(self) -> int:
        """Index of the descriptor that the walk looks at next."""
        return self._head

    def _hand_back(self, descriptors: int) -> None:
        """MCNT cleared, then OWN, each in ring order (fact sheet 6.3)."""
        head = self._head
        end = head + descriptors
        if end > self.size:
            self._hand_back(self.size - head)
            self._hand_back(end - self.size)
            return
        _hand_over(self._words, head, end, _MESSAGE, self._zeros, self._armed)
        self._head = end & (self.size - 1)

    def _drop_length(self, length: int) -> None:
        self.counters.seen += 1
        if length < MIN_FRAME:
            self.counters.length += 1
            self.errors["length"] += 1
        else:
            self.counters.oversize += 1
        self._hand_back(1)

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
            self.counters.no_start += 1
        else:
            frame = self._join(len(unit))
            if frame is not None:
                return frame
        self.counters.seen += 1
        self._hand_back(len(unit))
        return None

    def _unit(self) -> tuple[list[int], bool]:
        """Status words from the head to the end of what started there, and whether it has ended.

        A descriptor that starts another frame ends the one before it, which then lacks its end.
        """
        unit: list[int] = []
        for step in range(self.size):
            word = self._status[(self._head + step) & (self.size - 1)]
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
            self.counters.buffer += 1
            self.errors["buffer"] += 1
            return
        self.counters.error_descriptor += 1
        if word & OFLO and not word & ENP:
            self.errors["overflow"] += 1
        elif word & FRAM:
            self.errors["framing"] += 1
        elif word & CRC:
            self.errors["crc"] += 1

    def _join(self, descriptors: int) -> tuple[list[int], list[int]] | None:
        """Put a frame of several buffers together in the scratch buffer, or count why it cannot be."""
        last = (self._head + descriptors - 1) & (self.size - 1)
        total = self._counts[last] & MCNT_MASK
        length = total - FCS
        if length < MIN_FRAME or not (descriptors - 1) * BUFFER_SIZE < total <= descriptors * BUFFER_SIZE:
            self.counters.length += 1
            self.errors["length"] += 1
            return None
        if length > self._max_frame:
            self.counters.oversize += 1
            return None
        octets = self._memory.octets
        for step in range(descriptors):
            source = self._offsets[(self._head + step) & (self.size - 1)]
            done = step * BUFFER_SIZE
            part = max(0, min(BUFFER_SIZE, length - done))
            target = self._scratch + done
            octets[target : target + part] = octets[source : source + part]
        self._span = descriptors
        self._chained = True
        return [self._scratch], [length]
