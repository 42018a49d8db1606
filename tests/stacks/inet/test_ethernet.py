from asyncnic.stacks.inet.ethernet import Link, multicast_mac, parse
from asyncnic.stacks.inet.outcomes import Totals
from tests.stacks.inet.wire import MAC, PEER_MAC, Bench, arp, ethernet, ipv4, udp4

HEADER = MAC + PEER_MAC


def test_a_header_is_split() -> None:
    assert parse(memoryview(HEADER + b"\x08\x00rest")) == (MAC, PEER_MAC, 0x0800, memoryview(b"rest"))


def test_one_tag_is_skipped() -> None:
    assert parse(memoryview(HEADER + b"\x81\x00\x20\x05\x08\x06rest")) == (MAC, PEER_MAC, 0x0806, memoryview(b"rest"))


def test_a_header_or_tag_that_ends_early_is_none() -> None:
    whole = HEADER + b"\x81\x00\x20\x05\x08\x06"
    for length in range(len(whole)):
        assert parse(memoryview(whole[:length])) is None


def test_group_addresses() -> None:
    assert multicast_mac(bytes((239, 129, 2, 3))) == bytes.fromhex("01005e010203")
    assert multicast_mac(bytes.fromhex("ff0200000000000000000001ff112233")) == bytes.fromhex("3333ff112233")


def test_packets_that_belong_together_are_taken_whole_or_not_at_all() -> None:
    room = 2
    sent: list[bytes] = []
    told: list[int] = []

    def send(frame: bytes) -> bool:
        if len(sent) >= room:
            return False
        sent.append(frame[14:])
        return True

    totals = Totals()
    link = Link(MAC, send, totals, lambda: told.append(1))
    assert link.transmit(PEER_MAC, 0x0800, [b"1", b"2", b"3", b"4"])
    assert (sent, len(link), told) == ([b"1", b"2"], 2, [1])
    room = 3
    assert not link.drain()
    assert not link.transmit(PEER_MAC, 0x0800, [b"5"])  # not before what waits
    assert totals.transmit_full == 1
    room = 5
    assert link.drain()
    assert link.transmit(PEER_MAC, 0x0800, [b"5"])
    assert sent == [b"1", b"2", b"3", b"4", b"5"]


def test_outcomes_of_frames_that_go_no_further() -> None:
    bench = Bench()
    assert bench.feed(b"", b"x" * 13, MAC + PEER_MAC + b"\x81\x00\0\0") == {("ethernet", "truncated"): 3}
    assert bench.feed(ethernet(0x88CC, b""), ethernet(46, b"\x42\x42\x03")) == {("ethernet", "unknown_type"): 2}
    other = udp4(b"")
    assert bench.feed(PEER_MAC + other[6:]) == {("ethernet", "not_ours"): 1}
    assert bench.replies() == []


def test_tagged_frames_are_taken_and_answered_untagged() -> None:
    bench = Bench()
    request = arp(1, "192.0.2.1", "192.0.2.2")
    assert bench.feed(request[:12] + b"\x81\x00\x00\x05" + request[12:]) == {("arp", "request"): 1}
    assert bench.reply()[12:14] == b"\x08\x06"
    tagged = ipv4(253, b"")
    assert bench.feed(tagged[:12] + b"\x81\x00\xe0\x00" + tagged[12:]) == {("ipv4", "unknown_protocol"): 1}
