"""What is announced of a service by BGP, and at what cost: decided here from what it says of itself, said by ExaBGP.

Lines of ExaBGP's text API come out of readings of /api/v1/stats. A service that is ready has its addresses announced;
one that is not (it drains, its device is lost, it does not answer) has them withdrawn; one that drops frames is
announced at a higher MED, so that routers which compare it prefer others. No BGP and no waiting is here. Times in
seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

CALM_SECONDS = 10.0
"""MED goes back when nothing was dropped for so long."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How routes are announced.

    Attributes:
        routes: prefixes; none: the addresses that the service has in use.
        next_hop: an address, or "self": this end of the BGP session.
        med: the metric of a service that drops nothing.
        overload_med: of one whose drops grow.
    """

    routes: tuple[str, ...] = ()
    next_hop: str = "self"
    med: int = 100
    overload_med: int = 1000


@dataclass(slots=True)
class Announcer:
    """Says what must be said so that routers know what the last reading said.

    Args:
        terms: what is announced.
    """

    terms: Terms
    announced: dict[str, int] = field(default_factory=dict)
    """Route to MED, as the routers know them."""
    _dropped: int | None = None
    _calm_from: float = float("-inf")

    def read(self, stats: Mapping[str, Any] | None, now: float) -> list[str]:
        """The lines to say after a reading; None: the service does not answer."""
        if stats is None or not stats["ready"]:
            return self._become({})
        dropped = sum(stats["dropped"].values())
        if self._dropped is not None and dropped > self._dropped:
            self._calm_from = now + CALM_SECONDS
        self._dropped = dropped
        med = self.terms.overload_med if now < self._calm_from else self.terms.med
        return self._become(dict.fromkeys(self.terms.routes or own_routes(stats["addresses"]), med))

    def _become(self, wanted: dict[str, int]) -> list[str]:
        hop = self.terms.next_hop
        gone = [f"withdraw route {route} next-hop {hop}" for route in self.announced if route not in wanted]
        new = [
            f"announce route {route} next-hop {hop} med {med}"
            for route, med in wanted.items()
            if self.announced.get(route) != med
        ]
        self.announced = wanted
        return [*gone, *new]


def own_routes(addresses: Mapping[str, str]) -> Sequence[str]:
    """The routes to the addresses that a service has in use, and that are known beyond its link."""
    nets = [ip_network(address) for address, state in addresses.items() if state == "preferred"]
    return [str(net) for net in nets if not ip_address(net.network_address).is_link_local]
