"""The receiving half of a connection: what comes in order, what waits for it, the window, and when an ACK is owed.

It sends nothing: the connection asks it what an ACK would say, and tells it when one went out.
"""

from asyncnic.stacks.inet.tcp.reassembly import StreamReassembly
from asyncnic.stacks.inet.tcp.sequence import Position

QUICK = 16
"""Segments at the start that are acknowledged at once, for the peer's slow start."""
_MERGE = 4096


class Receiver:
    """What the peer sends.

    Args:
        capacity: octets that may be unread.
        mss: octets of the largest segment we told the peer of.
    """

    __slots__ = (
        "_held",
        "_stored",
        "ack_now",
        "capacity",
        "duplicate",
        "edge",
        "fin",
        "mss",
        "nxt",
        "quick",
        "ready",
        "reassembly",
        "shift",
        "unacked",
    )

    def __init__(self, capacity: int, mss: int) -> None:
        self.capacity = capacity
        self.nxt: Position = 0
        self.edge: Position = 0
        """The right edge of the window that the peer was told of."""
        self.shift = 0
        """Of the window in our headers."""
        self.mss = mss
        self.ready: list[bytes | memoryview] = []
        """In order and unread; the views are of the burst in hand."""
        self.reassembly: StreamReassembly | None = None
        self.fin: Position | None = None
        """Where the peer's FIN stands, once known."""
        self.unacked = 0
        self.ack_now = False
        self.quick = QUICK
        self.duplicate: tuple[Position, Position] | None = None
        """What came twice, for the next ACK (RFC 2883)."""
        self._held = 0
        self._stored = 0

    def start(self, irs: Position) -> None:
        """The peer's SYN has this position."""
        self.nxt = irs + 1
        self.edge = self.nxt + min(self.capacity, 0xFFFF)  # the window of a SYN is not scaled

    @property
    def unread(self) -> int:
        """Octets in order that nobody has taken."""
        return self._held

    @property
    def cost(self) -> int:
        """Octets of memory."""
        return self._held + (self.reassembly.cost if self.reassembly is not None else 0)

    @property
    def gap(self) -> bool:
        """Whether something waits for what comes before it."""
        return self.reassembly is not None and bool(self.reassembly.ranges)

    def acceptable(self, place: Position, length: int) -> bool:
        """RFC 9293 section 3.4, table 6. Something at the edge of a closed window passes, to have its ACK looked at."""
        nxt = self.nxt
        if length == 0:
            return nxt <= place <= self.edge
        if place == nxt:
            return True
        return place < self.edge and place + length > nxt

    def text(self, place: Position, payload: bytes | memoryview, fin: bool) -> int:
        """Take what is in the window of acceptable data, and a FIN behind it; octets that are now in order."""
        size = len(payload)
        if fin and place + size <= self.edge:
            self.fin = place + size
        nxt = self.nxt
        if place != nxt or self.gap or place + size > self.edge:
            return self._odd(place, payload)
        if size:
            self.took(payload, size)
        return size

    def took(self, payload: bytes | memoryview, size: int, segments: int = 1) -> None:
        """The next `size` octets, of so many segments, in order and in the window."""
        self.ready.append(payload)
        self._held += size
        self.nxt += size
        self.unacked += size
        if self.quick:
            self.quick = max(0, self.quick - segments)
            self.ack_now = True

    def eof(self) -> bool:
        """Step over the peer's FIN if everything before it is there; whether it was."""
        if self.fin is None or self.nxt != self.fin:
            return False
        self.nxt += 1
        self.fin = None
        self.ack_now = True
        return True

    def take(self) -> bytes:
        """All that is in order and unread."""
        ready = self.ready
        data = bytes(ready[0]) if len(ready) == 1 else b"".join(ready)
        ready.clear()
        self._held = self._stored = 0
        return data

    def give_back(self, data: bytes | memoryview) -> None:
        """What was taken was not wanted after all: it is unread again."""
        self.ready.insert(0, bytes(data))
        self._held += len(data)

    def store(self) -> None:
        """The burst is over and nobody took what is ready: keep it, in few objects."""
        ready = self.ready
        if len(ready) == self._stored:
            return
        fresh = b"".join(ready[self._stored :])
        del ready[self._stored :]
        if ready and len(ready[-1]) < _MERGE:
            fresh = bytes(ready.pop()) + fresh
        ready.append(fresh)
        self._stored = len(ready)

    def opened(self) -> bool:
        """Whether so much was read since the last ACK that the peer should hear of it (RFC 9293 section 3.8.6.2.2)."""
        told = self.edge - self.nxt
        grown = self.capacity - self._held - told
        return told < self.capacity // 2 and grown >= min(self.capacity // 2, self.mss)

    def window(self) -> int:
        """What the window field is to say now. The edge never goes back."""
        space = self.nxt + self.capacity - self._held
        if space - self.edge >= min(self.capacity // 2, self.mss):
            self.edge = space
        field = (self.edge - self.nxt + (1 << self.shift) - 1) >> self.shift
        return field if field < 0xFFFF else 0xFFFF

    def acknowledged(self) -> None:
        """An ACK went out."""
        self.unacked = 0
        self.ack_now = False
        self.duplicate = None

    def blocks(self, limit: int) -> list[tuple[Position, Position]]:
        """SACK blocks for an ACK, at most `limit`."""
        found = [] if self.duplicate is None else [self.duplicate]
        if self.reassembly is not None:
            found += self.reassembly.blocks(limit)
        return found[:limit]

    def _odd(self, place: Position, payload: bytes | memoryview) -> int:
        """Data that begins or ends elsewhere than it should."""
        nxt, end = self.nxt, place + len(payload)
        self.ack_now = True
        if place < nxt:
            self.duplicate = place, min(end, nxt)
            payload = payload[nxt - place :]
            place = nxt
        if end > self.edge:
            payload = payload[: max(0, self.edge - place)]
        if not payload:
            return 0
        if place > nxt:
            if self.reassembly is None:
                self.reassembly = StreamReassembly(2 * self.capacity)
            kept = self.reassembly.add(place, payload)
            if not kept:
                self.duplicate = place, place + len(payload)
            return 0
        found = [payload]
        self.nxt = nxt + len(payload)
        if self.reassembly is not None:
            found += self.reassembly.take(self.nxt)
            self.nxt = nxt + sum(map(len, found))
        self.ready += found
        self._held += self.nxt - nxt
        self.unacked += self.nxt - nxt
        return self.nxt - nxt
