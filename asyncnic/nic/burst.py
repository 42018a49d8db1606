"""A burst: received frames as a vector, valid until it is handed back.

A burst is the unit that stages hand each other: one piece of memory, and for each frame in it an offset and a
length in octets (without FCS). It is not a queue: the frames lie where the card put them, in order, and nothing is
copied. Whoever receives a burst says how many of its frames it has taken; the rest stays where it is and comes again
with the next burst. That is how a time budget ends a burst early without losing a frame.

People iterate: ``for frame in burst``. Stages on the hot path read `memory`, `offsets` and `lengths` themselves, and
keep `taken` true.
"""

from collections.abc import Callable, Iterator

Clock = Callable[[], float]


class Burst:
    """Frames that may be read until the burst is left.

    Args:
        memory: octets; frame ``i`` is ``memory[offsets[i] : offsets[i] + lengths[i]]``.
        offsets: where each frame starts, in octets.
        lengths: how long each frame is, in octets, Ethernet header included, FCS not.
        deadline: when to stop taking frames, on `clock`'s scale, in seconds.
        clock: monotonic seconds.

    `taken` counts the frames, from the first on, that the stack has taken. Iteration advances it before a frame is
    worked on, so that a frame whose handler raises counts as delivered: it was handed over. A burst that is left
    without a look at it counts as taken whole.
    """

    __slots__ = ("clock", "deadline", "lengths", "memory", "offsets", "taken")

    def __init__(
        self, memory: memoryview, offsets: list[int], lengths: list[int], deadline: float, clock: Clock
    ) -> None:
        self.memory = memory
        self.offsets = offsets
        self.lengths = lengths
        self.deadline = deadline
        self.clock = clock
        self.taken = 0

    def __len__(self) -> int:
        """Frames in the burst, taken or not."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the frames not yet taken, until the last one or the deadline."""
        memory, clock, deadline = self.memory, self.clock, self.deadline
        for start, length in zip(self.offsets[self.taken :], self.lengths[self.taken :], strict=True):
            self.taken += 1
            yield memory[start : start + length]
            if clock() >= deadline:
                return
