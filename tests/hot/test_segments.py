"""Segments in runs, in both forms of the one text: what is told of them, and that whatever is odd is left alone."""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from asyncnic.hot import segments
from asyncnic.stacks.inet.tcp.layer import pseudo
from asyncnic.stacks.inet.tcp.options import for_stamps
from asyncnic.stacks.inet.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, encode
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER6, burst_of, ipv4, ipv6, packed

FORMS = (segments, importlib.import_module("asyncnic.hot._segments"))
PORTS = 5000 << 16 | 80
SEQ, UNA, RECENT = 0xFFFF_FFF0, 900, 50
ENDS = {4: (PEER, HOST), 6: (PEER6, HOST6)}


def segment(version: int, seq: int, payload: bytes = b"", **other: Any) -> bytes:
    """The frame of a segment that is as it should be but for `other`."""
    peer, own = ENDS[version]
    options = other.get("options", for_stamps(RECENT, 7))
    octets = encode(
        PORTS,
        seq & 0xFFFF_FFFF,
        other.get("ack", UNA),
        other.get("flags", ACK),
        other.get("window", 9),
        options,
        payload,
        pseudo(packed(peer), packed(own)),
    )
    return ipv4(6, octets) if version == 4 else ipv6(6, octets)


class Owner:
    """Whoever has the connections: what they expect, and what was told of them."""

    def __init__(self, module: ModuleType, version: int, room: int = 100_000, flight: int = 500) -> None:
        peer, own = ENDS[version]
        key = packed(peer) + packed(own) + PORTS.to_bytes(4, "big")
        self.expected: tuple[int, int, int, int, bool, int] | None = (SEQ, room, UNA, flight, True, RECENT)
        self.told: list[tuple[Any, ...]] = []
        self.reader = module.SegmentReader(MAC, {key: "it"}, lambda connection: self.expected, self._took)

    def _took(self, *what: Any) -> None:
        self.told.append(what)
        if self.expected is not None:
            _, data, _, news, _, stamp, _, _ = what
            seq, room, una, flight, stamped, _ = self.expected
            size = len(data)
            self.expected = (seq + size) & 0xFFFF_FFFF, room - size, una + news, flight - news, stamped, stamp

    def read(self, *frames: bytes, deadline: float = float("inf")) -> tuple[bool, int]:
        burst = burst_of(list(frames), deadline, lambda: 5.0)
        return self.reader.read(burst), burst.taken


@pytest.mark.parametrize("module", FORMS)
@pytest.mark.parametrize("version", [4, 6])
def test_a_run_is_told_once_with_the_last_words_of_its_last_segment(module: ModuleType, version: int) -> None:
    owner = Owner(module, version)
    frames = [
        segment(version, SEQ, b"a" * 33),
        segment(version, SEQ + 33, ack=UNA + 100, options=for_stamps(RECENT + 1, 8)),
        segment(
            version, SEQ + 33, b"b" * 100, ack=UNA + 400, flags=ACK | PSH, window=3, options=for_stamps(RECENT + 2, 9)
        ),
    ]
    assert owner.read(*frames) == (False, 3)
    assert owner.told == [("it", b"a" * 33 + b"b" * 100, 3, 400, 3, RECENT + 2, 9, 5.0)]


ODD: dict[str, Callable[[int], bytes]] = {
    "damaged": lambda version: segment(version, SEQ, b"abc")[:-1] + b"x",
    "before what is expected": lambda version: segment(version, SEQ - 1, b"abc"),
    "behind what is expected": lambda version: segment(version, SEQ + 1, b"abc"),
    "more than there is room for": lambda version: segment(version, SEQ, bytes(1001)),
    "an acknowledgment of nothing": lambda version: segment(version, SEQ),
    "an acknowledgment of what was not sent": lambda version: segment(version, SEQ, b"abc", ack=UNA + 501),
    "an old acknowledgment": lambda version: segment(version, SEQ, b"abc", ack=UNA - 1),
    "a closed window": lambda version: segment(version, SEQ, b"abc", window=0),
    "an old time stamp": lambda version: segment(version, SEQ, b"abc", options=for_stamps(RECENT - 1, 7)),
    "no time stamp": lambda version: segment(version, SEQ, b"abc", options=b""),
    "another option": lambda version: segment(version, SEQ, b"abc", options=b"\x1e\x0c" + bytes(10)),
    "more options": lambda version: segment(version, SEQ, b"abc", options=for_stamps(RECENT, 7) + bytes(4)),
    "FIN": lambda version: segment(version, SEQ, b"abc", flags=FIN | ACK),
    "RST": lambda version: segment(version, SEQ, b"abc", flags=RST | ACK),
    "SYN": lambda version: segment(version, SEQ, b"abc", flags=SYN | ACK),
    "URG": lambda version: segment(version, SEQ, b"abc", flags=URG | ACK),
    "no ACK": lambda version: segment(version, SEQ, b"abc", flags=PSH),
    "another host's": lambda version: b"\x02\0\0\0\0\x77" + segment(version, SEQ, b"abc")[6:],
    "longer than the frame": lambda version: segment(version, SEQ, bytes(90))[:-20],
    "a short frame": lambda version: segment(version, SEQ, b"abc")[:40],
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("module", FORMS)
def test_what_is_odd_is_left_alone_and_what_came_before_it_told(module: ModuleType, version: int, odd: str) -> None:
    owner = Owner(module, version, room=1000)
    assert owner.read(ODD[odd](version)) == (True, 0)
    assert owner.told == []
    good = segment(version, SEQ, b"x" * 10)
    owner = Owner(module, version, room=1000)
    owner.read(good, ODD[odd](version))
    assert owner.told[0][:3] == ("it", b"x" * 10, 1)


@pytest.mark.parametrize("module", FORMS)
def test_nothing_is_taken_of_a_connection_that_expects_surprises(module: ModuleType) -> None:
    owner = Owner(module, 4)
    owner.expected = None
    assert owner.read(segment(4, SEQ, b"abc")) == (True, 0)


@pytest.mark.parametrize("module", FORMS)
def test_it_stops_in_time(module: ModuleType) -> None:
    owner = Owner(module, 4)
    frames = [segment(4, SEQ, b"abc"), segment(4, SEQ + 3, b"def")]
    assert owner.read(*frames, deadline=5.0) == (False, 1)
    assert [what[1] for what in owner.told] == [b"abc"]


@pytest.mark.parametrize("module", FORMS)
def test_a_run_that_fills_its_list_goes_on_in_another(module: ModuleType) -> None:
    number = segments.MOST + 5
    owner = Owner(module, 4)
    assert owner.read(*(segment(4, SEQ + index, b"x") for index in range(number))) == (False, number)
    assert [what[2] for what in owner.told] == [segments.MOST, 5]
