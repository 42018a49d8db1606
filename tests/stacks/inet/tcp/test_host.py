"""A host's TCP among many peers: what it keeps of one does not depend on how many others there are."""

import pytest

from asyncnic.stacks.inet.nexthop import LIMIT
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.options import for_syn
from asyncnic.stacks.inet.tcp.segment import ACK, RST, SYN, decode, encode
from asyncnic.stacks.inet.tcp.states import TcpState
from tests.stacks.inet.tcp.pair import Reader
from tests.stacks.inet.wire import FAR, FAR6, HOST, HOST6, ROUTER_MAC, Bench, ipv4, ipv6, packed

PORTS = 5000 << 16 | 80


def frame(source: str, target: str, seq: int, ack: int, flags: int) -> bytes:
    """A segment from off the link."""
    addresses = int.from_bytes(packed(source), "big") + int.from_bytes(packed(target), "big") + 6
    options = for_syn(1220, 5, True, None) if flags & SYN else b""
    segment = encode(PORTS, seq, ack, flags, 60_000, options, b"", addresses)
    around = ipv6 if ":" in source else ipv4
    return around(6, segment, source, target, source_mac=ROUTER_MAC)


@pytest.mark.parametrize(("far", "host"), [(FAR, HOST), (FAR6, HOST6)])
def test_a_connection_that_is_quiet_is_reached_after_any_number_of_others_came(far: str, host: str) -> None:
    """From off the link, without a gateway: the way back is known from what came."""
    bench = Bench()
    accepted: list[Reader] = []

    def accept(connection: Connection) -> None:
        accepted.append(Reader(connection))

    bench.inet.tcp.listen(packed(host), 80, accept)
    bench.feed(frame(far, host, 100, 0, SYN))
    at = 34 if host == HOST else 54
    addresses = int.from_bytes(packed(far), "big") + int.from_bytes(packed(host), "big") + 6
    iss = decode(memoryview(bench.sent.pop()[at:]), addresses).seq
    bench.feed(frame(far, host, 101, iss + 1 & 0xFFFF_FFFF, ACK))
    others = (
        f"2001:db8:eeee::{number:x}" if ":" in far else f"203.0.{number >> 8}.{number & 255}"
        for number in range(1, LIMIT + 2)
    )
    bench.feed(*(frame(other, host, 1, 0, SYN) for other in others))
    bench.pass_time(31)  # and the ways of what flows are looked up anew
    bench.sent.clear()
    (reader,) = accepted
    reader.connection.write(b"news")
    bench.inet.tcp.touch(reader.connection)
    bench.inet.tcp.flush(bench.now)
    assert bench.sent[0][:6] == ROUTER_MAC
    assert bench.sent[0].endswith(b"news")
    bench.feed(frame(far, host, 101, iss + 1 & 0xFFFF_FFFF, RST))
    assert reader.connection.state is TcpState.CLOSED
