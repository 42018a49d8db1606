"""How many errors a second this host sends (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f). Not per peer."""

RATE = 100.0
BURST = 50.0


class TokenBucket:
    """Allows `burst` events at once and `rate` a second in the long run. Time is an argument, in seconds."""

    __slots__ = ("_burst", "_rate", "_then", "_tokens")

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._then = float("-inf")

    def take(self, now: float) -> bool:
        """Whether one more event is allowed now."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._then) * self._rate)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
