"""Datagrams by template, in both forms of the one text: the octets that the slow way writes, and a ring in order."""

import importlib
import struct
from array import array
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.hot import transmit
from asyncnic.stacks.inet import ipv4, ipv6
from asyncnic.stacks.inet.packet import TCP, UDP
from asyncnic.stacks.inet.tcp.layer import pseudo
from asyncnic.stacks.inet.tcp.options import for_stamps
from asyncnic.stacks.inet.tcp.segment import encode
from tests.hot.card import Card
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER6, PEER_MAC, packed, udp, verify

FORMS = (transmit, importlib.import_module("asyncnic.hot._transmit"))
PORTS = struct.pack("!HH", 7, 5000)


def template(module: ModuleType, version: int, last: int = 0, most: int = 1472) -> transmit.Template:
    if version == 4:
        link, ip = b"\x08\x00", ipv4.header(UDP, packed(HOST), packed(PEER), 0, 0)
    else:
        link, ip = b"\x86\xdd", ipv6.header(UDP, packed(HOST6), packed(PEER6), 0)
    made: transmit.Template = module.Template(PEER_MAC + MAC + link, ip, PORTS, most, memoryview(array("H", [last])))
    return made


def expected(version: int, data: bytes, identification: int) -> bytes:
    """The frame as the slow way makes it."""
    if version == 4:
        packet = udp(data, 7, 5000, HOST, PEER)
        head = ipv4.header(UDP, packed(HOST), packed(PEER), len(packet), identification)
        return (PEER_MAC + MAC + b"\x08\x00" + head + packet).ljust(60, b"\0")
    packet = udp(data, 7, 5000, HOST6, PEER6)
    return PEER_MAC + MAC + b"\x86\xdd" + ipv6.header(UDP, packed(HOST6), packed(PEER6), len(packet)) + packet


@given(
    version=st.sampled_from([4, 6]),
    data=st.binary(max_size=64) | st.binary(min_size=1440, max_size=1452),
    last=st.integers(0, 0xFFFF),
)
def test_both_forms_write_what_the_slow_way_writes(version: int, data: bytes, last: int) -> None:
    for module in FORMS:
        card = Card(4, module.TransmitSlots)
        assert card.slots.put_datagram(template(module, version, last), data)
        frame = expected(version, data, (last + 1) & 0xFFFF)
        if frame[14:15] == b"\x60" or frame[40:42] != b"\0\0":
            assert card.take() == [frame]


def stream(module: ModuleType, version: int, last: int) -> transmit.Template:
    if version == 4:
        link, ip = b"\x08\x00", ipv4.header(TCP, packed(HOST), packed(PEER), 0, 0, 0x4000)
    else:
        link, ip = b"\x86\xdd", ipv6.header(TCP, packed(HOST6), packed(PEER6), 0)
    made: transmit.Template = module.Template(PEER_MAC + MAC + link, ip, PORTS, 0, memoryview(array("H", [last])))
    return made


def segment(version: int, seq: int, flags: int, window: int, stamps: tuple[int, int] | None, data: bytes) -> bytes:
    """IP payload as the slow way makes it."""
    own, peer = (HOST, PEER) if version == 4 else (HOST6, PEER6)
    extra = for_stamps(*stamps) if stamps else b""
    return encode(7 << 16 | 5000, seq, 77, flags, window, extra, data, pseudo(packed(own), packed(peer)))


@given(
    version=st.sampled_from([4, 6]),
    data=st.binary(max_size=200),
    start=st.integers(0, 20),
    most=st.integers(1, 90),
    last=st.integers(0, 0xFFFF),
    seq=st.integers(0xFFFF_FFF0, 0xFFFF_FFFF) | st.integers(0, 0xFFFF_FFFF),
    window=st.integers(0, 0xFFFF),
    stamps=st.none() | st.tuples(st.integers(0, 0xFFFF_FFFF), st.integers(0, 0xFFFF_FFFF)),
)
def test_segments_are_those_that_the_slow_way_writes(
    version: int,
    data: bytes,
    start: int,
    most: int,
    last: int,
    seq: int,
    window: int,
    stamps: tuple[int, int] | None,
) -> None:
    start = min(start, len(data))
    pieces = [data[at : at + most] for at in range(start, len(data), most)] or [b""]
    expected = []
    for index, piece in enumerate(pieces):
        flags = 0x18 if index == len(pieces) - 1 else 0x10
        payload = segment(version, (seq + index * most) & 0xFFFF_FFFF, flags, window, stamps, piece)
        if version == 4:
            number = (last + 1 + index) & 0xFFFF
            head = b"\x08\x00" + ipv4.header(TCP, packed(HOST), packed(PEER), len(payload), number, 0x4000)
        else:
            head = b"\x86\xdd" + ipv6.header(TCP, packed(HOST6), packed(PEER6), len(payload))
        expected.append((PEER_MAC + MAC + head + payload).ljust(60, b"\0"))
    for module in FORMS:
        card = Card(256, module.TransmitSlots)
        stamp, echo = stamps or (-1, 0)
        size = len(data) - start
        put = card.slots.put_segments(
            stream(module, version, last), seq, 77, 0x18, window, stamp, echo, data, start, size, most
        )
        assert put == len(pieces)
        assert card.take() == expected


@pytest.mark.parametrize("module", FORMS)
def test_segments_go_as_far_as_there_is_room(module: ModuleType) -> None:
    card = Card(4, module.TransmitSlots)
    card.busy = True
    template = stream(module, 4, 0)
    assert card.slots.put_segments(template, 1, 77, 0x18, 9, -1, 0, bytes(100), 0, 100, 10) == 3
    assert card.slots.put_segments(template, 31, 77, 0x18, 9, -1, 0, bytes(100), 30, 70, 10) == 0
    assert [frame[46:48] for frame in card.take()] == [b"\x50\x10"] * 3
    card.slots.open = False
    assert card.slots.put_segments(template, 31, 77, 0x18, 9, -1, 0, b"", 0, 0, 10) == 0


@pytest.mark.parametrize("module", FORMS)
@pytest.mark.parametrize("version", [4, 6])
def test_a_sum_of_zero_is_sent_as_the_other_zero(module: ModuleType, version: int) -> None:
    card = Card(4, module.TransmitSlots)
    place = 40 if version == 4 else 60
    card.slots.put_datagram(template(module, version), bytes(2))
    (before,) = card.take()
    # A payload that is the checksum without it makes the sum zero.
    card.slots.put_datagram(template(module, version), before[place : place + 2])
    frame = card.take()[1]
    assert frame[place : place + 2] == b"\xff\xff"
    verify(frame[: 14 + 20 + 8 + 2] if version == 4 else frame)


@pytest.mark.parametrize("module", FORMS)
def test_identifications_go_on_and_wrap(module: ModuleType) -> None:
    card, made = Card(8, module.TransmitSlots), template(module, 4, 0xFFFE)
    for _ in range(3):
        assert card.slots.put_datagram(made, b"x")
    assert [frame[18:20] for frame in card.take()] == [b"\xff\xff", b"\0\0", b"\0\1"]


@pytest.mark.parametrize("module", FORMS)
def test_what_does_not_fit_goes_the_slow_way(module: ModuleType) -> None:
    card, made = Card(4, module.TransmitSlots), template(module, 4, most=10)
    assert card.slots.put_datagram(made, bytes(10))
    assert not card.slots.put_datagram(made, bytes(11))
    card.slots.open = False
    assert not card.slots.put_datagram(made, bytes(10))
    assert card.slots.pending == 1


@pytest.mark.parametrize("module", FORMS)
def test_a_frame_never_outgrows_its_buffer(module: ModuleType) -> None:
    card, made = Card(4, module.TransmitSlots), template(module, 6, most=65_000)
    assert card.slots.put_datagram(made, bytes(2048 - 62))
    assert not card.slots.put_datagram(made, bytes(2048 - 61))


@pytest.mark.parametrize("module", FORMS)
def test_a_full_ring_kicks_once_and_goes_on_or_not(module: ModuleType) -> None:
    card, made = Card(4, module.TransmitSlots), template(module, 4)
    assert [card.slots.put_datagram(made, b"%d" % number) for number in range(5)] == [True] * 5
    assert card.kicks == 1
    card.busy = True
    assert [card.slots.put_datagram(made, b"x") for _ in range(3)] == [True, False, False]
    assert card.kicks == 2, "a card that was told is not told again"
    assert len(card.take()) == 6
    assert card.slots.reap() == 3
    assert (card.slots.frames, card.slots.octets_sent) == (6, 6 * 43)


@pytest.mark.parametrize("module", FORMS)
def test_the_first_of_several_is_told(module: ModuleType) -> None:
    card, made, told = Card(8, module.TransmitSlots), template(module, 4), []
    card.slots.on_first = lambda: told.append(card.slots.pending)
    for _ in range(3):
        card.slots.put_datagram(made, b"x")
    card.slots.kick()
    card.slots.put(bytes(60))
    assert told == [1, 4]


@pytest.mark.parametrize("module", FORMS)
def test_what_failed_is_taken_back_in_order(module: ModuleType) -> None:
    card, made = Card(8, module.TransmitSlots), template(module, 4)
    for _ in range(4):
        card.slots.put_datagram(made, b"x")
    card.finish()
    card.finish(error=1 << 27)
    card.finish()
    assert card.slots.failed() == -1
    assert card.slots.reap() == 1
    assert card.slots.failed() == 1 << 27
    assert card.slots.reap() == 1
    assert (card.slots.failed(), card.slots.pending, card.slots.frames) == (-1, 1, 2)


@pytest.mark.parametrize("module", FORMS)
def test_a_sender_takes_only_its_own_way_and_waits_its_turn(module: ModuleType) -> None:
    card, slow = Card(8, module.TransmitSlots), []
    held: list[int] = []
    link: list[int] = []
    ways: dict[int, transmit.Way] = {}
    one, other = (
        module.Sender(card.slots, ways, lambda data, addr, name=name: slow.append((name, data)), held, link)
        for name in ("one", "other")
    )
    peer = ("192.0.2.1", 5000)
    one.learn(peer, template(module, 4))
    one(b"fast", peer)
    one(data=b"fast", addr=peer)
    one(bytearray(b"no bytes"), peer)
    other(b"not its own", peer)
    one(b"an equal one", ("192.0.2.1", 5000 + 0 * len(slow)))
    one(b"connected", None)
    held.append(1)
    one(b"behind the buffer", peer)
    link.append(held.pop())
    one(b"behind the link", peer)
    link.clear()
    one.closed = True
    one(b"closed", peer)
    assert len(card.take()) == 2
    assert [data for _, data in slow] == [
        *(b"no bytes", b"not its own", b"an equal one", b"connected"),
        *(b"behind the buffer", b"behind the link", b"closed"),
    ]
