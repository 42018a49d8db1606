"""What the fast ways in and out (hot/segments.py, hot/transmit.py) ask of a connection, and what they tell it.

In: `expected` says what the next segment of an established connection without surprises is like, `took` takes a run of
such segments. Out: `DirectWay` is where a connection's segments go once the way to its peer is known. Neither is
another TCP: whatever is not as expected goes the slow way, and both ways do the same to a connection.
"""

from collections.abc import Sized

from asyncnic.hot.segments import Expected
from asyncnic.hot.transmit import Template, TransmitSlots
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.layer import TcpLayer
from asyncnic.stacks.inet.tcp.sequence import MASK
from asyncnic.stacks.inet.tcp.states import ACKED, DATA, TcpState

_ESTABLISHED = TcpState.ESTABLISHED
"""Looked up once for all: a member of an enumeration is dear to find."""


def expected(connection: Connection) -> Expected | None:
    """What the next segment of `connection` says; see `Expected`."""
    receiver, sender = connection.receiver, connection.sender
    if (
        connection.state is not _ESTABLISHED
        or connection.gone
        or receiver.fin is not None
        or receiver.gap
        or not sender.window
        or sender.recovery is not None
        or sender.duplicates
        or sender.board.ranges
    ):
        return None
    return (
        receiver.nxt & MASK,
        receiver.edge - receiver.nxt,
        sender.una & MASK,
        sender.nxt - sender.una,
        connection.stamps,
        connection.recent,
    )


def took(
    touched: dict[Connection, None],
    connection: Connection,
    data: bytes,
    segments: int,
    acknowledged: int,
    window: int,
    stamp: int,
    echo: int,
    now: float,
) -> None:
    """Take a run of `segments` with `data` in them, of which the last is as said, and have `touched` say so; see
    `SegmentReader`.
    """
    receiver, sender = connection.receiver, connection.sender
    touched[connection] = None
    connection.heard = now
    if connection.stamps:
        connection.recent, connection.recent_at = stamp, now
    if data:
        receiver.took(data, len(data), segments)
        connection.news |= DATA
    sender.wl2 = sender.una + acknowledged
    sender.told(receiver.nxt, window << sender.shift)
    if acknowledged:
        sender.advance(sender.una + acknowledged, echo if connection.stamps else None, now)
        connection.news |= ACKED


class DirectWay:
    """Straight into transmit descriptors, for one connection, as long as the way is known.

    Args:
        slots: the descriptors.
        ways: templates by connection, forgotten by whoever owns them when one of them may have changed.
        held: frames that wait for room on the link; they go first.
        layer: makes templates. own, peer: addresses. ports: own and peer's, 4 octets.
    """

    __slots__ = ("_held", "_key", "_layer", "_own", "_peer", "_ports", "_slots", "_ways")

    def __init__(
        self,
        slots: TransmitSlots,
        ways: dict[bytes, Template],
        held: Sized,
        layer: TcpLayer,
        own: bytes,
        peer: bytes,
        ports: bytes,
    ) -> None:
        self._slots = slots
        self._ways = ways
        self._held = held
        self._layer = layer
        self._own = own
        self._peer = peer
        self._ports = ports
        self._key = peer + own + ports

    def put(
        self,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        stamp: int,
        echo: int,
        data: bytes,
        start: int,
        size: int,
        most: int,
    ) -> int:
        """See `TransmitSlots.put_segments`. 0: the slow way may know better."""
        template = self._ways.get(self._key)
        if template is None or self._held:
            return 0
        return self._slots.put_segments(template, seq, ack, flags, window, stamp, echo, data, start, size, most)

    def learn(self, now: float) -> None:
        """A segment went the slow way: perhaps all of it is known now."""
        if self._key not in self._ways and self._layer.owns(self._own):
            template = self._layer.stream_template(self._own, self._peer, self._ports, now)
            if template is not None:
                self._ways[self._key] = template

    def forget(self) -> None:
        """The connection is gone."""
        self._ways.pop(self._key, None)
