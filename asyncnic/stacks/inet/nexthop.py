"""Which MAC address a packet goes to: a group's, a neighbour's, a gateway's, or that of the router it answers through.

Not a routing table: one gateway a family, and without it only answers leave the link.
"""

from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.addresses import Addresses, is_multicast
from asyncnic.stacks.inet.ethernet import BROADCAST, Link, multicast_mac
from asyncnic.stacks.inet.neighbours import Neighbours, Solicit
from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.packet import Sent

LIMIT = 1024
UNKNOWN = bytes(6)
"""The destination of what the device is to have routed by the kernel, which keeps the addresses."""


class _Held:
    """A router that is not to be forgotten, None while it is not known, and for how many."""

    __slots__ = ("count", "mac")

    def __init__(self, mac: bytes | None) -> None:
        self.mac = mac
        self.count = 0


class NextHops:
    """Sends finished packets of one family.

    Args:
        link: where frames go.
        kind: the family's EtherType.
        addresses: ours: what is on the link.
        gateway: 4 or 16 octets; None: packets for hosts off the link go to the router that last brought one of theirs.
        solicit: asks for a neighbour's MAC address.
        totals: counts `no_route`.
        changed: told when a next hop may be another one from now on.
        kept: nobody is asked for his MAC address: packets go where the last one from there came from, or to `UNKNOWN`.
    """

    __slots__ = (
        "_addresses",
        "_gateway",
        "_held",
        "_kept",
        "_kind",
        "_link",
        "_totals",
        "_via",
        "changed",
        "neighbours",
    )

    def __init__(
        self,
        link: Link,
        kind: int,
        addresses: Addresses,
        gateway: bytes | None,
        solicit: Solicit,
        totals: Totals,
        changed: Callable[[], None] = lambda: None,
        kept: bool = False,
    ) -> None:
        self._kept = kept
        self._link = link
        self._kind = kind
        self._addresses = addresses
        self._gateway = gateway
        self._totals = totals
        self._via: dict[bytes, bytes] = {}
        self._held: dict[bytes, _Held] = {}
        self.changed = changed
        self.neighbours = Neighbours(solicit, self._transmit, totals, changed=changed)

    def __len__(self) -> int:
        """Hosts off the link whose router is remembered; bounded by `LIMIT`, those apart that are held."""
        return len(self._via)

    def heard(self, source: bytes, mac: bytes) -> None:
        """A packet for us came from `source` by way of `mac`: remember that for hosts off the link."""
        if not self._kept and (self._gateway is not None or self._addresses.on_link(source)):
            return
        held = self._held.get(source)
        if held is not None:
            if held.mac != mac:
                held.mac = mac
                self.changed()
            return
        if self._via.pop(source, mac) != mac:
            self.changed()
        if len(self._via) >= LIMIT:
            del self._via[next(iter(self._via))]
        self._via[source] = mac

    def hold(self, target: bytes) -> None:
        """Somebody has business with `target` that lasts: the router to it is not forgotten for others' sake until it
        is released as often.
        """
        held = self._held.get(target)
        if held is None:
            held = self._held[target] = _Held(self._via.pop(target, None))
        held.count += 1

    def release(self, target: bytes) -> None:
        """The business of one `hold` is over."""
        held = self._held[target]
        held.count -= 1
        if not held.count:
            del self._held[target]
            if held.mac is not None:
                self.heard(target, held.mac)

    def _router(self, target: bytes) -> bytes | None:
        """The MAC address of the router that last brought a packet of `target`'s."""
        held = self._held.get(target)
        return self._via.get(target) if held is None else held.mac

    def send(self, target: bytes, packets: Sequence[bytes], now: float) -> Sent:
        """Send packets that belong together (fragments of one datagram) towards `target`."""
        mac: bytes | None
        if is_multicast(target):
            mac = multicast_mac(target)
        elif self._addresses.is_broadcast(target):
            mac = BROADCAST
        elif self._addresses.has(target):
            mac = None  # there is no loopback here
        elif self._kept:
            mac = self._router(target) or UNKNOWN
        elif self._addresses.on_link(target):
            return Sent.TAKEN if self.neighbours.send(target, packets, now) else Sent.FULL
        elif self._gateway is not None:
            return Sent.TAKEN if self.neighbours.send(self._gateway, packets, now) else Sent.FULL
        else:
            mac = self._router(target)
        if mac is None:
            self._totals.no_route += 1
            return Sent.NO_ROUTE
        return Sent.TAKEN if self._transmit(mac, packets) else Sent.FULL

    def link_header(self, target: bytes) -> bytes | None:
        """Ethernet header of what is sent to one other host, as far as its next hop is known; asks nobody."""
        mac: bytes | None = None
        if not is_multicast(target) and not self._addresses.is_broadcast(target):
            if self._kept:
                mac = self._router(target)
            elif self._addresses.on_link(target):
                mac = self.neighbours.lookup(target)
            elif self._gateway is not None:
                mac = self.neighbours.lookup(self._gateway)
            else:
                mac = self._router(target)
        return None if mac is None else self._link.header(mac, self._kind)

    def _transmit(self, mac: bytes, packets: Sequence[bytes]) -> bool:
        return self._link.transmit(mac, self._kind, packets)
