"""The IPv4 half of a host, wired: ARP, IPv4, ICMP. Only wiring and timers; what they do is in their own files."""

from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.addresses import Addresses, Interface
from asyncnic.stacks.inet.arp import Arp
from asyncnic.stacks.inet.ethernet import IPV4, Link
from asyncnic.stacks.inet.icmp import PORT_UNREACHABLE, PROTOCOL_UNREACHABLE, Icmp
from asyncnic.stacks.inet.ipv4 import Ipv4
from asyncnic.stacks.inet.life import Changed, Lives
from asyncnic.stacks.inet.nexthop import NextHops
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMP, TCP, UDP, Packet
from asyncnic.stacks.inet.prefixes import Prefixes
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.udp import Udp


class Host4:
    """IPv4 on one link. Without addresses it takes nothing and says nothing.

    Args:
        link: where frames go.
        interfaces: IPv4 addresses with their prefixes.
        gateway: 4 octets, or None.
        mtu: of the link, octets.
        udp, tcp: run on top.
        totals: counts what is not a frame's end.
        changed: see `Lives`.
        kept: see `keeper` of `Inet`.
        prefixes: all of whose addresses are ours besides.
    """

    __slots__ = ("_arp", "_icmp", "_ip", "_kept", "addresses", "hops", "lives", "prefixes")

    def __init__(
        self,
        link: Link,
        interfaces: Sequence[Interface],
        gateway: bytes | None,
        mtu: int,
        udp: Udp,
        tcp: Tcp,
        totals: Totals,
        changed: Changed,
        kept: bool,
        prefixes: Prefixes,
        moved: Callable[[], None],
    ) -> None:
        self._kept = kept
        self.addresses = Addresses(interfaces, gateway=gateway, prefixes=prefixes)
        self.addresses.on_change = moved
        self.prefixes = prefixes
        self._arp = Arp(link, self.addresses, self._claimed)
        prefixes.probe = self._arp.probe
        self.lives = Lives(self.addresses, 0, self._arp.announce, self._arp.announce, totals, changed)
        self.hops = NextHops(link, IPV4, self.addresses, gateway, self._arp.solicit, totals, moved, kept)
        self._ip = Ipv4(self.addresses, self.hops, mtu, totals)
        self._icmp = Icmp(self._ip, udp.error, tcp.error, totals)
        self._ip.handlers = {ICMP: self._icmp.input, TCP: tcp.input, UDP: udp.input}
        self._ip.refuse = self._unknown
        self._ip.problem = self._icmp.parameter_problem
        tcp.attach(4, self._ip)
        udp.attach(4, self._ip, lambda packet, now: self._icmp.unreachable(packet, PORT_UNREACHABLE, now))

    def fragments(self) -> int:
        """Datagrams in pieces."""
        return len(self._ip.reassembly)

    def start(self, now: float) -> None:
        """Announce the addresses: the host is new on the link, or back. What somebody keeps needs no word."""
        if not self._kept:
            self.lives.begin(now)

    def renew(self, interfaces: Sequence[Interface], mtu: int) -> None:
        """Have these addresses and this MTU from now on; somebody else keeps them."""
        self.addresses.renew(interfaces)
        self.lives.keep()
        self._ip.resize(mtu)

    def arp(self, payload: memoryview, now: float) -> Outcome:
        """Take an ARP packet."""
        return self._arp.input(payload, self.hops.neighbours, now)

    def input(self, payload: memoryview, mac: bytes, link_group: bool, now: float) -> Outcome:
        """Take an IPv4 packet that came from `mac`."""
        return self._ip.input(payload, mac, link_group, now)

    def poll(self, now: float) -> float | None:
        """Run the timers; when to come back."""
        for packet in self._ip.poll(now):
            self._icmp.reassembly_timeout(packet, now)
        dues = (
            self.lives.poll(now),
            self.prefixes.poll(now),
            self.hops.neighbours.poll(now),
            self._ip.reassembly.due(),
        )
        return min((due for due in dues if due is not None), default=None)

    def _claimed(self, address: bytes, mac: bytes, now: float) -> None:
        self.lives.claimed(address, mac, now)

    def _unknown(self, packet: Packet, now: float) -> Outcome:
        self._icmp.unreachable(packet, PROTOCOL_UNREACHABLE, now)
        return Outcome.IPV4_UNKNOWN_PROTOCOL
