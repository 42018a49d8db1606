"""How deep a lane's queue on the wire should be, from what it is drained at. Pure: time is an argument.

A deep queue absorbs bursts and the pauses of a shared machine; in lasting overload it only makes every frame old,
since a frame then waits for all those before it. So the depth follows the load: all of it as long as the wire loses
nothing, and where it overflows on and on no more than what is delivered within the target age. That the wire is never
silent is no overload: clients that wait for answers keep it busy for ever and never send more than it holds. It counts
frames and sets nothing: the device does.
"""

OVERLOAD_SECONDS = 0.02
"""A wire that has not been silent for so long, and overflowed meanwhile, is overloaded. Longer than the pauses that a
busy machine puts into a process which keeps up on the whole: those are what the depth is for."""
LEAST = 64
"""Frames: a burst must find a full ring of work."""


class DepthControl:
    """The depth of one lane's queue, and what it is derived from."""

    __slots__ = ("_frames", "_overflowed", "_window_start", "depth")

    def __init__(self) -> None:
        self._window_start: float | None = None  # set by the first look that finds the wire not silent
        self._frames = 0
        self._overflowed = 0
        self.depth: int | None = None
        """Frames that may wait, in overload; None: as many as there is room for."""

    def calm(self, silent: bool) -> bool:
        """Whether a look that found the wire `silent` has nothing to say: it was so before, and the depth is all."""
        return silent and self._window_start is None

    def observe(self, now: float, frames: int, silent: bool, overflowed: int, target_age: float) -> bool:
        """Note that `frames` were read at `now`, and whether the wire then had no more. True when `depth` has changed.

        Args:
            overflowed: frames that found the queue full, ever; frames that are lost are what shortens it.
            target_age: the longest that a frame shall wait in overload, in seconds; 0 leaves the depth alone.
        """
        before = self.depth
        if silent or target_age <= 0.0:
            self._window_start = self.depth = None
            return before is not None
        if self._window_start is None:
            self._begin(now, overflowed)
            return False
        self._frames += frames
        elapsed = now - self._window_start
        if elapsed < OVERLOAD_SECONDS:
            return False
        if overflowed == self._overflowed:
            self.depth = None
        else:
            self.depth = max(LEAST, round(self._frames / elapsed * target_age))
        self._begin(now, overflowed)
        return self.depth != before

    def _begin(self, now: float, overflowed: int) -> None:
        """Begin another window."""
        self._window_start, self._frames, self._overflowed = now, 0, overflowed
