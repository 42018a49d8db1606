"""The host: every layer wired together, frames in at one end, datagrams and streams out at the other. Sans I/O.

`Inet` does not wait, and owns no task: whoever has the nic feeds it bursts, calls `poll` when it asks for it, and
`resume` when the transmit ring has room again (skin.py does). No routing between links, no DHCP.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TypeVar

from asyncnic import hot
from asyncnic.hot.flows import DatagramInput
from asyncnic.hot.segments import SegmentReader
from asyncnic.hot.transmit import TransmitSlots
from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.addresses import ALL_NODES, is_multicast
from asyncnic.stacks.inet.endpoint import Endpoint, parse_address
from asyncnic.stacks.inet.ethernet import ARP, IPV4, IPV6, Link, is_station, multicast_mac, parse
from asyncnic.stacks.inet.host4 import Host4
from asyncnic.stacks.inet.host6 import Host6
from asyncnic.stacks.inet.hosts import PrefixEndpoint, parse_prefix
from asyncnic.stacks.inet.life import Changed
from asyncnic.stacks.inet.outcomes import ENDS, LABELS, PASSED_ON, Outcome, Totals
from asyncnic.stacks.inet.prefixes import AnyHosts, Network, Prefixes
from asyncnic.stacks.inet.tcp.api import TcpApi
from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.fast import expected, took
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.udp import WILDCARDS, PortKeeper, Udp

FLOW_LIFETIME = 30.0
"""Seconds after which every flow takes the slow way once, so that routers' MAC addresses stay true."""

_DatagramInput = hot.choose(DatagramInput)
_SegmentReader = hot.choose(SegmentReader)
NO_HOSTS = AnyHosts()
_P = TypeVar("_P", bound=asyncio.DatagramProtocol)


class Inet(TcpApi):
    """An IPv4 and IPv6 host on one link.

    Args:
        addresses: its addresses with their prefixes; with an IPv6 one it has a link-local address besides.
        mac: 6 octets.
        mtu: octets of the largest packet on the link, 1280 or more (68 without IPv6).
        send: takes a frame (without FCS); False when the transmit ring is full. Called from within `input`, `poll`,
            `resume` and the endpoints' `sendto`.
        clock: monotonic seconds, the same as that of the bursts.
        gateways: at most one a family; without it only answers leave the link, by the router that brought the question.
        full: told each time `send` found no room, so that `resume` is called when there is some.
        changed: told of what becomes of addresses; see `asyncnic.stacks.inet.life.Changed`.
        dad_transmits: solicitations by which an IPv6 address is found unique, a second apart, before it is used; 0:
            none.
        tcp: limits and habits of TCP.
        hosts: prefixes all of whose addresses are ours besides.
        slots: descriptors behind `send`, for datagrams whose way is known; None: all go by `send`.

    `keeper` keeps the addresses besides us: it answers ARP, neighbour discovery and ICMP for them, routes what goes to
    a MAC address that is not known, and is asked for every port. None: we do it all.

    Raises:
        ValueError: no address, a bad MAC address or MTU, two gateways of a family.
    """

    def __init__(
        self,
        addresses: Sequence[IPv4Interface | IPv6Interface],
        mac: bytes,
        mtu: int,
        send: Callable[[bytes], bool],
        clock: Callable[[], float],
        gateways: Sequence[IPv4Address | IPv6Address] = (),
        full: Callable[[], None] = lambda: None,
        dad_transmits: int = 1,
        tcp: Config | None = None,
        changed: Changed = lambda address, state, claimant: None,
        slots: TransmitSlots | None = None,
        keeper: PortKeeper | None = None,
        hosts: AnyHosts = NO_HOSTS,
    ) -> None:
        v4 = [address for address in addresses if isinstance(address, IPv4Interface)]
        v6 = [address for address in addresses if isinstance(address, IPv6Interface)]
        if len(mac) != 6 or mac[0] & 1:
            raise ValueError(f"mac {mac.hex(':')!r} is not a unicast MAC address of 6 octets")
        if not (1280 if v6 else 68) <= mtu <= 65535:
            raise ValueError(f"mtu {mtu} is out of range: IPv6 needs 1280 or more, IPv4 68")
        if not addresses and not hosts.networks:
            raise ValueError("a host needs an address")
        self.mac = mac
        self.totals = Totals()
        self._clock = clock
        self._tell_changed = changed
        self._counts = [0] * len(Outcome)
        self._link = Link(mac, send, self.totals, full)
        self._pass_on: Callable[[memoryview], None] | None = None
        self._waiting: dict[Endpoint, None] = {}
        self._flows_until = clock() + FLOW_LIFETIME
        self._loop: asyncio.AbstractEventLoop | None = None
        self._any = hosts
        kept = keeper is not None
        self.udp = Udp(self.totals, slots, self._link.waiting, keeper)
        tcp_host = Tcp(tcp, slots=slots, held=self._link.waiting)
        totals, said = self.totals, self._changed
        v4_any, v6_any = (
            Prefixes([one for one in hosts.networks if one.version == version], hosts.limit, hosts.passive, totals)
            for version in (4, 6)
        )
        more, moved = (said, kept), self._forget_ways
        self.v4 = Host4(self._link, v4, _gateway(gateways, 4), mtu, self.udp, tcp_host, totals, *more, v4_any, moved)
        self.v6 = Host6(
            self._link, v6, _gateway(gateways, 6), mtu, self.udp, tcp_host, totals, dad_transmits, *more, v6_any, moved
        )
        self.v4.addresses.on_change = self.v6.addresses.on_change = self._readdressed
        self.udp.factory_failed = self._handler_raised
        super().__init__(tcp_host, {4: self.v4.addresses, 16: self.v6.addresses}, clock)
        self._segments = _SegmentReader(mac, tcp_host.connections, expected, partial(took, tcp_host.touched))
        known: Callable[[Burst], None] = _DatagramInput(
            mac,
            self.udp.flows,
            self._counts,
            Outcome.UDP_DELIVERED,
            self._slow,
            self._datagram_raised,
            tcp_host.touched,
            lambda: tcp_host.flush(clock()),  # TCP hands on what came in the burst, while its memory is good
        )
        self.input = known
        """Take frames until none is left or the burst's deadline has passed. `burst.taken` says how many.

        No frame's octets raise. Of what an application raises, only SystemExit and KeyboardInterrupt come through."""

    def _forget_ways(self) -> None:
        """Where frames go, or where they come from, may have changed."""
        self.udp.forget_ways()
        self.tcp.forget_ways()

    def _readdressed(self) -> None:
        """Addresses of ours came into use, or went out of it."""
        self.udp.forget_ways()
        self.tcp.readdressed()

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Protocol -> outcome -> frames that ended there; all of them, zeros too. Sums to the frames taken."""
        found: dict[str, dict[str, int]] = {}
        for (protocol, outcome), count in zip(LABELS, self._counts, strict=True):
            found.setdefault(protocol, {})[outcome] = count
        return found

    def events(self) -> dict[str, int]:
        """What is no frame's end: name -> count. TCP's begin with "tcp_"."""
        tcp = {f"tcp_{name}": count for name, count in self.tcp.counters.as_dict().items()}
        return self.totals.as_dict() | tcp

    def multicast_macs(self) -> set[bytes]:
        """Multicast MAC addresses (6 octets) that the card must let through: all hosts, all nodes, solicited nodes."""
        if self.v6.prefixes:  # the groups of all of their addresses: one for each bit of a card's hash filter, and more
            return {b"\x33\x33\xff\x00\x00" + bytes((last,)) for last in range(256)} | {multicast_mac(ALL_NODES)}
        groups = self.v4.addresses.groups | self.v6.addresses.groups
        return {multicast_mac(group) for group in groups if is_multicast(group)}

    def start(self, now: float) -> None:
        """New on the link, or the link is back: announce IPv4 addresses, find out whether IPv6 ones are unique."""
        self.v4.start(now)
        self.v6.start(now)

    def renew(self, addresses: Sequence[IPv4Interface | IPv6Interface], mtu: int) -> None:
        """Have these addresses and this MTU from now on: whoever keeps them has changed them."""
        self.v4.renew([address for address in addresses if isinstance(address, IPv4Interface)], mtu)
        self.v6.renew([address for address in addresses if isinstance(address, IPv6Interface)], mtu)
        self.udp.flows.clear()
        self._readdressed()

    def addresses(self) -> dict[str, str]:
        """Each address as text, and its state: "tentative", "preferred" or "duplicate"."""
        prefixes = {str(network): "preferred" for network in self._any.networks}
        return {**self.v4.lives.states(), **self.v6.lives.states(), **prefixes}

    def trouble(self) -> str:
        """Why the host is not reached at all of its addresses, in one line; empty: it is."""
        return "; ".join(filter(None, (self.v4.lives.trouble(), self.v6.lives.trouble())))

    def poll(self, now: float) -> float:
        """Run the timers that are due (neighbours, fragments, ageing of caches); when to come back."""
        if self._flows_until <= now:
            self.udp.flows.clear()
            self._forget_ways()
            self._flows_until = now + FLOW_LIFETIME
        dues = (self.v4.poll(now), self.v6.poll(now))
        due = min((due for due in dues if due is not None), default=self._flows_until)
        return min(due, self.tcp.poll(now))

    def resume(self) -> None:
        """The transmit ring has room again: send what waits. Who has had it goes behind those who have not."""
        if not self._link.drain():
            return
        for endpoint in list(self._waiting):
            if endpoint in self._waiting and not endpoint.flush():
                self._waiting[endpoint] = self._waiting.pop(endpoint)
                return
        self.tcp.resume(self._clock())

    def connect(self, pass_on: Callable[[memoryview], None]) -> None:
        """Hand every frame whose outcome is in `PASSED_ON` to `pass_on` as well, which must not keep it."""
        self._pass_on = pass_on

    def overhear(self, frame: bytes) -> None:
        """Take a frame that another host of the same addresses got and passed on. Its end is counted there."""
        self._frame(memoryview(frame))

    def close(self) -> None:
        """Abort every endpoint and connection: their protocols get `connection_lost`."""
        self.stop_tcp()
        for prefix in self.udp.prefixes():
            prefix.abort()
        for receiver in self.udp.receivers():
            if isinstance(receiver, Endpoint):
                receiver.abort()
        for endpoint in list(self._waiting):
            endpoint.abort()

    def _slow(self, burst: Burst) -> bool:
        """Take the frame at `burst.taken`, and with data of TCP those that follow it. False: the time is up, or nothing
        is left.
        """
        counts, taken = self._counts, burst.taken
        if self.tcp.connections:
            more = self._segments.read(burst)
            counts[Outcome.TCP_DELIVERED] += burst.taken - taken
            self.tcp.counters.segments_in += burst.taken - taken
            if not more or burst.taken > taken:
                return more
        start, length = burst.offsets[taken], burst.lengths[taken]
        burst.taken += 1
        frame = burst.memory[start : start + length]
        try:
            outcome = self._frame(frame)
            counts[outcome] += 1
            burst.ends[taken] = ENDS[outcome]
        except (SystemExit, KeyboardInterrupt):
            counts[Outcome.UDP_HANDLER_ERROR] += 1
            raise
        if self._pass_on is not None and outcome in PASSED_ON:
            self._pass_on(frame)
        return burst.clock() < burst.deadline

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], _P],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket.socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        """Like the loop's own: a transport and its protocol, whose `connection_made` has been called.

        Hosts are numeric, so `flags` of name resolution mean nothing. "0.0.0.0" takes what comes to any IPv4 address,
        "::" to any IPv6 address (only). `reuse_port` lets several endpoints share a port if all of them say so; each
        peer's datagrams go to one of them. A prefix of `AnyHosts` takes what comes to any of its addresses: each has a
        protocol and a transport of its own from its first datagram on. The one returned is the first such protocol,
        and a transport that closes all.

        Raises:
            ValueError: neither address nor family is given, the families differ, or `sock`, which is the kernel's.
            OSError: EADDRINUSE, EADDRNOTAVAIL, EPROTONOSUPPORT, EACCES (connected to a broadcast address), or a host
                that is no numeric address.
        """
        if sock is not None:
            raise ValueError("sock is a socket of the kernel's, not of this stack: give local_addr or remote_addr")
        if proto not in (0, socket.IPPROTO_UDP):
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
        loop = asyncio.get_running_loop()
        if local_addr is not None and (prefix := parse_prefix(local_addr[0])) is not None:
            return self._create_hosts(loop, protocol_factory, prefix, local_addr[1], remote_addr)
        remote = None if remote_addr is None else parse_address(remote_addr)
        if local_addr is not None:
            local = parse_address(local_addr)
        elif remote is not None:
            local = WILDCARDS[len(remote[0])], 0
        elif family in (socket.AF_INET, socket.AF_INET6):
            local = WILDCARDS[4 if family == socket.AF_INET else 16], 0
        else:
            raise ValueError("unexpected address family")
        if remote is not None and len(remote[0]) != len(local[0]):
            raise ValueError("can not get address information: local and remote address are of different families")
        addresses = self.v4.addresses if len(local[0]) == 4 else self.v6.addresses
        if local[0] != WILDCARDS[len(local[0])]:
            if not addresses.has(local[0]):
                raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        elif remote is not None:
            local = addresses.source_for(remote[0]) or local[0], local[1]
        protocol = protocol_factory()
        endpoint = self._endpoint(loop, protocol, local, remote, bool(allow_broadcast), bool(reuse_port))
        self._loop = loop
        endpoint.start()
        return endpoint, protocol

    def _endpoint(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.DatagramProtocol,
        local: tuple[bytes, int],
        remote: tuple[bytes, int] | None = None,
        allow_broadcast: bool = False,
        reuse_port: bool = False,
        held: Callable[[Endpoint], None] | None = None,
    ) -> Endpoint:
        is_broadcast = (self.v4 if len(local[0]) == 4 else self.v6).addresses.is_broadcast
        return Endpoint(
            *(self.udp, loop, self._clock, protocol, local, remote, is_broadcast),
            *(allow_broadcast, reuse_port, self._waiting, self.totals, held),
        )

    def _create_hosts(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], _P],
        prefix: Network,
        port: int,
        remote: object,
    ) -> tuple[asyncio.DatagramTransport, _P]:
        if remote is not None:
            raise ValueError("a whole prefix is connected to nobody: give remote_addr or a prefix")
        if not 1 <= port <= 65535:
            raise ValueError("a whole prefix needs a port from 1 to 65535")
        if not any(prefix.network_address in one and prefix.prefixlen >= one.prefixlen for one in self._any.networks):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        protocol = factory()

        def make(
            one: asyncio.DatagramProtocol, address: bytes, number: int, closed: Callable[[Endpoint], None]
        ) -> Endpoint:
            return self._endpoint(loop, one, (address, number), held=closed)

        hosts = PrefixEndpoint(
            *(prefix, port, factory, protocol, make, self.udp.close_prefix, self._any.limit, self.totals)
        )
        self.udp.open_prefix(hosts)
        self._loop = loop
        return hosts, protocol

    def _frame(self, frame: memoryview) -> Outcome:
        parts = parse(frame)
        if parts is None:
            return Outcome.ETHERNET_TRUNCATED
        target, source, kind, payload = parts
        link_group = bool(target[0] & 1)
        if not link_group and target != self.mac:
            return Outcome.ETHERNET_NOT_OURS
        if source == self.mac:
            return Outcome.ETHERNET_LOOPED
        if not is_station(source):
            return Outcome.ETHERNET_BAD_SOURCE
        now = self._clock()
        if kind == IPV4:
            return self.v4.input(payload, source, link_group, now)
        if kind == IPV6:
            return self.v6.input(payload, source, link_group, now)
        if kind == ARP:
            return self.v4.arp(payload, now)
        return Outcome.ETHERNET_UNKNOWN_TYPE

    def _changed(self, address: str, state: str, claimant: str) -> None:
        self.udp.flows.clear()
        self._tell_changed(address, state, claimant)

    def _datagram_raised(self, burst: Burst, error: BaseException) -> None:
        """What the handler of the frame before `burst.taken` raised, which the fast way told it."""
        self._counts[Outcome.UDP_HANDLER_ERROR] += 1
        burst.ends[burst.taken - 1] = ENDS[Outcome.UDP_HANDLER_ERROR]
        self._handler_raised(error)

    def _handler_raised(self, error: BaseException) -> None:
        """The fast way's handlers are told apart from the transport for speed, so the context names the error alone."""
        if isinstance(error, (SystemExit, KeyboardInterrupt)) or self._loop is None:
            raise error
        self._loop.call_exception_handler({"message": "Exception in datagram_received", "exception": error})


def _gateway(gateways: Sequence[IPv4Address | IPv6Address], version: int) -> bytes | None:
    found = [gateway.packed for gateway in gateways if gateway.version == version]
    if len(found) > 1:
        raise ValueError(f"more than one IPv{version} gateway")
    return found[0] if found else None
