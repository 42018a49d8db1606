"""A connection's segments on their way out: what stands in their headers, and which way they go.

The fast way (`Direct`) takes plain segments once the way to the peer is known; the others, and the first, go by `Send`.
What is to be sent, and when, is sender.py's and connection.py's. The functions are methods of `Connection`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from asyncnic.stacks.inet.tcp import options
from asyncnic.stacks.inet.tcp.segment import ACK, SYN, encode
from asyncnic.stacks.inet.tcp.sequence import MASK, Position
from asyncnic.stacks.inet.tcp.timers import Timer

if TYPE_CHECKING:
    from asyncnic.stacks.inet.tcp.connection import Connection

Send = Callable[[bytes, float], bool]
"""Takes a segment at a time; False when there is no room for it now."""


class Direct(Protocol):
    """A faster way out than `send`, for plain segments."""

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
        """Send `size` octets of `data` from `start` on in segments of at most `most`; see `TransmitSlots.put_segments`.

        Returns how many segments went; 0: none goes this way now.
        """

    def learn(self, now: float) -> None:
        """A segment went by `send`."""

    def forget(self) -> None:
        """The connection is over."""


def emit(
    connection: "Connection", place: Position, flags: int, payload: bytes | memoryview, now: float, extra: bytes = b""
) -> bool:
    """Send one segment; False when there was no room for it."""
    receiver = connection.receiver
    if flags & SYN:
        window = min(receiver.capacity, 0xFFFF)
    else:
        if flags & ACK and type(payload) is bytes and connection.carry(place, flags, payload, 0, len(payload), now):
            return True
        window = receiver.window()
        if connection.stamps:
            extra = options.for_stamps(connection.stamp(now), connection.recent)
        if connection.sender.sack and (receiver.duplicate is not None or receiver.gap):
            room = max(0, connection.sender.mss - len(payload) - 4) // 8 if payload else 4
            blocks = receiver.blocks(min(room, 3 if connection.stamps else 4))
            extra += options.for_blocks([(left & MASK, right & MASK) for left, right in blocks])
    ack = receiver.nxt & MASK if flags & ACK else 0
    data = encode(connection._ports, place & MASK, ack, flags, window, extra, payload, connection._addresses)
    if not connection._send(data, now):
        connection.blocked = True
        return False
    _went(connection, 1, flags)
    if connection.direct is not None:
        connection.direct.learn(now)
    return True


def carry(connection: "Connection", place: Position, flags: int, data: bytes, start: int, size: int, now: float) -> int:
    """Send `size` octets of `data` from `start` on by the fast way, the last segment with `flags`.

    Returns:
        Segments that went, which are full but for the last of all; 0: they go by `emit`.
    """
    receiver, direct = connection.receiver, connection.direct
    if direct is None or (connection.sender.sack and (receiver.duplicate is not None or receiver.gap)):
        return 0
    stamp = connection.stamp(now) if connection.stamps else -1
    window, ack = receiver.window(), receiver.nxt & MASK
    most = connection.sender.mss
    sent = direct.put(place & MASK, ack, flags, window, stamp, connection.recent, data, start, size, most)
    if sent:
        _went(connection, sent, flags)
    return sent


def _went(connection: "Connection", segments: int, flags: int) -> None:
    connection.counters.segments_out += segments
    if flags & ACK:
        connection.receiver.acknowledged()
        connection.timers.stop(Timer.DELAYED_ACK)
