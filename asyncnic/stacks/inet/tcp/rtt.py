"""Round-trip time and retransmission time-out (RFC 6298). It reads no clock: samples come in.

Below the second that section 2.4 asks for, as every kernel does: a fifth of it, well above the peer's delayed ACK.
"""

INITIAL = 1.0
LEAST = 0.2
MOST = 60.0
_GRANULARITY = 0.001


class RoundTrip:
    """`smoothed` and `variation` are seconds; `smoothed` is 0 before the first sample."""

    __slots__ = ("_backed_off", "_plain", "smoothed", "variation")

    def __init__(self) -> None:
        self.smoothed = 0.0
        self.variation = 0.0
        self._plain = INITIAL
        self._backed_off = INITIAL

    @property
    def timeout(self) -> float:
        """Seconds until a retransmission."""
        return self._backed_off

    def sample(self, seconds: float) -> None:
        """A segment that was sent once only was acknowledged after so long (section 2; Karn's rule is the caller's)."""
        if self.smoothed:
            self.variation += (abs(self.smoothed - seconds) - self.variation) / 4
            self.smoothed += (seconds - self.smoothed) / 8
        else:
            self.smoothed, self.variation = max(seconds, 1e-6), seconds / 2
        self._plain = min(MOST, max(LEAST, self.smoothed + max(_GRANULARITY, 4 * self.variation)))
        self._backed_off = self._plain

    def back_off(self) -> None:
        """It timed out: wait twice as long (section 5.5)."""
        self._backed_off = min(MOST, self._backed_off * 2)

    def advance(self) -> None:
        """New data was acknowledged: the connection is not stuck, so no longer wait backed off."""
        self._backed_off = self._plain

    def after_handshake_loss(self) -> None:
        """The SYN was sent again: the time-out starts at 3 s for data (section 5.7)."""
        if not self.smoothed:
            self._plain = self._backed_off = 3.0
