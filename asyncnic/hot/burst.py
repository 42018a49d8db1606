# cython: language_level=3, boundscheck=False, wraparound=False
# cython: annotation_typing=False
"""A burst: received frames as a vector, valid until it is handed back.

A burst is the unit that stages hand each other: one piece of memory, and for each frame in it an offset and a
length in octets (without FCS). It is not a queue: the frames lie where the card put them, in order, and nothing is
copied. Whoever receives a burst says how many of its frames it has taken; the rest stays where it is and comes again
with the next burst. That is how a time budget ends a burst early without losing a frame.

People iterate: ``for frame in burst``. Stages on the hot path read `memory`, `offsets` and `lengths` themselves, and
keep `taken` true. One text, interpreted as it stands and compiled as `asyncnic.hot._burst`.
"""

from collections.abc import Callable, Iterator

from asyncnic.errors import TakenError

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
    worked on, so that a frame whose handler raises counts as delivered: it was handed over. A burst of which nothing
    was said, since nobody iterated it or set `taken`, counts as taken whole when the next one is asked for, and as not
    taken at all when its stack failed or the nic was closed; `said` tells which it is.

    `ends` is where a stack may say how a frame ended that was not simply delivered: by its place in the burst, one of a
    closed set of words. The recorder of heads reads it. `paused` is how long the stack waited with the burst in hand,
    in seconds.
    """

    def __init__(
        self, memory: memoryview, offsets: list[int], lengths: list[int], deadline: float, clock: Clock
    ) -> None:
        self.memory = memory
        self.offsets = offsets
        self.lengths = lengths
        self.deadline = deadline
        self.clock = clock
        self.said = False
        self.ends: dict[int, str] = {}
        self.paused = 0.0
        self._taken = 0

    @property
    def taken(self) -> int:
        """Frames, from the first on, that the stack has taken."""
        return self._taken

    @taken.setter
    def taken(self, frames: int) -> None:
        self._taken = frames
        self.said = True

    def pause(self, seconds: float) -> None:
        """Its stack has waited so long for somebody else: that is no time of the burst's, so its end is put off."""
        self.paused += seconds
        self.deadline += seconds

    def narrowed(self, frames: int) -> "Burst":
        """A burst of the first `frames` of those that are not taken, with the same end. It is not handed back: what is
        taken of it is said by `took`.
        """
        first, last = self._taken, self._taken + frames
        return Burst(self.memory, self.offsets[first:last], self.lengths[first:last], self.deadline, self.clock)

    def took(self, part: "Burst") -> None:
        """What is said of the burst that `narrowed` has made last holds for this one."""
        self.ends.update({self._taken + place: word for place, word in part.ends.items()})
        self.taken += part.taken

    def __len__(self) -> int:
        """Frames in the burst, taken or not."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[memoryview]:
        """Yield the frames not yet taken, until the last one or the deadline."""
        memory, clock, deadline = self.memory, self.clock, self.deadline
        self.said = True
        for start, length in zip(self.offsets[self._taken :], self.lengths[self._taken :], strict=True):
            self._taken += 1
            yield memory[start : start + length]
            if clock() >= deadline:
                return


def frames_taken(burst: Burst, count: int, unsaid: int = 0) -> int:
    """Frames of a burst of `count` that were taken: `unsaid` where the stack has said nothing, and all of them where
    it says what cannot be, since all were handed over.
    """
    if not burst.said:
        return unsaid
    taken: object = burst.taken
    return taken if isinstance(taken, int) and 0 <= taken <= count else count


def check_taken(burst: Burst, count: int) -> None:
    """Hold a stack to what it says of a burst of `count` frames.

    Raises:
        TakenError: `taken` is no number of frames of that burst.
    """
    taken: object = burst.taken
    if not isinstance(taken, int):
        raise TakenError(f"burst.taken is a {type(taken).__name__}: it must be a number of frames")
    if not 0 <= taken <= count:
        raise TakenError(f"burst.taken is {'negative' if taken < 0 else 'too high'}: the burst has {count} frames")
