import pytest

from asyncnic.stacks.inet.life import DEFEND_INTERVAL
from tests.stacks.inet.wire import BROADCAST, HOST, MAC, PEER, PEER_MAC, Bench, arp, echo4, ethernet, ipv4, packed

REPLY = bytes.fromhex("02000000000b 02000000000a 0806 0001 0800 06 04 0002 02000000000a c0000202 02000000000b c0000201")
GRATUITOUS = bytes.fromhex(
    "ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a c0000202 000000000000 c0000202"
)


def test_a_request_is_answered_and_its_sender_remembered() -> None:
    bench = Bench()
    assert bench.feed(arp(1, PEER, HOST)) == {("arp", "request"): 1}
    assert bench.reply() == REPLY
    assert bench.inet.v4.hops.neighbours.lookup(packed(PEER)) == PEER_MAC


def test_addresses_are_announced_at_the_start() -> None:
    bench = Bench("192.0.2.2/24")
    bench.inet.start(bench.now)
    assert bench.reply() == GRATUITOUS


def test_a_probe_is_answered_and_not_remembered() -> None:
    bench = Bench()
    assert bench.feed(arp(1, "0.0.0.0", HOST)) == {("arp", "request"): 1}
    assert bench.reply()[38:42] == bytes(4)
    assert len(bench.inet.v4.hops.neighbours) == 0


def test_requests_between_others_are_ignored_and_not_remembered() -> None:
    bench = Bench()
    assert bench.feed(arp(1, PEER, "192.0.2.99"), arp(1, PEER, PEER)) == {("arp", "ignored"): 2}
    assert bench.replies() == []
    assert len(bench.inet.v4.hops.neighbours) == 0


def test_an_unknown_neighbour_is_asked_for_and_then_answered() -> None:
    bench = Bench()
    bench.feed(ipv4(1, echo4(b"hello")))
    question = bench.reply()
    assert question[:6] == BROADCAST
    assert question[20:22] == b"\0\x01"
    assert question[38:42] == packed(PEER)
    assert bench.feed(arp(2, PEER, HOST, target=MAC)) == {("arp", "reply"): 1}
    reply = bench.reply()
    assert reply[:6] == PEER_MAC
    assert reply[34] == 0
    assert reply.endswith(b"hello")


def test_a_reply_nobody_asked_for_makes_no_entry() -> None:
    bench = Bench()
    assert bench.feed(arp(2, PEER, HOST, target=MAC)) == {("arp", "reply"): 1}
    assert len(bench.inet.v4.hops.neighbours) == 0


def test_a_neighbour_that_moves_is_followed() -> None:
    bench = Bench()
    moved = bytes.fromhex("0200000000cc")
    bench.feed(arp(1, PEER, HOST), arp(1, PEER, PEER, mac=moved))
    assert bench.inet.v4.hops.neighbours.lookup(packed(PEER)) == moved


def test_our_address_is_defended_but_not_in_a_storm() -> None:
    bench = Bench()
    claim = arp(1, HOST, HOST)
    assert bench.feed(claim, claim, claim) == {("arp", "conflict"): 3}
    assert bench.reply() == GRATUITOUS
    assert bench.inet.totals.duplicate_addresses == 3
    bench.pass_time(DEFEND_INTERVAL)
    bench.feed(claim)
    assert bench.reply() == GRATUITOUS


def test_our_own_frames_coming_back_are_no_conflict() -> None:
    bench = Bench()
    other_station = GRATUITOUS[:6] + PEER_MAC + GRATUITOUS[12:]
    assert bench.feed(GRATUITOUS, other_station) == {("ethernet", "looped"): 1, ("arp", "ignored"): 1}
    assert bench.inet.totals.duplicate_addresses == 0


@pytest.mark.parametrize(
    ("at", "octet"),
    [(0, 1), (3, 1), (4, 8), (5, 16), (7, 3), (7, 0), (8, 1)],
    ids=["hardware", "protocol", "mac length", "address length", "operation 3", "operation 0", "group mac"],
)
def test_malformed_packets(at: int, octet: int) -> None:
    bench = Bench()
    frame = bytearray(arp(1, PEER, HOST))
    frame[14 + at] = octet
    assert bench.feed(bytes(frame)) == {("arp", "malformed"): 1}
    assert bench.replies() == []


def test_a_packet_that_ends_early() -> None:
    whole = arp(1, PEER, HOST)[14:42]
    bench = Bench()
    for length in range(28):
        assert bench.feed(MAC + PEER_MAC + b"\x08\x06" + whole[:length]) == {("arp", "malformed"): 1}
    assert bench.feed(ethernet(0x0806, whole)) == {("arp", "request"): 1}
