# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""A lane's queue on the wire, and how its chip is filled from it.

One text, interpreted as it stands and compiled as `asyncnic.hot._queue`, with the C types of _queue.pxd. Where somebody
counts what waits in the queue, what is read is told, and nothing is read that is known not to be there: a look at an
empty queue, and the read that would find it empty after the last frame, are a system call each. It opens nothing, and
decides nothing of the queue's depth.
"""

from collections.abc import Callable
from typing import Any

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if not cython.compiled:
    from asyncnic.hot.reader import FrameReader

PATIENCE = 16
"""How many polls in a row may trust the count of waiting frames, which saves a system call when it is 0. Then the
queue is asked itself: frames from before the count began would never be found otherwise."""


class QueueReader:
    """Reads a queue into the receive ring of a chip in this process.

    Args:
        chip: whose ring it is.
        knobs: `overload` is read.
        observe: where waiting frames are counted: told of each poll's frames and whether the wire then was silent,
            unless both calls before and this one have nothing to say; returns whether the next has nothing to say
            either where it finds the wire silent.
        broken: makes of an error of the wire what is to be raised.

    Attributes:
        take: reads a frame off the wire (`asyncnic.hot.reader.Read`); None: there is no wire.
        trust: polls that may still believe the count.
    """

    def __init__(
        self,
        chip: Any,
        knobs: Any,
        observe: "Callable[[int, bool], bool]" = lambda taken, silent: True,
        broken: "Callable[[OSError], BaseException]" = lambda error: error,
    ) -> None:
        self._chip = chip
        self._unit = chip.receiver
        self._core = chip.core
        self._knobs = knobs
        self._observe = observe
        self._broken = broken
        self.take: Any = None
        self.trust = 0
        self._counted = False
        self._calm = True
        self._silent = False
        self._through = False

    def go_through(self, chip: Any) -> None:
        """From now on fill by `chip`, which stands for the one there was, alone."""
        self._chip = chip
        self._through = True

    def count_with(self, words: "memoryview | None", accepted: int = 0, left: int = 0) -> None:
        """From now on `words[accepted]` says what came into the queue, ever, and `words[left]` is told what left it;
        None: nobody counts.
        """
        self._counted = words is not None
        self._words: Any = words
        self._accepted = accepted
        self._left = left
        self.trust = 0
        self._calm = True

    def waiting(self) -> int:
        """Frames accepted into the queue and not read yet, as far as they are counted; below 0 after frames from before
        the count began.
        """
        return int(self._words[self._accepted]) - int(self._words[self._left])

    def poll(self, limit: int) -> int:
        """Let the chip take up to `limit` frames off the wire; frames stored or dropped. With overload "drain" it takes
        frames without a descriptor too, and counts MISS.

        Raises:
            BaseException: what `broken` makes of an error of the wire.
        """
        if self.take is None:
            return 0
        if self.trust and self._counted and self.waiting() <= 0:
            self.trust -= 1
            return 0
        try:
            taken = self._drain(limit) if self._knobs.overload == "drain" else self._fill(limit)
        except OSError as error:
            raise self._broken(error) from None
        if self._counted:
            self.trust = PATIENCE
            if not (self._silent and self._calm):
                self._calm = self._observe(taken, self._silent)
        return taken

    def _drain(self, limit: int) -> int:
        taken: int = self._chip.drain(self.take, limit)
        self._silent = self._chip.silent
        if taken and self._counted:
            self._words[self._left] += taken
        return taken

    def _fill(self, limit: int) -> int:
        """Fill what is armed; whatever else there is to do is the chip's own way's."""
        reader: FrameReader = self._unit.reader
        take, done = self.take, 0
        self._silent = False
        while done < limit:
            want = limit - done
            if self._counted:
                there = self.waiting()
                if there <= 0 and done:
                    break
                if 0 < there < want:
                    want = there
            got = 0 if self._through else reader.fill(take, want)
            if self._through:
                got = self._chip.fill(take, want)
                self._silent = self._chip.silent
            elif reader.size:
                self._unit.take_large()
                got += 1
            elif got < want and not reader.silent:
                got += self._chip.fill(take, want - got)
                self._silent = self._chip.silent
                want = got + 1
            else:
                self._silent = reader.silent
            if got and self._counted:
                self._words[self._left] += got
            done += got
            if self._silent or got < want:
                break
        if done and self._counted and self.waiting() <= 0:
            self._silent = True
        if done and not self._core.interrupt_line:  # what comes off the wire adds causes, and takes none away
            self._core.update_interrupt()
        return done
