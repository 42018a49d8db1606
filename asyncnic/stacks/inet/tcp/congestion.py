"""What a congestion control is told and what it says: the interface, and what all of them share. No recovery here.

The sender (sender.py) finds losses and decides what goes again; a congestion control only says how much may be in
flight. All quantities are octets, all times monotonic seconds.
"""

from typing import Protocol

INITIAL_SEGMENTS = 10
"""RFC 6928."""
UNLIMITED = 1 << 40


class Congestion(Protocol):
    """One connection's congestion control."""

    name: str
    window: int
    """cwnd: octets that may be in flight."""
    threshold: int
    """ssthresh: below it the window doubles a round trip."""

    def resize(self, mss: int) -> None:
        """The maximum segment size is now `mss`."""

    def acknowledged(self, octets: int, now: float, round_trip: float) -> None:
        """`octets` were newly acknowledged while the window was what limited us; not in fast recovery."""

    def lost(self, flight: int, now: float) -> None:
        """A loss was found by duplicate or selective ACKs, with so much in flight. Once a window of data."""

    def timed_out(self, flight: int, now: float) -> None:
        """The retransmission timer ran out; the first time for this data."""

    def collapse(self) -> None:
        """It ran out again: one segment at a time."""

    def recovered(self, flight: int) -> None:
        """Everything that was in flight when a loss was found is acknowledged."""

    def undo(self) -> None:
        """The last `lost` or `timed_out` was none: nothing had been lost."""


def initial_window(mss: int) -> int:
    """RFC 6928 section 2."""
    return min(INITIAL_SEGMENTS * mss, max(2 * mss, 14600))
