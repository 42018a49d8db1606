"""The IPv6 half of a host, wired: neighbour discovery, IPv6, ICMPv6. Only wiring and timers."""

from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.addresses import Addresses, Interface, is_link_local, link_local
from asyncnic.stacks.inet.ethernet import IPV6, Link
from asyncnic.stacks.inet.icmpv6 import Icmpv6
from asyncnic.stacks.inet.ipv6 import Ipv6
from asyncnic.stacks.inet.life import Changed, Lives
from asyncnic.stacks.inet.mld import Mld
from asyncnic.stacks.inet.ndp import Ndp
from asyncnic.stacks.inet.nexthop import NextHops
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMPV6, TCP, UDP, Packet
from asyncnic.stacks.inet.prefixes import Prefixes
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.udp import Udp


class Host6:
    """IPv6 on one link. Without addresses it takes nothing and says nothing.

    Args:
        link: where frames go.
        interfaces: IPv6 addresses with their prefixes; where there is one, a link-local address is added to them.
        gateway: 16 octets, or None.
        mtu: of the link, octets.
        udp, tcp: run on top.
        totals: counts what is not a frame's end.
        transmits: solicitations by which an address is found unique before it is used.
        changed: see `Lives`.
        kept: see `keeper` of `Inet`.
        prefixes: all of whose addresses are ours besides.
        moved: told when packets may go, or come from, elsewhere from now on.
    """

    __slots__ = ("_icmp", "_ip", "_kept", "_mld", "_ndp", "addresses", "hops", "lives", "prefixes")

    def __init__(
        self,
        link: Link,
        interfaces: Sequence[Interface],
        gateway: bytes | None,
        mtu: int,
        udp: Udp,
        tcp: Tcp,
        totals: Totals,
        transmits: int,
        changed: Changed,
        kept: bool,
        prefixes: Prefixes,
        moved: Callable[[], None],
    ) -> None:
        self._kept = kept
        own = list(interfaces)
        if (own or prefixes) and not kept and not any(is_link_local(interface.packed) for interface in own):
            own.insert(0, link_local(link.mac))
        self.addresses = Addresses(own, not kept, gateway, prefixes)
        self.addresses.on_change = moved
        self.prefixes = prefixes
        self._ndp = Ndp(link, self.addresses, self._claimed)
        prefixes.probe = self._ndp.probe
        self._mld = Mld(link, self.addresses)
        self.lives = Lives(
            self.addresses, 0 if kept else transmits, self._ndp.probe, self._ndp.announce, totals, changed
        )
        self.hops = NextHops(link, IPV6, self.addresses, gateway, self._ndp.solicit, totals, moved, kept)
        self._ip = Ipv6(self.addresses, self.hops, mtu, totals)
        self._icmp = Icmpv6(self._ip, udp.error, tcp.error, self._discover, self._mld.query, totals)
        self._ip.handlers = {ICMPV6: self._icmp.input, TCP: tcp.input, UDP: udp.input}
        self._ip.problem = self._icmp.parameter_problem
        tcp.attach(16, self._ip)
        udp.attach(16, self._ip, self._icmp.port_unreachable)

    def fragments(self) -> int:
        """Datagrams in pieces."""
        return len(self._ip.reassembly)

    def paths(self) -> int:
        """Targets with a path MTU of their own."""
        return self._ip.paths()

    def start(self, now: float) -> None:
        """Join the addresses' groups and find out whether they are unique: the host is new on the link, or back.

        What somebody keeps needs no word.
        """
        if self.addresses and not self._kept:
            self._mld.join(now)
            self.lives.begin(now)
            if self._local():
                self._mld.join(now)

    def renew(self, interfaces: Sequence[Interface], mtu: int) -> None:
        """Have these addresses and this MTU from now on; somebody else keeps them."""
        self.addresses.renew(interfaces)
        self.lives.keep()
        self._ip.resize(mtu)

    def input(self, payload: memoryview, mac: bytes, link_group: bool, now: float) -> Outcome:
        """Take an IPv6 packet that came from `mac`."""
        return self._ip.input(payload, mac, link_group, now)

    def poll(self, now: float) -> float | None:
        """Run the timers; when to come back."""
        for packet in self._ip.poll(now):
            self._icmp.reassembly_timeout(packet, now)
        local = self._local()
        dues = [self.lives.poll(now), self.prefixes.poll(now)]
        if self._local() and not local and not self._kept:
            self._mld.join(now)  # once more, from an address (RFC 3590)
        dues += (self._mld.poll(now), self.hops.neighbours.poll(now), self._ip.reassembly.due())
        return min((due for due in dues if due is not None), default=None)

    def _local(self) -> bool:
        return any(is_link_local(address) for address in self.addresses.usable)

    def _claimed(self, address: bytes, mac: bytes, now: float) -> None:
        self.lives.claimed(address, mac, now)

    def _discover(self, packet: Packet, now: float) -> Outcome:
        return self._ndp.input(packet, self.hops.neighbours, now)
