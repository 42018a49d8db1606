"""The sending half of a connection: what may go, what goes again, and what ACKs say about it.

Data is sent as RFC 9293 section 3.8.6 has it (window, Nagle, silly windows); losses are found and mended by SACK (RFC
6675) or, with a peer that has none, as New Reno does (RFC 6582); a loss that was none is undone (RFC 3522 by time
stamps, RFC 2883 by what the peer got twice), and the reordering that looked like it is remembered.
"""

from typing import TYPE_CHECKING

from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.congestion import Congestion
from asyncnic.stacks.inet.tcp.cubic import Cubic
from asyncnic.stacks.inet.tcp.new_reno import NewReno
from asyncnic.stacks.inet.tcp.rtt import RoundTrip
from asyncnic.stacks.inet.tcp.scoreboard import Scoreboard
from asyncnic.stacks.inet.tcp.segment import ACK, FIN, PSH, Segment
from asyncnic.stacks.inet.tcp.send_buffer import SendBuffer
from asyncnic.stacks.inet.tcp.sequence import Position, before, position
from asyncnic.stacks.inet.tcp.timers import Timer

if TYPE_CHECKING:
    from asyncnic.stacks.inet.tcp.connection import Connection

DUPLICATES = 3
MOST_BACKOFF = 60.0
BURST = 64
"""Segments that one call of `output` sends: whoever sends on and on hears no ACKs meanwhile."""


class SegmentSender:
    """What we send.

    Args:
        connection: whose half this is; sends segments and has the timers.
        iss: position of our SYN.
        mss: octets of data in a segment.
        config: which congestion control, how many retries.
    """

    __slots__ = (
        "_at_loss",
        "_config",
        "_connection",
        "_distance",
        "_force",
        "_repeats",
        "_timed",
        "board",
        "buffer",
        "congestion",
        "duplicates",
        "fin",
        "iss",
        "max_window",
        "more",
        "mss",
        "nodelay",
        "nxt",
        "recovery",
        "round_trip",
        "sack",
        "shift",
        "slow",
        "tries",
        "una",
        "window",
        "wl1",
        "wl2",
    )

    def __init__(self, connection: "Connection", iss: Position, mss: int, config: Config) -> None:
        self._connection = connection
        self._config = config
        self.iss = iss
        self.una = iss
        self.nxt = iss
        self.buffer = SendBuffer(iss + 1)
        self.fin = False
        """The user has no more to send: a FIN follows what is buffered."""
        self.window = 0
        self.max_window = 0
        self.wl1: Position = 0
        self.wl2: Position = 0
        self.shift = 0
        self.mss = mss
        self.nodelay = False
        self.sack = False
        self.board = Scoreboard(iss)
        self.congestion: Congestion = NewReno(mss) if config.congestion == "newreno" else Cubic(mss)
        self.round_trip = RoundTrip()
        self.duplicates = 0
        self.recovery: Position | None = None
        """While it lasts, what has to be acknowledged for the loss to be mended."""
        self.slow = False
        """The recovery is after a time-out: the window grows meanwhile."""
        self.more = False
        """`output` stopped for having sent a burst: call it again soon."""
        self.tries = 0
        self._timed: tuple[Position, float] | None = None
        self._force = False
        self._repeats = 0
        self._at_loss: int | None = None
        """Our time stamp when the loss was found, until an ACK has told whether it was one."""
        self._distance = 0

    @property
    def flight(self) -> int:
        """Octets sent and not acknowledged."""
        return self.nxt - self.una

    @property
    def unsent(self) -> int:
        """Octets that wait, a FIN not counted."""
        return max(0, self.buffer.end - self.nxt)

    @property
    def fin_acknowledged(self) -> bool:
        """Whether the peer has our FIN."""
        return self.fin and self.una > self.buffer.end

    def resize(self, mss: int) -> None:
        """Segments are to have at most `mss` octets of data from now on."""
        self.mss = mss
        self.congestion.resize(mss)

    def too_big(self, mss: int) -> None:
        """The way takes only `mss` octets: what is out goes again, in smaller pieces, and that was no congestion."""
        if mss >= self.mss:
            return
        self.resize(mss)
        if self.nxt > self.una > self.iss:
            self.board.forget(self.una, self.nxt)
            self.recovery = self.nxt
            self._timed = None
            self._force = True

    # -- ACKs ---------------------------------------------------------------------------------------------------------

    def acknowledge(self, ack: Position, place: Position, segment: Segment, now: float) -> bool:
        """Take an acceptable ACK; whether it acknowledged something new.

        Args:
            ack: its position, at most `nxt`. place: the segment's own.
            segment: the rest of what it says.
            now: seconds.
        """
        una, news = self.una, 0
        options = segment.options
        if options.blocks and self.sack:
            news = self._selective(ack, [(position(a, una), position(b, una)) for a, b in options.blocks])
        window = segment.window << self.shift
        advanced = ack > una
        if advanced:
            self.advance(ack, options.echo if options.stamp is not None else None, now)
        elif ack == una and self.nxt > una and not segment.length and (news or window == self.window):
            self.duplicates += 1
        if place > self.wl1 or (place == self.wl1 and ack >= self.wl2):
            self.wl2 = ack
            self.told(place, window)
        if news or (self.duplicates and not advanced):
            self._find_loss(now)
        return advanced

    def told(self, place: Position, window: int) -> None:
        """A segment at `place`, the latest so far, said how many octets the peer takes beyond its acknowledgment."""
        self.wl1, self.window = place, window
        if window > self.max_window:
            self.max_window = window
        if window:
            self._connection.timers.stop(Timer.PERSIST)

    def advance(self, ack: Position, echo: int | None, now: float) -> None:
        """Everything below `ack`, which is news and at most `nxt`, is acknowledged; `echo` of its time stamps."""
        una, board, congestion, timers = self.una, self.board, self.congestion, self._connection.timers
        flight, octets = self.nxt - una, ack - una
        self.una = ack
        if self._timed is not None and ack >= self._timed[0]:
            self.round_trip.sample(now - self._timed[1])
            self._timed = None
        elif echo and self.recovery is not None:
            self.round_trip.sample(((self._connection.stamp(now) - echo) & 0xFFFF_FFFF) / 1000)
        self.round_trip.advance()
        self.tries = 0
        self.buffer.release(min(ack, self.buffer.end))
        if board.ranges and board.again <= una < board.highest:
            board.reordered(board.highest - una, self.mss)
        board.release(ack)
        self.duplicates = 0
        if self.recovery is not None:
            self._mend(ack, octets, echo, now)
        elif self._limited(flight):
            congestion.acknowledged(octets, now, self.round_trip.smoothed)
        if self.nxt > ack:
            timers.set(Timer.RETRANSMIT, now + self.round_trip.timeout)
        else:
            timers.stop(Timer.RETRANSMIT)

    def _limited(self, flight: int) -> bool:
        """Whether it was the congestion window that kept more from being in flight (RFC 9438 section 5.8)."""
        window = self.congestion.window
        return flight * 2 >= window if window < self.congestion.threshold else flight + 2 * self.mss >= window

    def _mend(self, ack: Position, octets: int, echo: int | None, now: float) -> None:
        """In recovery, something new was acknowledged."""
        if self._at_loss is not None and echo is not None:
            spurious = before(echo, self._at_loss)  # the first ACK decides (RFC 3522 section 3.2)
            self._at_loss = None
            if spurious:
                self._undo()
                return
        if self.recovery is not None and ack >= self.recovery:
            self.recovery = None
            self.board.lost = self.board.again = ack
            if self.slow:
                self.slow = False
                self.congestion.acknowledged(octets, now, self.round_trip.smoothed)
            else:
                self.congestion.recovered(self.nxt - ack)
            return
        if self.slow:
            self.congestion.acknowledged(octets, now, self.round_trip.smoothed)
        elif not self.sack:  # a partial ACK: the next segment is lost too (RFC 6582 section 3.2 step 3)
            self.board.lost, self.board.again = ack + self.mss, ack
            self._force = True

    def _selective(self, ack: Position, blocks: list[tuple[Position, Position]]) -> int:
        left, right = blocks[0]
        if right <= ack or (len(blocks) > 1 and blocks[1][0] <= left and right <= blocks[1][1]):
            del blocks[0]  # told of twice: our repetition was not needed (RFC 2883 section 4)
            if self._repeats:
                self._repeats -= 1
                if not self._repeats:
                    self._undo()
        return self.board.add(blocks, max(ack, self.una), self.nxt)

    def _undo(self) -> None:
        """Nothing had been lost: back to the window of before, and look at reordering more calmly."""
        if self._distance:
            self.board.reordered(self._distance, self.mss)
        self._at_loss = None
        self._repeats = 0
        self.congestion.undo()
        self._connection.counters.spurious += 1
        self.recovery = None
        self.slow = False
        self.board.lost = self.board.again = self.una

    def _find_loss(self, now: float) -> None:
        board = self.board
        if self.sack:
            board.find_lost(self.mss, self.nxt - self.una)
            if self.recovery is not None or board.lost <= self.una:
                return
        elif self.recovery is not None or self.duplicates < DUPLICATES:
            return
        else:
            board.lost, board.again = min(self.una + self.mss, self.nxt), self.una
        self._connection.counters.fast_recoveries += 1
        self._remember(board.highest - self.una if board.ranges else 0, now)
        self.recovery = self.nxt
        self.slow = False
        board.again = self.una
        self._force = True
        self.congestion.lost(self.nxt - self.una, now)

    def _remember(self, distance: int, now: float) -> None:
        """What has to be known to find out later that nothing was lost."""
        self._at_loss = self._connection.stamp(now)
        self._distance = distance
        self._repeats = 0
        self._timed = None

    # -- Sending ------------------------------------------------------------------------------------------------------

    def output(self, now: float) -> None:
        """Send what may be sent, in order: what was lost, then what is new."""
        board, buffer, timers = self.board, self.buffer, self._connection.timers
        mss, left = self.mss, BURST
        self.more = False
        if self.max_window < 2 * mss:  # or silly window avoidance would wait for ever for a window that never comes
            mss = min(mss, max(self.max_window // 2, 1))
        window = self.congestion.window
        pipe = board.pipe(self.una, self.nxt) if board.ranges or board.lost > self.una else self.nxt - self.una
        if self.duplicates and not self.sack:
            pipe = max(0, pipe - self.duplicates * self.mss)
        while board.again < board.lost and (hole := board.hole()) is not None:
            size = min(mss, hole[1] - hole[0])
            if pipe + size > window and not self._force:
                break
            if not self._send(hole[0], size, now):
                return
            self._force = False
            self._repeats += 1
            self._connection.counters.retransmitted += 1
            pipe += size
            board.again = hole[0] + size
            left -= 1
            if not left:
                self.more = True
                break
        else:
            edge = self.una + self.window
            while (unsent := buffer.end - self.nxt) > 0 or (self.fin and unsent == 0):
                usable = edge - self.nxt
                size = min(unsent, mss, max(usable, 0))
                fin = self.fin and size == unsent and usable > 0
                if size < mss and not fin:
                    if size < unsent:
                        if size * 2 < self.max_window or not size:
                            break
                    elif not size or (not self.nodelay and self.nxt > self.una):
                        break
                if pipe and pipe + size > window:
                    break
                if self._timed is None and self.recovery is None:
                    self._timed = self.nxt + size, now
                most = min(unsent, usable, window - pipe, left * mss)
                sent = self._send_many(self.nxt, most, now) if most >= 2 * mss and not fin else 0
                if not sent:
                    sent = size + fin
                    if not self._send(self.nxt, sent, now):
                        return
                pipe += sent
                self.nxt += sent
                left -= max(1, sent // mss)
                if not left:
                    self.more = True
                    break
        if self.nxt > self.una:
            if not timers.is_set(Timer.RETRANSMIT):
                timers.set(Timer.RETRANSMIT, now + self.round_trip.timeout)
            timers.stop(Timer.PERSIST)
        elif (buffer.end > self.nxt or (self.fin and buffer.end == self.nxt)) and not timers.is_set(Timer.PERSIST):
            timers.set(Timer.PERSIST, now + self.round_trip.timeout)

    def timed_out(self, now: float) -> None:
        """The retransmission timer ran out: all that is out goes again (RFC 6298 section 5.4 to 5.6)."""
        if self.tries == 0:
            self.congestion.timed_out(self.nxt - self.una, now)
            self._remember(0, now)
        else:
            self.congestion.collapse()
        self.tries += 1
        self._connection.counters.timeouts += 1
        self.round_trip.back_off()
        self.board.forget(self.una, self.nxt)
        self.duplicates = 0
        self._timed = None
        self.recovery = self.nxt
        self.slow = True
        self._force = True
        self.output(now)

    def probe(self, now: float) -> None:
        """The persist timer ran out: send what little the window has room for, or ask what it is.

        The question has no new octet in it: two hosts that ask each other would, each having taken the other's octet,
        find all that comes to be old (and Linux asks so too).
        """
        self.tries += 1
        self._connection.counters.probes += 1
        timers = self._connection.timers
        usable = self.una + self.window - self.nxt
        if usable > 0 and self.unsent:
            size = min(usable, self.mss, self.unsent)
            if self._send(self.nxt, size, now):
                self.nxt += size
                timers.set(Timer.RETRANSMIT, now + self.round_trip.timeout)
                return
        else:
            self._connection.emit(self.una - 1, ACK, b"", now)
        wait = min(MOST_BACKOFF, self.round_trip.timeout * (1 << min(self.tries, 10)))
        timers.set(Timer.PERSIST, now + wait)

    def _send_many(self, place: Position, size: int, now: float) -> int:
        """Send full segments from `place` on, at most `size` octets of them; how many octets went, if any this way."""
        mss, buffer = self.mss, self.buffer
        data, start, size = buffer.piece(place, size)
        size -= size % mss
        if not size:
            return 0
        flags = ACK | PSH if place + size == buffer.end else ACK
        return self._connection.carry(place, flags, data, start, size, now) * mss

    def _send(self, place: Position, size: int, now: float) -> bool:
        """Send `size` octets of sequence space from `place` on, the FIN among them where it stands there."""
        end = self.buffer.end
        data = min(size, end - place)
        flags = ACK
        if data < size:
            flags |= FIN
        if place + data == end and data:
            flags |= PSH
        if data == self.mss:
            chunk, start, octets = self.buffer.piece(place, data)
            if octets == data and self._connection.carry(place, flags, chunk, start, data, now):
                return True
        payload = self.buffer.view(place, data) if data > 0 else b""
        return self._connection.emit(place, flags, payload, now)
