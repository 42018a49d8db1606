"""The timers of a connection: their names, and one table of deadlines. What they do when due is the connection's."""

from enum import IntEnum

NEVER = float("inf")


class Timer(IntEnum):
    """One line each."""

    RETRANSMIT = 0
    """Something sent was not acknowledged (RFC 6298)."""
    PERSIST = 1
    """The peer's window stays closed: probe it (RFC 9293 section 3.8.6.1)."""
    DELAYED_ACK = 2
    """Something received was not acknowledged yet (RFC 9293 section 3.8.6.3)."""
    KEEP_ALIVE = 3
    """Nothing was heard for long (RFC 9293 section 3.8.4)."""
    TWO_MSL = 4
    """TIME-WAIT, or FIN-WAIT-2 without a user, is over."""


class Timers:
    """Deadlines in monotonic seconds; NEVER where a timer is not set."""

    __slots__ = ("deadlines",)

    def __init__(self) -> None:
        self.deadlines = [NEVER] * len(Timer)

    def next(self) -> float:
        """When the first one is due."""
        return min(self.deadlines)

    def is_set(self, timer: Timer) -> bool:
        """Whether it runs."""
        return self.deadlines[timer] != NEVER

    def set(self, timer: Timer, when: float) -> None:
        """Start it, or start it anew."""
        self.deadlines[timer] = when

    def stop(self, timer: Timer) -> None:
        """It will not become due."""
        self.deadlines[timer] = NEVER

    def stop_all(self) -> None:
        """None will."""
        self.deadlines = [NEVER] * len(Timer)

    def due(self, now: float) -> list[Timer]:
        """Those that are due; they are stopped."""
        found = [timer for timer in Timer if self.deadlines[timer] <= now]
        for timer in found:
            self.deadlines[timer] = NEVER
        return found
