"""A timer as a descriptor (timerfd_create(2)), for event loops whose own timers know milliseconds only.

What is done at a tick is its owner's.
"""

import ctypes
import os
import time

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_NANO = 1_000_000_000


_libc = ctypes.CDLL(None, use_errno=True)


class _Setting(ctypes.Structure):
    """struct itimerspec on 64-bit machines: interval and first expiry, each seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Ticker:
    """Its descriptor `fd` is readable from each tick until it is consumed.

    Raises:
        OSError: there are no descriptors left.
    """

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def every(self, seconds: float) -> None:
        """Tick in `seconds`, and so on; 0: no more. A tick that was not consumed is forgotten."""
        whole, part = divmod(round(seconds * _NANO), _NANO)
        setting = _Setting(whole, part, whole, part)
        _libc.timerfd_settime(self.fd, 0, ctypes.byref(setting), None)

    def consume(self) -> bool:
        """Make it unreadable until the next tick. Whether there was one."""
        try:
            return bool(os.read(self.fd, 8))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Let go of it. Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
