"""Handshakes that wait for their last ACK: little is kept of each, and no buffers. When the table is full, nothing is.

A SYN that was answered is answered again a few times. What a full table does not take is answered by a SYN cookie
(cookies.py), never by a reset.
"""

from asyncnic.stacks.inet.tcp.options import Options
from asyncnic.stacks.inet.tcp.timers import NEVER

RETRIES = 5
FIRST = 1.0


class HalfOpen:
    """What a SYN said, and what we answered. Numbers, not positions."""

    __slots__ = ("due", "irs", "iss", "options", "port", "tries")

    def __init__(self, irs: int, iss: int, options: Options, port: tuple[bytes, int], now: float) -> None:
        self.irs = irs
        self.iss = iss
        self.options = options
        self.port = port
        """Of the listener that it is for."""
        self.tries = 0
        self.due = now + FIRST


class HalfOpens:
    """A bounded table of them by connection key."""

    __slots__ = ("_due", "entries", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: dict[bytes, HalfOpen] = {}
        self._due = NEVER

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return len(self.entries) >= self.limit

    @property
    def due(self) -> float:
        """When `expired` has something to do, or earlier."""
        return self._due

    def add(self, key: bytes, entry: HalfOpen) -> None:
        """Keep `entry`; there is room."""
        self.entries[key] = entry
        self._due = min(self._due, entry.due)

    def drop(self, port: tuple[bytes, int]) -> None:
        """A listener is gone, and with it its handshakes."""
        for key in [key for key, entry in self.entries.items() if entry.port == port]:
            del self.entries[key]

    def expired(self, now: float) -> list[bytes]:
        """Keys of those to be answered again; those that were answered often enough are forgotten."""
        if now < self._due:
            return []
        again = []
        self._due = NEVER
        for key, entry in list(self.entries.items()):
            if entry.due <= now:
                if entry.tries >= RETRIES:
                    del self.entries[key]
                    continue
                entry.tries += 1
                entry.due = now + FIRST * (1 << entry.tries)
                again.append(key)
            self._due = min(self._due, entry.due)
        return again
