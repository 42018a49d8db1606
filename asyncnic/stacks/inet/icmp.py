"""ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): echo and errors, both ways. No redirects, no timestamps."""

import errno
import os
import struct
from collections.abc import Callable

from asyncnic.stacks.inet.checksum import checksum, sound
from asyncnic.stacks.inet.ipv4 import HEADER as IP_HEADER
from asyncnic.stacks.inet.ipv4 import Ipv4
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMP, TCP, UDP, Packet
from asyncnic.stacks.inet.ratelimit import TokenBucket, by_chance

ECHO_REPLY, UNREACHABLE, SOURCE_QUENCH, REDIRECT, ECHO_REQUEST, TIME_EXCEEDED, PARAMETER_PROBLEM = 0, 3, 4, 5, 8, 11, 12
NET_UNREACHABLE, PROTOCOL_UNREACHABLE, PORT_UNREACHABLE, TOO_BIG = 0, 2, 3, 4
REASSEMBLY_TIME_EXCEEDED = 1
_ERRORS = frozenset((UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM))
_HEADER = 8
_QUOTE = 576 - IP_HEADER - _HEADER
"""An error's packet stays within 576 octets (RFC 1812 section 4.3.2.3)."""

Tell = Callable[[bytes, bytes, memoryview, OSError], bool]
"""An error about a UDP datagram of ours: its source, its target, its UDP header, the error. True: somebody cared."""

TellTcp = Callable[[bytes, bytes, memoryview, OSError | None, bool, int, float], bool]
"""The same about a TCP segment: source, target, its first 8 octets and more, the error and whether it is a hard one, or
None and the path's MTU; now."""

# Errors that concern a connected endpoint at once (RFC 1122 section 4.2.3.9 calls them hard).
_HARD = {PROTOCOL_UNREACHABLE: errno.ENOPROTOOPT, PORT_UNREACHABLE: errno.ECONNREFUSED}
_TCP_ERRORS = {NET_UNREACHABLE: errno.ENETUNREACH, **_HARD}
_UDP_ERRORS = {
    **_HARD,
    TOO_BIG: errno.EMSGSIZE,
    **{6: errno.ENETUNREACH, 7: errno.EHOSTDOWN, 8: errno.ENONET},  # destination unknown, source isolated
    **{9: errno.ENETUNREACH, 10: errno.EHOSTUNREACH, 13: errno.EHOSTUNREACH},  # prohibited
    **{14: errno.EHOSTUNREACH, 15: errno.EHOSTUNREACH},  # precedence
}
"""Codes of unreachability that a connected UDP socket is told of, as Linux has it: what does not pass by itself."""
_OTHERS = {TIME_EXCEEDED: errno.EHOSTUNREACH, PARAMETER_PROBLEM: errno.EPROTO}


class Icmp:
    """The ICMP of one host.

    Args:
        ip: sends, and knows whom an error may be sent to.
        tell: takes errors about our own datagrams.
        tell_tcp: takes errors about our own segments.
        totals: counts `errors_limited`.
    """

    __slots__ = ("_ip", "_limit", "_tell", "_tell_tcp", "_totals")

    def __init__(self, ip: Ipv4, tell: Tell, tell_tcp: TellTcp, totals: Totals) -> None:
        self._ip = ip
        self._tell = tell
        self._tell_tcp = tell_tcp
        self._totals = totals
        self._limit = TokenBucket(cost=by_chance)

    def input(self, packet: Packet, now: float) -> Outcome:
        """Take an ICMP packet."""
        data = packet.payload
        if len(data) < _HEADER:
            return Outcome.ICMP_BAD_LENGTH
        if not sound(data):
            return Outcome.ICMP_BAD_CHECKSUM
        kind = data[0]
        if kind == ECHO_REQUEST:
            if packet.group:
                return Outcome.ICMP_ECHO_IGNORED
            self._send(ECHO_REPLY, 0, bytes(data[4:]), packet, now)
            return Outcome.ICMP_ECHO_REQUEST
        if kind == ECHO_REPLY:
            return Outcome.ICMP_ECHO_REPLY
        if kind in _ERRORS:
            return self._error(kind, data, now)
        return Outcome.ICMP_UNKNOWN_TYPE

    def unreachable(self, packet: Packet, code: int, now: float) -> None:
        """Tell the sender of `packet` that its protocol or port has nobody here; where an error is allowed."""
        self._report(UNREACHABLE, code, packet, now)

    def reassembly_timeout(self, packet: Packet, now: float) -> None:
        """Tell the sender of `packet` (its first fragment) that the rest did not come."""
        self._report(TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, packet, now)

    def parameter_problem(self, packet: Packet, pointer: int, now: float) -> None:
        """Tell the sender of `packet` which octet of its header is wrong."""
        self._report(PARAMETER_PROBLEM, 0, packet, now, pointer)

    def _report(self, kind: int, code: int, packet: Packet, now: float, pointer: int = 0) -> None:
        if not self._ip.may_answer(packet):
            return
        if packet.protocol == ICMP and (not packet.payload or packet.payload[0] not in (ECHO_REQUEST, ECHO_REPLY)):
            return  # never about an error
        if self._limit.take(now):
            self._send(kind, code, bytes((pointer, 0, 0, 0)) + bytes(packet.whole[:_QUOTE]), packet, now)
        else:
            self._totals.errors_limited += 1

    def _send(self, kind: int, code: int, rest: bytes, packet: Packet, now: float) -> None:
        message = struct.pack("!BBH", kind, code, 0) + rest
        message = message[:2] + checksum(message).to_bytes(2, "big") + rest
        self._ip.send(ICMP, message, packet.target, packet.source, now)

    def _error(self, kind: int, data: memoryview, now: float) -> Outcome:
        code, quoted = data[1], data[_HEADER:]
        if len(quoted) < IP_HEADER or quoted[0] >> 4 != 4:
            return Outcome.ICMP_ERROR_IGNORED
        size = (quoted[0] & 15) * 4
        if size < IP_HEADER or len(quoted) < size + 8 or (quoted[6] << 8 | quoted[7]) & 0x1FFF:
            return Outcome.ICMP_ERROR_IGNORED
        source, target, protocol = bytes(quoted[12:16]), bytes(quoted[16:20]), quoted[9]
        told = False
        if protocol == TCP:
            if kind == UNREACHABLE and code == TOO_BIG:
                told = self._tell_tcp(source, target, quoted[size:], None, False, data[6] << 8 | data[7], now)
            elif kind not in (SOURCE_QUENCH, REDIRECT):  # a quench must not be heeded (RFC 9293 MUST-55)
                number = _TCP_ERRORS.get(code, errno.EHOSTUNREACH) if kind == UNREACHABLE else _OTHERS[kind]
                hard = kind == UNREACHABLE and code in _HARD
                told = self._tell_tcp(source, target, quoted[size:], _error_of(number), hard, 0, now)
        elif protocol == UDP:
            number = (
                _UDP_ERRORS.get(code, 0) if kind == UNREACHABLE else errno.EPROTO if kind == PARAMETER_PROBLEM else 0
            )
            told = bool(number) and self._tell(source, target, quoted[size:], _error_of(number))
        return Outcome.ICMP_ERROR_DELIVERED if told else Outcome.ICMP_ERROR_IGNORED


def _error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # becomes ConnectionRefusedError where it is that
