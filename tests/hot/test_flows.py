"""Datagrams of known flows: both forms of one text do the same, to the last octet and count."""

import importlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic import hot
from asyncnic.hot import flows as plain
from asyncnic.hot.flows import Flows
from asyncnic.nic.burst import Burst
from tests.stacks.inet.wire import BROADCAST, HOST, HOST6, MAC, PEER, PEER6, ipv4, ipv6, packed, udp, udp4

compiled = importlib.import_module("asyncnic.hot._flows")
udp_burst = hot.choose(plain.udp_burst)

KEY = packed(PEER) + packed(HOST) + (5000).to_bytes(2, "big") + (7).to_bytes(2, "big")
ADDRESS = (PEER, 5000)


class Handler:
    def __init__(self) -> None:
        self.received: list[tuple[bytes, tuple[object, ...]]] = []
        self.now = 0.0
        self.flows: Flows = {KEY: (self.receive, ADDRESS)}

    def receive(self, data: bytes, address: tuple[object, ...]) -> None:
        self.received.append((data, address))
        self.now += 1

    def burst(self, *frames: bytes, deadline: float = 1000) -> Burst:
        offsets = [sum(map(len, frames[:index])) for index in range(len(frames))]
        memory = memoryview(b"".join(frames))
        return Burst(memory, offsets, [len(frame) for frame in frames], deadline, lambda: self.now)


def test_a_burst_of_a_known_flow_is_delivered() -> None:
    test = Handler()
    payloads = [b"", b"1", b"22", b"3" * 18, b"4" * 1471, b"5" * 1472]
    burst = test.burst(*map(udp4, payloads))
    assert udp_burst(burst, MAC, test.flows) is False
    assert burst.taken == len(payloads)
    assert test.received == [(payload, ADDRESS) for payload in payloads]


def test_it_goes_on_where_the_burst_stands() -> None:
    test = Handler()
    burst = test.burst(udp4(b"0"), udp4(b"1"), udp4(b"2"))
    burst.taken = 2
    assert udp_burst(burst, MAC, test.flows) is False
    assert test.received == [(b"2", ADDRESS)]


def test_it_stops_when_the_time_is_up() -> None:
    test = Handler()
    burst = test.burst(*[udp4(b"")] * 5, deadline=2)
    assert udp_burst(burst, MAC, test.flows) is False
    assert burst.taken == len(test.received) == 2


def test_no_checksum_is_none_to_verify() -> None:
    test = Handler()
    burst = test.burst(ipv4(17, udp(b"none", 5000, 7, PEER, HOST, checksum=False)))
    assert udp_burst(burst, MAC, test.flows) is False
    assert test.received == [(b"none", ADDRESS)]


def test_everything_else_is_left_alone() -> None:
    sound = udp4(b"data")
    others = {
        "short": sound[:41],
        "cut": sound[:45],
        "other mac": b"\x02\0\0\0\0\x77" + sound[6:],
        "broadcast": BROADCAST + sound[6:],
        "other port": udp4(b"data", port=8),
        "other source": udp4(b"data", source="192.0.2.77"),
        "not ip": sound[:12] + b"\x08\x06" + sound[14:],
        "options": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), options=b"\x01\x01\x01\x00"),
        "first fragment": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=0x2000),
        "last fragment": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=1),
        "reserved flag": ipv4(17, udp(b"data", 5000, 7, PEER, HOST), fragment=0x8000),
        "icmp": ipv4(1, udp(b"data", 5000, 7, PEER, HOST)),
        "octets behind": ipv4(17, udp(b"data", 5000, 7, PEER, HOST) + b"behind"),
        "header checksum": sound[:24] + bytes((sound[24] ^ 1,)) + sound[25:],
        "udp checksum": sound[:42] + b"D" + sound[43:],
    }
    for name, frame in others.items():
        test = Handler()
        burst = test.burst(sound, frame, sound)
        assert udp_burst(burst, MAC, test.flows) is True, name
        assert burst.taken == len(test.received) == 1, name


def test_dont_fragment_is_no_fragment() -> None:
    test = Handler()
    assert udp_burst(test.burst(ipv4(17, udp(b"", 5000, 7, PEER, HOST), fragment=0x4000)), MAC, test.flows) is False
    assert len(test.received) == 1


@settings(max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 8 * 60 - 1))
def test_no_bit_error_passes(payload: bytes, bit: int) -> None:
    frame = bytearray(udp4(payload))
    whole = 42 + len(payload)
    frame[bit // 8] ^= 1 << bit % 8
    test = Handler()
    udp_burst(test.burst(bytes(frame)), MAC, test.flows)
    unprotected = range(6, 12)  # the sender's MAC address
    harmless = bit // 8 in unprotected or bit // 8 >= whole
    assert len(test.received) == harmless


def datagram(payload: bytes, *, port: int = 7, summed: bool = True, six: bool = False, tagged: bool = False) -> bytes:
    """A frame with a UDP datagram for MAC, 60 octets or more."""
    if six:
        frame = ipv6(17, udp(payload, 5000, port, PEER6, HOST6, checksum=summed))
    else:
        frame = ipv4(17, udp(payload, 5000, port, PEER, HOST, checksum=summed)).ljust(60, b"\0")
    return frame[:12] + b"\x81\x00\x00\x05" + frame[12:] if tagged else frame


class HandlerError(Exception):
    """What a handler in these tests raises."""


def deliver(twin: Callable[..., bool], frames: list[bytes], ticks: int, fail_at: int) -> list[Any]:
    """Everything that can be seen of one call: result, frames taken, what the handler was told."""
    memory = bytearray(2048 * len(frames))
    for i, octets in enumerate(frames):
        memory[2048 * i : 2048 * i + len(octets)] = octets
    now = iter(range(10_000))
    burst = Burst(
        memoryview(memory),
        [2048 * i for i in range(len(frames))],
        [len(one) for one in frames],
        ticks,
        lambda: next(now),
    )
    told: list[Any] = []

    def handler(data: bytes, address: tuple[str, int]) -> None:
        told.append((data, address))
        if len(told) == fail_at:
            raise HandlerError

    flows = {
        datagram(b"")[26:38]: (handler, (PEER, 5000)),
        datagram(b"", six=True)[22:58]: (handler, (PEER6, 5000, 0, 0)),
    }
    try:
        told.append(twin(burst, MAC, flows))
    except HandlerError:
        told.append(HandlerError)
    return [burst.taken, *told]


payloads = st.one_of(st.binary(max_size=64), st.binary(min_size=1000, max_size=1472))
sound = st.builds(
    datagram,
    payloads,
    port=st.sampled_from([7, 7, 7, 10]),
    summed=st.booleans(),
    six=st.booleans(),
    tagged=st.booleans(),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    octets = bytearray(draw(sound))
    for _ in range(draw(st.integers(0, 2))):
        octets[draw(st.integers(0, min(len(octets), 60) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(octets[: draw(st.integers(14, len(octets)))]) if draw(st.booleans()) else bytes(octets)


@settings(deadline=None, max_examples=400)
@given(frames=st.lists(st.one_of(sound, mutated()), max_size=6), ticks=st.integers(0, 8), fail_at=st.integers(0, 5))
def test_udp_bursts_agree(frames: list[bytes], ticks: int, fail_at: int) -> None:
    assert deliver(compiled.udp_burst, frames, ticks, fail_at) == deliver(plain.udp_burst, frames, ticks, fail_at)


def test_a_sound_flow_is_taken_whole_by_both() -> None:
    frames = [datagram(bytes([i]) * i) for i in range(40)]
    for twin in (plain.udp_burst, compiled.udp_burst):
        taken, *told, result = deliver(twin, frames, 1000, 0)
        assert (taken, result) == (40, False)
        assert told == [(bytes([i]) * i, (PEER, 5000)) for i in range(40)]


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("tagged", [False, True])
def test_both_families_are_taken_tagged_or_not(six: bool, tagged: bool) -> None:
    frames = [datagram(bytes([i & 255]) * i, six=six, tagged=tagged) for i in (0, 1, 17, 18, 400, 1000)]
    address = (PEER6, 5000, 0, 0) if six else (PEER, 5000)
    for twin in (plain.udp_burst, compiled.udp_burst):
        taken, *told, result = deliver(twin, frames, 1000, 0)
        assert (taken, result) == (6, False)
        assert told == [(frame, address) for frame in (bytes([i & 255]) * i for i in (0, 1, 17, 18, 400, 1000))]


@pytest.mark.parametrize("tagged", [False, True])
def test_ipv6_without_a_checksum_is_the_slow_ways(tagged: bool) -> None:
    for twin in (plain.udp_burst, compiled.udp_burst):
        assert deliver(twin, [datagram(b"x", six=True, summed=False, tagged=tagged)], 1000, 0) == [0, True]


def test_the_compiled_twin_reads_the_systems_clock() -> None:
    frames = [datagram(b"x")] * 3
    memory = memoryview(b"".join(frame.ljust(2048, b"\0") for frame in frames))
    for deadline, taken in ((time.monotonic() - 1, 1), (time.monotonic() + 1000, 3)):
        burst = Burst(memory, [0, 2048, 4096], [len(one) for one in frames], deadline, time.monotonic)
        flows = {frames[0][26:38]: (lambda data, address: None, (PEER, 5000))}
        assert compiled.udp_burst(burst, MAC, flows) is False
        assert burst.taken == taken


def test_a_flow_that_a_handler_closes_gets_nothing_more_from_both() -> None:
    octets = datagram(b"x")
    memory = memoryview(octets.ljust(2048, b"\0") * 3)
    for twin in (plain.udp_burst, compiled.udp_burst):
        flows: Flows = {octets[26:38]: (lambda data, address: flows.clear(), (PEER, 5000))}  # noqa: B023 - called here
        burst = Burst(memory, [0, 2048, 4096], [len(octets)] * 3, 1.0, lambda: 0.0)
        assert twin(burst, MAC, flows) is True
        assert burst.taken == 1
