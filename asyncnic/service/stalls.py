"""Notices an event loop that stands still, and says where: once for each time, while it lasts.

A thread looks; the loop only says from time to time that it turns. It ends nothing and repairs nothing: a stack or a
protocol that does not give the loop back is its author's to mend, and the stack trace is what they need.
"""

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self

from asyncnic.logs import fields

log = logging.getLogger(__name__)

_LOOKS = 4
"""Looks at the loop in one timeout."""
_FRAMES = 12
"""Frames of a stack that are told, the innermost first."""


class StallWatch:
    """Watches the event loop of the thread that makes it, from `with` on; 0 seconds: nobody watches.

    Args:
        seconds: how long the loop may not turn.
        told: called, from another thread, when it has not for longer.

    Attributes:
        turned: when the loop last said that it turns, in monotonic seconds; whoever runs on the loop sets it.
    """

    def __init__(self, seconds: float, told: Callable[[], None]) -> None:
        self.turned = time.monotonic()
        self._seconds = seconds
        self._told = told
        self._loops_thread = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="asyncnic stalls", daemon=True)

    def __enter__(self) -> Self:
        if self._seconds:
            self.turned = time.monotonic()
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._seconds:
            self._thread.join()

    def _watch(self) -> None:
        reported = 0.0
        while not self._over.wait(self._seconds / _LOOKS):
            turned = self.turned
            if time.monotonic() - turned > self._seconds and turned != reported:
                reported = turned
                self._told()
                log.error("the event loop stands still", extra=fields(longer_than=self._seconds, where=self._where()))

    def _where(self) -> str:
        """Where the loop's thread is, the innermost frame first, in one line."""
        frame = sys._current_frames().get(self._loops_thread)
        if frame is None:
            return "its thread has ended"
        stack = traceback.extract_stack(frame)[-_FRAMES:]
        return " < ".join(f"{one.filename.rpartition('/')[2]}:{one.lineno} {one.name}" for one in reversed(stack))
