"""Prefixes all of whose addresses are ours (--any), never enumerated, and none of them taken from another host.

On the link an address is asked for before it is answered for: who has it says so within a second (RFC 5227 section 2.1,
RFC 4862 section 5.4). What was found out is kept in bounded tables; what falls out of them is asked for again, so no
bound makes us claim what another host uses. Whoever comes with an address later has it: we yield. What is routed to us
needs none of this. Time is an argument, in seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.ratelimit import TokenBucket

Network = IPv4Network | IPv6Network

PROBES = 2
INTERVAL = 0.5
"""Between two questions, and from the last one to the answer for the address."""
FORGET = 600.0
"""An address of another host's that nobody heard of for so long is asked for again."""
_SOLICITED_NODE = b"\xff\x02" + bytes(9) + b"\x01\xff"

Answer = Callable[[], None]


@dataclass(frozen=True, slots=True)
class AnyHosts:
    """What is asked for: prefixes of both families, whose addresses are all ours.

    Attributes:
        networks: the prefixes.
        limit: local addresses that are remembered on the link, and that have a protocol each, at most.
        passive: nobody is answered on the link; what is routed to us is all that comes.
    """

    networks: tuple[Network, ...] = ()
    limit: int = 4096
    passive: bool = False


@dataclass(slots=True)
class _Question:
    due: float
    left: int
    answer: Answer


class Prefixes:
    """The prefixes of one family.

    Args:
        networks: the prefixes.
        limit: entries of each table.
        passive: see `AnyHosts`.
        totals: counts `hosts_probed`, `hosts_of_others` and `hosts_evicted`.

    `probe` asks the link for an address; whoever speaks ARP or ND sets it.
    """

    __slots__ = (
        "_asked",
        "_limit",
        "_masks",
        "_ours",
        "_passive",
        "_suspicions",
        "_theirs",
        "_totals",
        "networks",
        "probe",
    )

    def __init__(self, networks: Iterable[Network], limit: int, passive: bool, totals: Totals) -> None:
        self.networks = tuple(networks)
        self.probe: Callable[[bytes], None] = _say_nothing
        self._masks = [(int(network.network_address), int(network.netmask)) for network in self.networks]
        self._limit = limit
        self._passive = passive
        self._totals = totals
        self._asked: dict[bytes, _Question] = {}  # youngest last
        self._ours: dict[bytes, None] = {}  # last asked for last
        self._theirs: dict[bytes, float] = {}  # until when; last heard of last
        self._suspicions = TokenBucket()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, address: bytes) -> bool:
        """Whether an address is ours: in a prefix, and not known as another host's."""
        return self.covers(address) and address not in self._theirs

    def __len__(self) -> int:
        """Addresses that are remembered; at most three times the limit."""
        return len(self._asked) + len(self._ours) + len(self._theirs)

    def covers(self, address: bytes) -> bool:
        """Whether an address is in one of the prefixes."""
        number = int.from_bytes(address, "big")
        return any(number & mask == network for network, mask in self._masks)

    def solicits(self, group: bytes) -> bool:
        """Whether an IPv6 group is the one in which an address of ours is asked for (RFC 4291 section 2.7.1)."""
        low = int.from_bytes(group[13:], "big")
        return group.startswith(_SOLICITED_NODE) and any(
            (low ^ network) & mask & 0xFFFFFF == 0 for network, mask in self._masks
        )

    def asked(self, address: bytes, answer: Answer, now: float) -> bool:
        """Somebody on the link asks for an address that a prefix covers. True: answer; else `answer` may be called
        later, when nobody else has it.
        """
        if self._passive or address in self._theirs:
            return False
        if address in self._ours:
            self._ours[address] = self._ours.pop(address)
            return True
        known = self._asked.get(address)
        if known is not None:
            known.answer = answer
        else:
            self._ask(address, answer, now)
        return False

    def suspect(self, address: bytes, now: float) -> None:
        """A packet came from an address that a prefix covers: ask whether another host has it, but not too often."""
        if not self._passive and address not in self._asked and self._suspicions.take(now):
            self._ask(address, _say_nothing_more, now)

    def theirs(self, address: bytes, now: float) -> None:
        """Another host on the link uses an address that a prefix covers."""
        self._asked.pop(address, None)
        self._ours.pop(address, None)
        if self._theirs.pop(address, None) is None:
            self._totals.hosts_of_others += 1
            self._make_room(self._theirs)
        self._theirs[address] = now + FORGET

    def poll(self, now: float) -> float | None:
        """Ask again, answer for what nobody has, forget; when to come back."""
        for address, question in list(self._asked.items()):
            if question.due > now:
                continue
            if question.left:
                question.left, question.due = question.left - 1, now + INTERVAL
                self._totals.hosts_probed += 1
                self.probe(address)
            else:
                del self._asked[address]
                self._make_room(self._ours)
                self._ours[address] = None
                question.answer()
        while self._theirs and (first := next(iter(self._theirs.items())))[1] <= now:
            del self._theirs[first[0]]
        dues = [question.due for question in self._asked.values()]
        if self._theirs:
            dues.append(next(iter(self._theirs.values())))
        return min(dues, default=None)

    def _ask(self, address: bytes, answer: Answer, now: float) -> None:
        self._make_room(self._asked)
        self._asked[address] = _Question(now + INTERVAL, PROBES - 1, answer)
        self._totals.hosts_probed += 1
        self.probe(address)

    def _make_room(
        self, table: dict[bytes, object] | dict[bytes, _Question] | dict[bytes, None] | dict[bytes, float]
    ) -> None:
        if len(table) >= self._limit:
            del table[next(iter(table))]
            self._totals.hosts_evicted += 1


def _say_nothing(address: bytes) -> None:
    pass


def _say_nothing_more() -> None:
    pass
