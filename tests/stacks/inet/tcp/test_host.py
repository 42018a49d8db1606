"""A host's TCP among many peers: what it keeps of one does not depend on how many others there are."""

import errno
from ipaddress import ip_interface

import pytest

from asyncnic.stacks.inet.nexthop import LIMIT
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.options import for_syn
from asyncnic.stacks.inet.tcp.segment import ACK, RST, SYN, decode, encode
from asyncnic.stacks.inet.tcp.states import TcpState
from tests.stacks.inet.tcp.pair import Reader
from tests.stacks.inet.wire import FAR, FAR6, HOST, HOST6, ROUTER_MAC, Bench, advertisement, ipv4, ipv6, packed

PORTS = 5000 << 16 | 80


def frame(source: str, target: str, seq: int, ack: int, flags: int) -> bytes:
    """A segment from off the link."""
    addresses = int.from_bytes(packed(source), "big") + int.from_bytes(packed(target), "big") + 6
    options = for_syn(1220, 5, True, None) if flags & SYN else b""
    segment = encode(PORTS, seq, ack, flags, 60_000, options, b"", addresses)
    around = ipv6 if ":" in source else ipv4
    return around(6, segment, source, target, source_mac=ROUTER_MAC)


class Open:
    """A host with a connection that came from `far`, off the link."""

    def __init__(self, far: str, host: str, dad: int = 0) -> None:
        self.bench = Bench(dad=dad)
        self.far, self.host = far, host
        self._accepted: list[Reader] = []
        for _ in range(4 * dad):
            self.bench.pass_time(1)
        self.bench.sent.clear()
        self.bench.inet.tcp.listen(packed(host), 80, self._accept)
        self.bench.feed(frame(far, host, 100, 0, SYN))
        at = 54 if ":" in host else 34
        addresses = int.from_bytes(packed(far), "big") + int.from_bytes(packed(host), "big") + 6
        self.ack = decode(memoryview(self.bench.sent.pop()[at:]), addresses).seq + 1 & 0xFFFF_FFFF
        self.bench.feed(frame(far, host, 101, self.ack, ACK))
        (self.reader,) = self._accepted
        self.bench.sent.clear()

    def _accept(self, connection: Connection) -> None:
        self._accepted.append(Reader(connection))

    def say(self, data: bytes) -> None:
        """Write something."""
        self.reader.connection.write(data)
        self.flush(self.reader.connection)

    def flush(self, *touched: Connection) -> None:
        for connection in touched:
            self.bench.inet.tcp.touch(connection)
        self.bench.inet.tcp.flush(self.bench.now)

    def said(self) -> list[bytes]:
        """TCP's frames from our address since the last call."""
        own, at = packed(self.host), 22 if ":" in self.host else 26
        kind = 20 if ":" in self.host else 23
        found = [sent for sent in self.bench.sent if sent[at : at + len(own)] == own and sent[kind] == 6]
        self.bench.sent.clear()
        return found


BOTH = pytest.mark.parametrize(("far", "host"), [(FAR, HOST), (FAR6, HOST6)])


@BOTH
def test_a_connection_that_is_quiet_is_reached_after_any_number_of_others_came(far: str, host: str) -> None:
    """From off the link, without a gateway: the way back is known from what came."""
    one = Open(far, host)
    form = "2001:db8:eeee::{0:x}:{1:x}" if ":" in far else "203.0.{0}.{1}"
    others = (form.format(number >> 8, number & 255) for number in range(LIMIT + 1))
    one.bench.feed(*(frame(other, host, 1, 0, SYN) for other in others))
    one.bench.pass_time(31)  # and the ways of what flows are looked up anew
    one.bench.sent.clear()
    one.say(b"news")
    (news,) = one.said()
    assert news[:6] == ROUTER_MAC
    assert news.endswith(b"news")
    one.bench.feed(frame(far, host, 101, one.ack, RST))
    assert one.reader.connection.state is TcpState.CLOSED


@BOTH
def test_an_address_that_is_taken_away_ends_its_connections_without_a_word(far: str, host: str) -> None:
    one = Open(far, host)
    one.say(b"before")
    assert len(one.said()) == 1
    others = [ip_interface("192.0.2.77/24"), ip_interface("2001:db8::77/64")]
    one.bench.inet.renew(others, 1500)
    one.flush()
    assert one.reader.lost
    assert one.reader.connection.error is not None
    assert one.reader.connection.error.errno == errno.EADDRNOTAVAIL
    one.bench.pass_time(10)
    assert one.said() == []
    assert not one.bench.inet.tcp.connections
    assert one.bench.inet.tcp.accounts.memory == 0


@BOTH
def test_an_address_that_stays_keeps_its_connections(far: str, host: str) -> None:
    one = Open(far, host)
    kept = [ip_interface(f"{HOST}/25"), ip_interface(f"{HOST6}/80"), ip_interface("192.0.2.77/24")]
    one.bench.inet.renew(kept, 1500)
    one.say(b"still here")
    assert one.said()[0].endswith(b"still here")
    assert not one.reader.lost


def test_nothing_is_said_from_an_address_that_is_asked_for_again_until_it_is_unique() -> None:
    """The link was away: of the address nothing is known until it was asked for (RFC 4862 section 5.4)."""
    one = Open(FAR6, HOST6, dad=1)
    one.bench.inet.start(one.bench.now)
    one.say(b"patience")
    assert one.said() == []
    assert not one.reader.lost
    for _ in range(4):
        one.bench.pass_time(1)
    assert one.said()[0].endswith(b"patience")


def test_an_address_that_another_host_has_taken_meanwhile_ends_its_connections() -> None:
    one = Open(FAR6, HOST6, dad=1)
    one.bench.inet.start(one.bench.now)
    one.bench.feed(advertisement(HOST6, "ff02::1", flags=0x20))
    one.flush()
    assert one.reader.lost
    for _ in range(4):
        one.bench.pass_time(1)
    assert one.said() == []
