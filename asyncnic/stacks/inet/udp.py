"""UDP (RFC 768) over both families: checks, demultiplexing, flow cache, sending. What applications hold is endpoint.py.

A port of an address belongs to one endpoint, or to several that all share it: each peer has one of them. The wildcard
address takes what no particular address does. A "::" endpoint takes IPv6 only. The port of a prefix belongs to one that
has a receiver for each of its addresses.
"""

import errno
import os
import random
import struct
from collections.abc import Callable, Mapping, Sized
from typing import Any, Protocol

from asyncnic import hot
from asyncnic.hot.flows import Flows
from asyncnic.hot.transmit import Sender, Template, TransmitSlots, Way
from asyncnic.stacks.inet.checksum import pseudo_sum, sound, word_sum
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import UDP, UDP_HEADER, IpLayer, Packet, Sent
from asyncnic.stacks.inet.peer import Address, Peer, Route
from asyncnic.stacks.inet.prefixes import Network

LARGEST = {4: 65507, 16: 65527}
"""Octets of payload, by octets of address."""
EPHEMERAL = range(49152, 65536)
"""RFC 6335 section 6."""
FLOWS = 4096
WILDCARDS = {4: bytes(4), 16: bytes(16)}

_Sender = hot.choose(Sender)

Refuse = Callable[[Packet, float], None]
"""Tells a packet's sender that nobody has the port."""


class Layer(IpLayer, Protocol):
    """What UDP asks of IPv4 and of IPv6 alike."""

    def template(self, source: bytes, target: bytes, ports: bytes, now: float) -> Template | None:
        """What all datagrams of `ports` (source and target, 4 octets) from one address to another host have in common.

        None where the way there is not known.
        """


class DatagramHandler(Protocol):
    """What UDP asks of an endpoint."""

    remote: tuple[bytes, int] | None
    """The one peer (address, port) of a connected endpoint."""

    reuse_port: bool
    """Whether it shares its port with others who say so."""

    @property
    def receive(self) -> Callable[[bytes, Address], None]:
        """The protocol's `datagram_received`."""

    def failed(self, error: BaseException) -> None:
        """`receive` raised."""

    def refused(self, error: OSError) -> None:
        """An ICMP error came for a datagram of this endpoint."""


class PrefixHandler(Protocol):
    """What UDP asks of who has a port of a whole prefix."""

    @property
    def prefix(self) -> Network:
        """The addresses."""

    @property
    def port(self) -> int:
        """Of all of them."""

    @property
    def hosts(self) -> Mapping[bytes, DatagramHandler]:
        """Those that have a receiver now."""

    def covers(self, address: bytes) -> bool:
        """Whether an address is one of them."""

    def host(self, address: bytes) -> DatagramHandler:
        """The receiver of one of them, made if there is none."""

    def abort(self) -> None:
        """End all of them."""


class PortKeeper(Protocol):
    """Who else has the addresses, and so their ports."""

    def claim(self, kind: str, port: int) -> None:
        """Give us a port ("udp" or "tcp") of every address. Raises OSError (EADDRINUSE, EACCES)."""

    def release(self, kind: str, port: int) -> None:
        """Take back what was claimed."""


class Udp:
    """The UDP of one host.

    Args:
        totals: counts `no_route`.
        slots: where datagrams go whose way is known; None: all go the slow way.
        held: frames that wait for room on the link; they go first.

    `flows` is what the fast way in (hot/flows.py) knows: bounded, emptied whenever an endpoint opens, closes, changes.
    The ways out (hot/transmit.py) are bounded too, and forgotten whenever one of them may have changed.
    """

    __slots__ = (
        *("_endpoints", "_held", "_keeper", "_layers", "_prefixes", "_refuse", "_slots", "_totals", "_ways"),
        *("factory_failed", "flows"),
    )

    def __init__(
        self,
        totals: Totals,
        slots: TransmitSlots | None = None,
        held: Sized = (),
        keeper: PortKeeper | None = None,
    ) -> None:
        self._totals = totals
        self._keeper = keeper
        self._slots = slots
        self._held = held
        self._ways: dict[int, Way] = {}
        self._layers: dict[int, Layer] = {}
        self._refuse: dict[int, Refuse] = {}
        self._endpoints: dict[tuple[bytes, int], list[DatagramHandler]] = {}
        self._prefixes: list[PrefixHandler] = []
        self.flows: Flows = {}
        self.factory_failed: Callable[[BaseException], None] = lambda error: None
        """Told when no receiver could be made for a host of a prefix."""

    def attach(self, octets: int, layer: Layer, refuse: Refuse) -> None:
        """Run over the IP layer whose addresses have so many octets (4 or 16)."""
        self._layers[octets] = layer
        self._refuse[octets] = refuse

    def open(self, receiver: DatagramHandler, address: bytes, port: int) -> int:
        """Give `receiver` a port (0: any free one) of `address` (4 or 16 octets, or the wildcard); returns the port.

        Raises:
            OSError: EADDRINUSE; also when no port is free.
        """
        if port == 0:
            first = random.randrange(len(EPHEMERAL))
            for step in range(len(EPHEMERAL)):
                port = EPHEMERAL[(first + step) % len(EPHEMERAL)]
                if not self._holders(address, port) and self._granted(port):
                    break
            else:
                raise OSError(errno.EADDRINUSE, "no UDP port is free")
        elif self._taken(receiver, address, port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        elif self._keeper is not None:
            self._keeper.claim("udp", port)
        self._endpoints.setdefault((address, port), []).append(receiver)
        self.flows.clear()
        return port

    def close(self, receiver: DatagramHandler, address: bytes, port: int) -> None:
        """Take a port back."""
        holders = self._endpoints[address, port]
        holders.remove(receiver)
        if not holders:
            del self._endpoints[address, port]
        if self._keeper is not None:
            self._keeper.release("udp", port)
        self.forget()

    def open_prefix(self, handler: PrefixHandler) -> None:
        """Give `handler` its port of all addresses of its prefix.

        Raises:
            OSError: EADDRINUSE.
        """
        holders = (at for at, port in self._endpoints if port == handler.port and _overlaps(handler, at))
        others = (other for other in self._prefixes if other.port == handler.port)
        if any(True for _ in holders) or any(_meet(other.prefix, handler.prefix) for other in others):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._prefixes.append(handler)
        self.forget()

    def close_prefix(self, handler: PrefixHandler) -> None:
        """Take it back."""
        self._prefixes.remove(handler)
        self.forget()

    def forget(self) -> None:
        """Who gets what, and from where it is answered, is another from now on."""
        self.flows.clear()
        self._ways.clear()

    def sender(self, slow: Callable[[Any, Any], None], buffer: Sized) -> Sender | None:
        """A `sendto` that takes the ways that are known, else `slow`, and none before what `buffer` holds; None where
        there is no fast way.
        """
        return None if self._slots is None else _Sender(self._slots, self._ways, slow, buffer, self._held)

    def learn_way(self, sender: Sender, peer: Peer | None, route: Route, port: int, now: float) -> None:
        """Let `sender`, of `port`, send to `peer` (None: the one it is connected to) without looking `route` up again,
        as far as all of it is known.
        """
        target, target_port, source = route
        layer = self._layers[len(target)]
        own = layer.source_for(target) if source == WILDCARDS[len(source)] else source
        if own is None or not layer.owns(own):
            return
        template = layer.template(own, target, struct.pack("!HH", port, target_port), now)
        if template is not None:
            if len(self._ways) >= FLOWS:
                self._ways.clear()
            sender.learn(peer, template)

    def forget_ways(self) -> None:
        """Where datagrams go, or where they come from, may have changed."""
        self._ways.clear()

    def _granted(self, port: int) -> bool:
        """Whether a port that nobody here has is free with whoever keeps them, and ours now."""
        try:
            if self._keeper is not None:
                self._keeper.claim("udp", port)
        except OSError:
            return False
        return True

    def receivers(self) -> list[DatagramHandler]:
        """Whoever has a port now."""
        return [receiver for holders in self._endpoints.values() for receiver in holders]

    def prefixes(self) -> list[PrefixHandler]:
        """Whoever has a port of a prefix now."""
        return list(self._prefixes)

    def find(self, address: bytes, port: int, peer: tuple[bytes, int]) -> DatagramHandler | None:
        """Who gets what `peer` sends to `address` and `port`: who is connected to it, else who is to nobody."""
        holders = self._endpoints.get((address, port)) or self._endpoints.get((WILDCARDS[len(address)], port))
        if not holders:
            prefix = self._prefix(address, port)
            return None if prefix is None else prefix.hosts.get(address)
        if len(holders) == 1:
            return holders[0] if holders[0].remote in (None, peer) else None
        for wanted in (peer, None):
            if found := [holder for holder in holders if holder.remote == wanted]:
                return found[hash(peer) % len(found)]
        return None

    def input(self, packet: Packet, now: float) -> Outcome:
        """Take a UDP packet; what the fast way does not take, and the first datagram of each flow.

        Raises:
            SystemExit, KeyboardInterrupt: the handler raised it.
        """
        data = packet.payload
        if len(data) < UDP_HEADER:
            return Outcome.UDP_BAD_LENGTH
        source_port, port, length, checksum = struct.unpack_from("!HHHH", data)
        if not UDP_HEADER <= length <= len(data):
            return Outcome.UDP_BAD_LENGTH
        if checksum:
            if not sound(data[:length], pseudo_sum(packet.source, packet.target, UDP, length)):
                return Outcome.UDP_BAD_CHECKSUM
        elif len(packet.source) == 16:  # RFC 8200 section 8.1: no IPv6 without
            return Outcome.UDP_BAD_CHECKSUM
        try:
            receiver = self._receiver(packet.target, port, (packet.source, source_port))
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.factory_failed(error)
            return Outcome.UDP_HANDLER_ERROR
        if receiver is None:
            self._refuse[len(packet.source)](packet, now)
            return Outcome.UDP_NO_LISTENER
        layer, own = self._layers[len(packet.target)], packet.target
        if not layer.owns(own):  # a group's: the answer comes from one of ours
            own = layer.source_for(packet.source) or WILDCARDS[len(own)]
        flow = packet.source + own + bytes(data[:4])
        known = self.flows.get(flow)
        peer = known[1] if known is not None else Peer.of(packet.source, source_port, own, port)
        receive = receiver.receive
        if known is None and not packet.group:
            if len(self.flows) >= FLOWS:
                self.flows.clear()
            self.flows[flow] = (receive, peer)
        try:
            receive(bytes(data[UDP_HEADER:length]), peer)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            receiver.failed(error)
            return Outcome.UDP_HANDLER_ERROR
        return Outcome.UDP_DELIVERED

    def error(self, source: bytes, target: bytes, quoted: memoryview, error: OSError) -> bool:
        """An ICMP error came about a datagram from `source` to `target`; `quoted` begins with its UDP header."""
        port, target_port = struct.unpack_from("!HH", quoted)
        receiver = self.find(source, port, (target, target_port))
        if receiver is None or receiver.remote is None:  # unconnected sockets are not told either (udp(7))
            return False
        receiver.refused(error)
        return True

    def send(self, source: bytes, port: int, target: bytes, target_port: int, data: bytes, now: float) -> Sent:
        """Send one datagram from an address of ours, or from the one that fits where `source` is the wildcard.

        `data` fits (`LARGEST`). An address that is not in use (tentative, lost) sends nothing.
        """
        layer = self._layers[len(target)]
        if source == WILDCARDS[len(source)]:
            own = layer.source_for(target)
            if own is None:
                self._totals.no_route += 1
                return Sent.NO_ROUTE
            source = own
        elif not layer.owns(source):
            self._totals.no_route += 1
            return Sent.NO_SOURCE
        length = UDP_HEADER + len(data)
        covered = pseudo_sum(source, target, UDP, length) + port + target_port + length + word_sum(data)
        checksum = -covered % 0xFFFF or 0xFFFF  # 0 would say that there is none
        header = struct.pack("!HHHH", port, target_port, length, checksum)
        return layer.send(UDP, header + data, source, target, now)

    def _receiver(self, address: bytes, port: int, peer: tuple[bytes, int]) -> DatagramHandler | None:
        """As `find`; a host of a prefix gets its receiver now."""
        if self._prefixes and (prefix := self._prefix(address, port)) is not None:
            return prefix.host(address)
        return self.find(address, port, peer)

    def _prefix(self, address: bytes, port: int) -> PrefixHandler | None:
        return next((one for one in self._prefixes if one.port == port and one.covers(address)), None)

    def _taken(self, receiver: DatagramHandler, address: bytes, port: int) -> bool:
        """Whether somebody has a port already that he does not share with `receiver`."""
        if any(other.port == port and _overlaps(other, address) for other in self._prefixes):
            return True
        return not all(receiver.reuse_port and holder.reuse_port for holder in self._holders(address, port))

    def _holders(self, address: bytes, port: int) -> list[DatagramHandler]:
        """Who has a port already that `address` would have."""
        wildcard = WILDCARDS[len(address)]
        if address != wildcard:
            return [*self._endpoints.get((address, port), ()), *self._endpoints.get((wildcard, port), ())]
        found = (held for (at, other), held in self._endpoints.items() if port == other and len(at) == len(address))
        return [receiver for held in found for receiver in held]


def _overlaps(handler: PrefixHandler, address: bytes) -> bool:
    """Whether who is bound to an address, or to the wildcard, would get what a prefix's hosts get."""
    return handler.covers(address) or address == WILDCARDS[len(handler.prefix.network_address.packed)]


def _meet(one: Network, other: Network) -> bool:
    return one.version == other.version and (one.network_address in other or other.network_address in one)
