"""The end of the process: asked for by a signal, and reached within a bound, whatever the stack does.

A stack may swallow its cancellation, leave threads behind or never give the event loop back. So the signal is heard by
Python itself and not by the loop, and from then on an alarm runs: when it rings, the process says what it knows and is
gone. Nothing of this happens on a way that ends by itself, and what blocks inside a library without looking at signals
cannot be ended from here.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """The bound of one process's end.

    Args:
        seconds: from the request to the end; whoever knows better sets it.

    Attributes:
        code: the exit code if the alarm rings.
        grace: seconds that it may go on serving before that, at the first request.
        last_words: what must be said on stderr before the end, and has not been said yet.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.code = 1
        self.grace = 0.0
        self.last_words: Callable[[], str] | None = None
        self._begun = False

    def ask(self) -> None:
        """The process is to end, after its grace: from now on the alarm runs. Asked again, there is none."""
        grace, self.grace = self.grace, 0.0
        if grace:
            self._set(self.seconds + grace)
        else:
            self.begin()

    def begin(self) -> None:
        """The process is to end: it serves no longer. Once."""
        if not self._begun:
            self._begun = True
            self._set(self.seconds)

    def over(self) -> None:
        """It has ended by itself."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _set(self, seconds: float) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self._say("the process does not end by itself: a stack holds it up, and it is ended now\n")
        if self.last_words is not None:
            with contextlib.suppress(Exception):
                self._say(self.last_words() + "\n")
        os._exit(self.code)

    def _say(self, text: str) -> None:
        """Without stderr's buffer, which may be what holds us up, and without waiting for whoever reads it."""
        with contextlib.suppress(OSError):
            os.set_blocking(sys.stderr.fileno(), False)
            os.write(sys.stderr.fileno(), text.encode())


@contextlib.contextmanager
def heard(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `stop` while the body runs, between any two steps of the main thread's Python code."""
    before = {number: signal.signal(number, lambda *_: stop()) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
