"""The passive side: who listens, what a SYN gets, and which ACK completes a handshake (RFC 9293 section 3.10.7.2).

Until the handshake is done little is kept, and without room for that nothing (cookies.py). A SYN is never answered by a
reset because there is no room.
"""

import errno
import os
import random
from collections.abc import Callable

from asyncnic.stacks.inet.packet import TCP
from asyncnic.stacks.inet.tcp import cookies
from asyncnic.stacks.inet.tcp.accounts import own_of, peer_of, ports_of
from asyncnic.stacks.inet.tcp.config import Config, TcpCounts
from asyncnic.stacks.inet.tcp.connection import Connection, shift_for
from asyncnic.stacks.inet.tcp.half_open import HalfOpen, HalfOpens
from asyncnic.stacks.inet.tcp.layer import Place, TcpLayer, pseudo, segment_room
from asyncnic.stacks.inet.tcp.options import Options, for_syn
from asyncnic.stacks.inet.tcp.segment import ACK, SYN, Segment, encode
from asyncnic.stacks.inet.tcp.sequence import MASK
from asyncnic.stacks.inet.tcp.states import Happening, TcpState, after
from asyncnic.stacks.inet.udp import EPHEMERAL, WILDCARDS

Accept = Callable[[Connection], None]
"""A handshake with a listener is done: give the connection a user."""


class Listening:
    """Listeners and half-open connections of one host.

    Args:
        config, counters, secrets, layers: the host's.
    """

    __slots__ = ("_config", "_cookies_until", "_counters", "_layers", "_listeners", "_secrets", "half_open")

    def __init__(
        self, config: Config, counters: TcpCounts, secrets: cookies.Secrets, layers: dict[int, TcpLayer]
    ) -> None:
        self._config = config
        self._counters = counters
        self._secrets = secrets
        self._layers = layers
        self._listeners: dict[Place, Accept] = {}
        self._cookies_until = float("-inf")
        self.half_open = HalfOpens(config.half_open)

    @property
    def places(self) -> list[Place]:
        """Where connections are taken."""
        return list(self._listeners)

    def open(self, address: bytes, port: int, accept: Accept) -> int:
        """See `Tcp.listen`."""
        wildcard = WILDCARDS[len(address)]

        def taken(number: int) -> bool:
            if address != wildcard:
                return (address, number) in self._listeners or (wildcard, number) in self._listeners
            return any(number == other and len(at) == len(address) for at, other in self._listeners)

        if port == 0:
            first = random.randrange(len(EPHEMERAL))
            numbers = (EPHEMERAL[(first + step) % len(EPHEMERAL)] for step in range(len(EPHEMERAL)))
            port = next((number for number in numbers if not taken(number)), 0)
            if port == 0:
                raise OSError(errno.EADDRINUSE, "no TCP port is free")
        elif taken(port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self._listeners[address, port] = accept
        return port

    def close(self, address: bytes, port: int) -> None:
        """See `Tcp.unlisten`."""
        if self._listeners.pop((address, port), None) is not None:
            self.half_open.drop((address, port))

    def close_all(self) -> None:
        """Nobody listens any more."""
        self._listeners.clear()
        self.half_open.entries.clear()

    def find(self, address: bytes, port: int) -> Place | None:
        """Which listener a segment to `address` and `port` is for."""
        for place in ((address, port), (WILDCARDS[len(address)], port)):
            if place in self._listeners:
                return place
        return None

    def accept(self, place: Place, connection: Connection) -> None:
        """Hand a connection over."""
        self._listeners[place](connection)

    def reset(self, key: bytes, segment: Segment) -> None:
        """A reset of no connection: it ends a handshake if it stands at the right place."""
        entry = self.half_open.entries.get(key)
        if entry is not None and segment.seq == (entry.irs + 1) & MASK:
            del self.half_open.entries[key]
            self._counters.resets_in += 1

    def syn(self, key: bytes, segment: Segment, place: Place, now: float) -> None:
        """Answer a SYN, and remember it if there is room."""
        options = segment.options
        entry = self.half_open.entries.get(key)
        if entry is not None and entry.irs == segment.seq:
            self._answer(key, entry.irs, entry.iss, entry.options, now, cookie=False)
        elif entry is None and self.half_open.full:
            self._counters.cookies_sent += 1
            self._counters.refused["half_open"] += 1
            self._cookies_until = now + 2 * cookies.PERIOD
            mss = options.mss if options.mss is not None else cookies.SIZES[0]
            cookie = self._secrets.cookie(key, segment.seq, mss, now)
            self._answer(key, segment.seq, cookie, options, now, cookie=True)
        else:
            iss = self._secrets.initial(key, now)
            self.half_open.add(key, HalfOpen(segment.seq, iss, options, place, now))
            self._answer(key, segment.seq, iss, options, now, cookie=False)

    def complete(self, key: bytes, segment: Segment, now: float) -> tuple[int, int, Options] | None:
        """Our and the peer's initial sequence number and the SYN's options, if this ACK completes a handshake."""
        entry = self.half_open.entries.get(key)
        if entry is not None:
            offset = (segment.seq - entry.irs - 1) & MASK
            if segment.ack != (entry.iss + 1) & MASK or offset > self._config.receive_window:
                return None
            del self.half_open.entries[key]
            return entry.iss, entry.irs, entry.options
        if now >= self._cookies_until:
            return None
        iss, irs = (segment.ack - 1) & MASK, (segment.seq - 1) & MASK
        size = self._secrets.check(key, irs, iss, now)
        if size is None:
            self._counters.cookies_bad += 1
            return None
        self._counters.cookies_taken += 1
        options = Options()
        options.mss = size
        if segment.options.stamp is not None:
            options.stamp = segment.options.stamp
            options.scale, options.sack_permitted = cookies.marks(segment.options.echo)
        return iss, irs, options

    def poll(self, now: float) -> float:
        """Answer again those SYNs whose ACK does not come; when to come back."""
        for key in self.half_open.expired(now):
            entry = self.half_open.entries[key]
            self._counters.retransmitted += 1
            self._answer(key, entry.irs, entry.iss, entry.options, now, cookie=False)
        return self.half_open.due

    def _answer(self, key: bytes, irs: int, iss: int, said: Options, now: float, cookie: bool) -> None:
        """Send a SYN-ACK. A cookie says little: scale and SACK go with the time stamp, or not at all."""
        scale = None if said.scale is None else shift_for(self._config.receive_window)
        sack, stamps = said.sack_permitted, None
        if said.stamp is not None:
            clock = (int(now * 1000) + self._secrets.stamp_base(key[:-4])) & MASK
            stamps = (cookies.mark(clock, said.scale, sack) if cookie else clock), said.stamp
        elif cookie:
            scale, sack = None, False
        peer, own = peer_of(key), own_of(key)
        layer = self._layers[len(peer)]
        extra = for_syn(segment_room(layer.link_mtu, layer), scale, sack, stamps)
        window = min(self._config.receive_window, 0xFFFF)
        flags = SYN | ACK
        data = encode(ports_of(key), iss, (irs + 1) & MASK, flags, window, extra, b"", pseudo(peer, own))
        self._counters.segments_out += 1
        layer.send(TCP, data, own, peer, now, whole=True)


def received(connection: Connection, irs: int, options: Options, now: float) -> None:
    """Bring a fresh connection to SYN-RECEIVED, as if it had seen the SYN and answered it."""
    connection.irs = irs
    connection.receiver.start(irs)
    connection.state = after(after(TcpState.CLOSED, Happening.PASSIVE_OPEN), Happening.SYN)
    connection.sender.nxt = connection.sender.iss + 1
    connection.agree(options, now)
