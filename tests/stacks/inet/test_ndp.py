import pytest

from asyncnic.stacks.inet.stack import Inet
from tests.stacks.inet.wire import (
    HOST6,
    LOCAL6,
    MAC,
    PEER6,
    PEER_LOCAL6,
    PEER_MAC,
    Bench,
    advertisement,
    group_mac,
    icmp6,
    ipv6,
    packed,
    solicitation,
    solicited,
    udp6,
    verify,
)

OPTION = b"\x02\x01" + MAC


def test_a_solicitation_is_answered_and_its_sender_remembered() -> None:
    bench = Bench()
    assert bench.feed(solicitation(HOST6)) == {("icmpv6", "neighbour_solicitation"): 1}
    reply = bench.reply()
    assert reply[:6] == PEER_MAC
    assert reply[21] == 255
    assert reply[54:] == icmp6(136, 0, b"\x60\0\0\0" + packed(HOST6) + OPTION, HOST6, PEER6)
    assert bench.inet.v6.hops.neighbours.lookup(packed(PEER6)) == PEER_MAC


def test_a_solicitation_without_option_is_answered_to_where_it_came_from() -> None:
    bench = Bench()
    bench.feed(solicitation(HOST6, mac=None))
    assert bench.reply()[:6] == PEER_MAC
    assert len(bench.inet.v6.hops.neighbours) == 0


def test_a_probe_for_our_address_is_answered_to_all() -> None:
    bench = Bench()
    bench.feed(solicitation(HOST6, "::", mac=None))
    reply = bench.reply()
    assert reply[:6] == group_mac("ff02::1")
    assert reply[54:] == icmp6(136, 0, b"\x20\0\0\0" + packed(HOST6) + OPTION, HOST6, "ff02::1")


def test_others_are_not_answered_for() -> None:
    bench = Bench()
    other = "2001:db8::ff:2"  # of the same solicited-node group
    assert solicited(other) != solicited(HOST6)
    same_group = "2001:db8:9::2"
    assert bench.feed(solicitation(same_group)) == {("icmpv6", "neighbour_solicitation"): 1}
    assert bench.feed(solicitation(other)) == {("ipv6", "not_ours"): 1}
    assert bench.replies() == []


def test_an_unknown_neighbour_is_asked_for_and_then_answered() -> None:
    bench = Bench()
    bench.feed(ipv6(58, icmp6(128, 0, b"\0\x01\0\x01hello")))
    question = bench.reply()
    assert question[:6] == group_mac(solicited(PEER6))
    assert question[54:] == icmp6(135, 0, bytes(4) + packed(PEER6) + b"\x01\x01" + MAC, HOST6, solicited(PEER6))
    assert bench.feed(advertisement(PEER6)) == {("icmpv6", "neighbour_advertisement"): 1}
    assert bench.reply().endswith(b"hello")


def test_advertisements_change_what_they_may() -> None:
    bench = Bench()
    bench.know_peers()
    lookup = bench.inet.v6.hops.neighbours.lookup
    moved = bytes.fromhex("0200000000cc")
    bench.feed(advertisement(PEER6, flags=0x40, mac=moved))  # without override
    assert lookup(packed(PEER6)) == PEER_MAC
    bench.feed(advertisement(PEER6, flags=0x20, mac=moved))
    assert lookup(packed(PEER6)) == moved
    bench.feed(advertisement("2001:db8::77"))
    assert lookup(packed("2001:db8::77")) is None


def test_a_stale_neighbour_that_answers_a_probe_stays() -> None:
    bench = Bench()
    bench.know_peers()
    echo = ipv6(58, icmp6(128, 0, bytes(4)))
    bench.pass_time(31)
    bench.feed(echo)
    probe, _ = bench.replies()
    assert probe[:6] == PEER_MAC
    assert probe[54] == 135
    confirmation = icmp6(136, 0, b"\x40\0\0\0" + packed(PEER6), PEER6, HOST6)
    bench.feed(ipv6(58, confirmation, hop_limit=255))
    bench.pass_time(5)
    assert bench.replies() == []
    assert bench.inet.v6.hops.neighbours.lookup(packed(PEER6)) == PEER_MAC


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(HOST6, hop_limit=254),
        solicitation(HOST6, "::", mac=PEER_MAC),
        ipv6(58, icmp6(135, 1, bytes(4) + packed(HOST6)), hop_limit=255),
        ipv6(58, icmp6(135, 0, bytes(4) + packed(HOST6)[:15]), hop_limit=255),
        ipv6(58, icmp6(135, 0, bytes(4) + packed("ff02::1")), hop_limit=255),
        ipv6(58, icmp6(135, 0, bytes(4) + packed(HOST6) + b"\x01\x00" + PEER_MAC), hop_limit=255),
        ipv6(58, icmp6(135, 0, bytes(4) + packed(HOST6) + b"\x01\x02" + PEER_MAC), hop_limit=255),
        ipv6(58, icmp6(135, 0, bytes(4) + packed(HOST6), "::"), "::", hop_limit=255),
        advertisement(PEER6, "ff02::1", flags=0x60),
    ],
    ids=[
        "hop limit",
        "probe with option",
        "code",
        "cut",
        "multicast target",
        "option of 0",
        "option too long",
        "probe to us alone",
        "solicited to a group",
    ],
)
def test_discovery_that_is_not_believed(frame: bytes) -> None:
    bench = Bench()
    assert bench.feed(frame) == {("icmpv6", "bad_discovery"): 1}
    assert bench.replies() == []
    assert len(bench.inet.v6.hops.neighbours) == 0


def test_routers_are_counted() -> None:
    message = icmp6(134, 0, bytes(12), PEER_LOCAL6, "ff02::1")
    frame = ipv6(58, message, PEER_LOCAL6, "ff02::1", mac=group_mac("ff02::1"), hop_limit=255)
    assert Bench().feed(frame) == {("icmpv6", "router_discovery"): 1}


class Starting(Bench):
    """A host that has just begun to find out whether its addresses are unique; `first` is what it said."""

    def __init__(self) -> None:
        self.first: list[bytes] = []
        super().__init__(HOST6 + "/64", dad=1)

    def _send(self, frame: bytes) -> bool:
        verify(frame)
        self.first.append(frame)
        return super()._send(frame)

    @property
    def host(self) -> Inet:
        return self.inet


def test_addresses_are_used_when_nobody_claims_them() -> None:
    bench = Starting()
    report, *questions = bench.first
    assert report[:6] == group_mac("ff02::16")
    assert report[22:38] == bytes(16)
    assert report[54:62] == b"\x3a\0\x05\x02\0\0\x01\0"
    assert report[62] == 143
    for frame, address in zip(questions, (LOCAL6, HOST6), strict=True):
        nonce = frame[-6:]
        body = bytes(4) + packed(address) + b"\x0e\x01" + nonce
        assert frame[54:] == icmp6(135, 0, body, "::", solicited(address))
    assert bench.feed(udp6(b"too early")) == {("ipv6", "not_ours"): 1}
    assert bench.now < bench.inet.poll(bench.now) <= bench.now + 1
    bench.pass_time(1)
    told = bench.replies()
    assert [frame[54:] for frame in told if frame[20] == 58] == [
        icmp6(136, 0, b"\x20\0\0\0" + packed(address) + OPTION, address, "ff02::1") for address in (LOCAL6, HOST6)
    ]
    assert bench.feed(udp6(b"now")) == {("udp", "no_listener"): 1}


@pytest.mark.parametrize("frame", [solicitation(HOST6, "::", mac=None), advertisement(HOST6, "ff02::1", flags=0x20)])
def test_an_address_that_somebody_claims_is_not_used(frame: bytes) -> None:
    bench = Starting()
    bench.feed(frame)
    assert bench.inet.totals.duplicate_addresses == 1
    bench.pass_time(1)
    assert packed(HOST6) not in bench.host.v6.addresses.usable
    assert packed(LOCAL6) in bench.host.v6.addresses.usable
    assert bench.feed(udp6(b"")) == {("ipv6", "not_ours"): 1}


def test_a_claim_on_a_used_address_is_counted() -> None:
    bench = Bench()
    frame = ipv6(58, icmp6(136, 0, bytes(4) + packed(HOST6)), hop_limit=255)
    assert bench.feed(frame) == {("icmpv6", "neighbour_advertisement"): 1}
    assert bench.inet.totals.duplicate_addresses == 1


def test_groups_for_the_card() -> None:
    assert Bench().inet.multicast_macs() == {
        bytes.fromhex(text) for text in ("01005e000001", "333300000001", "3333ff000002", "3333ff00000a")
    }
