"""ICMPv6 (RFC 4443): echo answered, errors sent and taken, and messages of other protocols handed on to them.

Neighbour discovery is ndp.py, groups are mld.py's. No node information, no redirects.
"""

import errno
import os
from collections.abc import Callable

from asyncnic.stacks.inet.addresses import is_multicast
from asyncnic.stacks.inet.checksum import checksum, pseudo_sum, sound
from asyncnic.stacks.inet.icmp import Tell, TellTcp
from asyncnic.stacks.inet.ipv6 import HEADER as IP_HEADER
from asyncnic.stacks.inet.ipv6 import LEAST_MTU, Ipv6, upper_layer
from asyncnic.stacks.inet.outcomes import Outcome, Totals
from asyncnic.stacks.inet.packet import ICMPV6, TCP, UDP, Packet
from asyncnic.stacks.inet.ratelimit import TokenBucket, by_chance

UNREACHABLE, TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM, ECHO_REQUEST, ECHO_REPLY = 1, 2, 3, 4, 128, 129
NO_ROUTE, PROHIBITED, PORT_UNREACHABLE = 0, 1, 4
BAD_NEXT_HEADER = 1
REASSEMBLY_TIME_EXCEEDED = 1
UNKNOWN_OPTION = 2
REDIRECT = 137
_HEADER = 8
_QUOTE = LEAST_MTU - IP_HEADER - _HEADER
_TCP_ERRORS = {NO_ROUTE: errno.ENETUNREACH, PROHIBITED: errno.EACCES, PORT_UNREACHABLE: errno.ECONNREFUSED}
_UDP_ERRORS = {
    **{NO_ROUTE: 0, 2: 0, 3: 0, PORT_UNREACHABLE: errno.ECONNREFUSED},
    **{PROHIBITED: errno.EACCES, 5: errno.EACCES, 6: errno.EACCES},
}
"""What a connected UDP socket is told of unreachability, as Linux has it: 0, nothing, of what may pass by itself."""
_LISTENERS = frozenset((130, 131, 132, 143))

QUERY = 130
Listener = Callable[[Packet, float], None]
Discovery = Callable[[Packet, float], Outcome]


def message(kind: int, code: int, body: bytes, source: bytes, target: bytes) -> bytes:
    """An ICMPv6 message with its checksum; `body` is what follows the checksum."""
    plain = bytes((kind, code, 0, 0)) + body
    covered = checksum(plain, pseudo_sum(source, target, ICMPV6, len(plain)))
    return plain[:2] + covered.to_bytes(2, "big") + body


class Icmpv6:
    """The ICMPv6 of one host.

    Args:
        ip: sends, and keeps path MTUs.
        tell: takes errors about our own datagrams.
        tell_tcp: takes errors about our own segments.
        discovery: takes neighbour discovery, types 133 to 137.
        listener: takes queries for multicast listeners.
        totals: counts `errors_limited`.
    """

    __slots__ = ("_discovery", "_ip", "_limit", "_listener", "_tell", "_tell_tcp", "_totals")

    def __init__(
        self, ip: Ipv6, tell: Tell, tell_tcp: TellTcp, discovery: Discovery, listener: Listener, totals: Totals
    ) -> None:
        self._ip = ip
        self._tell = tell
        self._tell_tcp = tell_tcp
        self._discovery = discovery
        self._listener = listener
        self._totals = totals
        self._limit = TokenBucket(cost=by_chance)

    def input(self, packet: Packet, now: float) -> Outcome:
        """Take an ICMPv6 packet."""
        data = packet.payload
        if len(data) < 4:
            return Outcome.ICMPV6_BAD_LENGTH
        if not sound(data, pseudo_sum(packet.source, packet.target, ICMPV6, len(data))):
            return Outcome.ICMPV6_BAD_CHECKSUM
        kind = data[0]
        if kind in _LISTENERS:
            if kind == QUERY:
                self._listener(packet, now)
            return Outcome.ICMPV6_MULTICAST_LISTENER
        if len(data) < _HEADER:
            return Outcome.ICMPV6_BAD_LENGTH
        if 133 <= kind <= REDIRECT:
            return self._discovery(packet, now)
        if not self._ip.is_host(packet.source):
            return Outcome.IPV6_BAD_SOURCE
        if kind == ECHO_REQUEST:
            # A group's echo is answered too (RFC 4443 section 4.2), from a unicast address.
            source = self._ip.source_for(packet.source) if is_multicast(packet.target) else packet.target
            if source is not None:
                reply = message(ECHO_REPLY, 0, bytes(data[4:]), source, packet.source)
                self._ip.send(ICMPV6, reply, source, packet.source, now)
            return Outcome.ICMPV6_ECHO_REQUEST
        if kind == ECHO_REPLY:
            return Outcome.ICMPV6_ECHO_REPLY
        if kind < 128:
            return self._error(kind, data, now)
        return Outcome.ICMPV6_UNKNOWN_TYPE

    def port_unreachable(self, packet: Packet, now: float) -> None:
        """Tell the sender of `packet` that nobody here has its port."""
        self._report(UNREACHABLE, PORT_UNREACHABLE, 0, packet, now)

    def parameter_problem(self, packet: Packet, code: int, pointer: int, now: float) -> None:
        """Tell the sender of `packet` which octet of it this host cannot take."""
        self._report(PARAMETER_PROBLEM, code, pointer, packet, now)

    def reassembly_timeout(self, packet: Packet, now: float) -> None:
        """Tell the sender of `packet` (its first fragment) that the rest did not come."""
        self._report(TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, 0, packet, now)

    def _report(self, kind: int, code: int, number: int, packet: Packet, now: float) -> None:
        """Send an error where RFC 4443 section 2.4 (e) lets us: of packets to groups, only about their options."""
        about_option = kind == PARAMETER_PROBLEM and code == UNKNOWN_OPTION
        if not self._ip.is_host(packet.source) or (packet.group and not about_option):
            return
        found = upper_layer(packet.whole[6], packet.whole[IP_HEADER:])
        if found is not None and found[0] == ICMPV6 and (not found[1] or found[1][0] < 128 or found[1][0] == REDIRECT):
            return
        source = self._ip.source_for(packet.source) if is_multicast(packet.target) else packet.target
        if source is None:
            return
        if not self._limit.take(now):
            self._totals.errors_limited += 1
            return
        body = number.to_bytes(4, "big") + bytes(packet.whole[:_QUOTE])
        self._ip.send(ICMPV6, message(kind, code, body, source, packet.source), source, packet.source, now)

    def _error(self, kind: int, data: memoryview, now: float) -> Outcome:
        quoted = data[_HEADER:]
        if len(quoted) < IP_HEADER or quoted[0] >> 4 != 6:
            return Outcome.ICMPV6_ERROR_IGNORED
        source, target = bytes(quoted[8:24]), bytes(quoted[24:40])
        segment = quoted[IP_HEADER:] if quoted[6] == TCP and len(quoted) >= IP_HEADER + 8 else None
        upper = upper_layer(quoted[6], quoted[IP_HEADER:])
        datagram = upper[1] if upper is not None and upper[0] == UDP and len(upper[1]) >= _HEADER else None
        if kind == TOO_BIG:
            if not self._ip.owns(source):
                return Outcome.ICMPV6_ERROR_IGNORED
            mtu = int.from_bytes(data[4:8], "big")
            self._ip.lower_path_mtu(target, mtu, now)
            if segment is not None:
                self._tell_tcp(source, target, segment, None, False, mtu, now)
            if datagram is not None:
                self._tell(source, target, datagram, OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE)))
            return Outcome.ICMPV6_PACKET_TOO_BIG
        code, told = data[1], False
        if segment is not None:
            number, hard = errno.EHOSTUNREACH, False
            if kind == UNREACHABLE:
                number, hard = _TCP_ERRORS.get(code, errno.EHOSTUNREACH), code == PORT_UNREACHABLE
            elif kind == PARAMETER_PROBLEM:
                number, hard = errno.EPROTO, code == BAD_NEXT_HEADER
            told = self._tell_tcp(source, target, segment, OSError(number, os.strerror(number)), hard, 0, now)
        elif datagram is not None and kind in (UNREACHABLE, PARAMETER_PROBLEM):
            number = _UDP_ERRORS.get(code, errno.EPROTO) if kind == UNREACHABLE else errno.EPROTO
            told = bool(number) and self._tell(source, target, datagram, OSError(number, os.strerror(number)))
        return Outcome.ICMPV6_ERROR_DELIVERED if told else Outcome.ICMPV6_ERROR_IGNORED
