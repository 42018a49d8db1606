"""The TCP of one host: who gets a segment, deadlines, limits. Sans I/O; what applications hold is transport.py.

Segments of a burst are only taken in; `flush` at its end tells the users what came, in one piece each, and sends what
is to be sent, one ACK for all. `wake` is told when `poll` or `flush` has to be called otherwise.
"""

import errno
import heapq
import os
import random
from collections.abc import Callable, Sized

from asyncnic.hot.transmit import Template, TransmitSlots
from asyncnic.stacks.inet.outcomes import Outcome
from asyncnic.stacks.inet.packet import TCP, Packet, Sent
from asyncnic.stacks.inet.tcp import cookies
from asyncnic.stacks.inet.tcp.accounts import TcpAccounts, own_of, peer_of, ports_of
from asyncnic.stacks.inet.tcp.arrival import refusal
from asyncnic.stacks.inet.tcp.config import Config, TcpCounts
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.fast import DirectWay
from asyncnic.stacks.inet.tcp.layer import Place, TcpLayer, pseudo, segment_room
from asyncnic.stacks.inet.tcp.listening import Accept, Listening, received
from asyncnic.stacks.inet.tcp.segment import ACK, RST, SYN, ChecksumError, HeaderError, Segment, decode
from asyncnic.stacks.inet.tcp.sequence import MASK, before, position
from asyncnic.stacks.inet.tcp.states import Happening, TcpState
from asyncnic.stacks.inet.tcp.timers import NEVER
from asyncnic.stacks.inet.udp import EPHEMERAL, WILDCARDS

SOON = 0.0
SPARE = 64
"""Deadlines of connections that are gone which may be kept beside as many as there are connections."""


class Tcp:
    """One host's TCP.

    Args:
        config: limits and habits.
        secrets: for sequence numbers and cookies.
        slots: where segments go whose way is known; None: all go by the IP layers.
        held: frames that wait for room on the link; they go first.

    `wake` may be set: it is told when to call `poll` (or, with SOON, `flush`), and may be told in vain.
    """

    def __init__(
        self,
        config: Config | None = None,
        secrets: cookies.Secrets | None = None,
        slots: TransmitSlots | None = None,
        held: Sized = (),
    ) -> None:
        self.config = config or Config()
        self.counters = TcpCounts()
        self.accounts = TcpAccounts(self.config, self.counters)
        self.connections: dict[bytes, Connection] = {}
        self.wake: Callable[[float], None] = lambda when: None
        self._secrets = secrets or cookies.Secrets()
        self._layers: dict[int, TcpLayer] = {}
        self._slots = slots
        self._held = held
        self._ways: dict[bytes, Template] = {}
        self.listening = Listening(self.config, self.counters, self._secrets, self._layers)
        self.touched: dict[Connection, None] = {}
        """Those that `flush` will look at."""
        self._blocked: dict[Connection, None] = {}
        self._more: dict[Connection, None] = {}
        self._deadlines: list[tuple[float, int, Connection]] = []
        self._pushed = 0

    def attach(self, octets: int, layer: TcpLayer) -> None:
        """Run over the IP layer whose addresses have so many octets (4 or 16)."""
        self._layers[octets] = layer

    # -- Users --------------------------------------------------------------------------------------------------------

    def listen(self, address: bytes, port: int, accept: Accept) -> int:
        """Take connections to a port (0: any free one) of `address`, or of the wildcard; returns the port.

        Raises:
            OSError: EADDRINUSE.
        """
        return self.listening.open(address, port, accept)

    def unlisten(self, address: bytes, port: int) -> None:
        """Take no more connections there; handshakes under way are forgotten."""
        self.listening.close(address, port)

    def connect(self, local: Place | None, remote: Place, now: float) -> Connection:
        """Begin a connection, whose SYN is sent. Its `user` is to be set at once.

        Raises:
            OSError: ENETUNREACH, EADDRNOTAVAIL (no such address of ours, or no port is free), EADDRINUSE (these
                addresses and ports have a connection), ENOBUFS (a limit is reached).
        """
        layer = self._layers[len(remote[0])]
        address, port = local or (WILDCARDS[len(remote[0])], 0)
        if address == WILDCARDS[len(address)]:
            found = layer.source_for(remote[0])
            if found is None:
                raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
            address = found
        key = self._free_key(remote, address, port)
        if reason := self.accounts.refuses(remote[0]):
            raise OSError(errno.ENOBUFS, f"{os.strerror(errno.ENOBUFS)}: limit of {reason}")
        connection = self._make(key, self._secrets.initial(key, now), now)
        self._enter(connection)
        self.counters.opened_active += 1
        connection.open(now)
        self.touch(connection)
        return connection

    def forget_ways(self) -> None:
        """Where segments go, or where they come from, may have changed."""
        self._ways.clear()

    def readdressed(self) -> None:
        """Addresses of ours came into use, or went out of it.

        Connections of one that is ours no more are over, and their peers are not told: that would be to speak from it.
        Those of one that is only being asked for wait, as on a wire that loses.
        """
        self.forget_ways()
        for connection in self.connections.values():
            own = own_of(connection.key)
            if not self._layers[len(own)].has(own):
                self.counters.aborted += 1
                connection.over(Happening.ABORT, OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)))
                self.touch(connection)

    def touch(self, connection: Connection) -> None:
        """Something changed about it: `flush` will look at it."""
        if not self.touched:
            self.wake(SOON)
        self.touched[connection] = None

    # -- Segments -----------------------------------------------------------------------------------------------------

    def input(self, packet: Packet, now: float) -> Outcome:
        """Take a TCP packet. `flush` has to follow before the packet's memory is gone."""
        if packet.group or not any(packet.source):
            return Outcome.TCP_NOT_UNICAST  # RFC 9293 MUST-57
        data = packet.payload
        addresses = pseudo(packet.source, packet.target)
        try:
            segment = decode(data, addresses)
        except HeaderError:
            return Outcome.TCP_BAD_HEADER
        except ChecksumError:
            return Outcome.TCP_BAD_CHECKSUM
        self.counters.segments_in += 1
        key = packet.source + packet.target + bytes(data[:4])
        connection = self.connections.get(key)
        if connection is not None:
            if connection.state is not TcpState.TIME_WAIT or not _begins_anew(connection, segment):
                connection.arrive(segment, now)
                self.touched[connection] = None
                return Outcome.TCP_DELIVERED
            self._forget(connection)
        return self._unknown(key, segment, packet, now)

    def error(
        self,
        source: bytes,
        target: bytes,
        quoted: memoryview,
        error: OSError | None,
        hard: bool,
        mtu: int,
        now: float,
    ) -> bool:
        """ICMP came about a segment of ours: see `icmp.TellTcp`. True: it concerned a connection."""
        connection = self.connections.get(target + source + bytes(quoted[2:4]) + bytes(quoted[:2]))
        if connection is None:
            return False
        sender = connection.sender
        place = position(int.from_bytes(quoted[4:8], "big"), sender.una)
        if not sender.una <= place < max(sender.nxt, sender.una + 1):  # RFC 5927 section 4.1
            return False
        if error is not None:
            connection.unreachable(error, hard)
        else:
            layer = self._layers[len(source)]
            layer.lower_path_mtu(target, mtu, now)
            connection.path_mss = min(connection.path_mss, segment_room(layer.path_mtu(target, now), layer))
            sender.too_big(connection.path_mss - (12 if connection.stamps else 0))
        self.touched[connection] = None
        return True

    def flush(self, now: float) -> None:
        """Tell users what came, send what is to be sent. Users may write, close and connect meanwhile."""
        touched = self.touched
        while touched:
            connection = next(iter(touched))
            if connection.news and connection.user is not None:
                connection.user.heard()
            touched.pop(connection, None)
            self._settle(connection, now)
        if self._more:  # not now: what comes in meanwhile has its turn first
            touched.update(self._more)
            self._more.clear()
            self.wake(SOON)

    def poll(self, now: float) -> float:
        """Run what is due; when to come back, NEVER when nothing is awaited."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            when, _, connection = heapq.heappop(deadlines)
            if when != connection.scheduled:
                continue
            connection.scheduled = NEVER
            if connection.timers.next() <= now:
                connection.expire(now)
                self.touched[connection] = None
            else:
                self._schedule(connection)
        due = self.listening.poll(now)
        self.flush(now)
        if self.touched:
            return now
        return min(deadlines[0][0], due) if deadlines else due

    def resume(self, now: float) -> None:
        """The transmit ring has room again."""
        blocked, self._blocked = self._blocked, {}
        self.touched.update(blocked)
        self.flush(now)

    def close(self, now: float) -> None:
        """Reset every connection, forget every listener."""
        self.listening.close_all()
        for connection in list(self.connections.values()):
            connection.abort(now)
            self.touched[connection] = None
        self.flush(now)

    def _unknown(self, key: bytes, segment: Segment, packet: Packet, now: float) -> Outcome:
        """A segment of no connection (RFC 9293 sections 3.10.7.1 and 3.10.7.2)."""
        flags, listening = segment.flags, self.listening
        place = listening.find(packet.target, segment.port)
        if flags & RST:
            listening.reset(key, segment)
            return Outcome.TCP_NO_CONNECTION
        if place is not None and flags & (SYN | ACK) == SYN:
            if self.accounts.refuses(packet.source):
                return Outcome.TCP_REFUSED  # without a word: the peer will ask again
            listening.syn(key, segment, place, now)
            self.wake(listening.half_open.due)
            return Outcome.TCP_HANDSHAKE
        if place is not None and flags & (SYN | ACK) == ACK:
            found = listening.complete(key, segment, now)
            if found is not None:
                if self.accounts.refuses(packet.source):
                    return Outcome.TCP_REFUSED
                connection = self._make(key, found[0], now)
                received(connection, found[1], found[2], now)
                self._enter(connection)
                self.counters.opened_passive += 1
                connection.arrive(segment, now)
                listening.accept(place, connection)
                self.touched[connection] = None
                return Outcome.TCP_DELIVERED
        answer = refusal(segment, pseudo(packet.source, packet.target))
        if answer is not None:
            self.counters.resets_out += 1
            self.counters.segments_out += 1
            self._layers[len(packet.source)].send(TCP, answer, packet.target, packet.source, now)
        return Outcome.TCP_NO_LISTENER if place is None else Outcome.TCP_NO_CONNECTION

    # -- Connections --------------------------------------------------------------------------------------------------

    def _free_key(self, remote: Place, address: bytes, port: int) -> bytes:
        head = remote[0] + address + remote[1].to_bytes(2, "big")
        if port:
            key = head + port.to_bytes(2, "big")
            if key in self.connections:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            return key
        first = random.randrange(len(EPHEMERAL))  # RFC 6056 section 3.3.1
        for step in range(len(EPHEMERAL)):
            key = head + EPHEMERAL[(first + step) % len(EPHEMERAL)].to_bytes(2, "big")
            if key not in self.connections:
                return key
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _make(self, key: bytes, iss: int, now: float) -> Connection:
        peer, own = peer_of(key), own_of(key)
        layer = self._layers[len(peer)]

        def send(data: bytes, now: float) -> bool:
            if not layer.owns(own):
                return True
            return layer.send(TCP, data, own, peer, now, whole=True) is not Sent.FULL

        connection = Connection(
            send,
            self.config,
            self.counters,
            ports_of(key),
            pseudo(peer, own),
            iss,
            self._secrets.stamp_base(key[:-4]),
            segment_room(layer.link_mtu, layer),
            segment_room(layer.path_mtu(peer, now), layer),
            now,
        )
        connection.key = key
        if self._slots is not None:
            ports = key[-2:] + key[-4:-2]
            connection.direct = DirectWay(self._slots, self._ways, self._held, layer, own, peer, ports)
        return connection

    def _enter(self, connection: Connection) -> None:
        self.connections[connection.key] = connection
        self.accounts.opened(connection)
        peer = peer_of(connection.key)
        self._layers[len(peer)].hold(peer)

    def _forget(self, connection: Connection) -> None:
        if self.connections.get(connection.key) is connection:
            del self.connections[connection.key]
            self.accounts.closed(connection)
            peer = peer_of(connection.key)
            self._layers[len(peer)].release(peer)
        if connection.direct is not None:
            connection.direct.forget()
        connection.scheduled = NEVER
        self._blocked.pop(connection, None)
        self._more.pop(connection, None)

    def _settle(self, connection: Connection, now: float) -> None:
        """Its news are told: send what it has to send, and see what it costs and waits for."""
        if connection.state is not TcpState.CLOSED:
            connection.output(now)
            if connection.blocked:
                self._blocked[connection] = None
            elif connection.sender.more:
                self._more[connection] = None
            if not self.accounts.charge(connection):
                connection.abort(now, OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS)))
                self.touched[connection] = None
                return
            if connection.state is TcpState.TIME_WAIT and (oldest := self.accounts.waits(connection)) is not None:
                self._forget(oldest)
        if connection.state is TcpState.CLOSED:
            self._forget(connection)
        else:
            self._schedule(connection)

    def _schedule(self, connection: Connection) -> None:
        due = connection.timers.next()
        if due < connection.scheduled:
            connection.scheduled = due
            self._pushed += 1
            deadlines = self._deadlines
            if len(deadlines) >= 2 * len(self.connections) + SPARE:
                # Those that no longer count wait for their time, hours for a keep-alive: not without end.
                deadlines[:] = [one for one in deadlines if one[0] == one[2].scheduled]
                heapq.heapify(deadlines)
            heapq.heappush(deadlines, (due, self._pushed, connection))
            if deadlines[0][0] == due:
                self.wake(due)


def _begins_anew(connection: Connection, segment: Segment) -> bool:
    """Whether a SYN may begin a new connection where an old one is in TIME-WAIT (RFC 6191)."""
    if segment.flags & (SYN | ACK | RST) != SYN:
        return False
    stamp = segment.options.stamp
    if connection.stamps and stamp is not None and stamp != connection.recent:
        return before(connection.recent, stamp)
    return (segment.seq - connection.receiver.nxt) & MASK < 0x8000_0000
