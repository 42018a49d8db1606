"""What an address of ours goes through: found unique, used, announced, lost to another host, tried again.

`AddressLife` is one address, a state machine without I/O: RFC 4862 section 5.4 (duplicate address detection) and RFC
5227 (announcements, defence) as one table. `Lives` are those of a family: it runs the timers and has ndp.py or arp.py
say what is to be said. IPv4 addresses skip the first state: they are configured, and used at once.
"""

from collections.abc import Callable
from enum import Enum, auto
from ipaddress import ip_address

from asyncnic.stacks.inet.addresses import Addresses
from asyncnic.stacks.inet.outcomes import Totals

INTERVAL = 1.0
"""Seconds between two probes, and from the last one to using the address (RFC 4861's RetransTimer)."""
ANNOUNCEMENTS = 2
ANNOUNCE_INTERVAL = 2.0
"""RFC 5227 section 1.1."""
DEFEND_INTERVAL = 10.0
"""An address is defended once in so many seconds (RFC 5227 section 2.4)."""
RETRY = 60.0
"""Seconds until an address that another host had is tried again: that host may be gone."""


class LifeState(Enum):
    """Where in its life an address is. The values are those of the metric."""

    TENTATIVE = "tentative"
    """Asked for; not used yet."""
    PREFERRED = "preferred"
    """In use."""
    DUPLICATE = "duplicate"
    """Another host's; not used."""


class Action(Enum):
    """What is to be said."""

    NOTHING = auto()
    PROBE = auto()
    ANNOUNCE = auto()
    DEFEND = auto()


class AddressLife:
    """One address.

    Args:
        probes: how often it is asked for before it is used; 0: it is used at once.
    """

    __slots__ = ("_defended", "_left", "_probes", "due", "state")

    def __init__(self, probes: int) -> None:
        self._probes = probes
        self._left = 0
        self._defended = float("-inf")
        self.state = LifeState.TENTATIVE if probes else LifeState.PREFERRED
        self.due: float | None = None

    def begin(self, now: float) -> Action:
        """The address was configured, or the link is back: nothing is known of it any more."""
        self.state, self._left = LifeState.TENTATIVE, self._probes
        return self.tick(now)

    def tick(self, now: float) -> Action:
        """`due` has come, and nobody has said a word."""
        if self.state is LifeState.DUPLICATE:
            return self.begin(now)
        if self.state is LifeState.TENTATIVE:
            if self._left:
                self._left -= 1
                self.due = now + INTERVAL
                return Action.PROBE
            self.state, self._left = LifeState.PREFERRED, ANNOUNCEMENTS
        self._left -= 1
        self.due = now + ANNOUNCE_INTERVAL if self._left else None
        return Action.ANNOUNCE

    def claimed(self, now: float) -> Action:
        """Another host says that the address is its own."""
        if self.state is LifeState.PREFERRED:
            if now - self._defended < DEFEND_INTERVAL:
                return Action.NOTHING
            self._defended = now
            return Action.DEFEND
        self.state, self.due = LifeState.DUPLICATE, now + RETRY
        return Action.NOTHING


Say = Callable[[bytes], None]
"""Say something about an address of ours, on the link."""
Changed = Callable[[str, str, str], None]
"""Told of an address as text, what became of it ("tentative", "preferred", "duplicate", "defended"), and the MAC
address of who claims it ("": nobody)."""


class Lives:
    """The lives of all addresses of a family.

    Args:
        addresses: ours; `usable` and `tentative` follow their states.
        probes: see `AddressLife`.
        probe, announce: say so on the link.
        totals: counts `duplicate_addresses`, `addresses_announced` and `addresses_lost`.
        changed: told of each change.
    """

    __slots__ = ("_addresses", "_announce", "_changed", "_claimants", "_lives", "_probe", "_totals")

    def __init__(
        self, addresses: Addresses, probes: int, probe: Say, announce: Say, totals: Totals, changed: Changed
    ) -> None:
        self._addresses = addresses
        self._probe = probe
        self._announce = announce
        self._totals = totals
        self._changed = changed
        self._lives = {address: AddressLife(probes) for address in (*addresses.usable, *addresses.tentative)}
        self._claimants: dict[bytes, str] = {}

    def begin(self, now: float) -> None:
        """The addresses were configured, or the link is back."""
        for address, life in self._lives.items():
            self._do(address, life, life.begin(now))

    def keep(self) -> None:
        """The addresses are others now, and somebody else keeps them: they are in use."""
        self._lives = {address: AddressLife(0) for address in self._addresses.usable}

    def claimed(self, address: bytes, mac: bytes, now: float) -> None:
        """The host at `mac` says that an address of ours is its own."""
        life = self._lives[address]
        was = life.state
        self._totals.duplicate_addresses += 1
        self._claimants[address] = mac.hex(":")
        action = life.claimed(now)
        if life.state is not was:
            self._totals.addresses_lost += 1
        self._do(address, life, action)

    def poll(self, now: float) -> float | None:
        """Run the timers that are due; when to come back."""
        for address, life in self._lives.items():
            if life.due is not None and life.due <= now:
                self._do(address, life, life.tick(now))
        return min((life.due for life in self._lives.values() if life.due is not None), default=None)

    def states(self) -> dict[str, str]:
        """Each address as text, and its state."""
        return {str(ip_address(address)): life.state.value for address, life in self._lives.items()}

    def trouble(self) -> str:
        """Which addresses are not in use although they are configured, in one line; empty: none."""
        lost = (address for address, life in self._lives.items() if life.state is LifeState.DUPLICATE)
        return "; ".join(f"address {ip_address(address)} is in use by {self._claimants[address]}" for address in lost)

    def _do(self, address: bytes, life: AddressLife, action: Action) -> None:
        moved = self._addresses.become(address, life.state is LifeState.PREFERRED, life.state is LifeState.TENTATIVE)
        if moved or action is Action.DEFEND:
            word = "defended" if action is Action.DEFEND else life.state.value
            claimant = (
                "" if life.state is LifeState.TENTATIVE or action is Action.ANNOUNCE else self._claimants[address]
            )
            self._changed(str(ip_address(address)), word, claimant)
        if action is Action.PROBE:
            self._probe(address)
        elif action is not Action.NOTHING:
            self._totals.addresses_announced += 1
            self._announce(address)
