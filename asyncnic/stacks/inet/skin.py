"""The stack coroutine: `Inet` between nic and event loop. It brings bursts, time and room; it knows no protocol."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from time import monotonic
from typing import Protocol

from asyncnic.devices.host import SharedHost
from asyncnic.errors import PrivilegeError, SettingsError
from asyncnic.hot.transmit import TransmitSlots
from asyncnic.logs import fields
from asyncnic.nic.burst import Burst
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.sinks.sinks import Sinks
from asyncnic.stacks.inet.prefixes import AnyHosts
from asyncnic.stacks.inet.sequences import Sequences
from asyncnic.stacks.inet.services import PortService, parse_service
from asyncnic.stacks.inet.sockets import sockets, standing
from asyncnic.stacks.inet.stack import NO_HOSTS, Inet
from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.stack import Outcomes, Sockets, Stack, TcpStanding
from asyncnic.tasks import beside

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds: how late a timer may be that was set while nobody looked."""


class CountedNic(Protocol):
    """The nic's counters, as far as the stack looks at them."""

    @property
    def resets(self) -> int:
        """Times that the chip was initialised again, or the device came back."""


class StackNic(Protocol):
    """What the stack needs of a nic."""

    @property
    def mac(self) -> bytes:
        """6 octets."""

    @property
    def mtu(self) -> int:
        """Octets of the largest packet on the link."""

    @property
    def counters(self) -> CountedNic:
        """What the nic has counted."""

    @property
    def slots(self) -> TransmitSlots | None:
        """The transmit ring's descriptors, for whoever writes into them; what is put there is sent as by `try_send`."""

    def try_send(self, frame: bytes) -> bool:
        """Put a frame (without FCS) on the transmit ring; False when it is full, and nobody has counted that."""

    async def writable(self) -> None:
        """Suspend, then return when there is room on the transmit ring, or waiting is of no use."""

    def accept_multicast(self, groups: set[bytes]) -> None:
        """Let frames to these group addresses through the card's filter."""

    async def serve(self, take: Callable[[Burst], None]) -> None:
        """Hand each burst to `take`; returns when the nic is closed."""

    def __aiter__(self) -> AsyncIterator[Burst]:
        """The same bursts, for whoever awaits within one."""


class InetStack(Stack):
    """Runs an `Inet` on a nic.

    Args:
        nic: where frames come from and go to.
        addresses: see `Inet`.
        services: read or to be read by `parse_service`; each is served on the wildcard address of every configured
            family.
        gateways, tcp: see `Inet`.
        hosts: see `Inet`.
        host: whose addresses they are, where the kernel keeps them; then `addresses` are not asked for.
        origin: what the user typed to get the services.
        sinks: where the datagrams of some ports go; None: nowhere.
        sequences: look at what comes to their ports first; None: nobody does.

    Raises:
        ValueError: a bad service or address; one line.
    """

    def __init__(
        self,
        nic: StackNic,
        addresses: Sequence[IPv4Interface | IPv6Interface],
        services: Sequence[str | PortService] = (),
        gateways: Sequence[IPv4Address | IPv6Address] = (),
        tcp: Config | None = None,
        host: SharedHost | None = None,
        origin: str = "--service",
        hosts: AnyHosts = NO_HOSTS,
        sinks: Sinks | None = None,
        sequences: Sequences | None = None,
    ) -> None:
        self._nic = nic
        self._host = host
        self._origin = origin
        self._services = [parse_service(given) if isinstance(given, str) else given for given in services]
        self._sinks = sinks
        if sinks is not None:
            self._services += [PortService(factory, port) for factory, port in sinks.ports]
        self._sequences = sequences
        if sequences is not None:
            self._services = [
                one._replace(factory=sequences.watching(one.factory, one.port))
                if one.port in sequences.ports and not one.stream
                else one
                for one in self._services
            ]
        self._full = asyncio.Event()
        self._begun: int | None = None
        self._serves = False
        mtu = nic.mtu
        if host is not None:
            addresses, mtu = host.addresses, min(nic.mtu, host.mtu)
            host.on_change = self._renew
        self.inet = Inet(
            addresses,
            nic.mac,
            mtu,
            nic.try_send,
            monotonic,
            gateways,
            self._full.set,
            tcp=tcp,
            changed=_log_address,
            slots=nic.slots,
            keeper=host,
            hosts=hosts,
        )

    async def set_up(self) -> None:
        """Take the services' ports from the kernel for good, so that nobody has them while the stack starts anew.

        Raises:
            SettingsError: somebody else has one. PrivilegeError: it may not be had.
        """
        for service in self._services if self._host is not None else ():
            self._claim("tcp" if service.stream else "udp", service.port)

    def _claim(self, kind: str, port: int) -> None:
        try:
            if self._host is not None:
                self._host.claim(kind, port)
        except PermissionError:
            raise PrivilegeError(
                f"{self._origin}: ports below 1024 need CAP_NET_BIND_SERVICE, or "
                f"sysctl net.ipv4.ip_unprivileged_port_start={port}"
            ) from None
        except OSError as error:
            raise SettingsError(
                f"{self._origin}: another process has {kind.upper()} port {port} ({error.strerror}): "
                "stop that one, or choose another port"
            ) from None

    def _renew(self) -> None:
        """The interface has other addresses, or another MTU."""
        if self._host is not None:
            self.inet.renew(self._host.addresses, min(self._nic.mtu, self._host.mtu))

    async def run(self) -> None:
        """Serve until the nic's bursts end. Its endpoints are closed then, or when cancelled.

        Raises:
            OSError: a service's port is taken twice.
        """
        try:
            async with beside(self._timers(), self._room()):
                await self._open_services()
                self._serves = True
                self._nic.accept_multicast(self.inet.multicast_macs())
                self._begin()
                if self._sinks is None:
                    await self._nic.serve(self.inet.input)
                else:
                    await self._serve(self._sinks)
        finally:
            self._serves = False
            self.inet.close()

    async def _serve(self, sinks: Sinks) -> None:
        """Take no more frames than every sink has room for, and wait for room with the burst in hand: its descriptors
        stay out, so the card's ring fills, then the wire's queue, and then the wire drops. A frame ends one datagram
        at most.
        """
        async with sinks.working():
            async for burst in self._nic:
                burst.taken = 0
                while burst.taken < len(burst) and (burst.taken == 0 or burst.clock() < burst.deadline):
                    room = sinks.room
                    if room <= 0:
                        burst.pause(await sinks.wait_for_room())
                    elif room >= len(burst) - burst.taken:
                        self.inet.input(burst)
                    else:
                        self._input_of(burst, room)
            await sinks.emptied()

    def _input_of(self, burst: Burst, frames: int) -> None:
        """Take so many frames of a burst, at most."""
        part = burst.narrowed(frames)
        try:
            self.inet.input(part)
        finally:
            burst.took(part)

    def outcomes(self) -> Outcomes:
        """See `Stack.outcomes`: they sum to the frames."""
        return self.inet.outcomes()

    def events(self) -> Mapping[str, int]:
        """See `Stack.events`."""
        return self.inet.events() | (self._sequences.events() if self._sequences is not None else {})

    def exporters(self) -> list[dict[str, object]] | None:
        """See `Stack.exporters`."""
        return self._sequences.exporters() if self._sequences is not None else None

    def addresses(self) -> Mapping[str, str]:
        """See `Stack.addresses`."""
        return self.inet.addresses()

    def sockets(self, most: int) -> Sockets:
        """See `Stack.sockets`."""
        return sockets(self.inet.udp, self.inet.tcp, most, monotonic())

    def tcp(self) -> TcpStanding:
        """See `Stack.tcp`."""
        return standing(self.inet.tcp)

    def sinks(self) -> Mapping[str, SinkLedger]:
        """See `Stack.sinks`."""
        return self._sinks.ledgers() if self._sinks is not None else {}

    def trouble(self) -> str:
        """See `Stack.trouble`."""
        if not self._serves:
            return "its services are not open yet"
        return self.inet.trouble() or ("" if self._sinks is None else self._sinks.trouble())

    def finish(self) -> None:
        """See `Stack.finish`: the sinks' brokers get a moment to acknowledge what they have."""
        if self._sinks is not None:
            self._sinks.finish()

    def close(self) -> None:
        """See `Stack.close`."""
        if self._sinks is not None:
            self._sinks.close()

    def connect(self, pass_on: Callable[[memoryview], None]) -> None:
        """See `Stack.connect`."""
        self.inet.connect(pass_on)

    def overhear(self, frame: bytes) -> None:
        """See `Stack.overhear`."""
        self.inet.overhear(frame)

    async def _open_services(self) -> None:
        families = ("0.0.0.0", self.inet.v4), ("::", self.inet.v6)
        wildcards = [host for host, family in families if family.addresses or self._host is not None]
        for service in self._services:
            for host in wildcards:
                if service.stream:
                    await self.inet.create_server(service.factory, host, service.port)
                else:
                    await self.inet.create_datagram_endpoint(service.factory, local_addr=(host, service.port))

    def _begin(self) -> None:
        """Make the addresses known, once and whenever the device has come back: the link may be another one."""
        resets = self._nic.counters.resets
        if resets != self._begun:
            self._begun = resets
            self.inet.start(monotonic())

    async def _timers(self) -> None:
        while True:
            if self._begun is not None:
                self._begin()
            now = monotonic()
            await asyncio.sleep(max(0.0, min(TICK, self.inet.poll(now) - now)))

    async def _room(self) -> None:
        """Once somebody found no room, wait for some and let those go on who wait for it. `writable` suspends however
        things stand, so this loop stops nobody else.
        """
        while True:
            await self._full.wait()
            self._full.clear()
            await self._nic.writable()
            self.inet.resume()


def _log_address(address: str, state: str, claimant: str) -> None:
    if claimant:
        log.warning("another host claims an address", extra=fields(address=address, state=state, mac=claimant))
    else:
        log.info("address", extra=fields(address=address, state=state))
