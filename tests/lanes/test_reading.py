"""The reference reading, clause by clause: what each kind of frame says, and what it stops saying when it is cut."""

import pytest
from hypothesis import given

from asyncnic.lanes.rules import DEFAULT_LANES, parse_lanes, parse_rule, parse_shed
from tests.lanes.frames import (
    ARP,
    PING4,
    PING6,
    SOLICITATION,
    V4,
    V6,
    ethernet,
    fragment_header,
    frames,
    ipv4,
    ipv6,
    option_header,
    ports,
    udp4,
)
from tests.lanes.reading import Headers, classify, holds, queue_of, read_headers


def held(frame: bytes, text: str) -> bool:
    return holds(parse_rule(text), read_headers(frame))


@pytest.mark.parametrize(
    ("frame", "yes", "no"),
    [
        (ARP, "arp ether:0x0806 *", "nd icmp udp vlan:7 src:0.0.0.0/0"),
        (
            PING4,
            "icmp ether:0x0800 src:192.0.2.1 dst:192.0.2.0/30 src:0.0.0.0/0",
            "icmp6 nd tcp dst:192.0.2.1 src:::/0",
        ),
        (PING6, "icmp6 src:2001:db8::/64 dst:2001:db8::2", "nd icmp dst:2001:db8::3 dst:0.0.0.0/0"),
        (SOLICITATION, "nd icmp6 src:fe80::/10 dst:ff02::1:ff00:0/104", "icmp udp src:fe80::2"),
        (udp4(1024, 53), "udp udp:53 udp:1024", "tcp:53 udp:9 tcp"),
        (udp4(53, 1024), "udp:53", "udp:54"),
        (ethernet(0x0806, bytes(46), 0x2007), "arp vlan:7", "vlan:8 ether:0x8100"),
        (ethernet(0x0806, bytes(46), 7, 8), "vlan:7 ether:0x8100", "arp vlan:8"),
        (ethernet(0x88CC, bytes(46)), "ether:0x88cc", "arp"),
    ],
)
def test_what_holds_for_a_frame(frame: bytes, yes: str, no: str) -> None:
    assert [token for token in yes.split() if not held(frame, token)] == []
    assert [token for token in no.split() if held(frame, token)] == []


@pytest.mark.parametrize("kind", range(131, 140))
def test_neighbour_discovery_is_types_133_to_137(kind: int) -> None:
    frame = ethernet(0x86DD, ipv6(58, bytes((kind, 0, 0, 0)), "fe80::1", "fe80::2"))
    assert held(frame, "nd") == (133 <= kind <= 137)


def test_ports_lie_behind_ipv4_options() -> None:
    frame = ethernet(0x0800, ipv4(17, ports(1, 53), "192.0.2.1", "192.0.2.2", options=10))
    assert read_headers(frame).ports == (1, 53)


@pytest.mark.parametrize("first", [0x00, 0x44, 0x54, 0x60, 0x65])
def test_ipv4_needs_its_version_and_a_header_of_five_words(first: int) -> None:
    frame = bytearray(PING4)
    frame[14] = first
    assert read_headers(bytes(frame)) == Headers(ethertype=0x0800)


@pytest.mark.parametrize(("fragment", "first"), [(0x2000, True), (0x4000, True), (0x2001, False), (0x0001, False)])
def test_only_the_first_ipv4_fragment_has_ports(fragment: int, first: bool) -> None:
    frame = ethernet(0x0800, ipv4(17, ports(1, 53), "192.0.2.1", "192.0.2.2", fragment=fragment))
    assert held(frame, "udp")
    assert held(frame, "src:192.0.2.1")
    assert held(frame, "udp:53") == first


@pytest.mark.parametrize(("offset", "first"), [(0, True), (1, False), (8191, False)])
def test_only_the_first_ipv6_fragment_has_ports(offset: int, first: bool) -> None:
    frame = ethernet(0x86DD, ipv6(44, fragment_header(17, offset, 1) + ports(1, 53), "fe80::1", "fe80::2"))
    assert held(frame, "udp")
    assert held(frame, "udp:53") == first


@pytest.mark.parametrize(("headers", "found"), [(0, True), (1, True), (4, True), (5, False)])
def test_four_extension_headers_are_walked(headers: int, found: bool) -> None:
    following, payload = 17, ports(1, 53)
    for number in range(headers):
        kind = (60, 43, 0, 44)[number % 4]
        header = fragment_header(following) if kind == 44 else option_header(following, number)
        following, payload = kind, header + payload
    assert held(ethernet(0x86DD, ipv6(following, payload, "fe80::1", "fe80::2")), "udp:53") == found


def test_an_extension_header_cut_off_hides_the_protocol() -> None:
    frame = ethernet(0x86DD, ipv6(60, option_header(17)[:7], "fe80::1", "fe80::2"))
    headers = read_headers(frame)
    assert (headers.version, headers.protocol) == (6, 60)
    assert not held(frame, "udp")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (13, Headers()),
        (14, Headers(ethertype=0x0800)),
        (33, Headers(ethertype=0x0800)),
        (34, Headers(ethertype=0x0800, version=4, source=b"\xc0\0\2\1", destination=b"\xc0\0\2\2", protocol=17)),
        (37, Headers(ethertype=0x0800, version=4, source=b"\xc0\0\2\1", destination=b"\xc0\0\2\2", protocol=17)),
    ],
)
def test_a_cut_frame_says_what_is_whole(octets: int, expected: Headers) -> None:
    assert read_headers(udp4()[:octets]) == expected


def test_a_tag_cut_off_leaves_its_tpid_as_ethertype() -> None:
    assert read_headers(ethernet(0x0806, b"", 7)[:17]) == Headers(ethertype=0x8100)


def test_first_match_wins_and_the_last_lane_takes_the_rest() -> None:
    lanes = parse_lanes(["a=udp:53", "b=udp", "c=arp"])
    shed = parse_shed(["udp:9", "udp:53", "udp"])
    verdicts = [classify(frame, lanes, shed) for frame in (udp4(1, 53), udp4(1, 9), udp4(1, 2), ARP, PING4)]
    assert [verdict.lane for verdict in verdicts] == [0, 1, 1, 2, 3]
    assert [verdict.shed for verdict in verdicts] == [1, 0, 2, None, None]


@given(frames)
def test_any_octets_can_be_read(frame: bytes) -> None:
    headers = read_headers(frame)
    assert headers.version in (0, 4, 6)
    assert headers.ports is None or headers.protocol is not None


def test_flows_are_spread_evenly_and_each_stays_where_it_is() -> None:
    lanes = parse_lanes(DEFAULT_LANES)
    for queues in (1, 2, 3, 8):
        counts = [0] * (queues + 1)
        for port in range(40_000, 40_512):
            counts[queue_of(udp4(port), lanes, queues)] += 1
        assert counts[0] == 0
        assert min(counts[1:]) > 0.8 * 512 / queues


def test_control_goes_before_all_queues_of_bulk() -> None:
    lanes = parse_lanes(DEFAULT_LANES)
    assert {queue_of(frame, lanes, 8) for frame in (ARP, PING4, PING6, SOLICITATION)} == {0}
    assert queue_of(ethernet(0x88CC, bytes(46)), lanes, 8) == 1


def test_all_fragments_of_a_datagram_come_to_one_queue() -> None:
    lanes = parse_lanes(DEFAULT_LANES)
    datagrams = [ipv4(17, ports(port, 7), V4[0], V4[2], fragment=0x2000) for port in range(64)]
    datagrams += [ipv4(17, ports(port, 7), V4[0], V4[2], fragment=0x0001) for port in range(64)]
    assert len({queue_of(ethernet(0x0800, packet), lanes, 8) for packet in datagrams}) == 1
    later = [
        ipv6(44, fragment_header(17, offset, 1) + ports(port, 7), V6[0], V6[1]) for offset, port in ((0, 1), (9, 2))
    ]
    assert len({queue_of(ethernet(0x86DD, packet), lanes, 8) for packet in later}) == 1
