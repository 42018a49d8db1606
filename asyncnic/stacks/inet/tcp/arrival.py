"""What a segment does to a connection: RFC 9293 section 3.10.7, in its order, a step a function.

With RFC 5961 (blind resets, SYNs and data are answered by a limited challenge ACK), RFC 7323 (PAWS), and two habits of
the field: an ACK that stands at the very edge of the window is good, and so is a segment without the time stamp that
was agreed on (a peer that loses them on the way must not be deaf for ever).
"""

import errno
import os
from typing import TYPE_CHECKING

from asyncnic.stacks.inet.tcp.segment import ACK, FIN, RST, SYN, Segment, encode
from asyncnic.stacks.inet.tcp.sequence import MASK, Position, before, position
from asyncnic.stacks.inet.tcp.states import ACKED, DATA, EOF, RECEIVING, Happening, TcpState
from asyncnic.stacks.inet.tcp.timers import Timer

if TYPE_CHECKING:
    from asyncnic.stacks.inet.tcp.connection import Connection

_DONE = (TcpState.CLOSING, TcpState.LAST_ACK, TcpState.TIME_WAIT)
"""Everything is said on both sides: a reset is no error there."""
PAWS_IDLE = 24 * 86400.0
"""Seconds after which TS.Recent is too old to compare with (RFC 7323 section 5.5)."""


def arrive(connection: "Connection", segment: Segment, now: float) -> None:
    """Take one segment."""
    state = connection.state
    if state is TcpState.CLOSED:
        return
    if state is TcpState.SYN_SENT:
        _in_syn_sent(connection, segment, now)
        return
    receiver = connection.receiver
    place = position(segment.seq, receiver.nxt)
    if state is TcpState.SYN_RECEIVED and segment.flags & (SYN | ACK | RST) == SYN | ACK and place == receiver.nxt - 1:
        # Simultaneous open: each SYN-ACK repeats a SYN, and acknowledges one (section 3.5, figure 8).
        _acknowledgment(connection, segment, receiver.nxt, now)
        return
    if not _acceptable(connection, segment, place, now):
        return
    flags = segment.flags
    if flags & RST:
        _reset(connection, place, now)
    elif flags & SYN:
        connection.challenge(now)  # RFC 5961 section 4; in SYN-RECEIVED too
    elif flags & ACK and _acknowledgment(connection, segment, place, now):
        _text(connection, segment, place, now)


def refusal(segment: Segment, addresses: int) -> bytes | None:
    """The reset that answers a segment of no connection (section 3.10.7.1); None where none may be sent."""
    if segment.flags & RST:
        return None
    ports = segment.port << 16 | segment.source_port
    if segment.flags & ACK:
        return encode(ports, segment.ack, 0, RST, 0, b"", b"", addresses)
    return encode(ports, 0, (segment.seq + segment.length) & MASK, RST | ACK, 0, b"", b"", addresses)


def _in_syn_sent(connection: "Connection", segment: Segment, now: float) -> None:
    """Section 3.10.7.3."""
    sender, receiver, flags = connection.sender, connection.receiver, segment.flags
    ack = position(segment.ack, sender.una)
    if flags & ACK and not sender.iss < ack <= sender.nxt:
        if not flags & RST:
            connection.counters.resets_out += 1
            connection.emit(ack, RST, b"", now)
        return
    if flags & RST:
        if flags & ACK:
            connection.counters.resets_in += 1
            connection.over(Happening.RESET, OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
        return
    if not flags & SYN:
        return
    connection.irs = segment.seq
    receiver.start(segment.seq)
    connection.agree(segment.options, now)
    if flags & ACK:
        sample = None if sender.tries else now
        connection.go(Happening.SYN_ACK)
        sender.una = ack
        sender.board.release(ack)
        connection.timers.stop_all()
        if sample is not None and segment.options.echo:
            sender.round_trip.sample(((connection.stamp(now) - segment.options.echo) & MASK) / 1000)
        connection.establish(segment.window, segment.seq, now)  # the window of a SYN is not scaled
        receiver.ack_now = True
        _text(connection, segment, receiver.nxt, now)
    else:
        connection.go(Happening.SYN)
        sender.window = sender.max_window = segment.window
        sender.wl1, sender.wl2 = segment.seq, sender.una
        connection.answer_syn(now)


def _acceptable(connection: "Connection", segment: Segment, place: Position, now: float) -> bool:
    """First step: PAWS, then the sequence number; what is not acceptable is answered here."""
    receiver, options = connection.receiver, segment.options
    length = segment.length
    if connection.stamps and options.stamp is not None and not segment.flags & RST:
        old = before(options.stamp, connection.recent) and now - connection.recent_at < PAWS_IDLE
        if old:
            connection.counters.old_stamp += 1
            _answer(connection, length, now)
            return False
    if receiver.acceptable(place, length):
        # RFC 7323 section 4.3, with what comes next for what was acknowledged last.
        if options.stamp is not None and place <= receiver.nxt:
            connection.recent, connection.recent_at = options.stamp, now
        return True
    counters = connection.counters
    if segment.flags & RST:
        return False
    if place < receiver.nxt and segment.payload:
        counters.duplicate += 1
        receiver.duplicate = place, min(place + length, receiver.nxt)
    else:
        counters.outside_window += 1
    if connection.state is TcpState.TIME_WAIT and segment.flags & FIN:
        connection.wait(now)
    if connection.state is TcpState.SYN_RECEIVED and segment.flags & SYN:
        connection.answer_syn(now)
    else:
        _answer(connection, length, now)
    return False


def _answer(connection: "Connection", length: int, now: float) -> None:
    """What has a length is acknowledged each time, or its sender waits; a bare ACK is not, or it never ends."""
    if length:
        connection.receiver.ack_now = True
    else:
        connection.challenge(now)


def _reset(connection: "Connection", place: Position, now: float) -> None:
    """Second step (RFC 5961 section 3.2): only a reset at the very place is one."""
    if place != connection.receiver.nxt:
        connection.challenge(now)
        return
    connection.counters.resets_in += 1
    number = errno.ECONNREFUSED if connection.state is TcpState.SYN_RECEIVED else errno.ECONNRESET
    error = None if connection.state in _DONE else OSError(number, os.strerror(number))
    connection.over(Happening.RESET, error)


def _acknowledgment(connection: "Connection", segment: Segment, place: Position, now: float) -> bool:
    """Fifth step; whether the rest of the segment counts."""
    sender = connection.sender
    ack = position(segment.ack, sender.una)
    if connection.state is TcpState.SYN_RECEIVED:
        if not sender.una < ack <= sender.nxt:
            connection.counters.resets_out += 1
            connection.emit(ack, RST, b"", now)
            return False
        connection.go(Happening.ACK_OF_SYN)
        sender.una = ack
        sender.board.release(ack)
        connection.timers.stop(Timer.RETRANSMIT)
        connection.establish(segment.window << (0 if segment.flags & SYN else sender.shift), place, now)
        return True
    if ack > sender.nxt or ack < sender.una - max(sender.max_window, 1):  # RFC 5961 section 5.2
        connection.challenge(now)
        return False
    if ack >= sender.una and sender.acknowledge(ack, place, segment, now):
        connection.news |= ACKED
        if sender.fin_acknowledged:
            _fin_acknowledged(connection, now)
    return connection.state is not TcpState.CLOSED


def _fin_acknowledged(connection: "Connection", now: float) -> None:
    connection.go(Happening.ACK_OF_FIN)
    if connection.state is TcpState.TIME_WAIT:
        connection.wait(now)
    elif connection.state is TcpState.CLOSED:  # the peer's FIN came before
        connection.over(Happening.ACK_OF_FIN, None)
    elif connection.gone:
        connection.timers.set(Timer.TWO_MSL, now + connection.config.two_msl)


def _text(connection: "Connection", segment: Segment, place: Position, now: float) -> None:
    """Seventh and eighth step: data, and the FIN. The urgent pointer is not looked at: urgent data is data."""
    payload, fin = segment.payload, bool(segment.flags & FIN)
    if connection.state not in RECEIVING:
        if fin and connection.state is TcpState.TIME_WAIT:
            connection.receiver.ack_now = True
            connection.wait(now)
        return
    if not payload and not fin:
        return
    receiver, counters = connection.receiver, connection.counters
    if connection.gone and place + len(payload) > receiver.nxt:
        connection.abort(now)  # section 3.6.1: nobody is there to read it
        return
    if payload and place > receiver.nxt:
        counters.out_of_order += 1
    if receiver.text(place, payload, fin):
        connection.news |= DATA
    if receiver.eof():
        connection.news |= EOF
        connection.go(Happening.FIN)
        if connection.state is TcpState.TIME_WAIT:
            connection.wait(now)
    elif receiver.gap and place > receiver.nxt:
        connection.acknowledge(now)  # a duplicate ACK for each, as the peer counts them (RFC 5681 section 4.2)
