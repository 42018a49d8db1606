"""CUBIC (RFC 9438), the default. Section numbers below are its. The recovery itself is sender.py.

Left out: HyStart++ (RFC 9406).
"""

from asyncnic.stacks.inet.tcp.congestion import UNLIMITED, initial_window

C = 0.4
BETA = 0.7
_ALPHA = 3 * (1 - BETA) / (1 + BETA)


class Cubic:
    """See `Congestion`. Inside, windows are segments, as in the RFC."""

    __slots__ = ("_epoch", "_estimate", "_k", "_largest", "_mss", "_prior", "_window", "name", "threshold", "window")

    def __init__(self, mss: int) -> None:
        self.name = "cubic"
        self._mss = mss
        self.window = initial_window(mss)
        self.threshold = UNLIMITED
        self._window = self.window / mss
        self._largest = 0.0  # W_max
        self._k = 0.0
        self._epoch: float | None = None
        self._estimate = 0.0  # W_est
        self._prior: tuple[int, int, float, float, float | None] | None = None

    def resize(self, mss: int) -> None:
        """See `Congestion`."""
        self._mss = mss
        self.window = max(mss, round(self._window * mss))

    def acknowledged(self, octets: int, now: float, round_trip: float) -> None:
        """Slow start, then the larger of the cubic and of what Reno would have (sections 4.2 to 4.5)."""
        if self.window < self.threshold:
            self.window += octets
            self._window = self.window / self._mss
            return
        segments = octets / self._mss
        if self._epoch is None:
            self._epoch = now
            self._estimate = self._window
            self._largest = max(self._largest, self._window)
            self._k = ((self._largest - self._window) / C) ** (1 / 3)
        elapsed = now - self._epoch
        alpha = _ALPHA if self._estimate < self._largest else 1.0
        self._estimate += alpha * segments / self._window
        cubic = C * (elapsed - self._k) ** 3 + self._largest
        if cubic < self._estimate:
            self._window = max(self._window, self._estimate)
        else:
            target = C * (elapsed + round_trip - self._k) ** 3 + self._largest
            target = min(max(target, self._window), 1.5 * self._window)
            self._window += (target - self._window) / self._window * segments
        self.window = int(self._window * self._mss)

    def lost(self, flight: int, now: float) -> None:
        """Multiplicative decrease and fast convergence (sections 4.6 and 4.7)."""
        self._prior = self.window, self.threshold, self._largest, self._k, self._epoch
        segments = self._window
        self._largest = segments * (1 + BETA) / 2 if segments < self._largest else segments
        self.threshold = max(int(flight * BETA), 2 * self._mss)
        self.window = self.threshold
        self._window = self.window / self._mss
        self._epoch = None

    def timed_out(self, flight: int, now: float) -> None:
        """See `Congestion`; section 4.8."""
        self.lost(flight, now)
        self.collapse()

    def collapse(self) -> None:
        """See `Congestion`."""
        self.window = self._mss
        self._window = 1.0
        self._epoch = None

    def recovered(self, flight: int) -> None:
        """See `Congestion`."""
        self.window = min(self.threshold, max(flight, self._mss) + self._mss)
        self._window = self.window / self._mss

    def undo(self) -> None:
        """See `Congestion`; section 4.9."""
        if self._prior is not None:
            window, self.threshold, self._largest, self._k, self._epoch = self._prior
            self.window = max(window, self.window)
            self._window = self.window / self._mss
            self._prior = None
