"""Which MAC address a neighbour has: the cache that ARP and neighbour discovery share. Not a routing table.

The states of RFC 4861 section 7.3.2, simplified: an entry without a MAC address is INCOMPLETE; one with it is used at
once, is REACHABLE while young, and when used later is probed (DELAY is left out) while its address goes on being used
until the probes stay unanswered. Time is an argument, in seconds.
"""

from collections import deque
from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.outcomes import Totals

LIMIT = 512
SHARE = 8
"""Who has not answered may have one entry of so many, and those that nobody else needs."""
PENDING = 256
"""Datagrams that wait for one address; the oldest makes room (RFC 1122 section 2.3.2.2 asks for one at least). As many
as a client may have asked for before its first answer."""
ALL_PENDING = 1024
"""Datagrams that wait for any address."""
REACHABLE = 30.0
RETRANSMIT = 1.0
ATTEMPTS = 3
FORGET = 600.0
"""An entry that nobody heard of for so long goes."""

Solicit = Callable[[bytes, bytes | None], None]
"""Ask for an address: everybody, or (a MAC address given) only the one who had it."""
Transmit = Callable[[bytes, Sequence[bytes]], bool]
"""Packets that belong together, to a MAC address; False when there is no room."""


class _Entry:
    __slots__ = ("asked", "heard", "mac", "pending", "retry")

    def __init__(self, now: float) -> None:
        self.mac: bytes | None = None
        self.heard = now
        self.asked = 0
        self.retry: float | None = None
        self.pending: deque[Sequence[bytes]] = deque()


class Neighbours:
    """A bounded cache.

    When it is full, whoever does not answer goes first, the oldest before others, as long as those are more than their
    share (RFC 6583 section 7.1): a sweep over addresses that nobody has costs no neighbour its place. Then goes the
    neighbour that was neither heard of nor sent to for longest, so that none in use is pushed out by newcomers.

    Args:
        solicit: sends a request for an address.
        transmit: sends what waited for an address.
        totals: counts `unresolved` and `neighbours_evicted`.
        limit: entries.
        changed: told when an address is no longer where it was.
    """

    __slots__ = ("_asked", "_changed", "_known", "_limit", "_pending", "_solicit", "_totals", "_transmit")

    def __init__(
        self,
        solicit: Solicit,
        transmit: Transmit,
        totals: Totals,
        limit: int = LIMIT,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._solicit = solicit
        self._transmit = transmit
        self._totals = totals
        self._limit = limit
        self._pending = 0
        self._changed = changed
        self._known: dict[bytes, _Entry] = {}  # with a MAC address, last used last
        self._asked: dict[bytes, _Entry] = {}  # without one, youngest last

    def __len__(self) -> int:
        """Entries, resolved or not."""
        return len(self._known) + len(self._asked)

    def pending(self) -> int:
        """Datagrams that wait for an answer; at most `ALL_PENDING`."""
        return self._pending

    def lookup(self, address: bytes) -> bytes | None:
        """MAC address of `address` as far as known; asks nobody."""
        entry = self._known.get(address)
        return entry.mac if entry else None

    def send(self, address: bytes, packets: Sequence[bytes], now: float) -> bool:
        """Send packets that belong together to a neighbour, now or when it has answered; False: there is no room."""
        entry = self._known.pop(address, None)
        if entry is not None and entry.mac is not None:
            self._known[address] = entry
            if entry.retry is None and now - entry.heard > REACHABLE:
                self._ask(address, entry, now)
            return self._transmit(entry.mac, packets)
        entry = self._asked.get(address)
        if entry is None:
            self._make_room()
            entry = self._asked[address] = _Entry(now)
        if len(entry.pending) == PENDING or (entry.pending and self._pending == ALL_PENDING):
            entry.pending.popleft()
            self._pending -= 1
            self._totals.unresolved += 1
        if self._pending < ALL_PENDING:
            entry.pending.append(packets)
            self._pending += 1
        else:
            self._totals.unresolved += 1
        if entry.retry is None:
            self._ask(address, entry, now)
        return True

    def learn(self, address: bytes, mac: bytes, now: float, create: bool = False) -> None:
        """An address was heard of: refresh it, send what waited for it; unknown ones only enter with `create`."""
        entry = self._known.pop(address, None) or self._asked.pop(address, None)
        if entry is None:
            if not create:
                return
            self._make_room()
            entry = _Entry(now)
        self._known[address] = entry
        if entry.mac not in (None, mac):
            self._changed()
        entry.mac, entry.heard, entry.retry, entry.asked = mac, now, None, 0
        waited = len(entry.pending)
        for _ in range(waited):
            if not self._transmit(mac, entry.pending.popleft()):
                self._totals.unresolved += 1
        self._pending -= waited

    def poll(self, now: float) -> float | None:
        """Ask again, give up, forget; when to come back, None when nothing is kept."""
        due: float | None = None
        for entries in (self._asked, self._known):
            for address, entry in list(entries.items()):
                if entry.retry is not None and entry.retry <= now:
                    if entry.asked >= ATTEMPTS:
                        self._drop(entries, address)
                        continue
                    self._ask(address, entry, now)
                elif entry.retry is None and entry.heard + FORGET <= now:
                    self._drop(entries, address)
                    continue
                when = entry.retry if entry.retry is not None else entry.heard + FORGET
                due = when if due is None else min(due, when)
        return due

    def _make_room(self) -> None:
        if len(self) < self._limit:
            return
        self._totals.neighbours_evicted += 1
        entries = self._asked if len(self._asked) > self._limit // SHARE or not self._known else self._known
        self._drop(entries, next(iter(entries)))

    def _ask(self, address: bytes, entry: _Entry, now: float) -> None:
        entry.asked += 1
        entry.retry = now + RETRANSMIT
        self._solicit(address, entry.mac)

    def _drop(self, entries: dict[bytes, _Entry], address: bytes) -> None:
        entry = entries.pop(address)
        if entry.mac is not None:
            self._changed()
        self._pending -= len(entry.pending)
        self._totals.unresolved += len(entry.pending)
