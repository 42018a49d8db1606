"""New Reno's congestion control (RFC 5681, and RFC 6582 as to when recovery ends). The recovery itself is sender.py."""

from asyncnic.stacks.inet.tcp.congestion import UNLIMITED, initial_window


class NewReno:
    """See `Congestion`."""

    __slots__ = ("_counted", "_mss", "_prior", "name", "threshold", "window")

    def __init__(self, mss: int) -> None:
        self.name = "newreno"
        self._mss = mss
        self.window = initial_window(mss)
        self.threshold = UNLIMITED
        self._counted = 0
        self._prior: tuple[int, int] | None = None

    def resize(self, mss: int) -> None:
        """See `Congestion`."""
        self.window = max(mss, self.window * mss // self._mss)
        self._mss = mss

    def acknowledged(self, octets: int, now: float, round_trip: float) -> None:
        """Slow start, then one segment a window (appropriate byte counting, RFC 3465, with L of 2)."""
        if self.window < self.threshold:
            self.window += min(octets, 2 * self._mss)
            return
        self._counted += octets
        if self._counted >= self.window:
            self._counted -= self.window
            self.window += self._mss

    def lost(self, flight: int, now: float) -> None:
        """See `Congestion`; RFC 5681 section 3.2."""
        self._prior = self.window, self.threshold
        self.threshold = max(flight // 2, 2 * self._mss)
        self.window = self.threshold

    def timed_out(self, flight: int, now: float) -> None:
        """See `Congestion`; RFC 5681 section 3.1."""
        self.lost(flight, now)
        self.collapse()

    def collapse(self) -> None:
        """See `Congestion`."""
        self.window = self._mss
        self._counted = 0

    def recovered(self, flight: int) -> None:
        """See `Congestion`; RFC 6582 section 3.2 step 3, so that no burst follows."""
        self.window = min(self.threshold, max(flight, self._mss) + self._mss)

    def undo(self) -> None:
        """See `Congestion`."""
        if self._prior is not None:
            window, self.threshold = self._prior
            self.window = max(window, self.window)
            self._prior = None
