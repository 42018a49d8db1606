"""The burst in the form that runs (hot/burst.py says what it is), and what is asked of one that was handed out."""

from typing import TYPE_CHECKING

from asyncnic import hot
from asyncnic.errors import TakenError
from asyncnic.hot import burst

if TYPE_CHECKING:
    from asyncnic.hot.burst import Burst, Clock, check_taken, frames_taken
else:
    Burst = hot.choose(burst.Burst)
    Clock = burst.Clock
    frames_taken = hot.choose(burst.frames_taken)
    check_taken = hot.choose(burst.check_taken)

__all__ = ["Burst", "Clock", "TakenError", "check_taken", "frames_taken"]
