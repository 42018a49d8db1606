"""How many errors a second this host sends (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f). Not per peer.

An exact limit that all peers share is a way to ask which ports are open: forge as many questions as it allows, and see
by one's own whether all of them were answered (CVE-2020-25705). So an error takes more or less of it, by chance.
"""

import random
from collections.abc import Callable

RATE = 100.0
BURST = 50.0


class TokenBucket:
    """Allows `burst` events at once and `rate` a second in the long run. Time is an argument, in seconds.

    Args:
        cost: what an event takes, 1 on the average; None: exactly that.
    """

    __slots__ = ("_burst", "_cost", "_rate", "_then", "_tokens")

    def __init__(self, rate: float = RATE, burst: float = BURST, cost: Callable[[], float] | None = None) -> None:
        self._cost = cost
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
        self._tokens -= 1 if self._cost is None else self._cost()
        return True


def by_chance() -> float:
    """Between 0 and 2, 1 on the average."""
    return random.uniform(0, 2)
