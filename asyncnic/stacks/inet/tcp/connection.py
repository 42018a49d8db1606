"""One connection: `segment in, now -> segments out, news, next deadline`. What segments do to it is arrival.py.

The owner feeds `arrive` and `expire`, reads `news` and clears it, calls `output` when it has done what the news asked
for, and looks at `timers.next()`. Segments go out by `send`, called from within; nothing else leaves. A connection
whose state is CLOSED is over: nothing more comes of it.
"""

import errno
import os
from typing import Protocol

from asyncnic.stacks.inet.tcp import emission, options
from asyncnic.stacks.inet.tcp.arrival import arrive
from asyncnic.stacks.inet.tcp.config import Config, TcpCounts
from asyncnic.stacks.inet.tcp.emission import Direct, Send
from asyncnic.stacks.inet.tcp.receiver import Receiver
from asyncnic.stacks.inet.tcp.segment import ACK, RST, SYN, Segment
from asyncnic.stacks.inet.tcp.sender import SegmentSender
from asyncnic.stacks.inet.tcp.sequence import MASK, Position
from asyncnic.stacks.inet.tcp.states import CONNECTED, LOST, RECEIVING, SENDING, Happening, TcpState, after
from asyncnic.stacks.inet.tcp.timers import NEVER, Timer, Timers

PROBE_INTERVAL = 75.0
PROBES = 9
PERSISTENCE = 100.0
"""Seconds without a word of the peer after which window probes may be given up (R2)."""
ORPHAN_PROBES = 8
"""Window probes for data whose writer is gone."""
CHALLENGE_INTERVAL = 0.5
"""Seconds between ACKs that no data asked for (RFC 5961 section 7, and against two hosts that answer each other)."""
OVERHEAD = 2048
"""Octets that a connection costs without its buffers."""


class User(Protocol):
    """Whom a connection's news are for."""

    def heard(self) -> None:
        """There are news: read and clear them, take what can be read. It must not raise but to end the process."""


class Connection:
    """A transmission control block, with what it does.

    Args:
        send: takes segments.
        config, counters: the host's.
        ports: own port in the upper, the peer's in the lower 16 bits.
        addresses: see `segment.decode`.
        iss: initial sequence number.
        stamp_base: added to the clock in time stamps.
        mss: octets of data that a packet on the link has room for, without options: what the peer is told.
        path_mss: the same for the way to the peer, as far as known.
        now: seconds.
    """

    __slots__ = (
        "_addresses",
        "_ports",
        "_send",
        "_stamp_base",
        "blocked",
        "challenged",
        "charged",
        "config",
        "counters",
        "direct",
        "error",
        "gone",
        "heard",
        "irs",
        "keep_alive",
        "key",
        "link_mss",
        "news",
        "path_mss",
        "receiver",
        "recent",
        "recent_at",
        "scheduled",
        "sender",
        "soft_error",
        "stamps",
        "state",
        "timers",
        "user",
    )

    def __init__(
        self,
        send: Send,
        config: Config,
        counters: TcpCounts,
        ports: int,
        addresses: int,
        iss: int,
        stamp_base: int,
        mss: int,
        path_mss: int,
        now: float,
    ) -> None:
        self._send = send
        self.direct: Direct | None = None
        self._ports = ports
        self._addresses = addresses
        self._stamp_base = stamp_base
        self.config = config
        self.counters = counters
        self.state = TcpState.CLOSED
        self.timers = Timers()
        self.link_mss = mss
        self.path_mss = path_mss
        self.sender = SegmentSender(self, iss, path_mss, config)
        self.receiver = Receiver(config.receive_window, mss)
        self.receiver.shift = shift_for(config.receive_window)
        self.irs: Position = 0
        self.stamps = True
        """Time stamps are offered, or used."""
        self.recent = 0
        """TS.Recent of RFC 7323."""
        self.recent_at = now
        self.news = 0
        self.error: OSError | None = None
        """Why it is over; None: it ended as it should, or by our own wish."""
        self.soft_error: OSError | None = None
        """What ICMP said while there was hope (RFC 5927 section 6.2)."""
        self.gone = False
        """The user is gone: what still comes cannot be delivered."""
        self.blocked = False
        """`send` had no room: call `output` when there is some."""
        self.heard = now
        self.challenged = float("-inf")
        self.keep_alive: float | None = None
        self.user: User | None = None
        self.key = b""
        """Addresses and ports: what the host knows it by."""
        self.scheduled = NEVER
        """When the host will look at its timers."""
        self.charged = 0
        """Octets that the host counts for it."""

    # -- The user's calls ---------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Active open: send a SYN."""
        self.go(Happening.ACTIVE_OPEN)
        self.sender.nxt = self.sender.iss + 1
        self.sender.sack = True
        self._syn(now)
        self.timers.set(Timer.RETRANSMIT, now + self.sender.round_trip.timeout)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append to what is to be sent; `output` sends it."""
        self.sender.buffer.append(data)

    def read(self) -> bytes:
        """What is in order and unread."""
        data = self.receiver.take()
        if self.receiver.opened():
            self.receiver.ack_now = True
        return data

    def finish(self) -> None:
        """No more will be written: a FIN follows what was."""
        if self.state is TcpState.SYN_SENT:
            self.over(Happening.CLOSE, None)
        elif not self.sender.fin and self.state not in (TcpState.CLOSED, TcpState.TIME_WAIT):
            self.sender.fin = True
            if self.state is not TcpState.SYN_RECEIVED:
                self.go(Happening.CLOSE)

    def close(self, now: float) -> None:
        """The user goes: finish; unread data, or what comes yet, is answered by a reset (RFC 2525 section 2.17)."""
        if self.state is TcpState.CLOSED:
            return
        self.gone = True
        if self.receiver.unread or self.receiver.gap:
            self.abort(now)
            return
        self.finish()
        if self.state is TcpState.FIN_WAIT_2:
            self.timers.set(Timer.TWO_MSL, now + self.config.two_msl)

    def abort(self, now: float, error: OSError | None = None) -> None:
        """Give up at once; the peer is told by a reset, where it knows us."""
        if self.state not in (TcpState.CLOSED, TcpState.SYN_SENT, TcpState.TIME_WAIT):
            self.counters.resets_out += 1
            self.emit(self.sender.nxt, RST | ACK, b"", now)
        self.over(Happening.ABORT, error)

    # -- Wire and clock -----------------------------------------------------------------------------------------------

    def arrive(self, segment: Segment, now: float) -> None:
        """A segment came, its checksum right. Its payload may be a view, good until the next `output`."""
        self.heard = now
        arrive(self, segment, now)

    def output(self, now: float) -> None:
        """Send what may be sent, and the ACK that is owed."""
        receiver = self.receiver
        self.blocked = False
        if self.state in SENDING:
            self.sender.output(now)
        if receiver.ack_now or receiver.unacked >= 2 * receiver.mss:
            self.acknowledge(now)
        elif receiver.unacked and not self.timers.is_set(Timer.DELAYED_ACK):
            self.timers.set(Timer.DELAYED_ACK, now + self.config.delayed_ack)
        receiver.store()

    def expire(self, now: float) -> None:
        """Run the timers that are due."""
        for timer in self.timers.due(now):
            if self.state is TcpState.CLOSED:
                return
            if timer is Timer.RETRANSMIT:
                self._retransmit(now)
            elif timer is Timer.PERSIST:
                self._persist(now)
            elif timer is Timer.DELAYED_ACK:
                self.acknowledge(now)
            elif timer is Timer.KEEP_ALIVE:
                self._keep_alive(now)
            else:
                self.over(Happening.TWO_MSL, None)

    def stamp(self, now: float) -> int:
        """TSval: milliseconds, from a base of this peer's."""
        return (int(now * 1000) + self._stamp_base) & MASK

    def acknowledge(self, now: float) -> None:
        """Send an ACK."""
        if self.state is not TcpState.CLOSED:
            self.emit(self.sender.nxt, ACK, b"", now)

    def challenge(self, now: float) -> None:
        """Send an ACK to a segment that should not be, but not to every one of them."""
        if now - self.challenged >= CHALLENGE_INTERVAL:
            self.challenged = now
            self.counters.challenge_acks += 1
            self.acknowledge(now)

    emit, carry = emission.emit, emission.carry

    # -- What happens to it -------------------------------------------------------------------------------------------

    def go(self, happening: Happening) -> None:
        """Follow the table of states."""
        self.state = after(self.state, happening)

    def agree(self, found: options.Options, now: float) -> None:
        """What the peer's SYN said about options holds from now on."""
        sender = self.sender
        mss = found.mss if found.mss is not None else default_mss(self._addresses)
        if found.scale is None:
            self.receiver.shift = 0
        else:
            sender.shift = found.scale
        sender.sack = found.sack_permitted
        self.stamps = self.stamps and found.stamp is not None
        if found.stamp is not None:
            self.recent, self.recent_at = found.stamp, now
        sender.resize(max(1, min(mss, self.path_mss) - (12 if self.stamps else 0)))

    def establish(self, window: int, place: Position, now: float) -> None:
        """The handshake is done; `window` is in octets, of a segment at `place`."""
        sender, receiver = self.sender, self.receiver
        sender.window = sender.max_window = window
        sender.wl1, sender.wl2 = place, sender.una
        if sender.tries:
            sender.round_trip.after_handshake_loss()
            sender.congestion.collapse()
        sender.tries = 0
        receiver.edge = receiver.nxt + min(receiver.capacity, 0xFFFF)
        self.news |= CONNECTED
        self.set_keep_alive(self.keep_alive, now)
        if sender.fin:
            self.go(Happening.CLOSE)

    def over(self, happening: Happening, error: OSError | None) -> None:
        """It is CLOSED now, because of `error`."""
        self.go(happening)
        if self.state is not TcpState.CLOSED:  # the table has no such line: a user's wish is always granted
            self.state = TcpState.CLOSED
        self.error = error
        self.timers.stop_all()
        self.news |= LOST

    def wait(self, now: float) -> None:
        """TIME-WAIT begins, or begins anew."""
        self.timers.stop_all()
        self.timers.set(Timer.TWO_MSL, now + self.config.two_msl)

    def set_keep_alive(self, idle: float | None, now: float) -> None:
        """Probe the peer when nothing was heard for `idle` seconds; None: never (the default, MUST-25)."""
        self.keep_alive = idle
        if idle is None:
            self.timers.stop(Timer.KEEP_ALIVE)
        else:
            self.timers.set(Timer.KEEP_ALIVE, now + idle)

    def unreachable(self, error: OSError, hard: bool) -> None:
        """ICMP said so: a connection that stands does not die of it (RFC 5927 section 5.2, RFC 1122 4.2.3.9)."""
        if hard and self.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED):
            self.over(Happening.ABORT, error)
        else:
            self.soft_error = error

    @property
    def cost(self) -> int:
        """Octets of memory."""
        return OVERHEAD + self.sender.buffer.cost + self.receiver.cost

    # -- Timers -------------------------------------------------------------------------------------------------------

    def _retransmit(self, now: float) -> None:
        sender = self.sender
        opening = self.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)
        if sender.tries >= (self.config.syn_retries if opening else self.config.retries):
            self._give_up(now)
        elif opening:
            sender.tries += 1
            self.counters.retransmitted += 1
            sender.round_trip.back_off()
            self._syn(now)
            self.timers.set(Timer.RETRANSMIT, now + sender.round_trip.timeout)
        else:
            sender.timed_out(now)

    def _persist(self, now: float) -> None:
        tries = self.sender.tries
        if (tries >= self.config.retries and now - self.heard > PERSISTENCE) or (self.gone and tries >= ORPHAN_PROBES):
            self._give_up(now)
        else:
            self.sender.probe(now)

    def _keep_alive(self, now: float) -> None:
        idle = self.keep_alive
        if idle is None or (self.state not in RECEIVING and self.state is not TcpState.CLOSE_WAIT):
            return
        quiet = now - self.heard
        if quiet < idle:
            self.timers.set(Timer.KEEP_ALIVE, self.heard + idle)
        elif quiet >= idle + PROBES * PROBE_INTERVAL:
            self._give_up(now)
        else:
            if not self.sender.flight:
                self.counters.probes += 1
                self.emit(self.sender.una - 1, ACK, b"", now)
            self.timers.set(Timer.KEEP_ALIVE, now + min(PROBE_INTERVAL, idle))

    def _give_up(self, now: float) -> None:
        self.counters.aborted += 1
        self.abort(now, self.soft_error or OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

    def _syn(self, now: float) -> None:
        answer = self.state is TcpState.SYN_RECEIVED
        stamps = (self.stamp(now), self.recent) if self.stamps else None
        scale = self.receiver.shift if not answer or self.sender.shift or self.receiver.shift else None
        extra = options.for_syn(self.link_mss, scale, self.sender.sack, stamps)
        self.emit(self.sender.iss, SYN | ACK if answer else SYN, b"", now, extra)

    def answer_syn(self, now: float) -> None:
        """Simultaneous open: acknowledge the peer's SYN with our own (RFC 9293 section 3.5, figure 7)."""
        self._syn(now)
        self.timers.set(Timer.RETRANSMIT, now + self.sender.round_trip.timeout)


def shift_for(capacity: int) -> int:
    """The window scale with which `capacity` octets can be said (RFC 7323 section 2.3)."""
    return min(options.MAX_SCALE, max(0, capacity.bit_length() - 16))


def default_mss(addresses: int) -> int:
    """What a peer takes that does not say (MUST-15): by family, which the sum of the pseudo header tells."""
    return 1220 if addresses >> 64 else 536
