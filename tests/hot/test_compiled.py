"""The compiled twins of the hot path do what the plain ones do, on the same input, to the last octet and count."""

import asyncio
import importlib
import io
import os
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic import hot
from asyncnic.nic.burst import Burst
from asyncnic.pcnet32.address_filter import AddressFilter
from asyncnic.pcnet32.descriptors import hand_over, multicast_hash
from asyncnic.pcnet32.driver.receive_ring import whole_frames
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.direct_reader import DirectReader
from asyncnic.stacks.inet.fast import Flows, udp_burst
from tests.stacks.inet.wire import HOST, HOST6, MAC, PEER, PEER6, ipv4, ipv6, udp

compiled = importlib.import_module("asyncnic.hot._compiled")

GROUP = bytes.fromhex("01005e000001")


def test_the_variable_chooses_the_plain_twin() -> None:
    code = "from asyncnic import hot; print(hot.IMPLEMENTATION)"
    for variable, expected in (("", "compiled"), ("plain", "plain")):
        environment = os.environ | {hot.VARIABLE: variable}
        shown = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == expected


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
    plain = deliver(udp_burst, frames, ticks, fail_at)
    assert deliver(compiled.udp_burst, frames, ticks, fail_at) == plain


def test_a_sound_flow_is_taken_whole_by_both() -> None:
    frames = [datagram(bytes([i]) * i) for i in range(40)]
    for twin in (udp_burst, compiled.udp_burst):
        taken, *told, result = deliver(twin, frames, 1000, 0)
        assert (taken, result) == (40, False)
        assert told == [(bytes([i]) * i, (PEER, 5000)) for i in range(40)]


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("tagged", [False, True])
def test_both_families_are_taken_tagged_or_not(six: bool, tagged: bool) -> None:
    frames = [datagram(bytes([i & 255]) * i, six=six, tagged=tagged) for i in (0, 1, 17, 18, 400, 1000)]
    address = (PEER6, 5000, 0, 0) if six else (PEER, 5000)
    for twin in (udp_burst, compiled.udp_burst):
        taken, *told, result = deliver(twin, frames, 1000, 0)
        assert (taken, result) == (6, False)
        assert told == [(frame, address) for frame in (bytes([i & 255]) * i for i in (0, 1, 17, 18, 400, 1000))]


@pytest.mark.parametrize("tagged", [False, True])
def test_ipv6_without_a_checksum_is_the_slow_ways(tagged: bool) -> None:
    for twin in (udp_burst, compiled.udp_burst):
        assert deliver(twin, [datagram(b"x", six=True, summed=False, tagged=tagged)], 1000, 0) == [0, True]


def test_the_compiled_twin_reads_the_systems_clock() -> None:
    frames = [datagram(b"x")] * 3
    memory = memoryview(b"".join(frame.ljust(2048, b"\0") for frame in frames))
    for deadline, taken in ((time.monotonic() - 1, 1), (time.monotonic() + 1000, 3)):
        burst = Burst(memory, [0, 2048, 4096], [len(one) for one in frames], deadline, time.monotonic)
        flows = {frames[0][26:38]: (lambda data, address: None, (PEER, 5000))}
        assert compiled.udp_burst(burst, MAC, flows) is False
        assert burst.taken == taken


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, io.FileIO]]:
    """A wire of datagrams, and the file at its other end, as a TAP's."""
    host, card = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    card.setblocking(False)
    file = io.FileIO(os.dup(card.fileno()), "r+")
    yield host, file
    host.close()
    card.close()
    file.close()


def run_reader(
    twin: type[DirectReader], frames: list[bytes], limit: int, mode: int, wire: tuple[socket.socket, io.FileIO]
) -> tuple[Any, ...]:
    """Everything that can be seen of one read into four slots."""
    host, file = wire
    memory = DmaMemory.anonymous(4 * 2048)
    reader = twin(memory, 4, AddressFilter(mode, MAC, 1 << multicast_hash(GROUP)))
    for slot in range(4):
        reader.learn(slot, 2048 * slot, 2048)
    for octets in frames:
        host.send(octets)
    slot = reader.read(file.readinto, 0, 4, limit)
    left = 0
    while file.readinto(bytearray(4096)):
        left += 1
    views = [bytes(reader.view(i)) for i in range(slot)]
    return slot, reader.filtered, reader.silent, reader.size, reader.odd, reader.counts.tolist()[:slot], views, left


addressed = st.builds(
    lambda target, body: target + body,
    st.sampled_from([MAC, MAC, b"\xff" * 6, GROUP, MAC[:5] + b"\x77", bytes.fromhex("01005e000002")]),
    st.one_of(
        st.binary(min_size=1, max_size=80), st.sampled_from([bytes(n) for n in (1508, 2037, 2038, 2039, 2042, 2050)])
    ),
)


@settings(deadline=None, max_examples=200)
@given(
    frames=st.lists(addressed, max_size=7),
    limit=st.integers(0, 8),
    mode=st.sampled_from([0, 0, 0x8000, 0x2000, 0x4000]),
)
def test_readers_agree(frames: list[bytes], limit: int, mode: int) -> None:
    seen = []
    for twin in (DirectReader, compiled.DirectReader):
        host, card = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        card.setblocking(False)
        with host, card, io.FileIO(os.dup(card.fileno()), "r+") as file:
            seen.append(run_reader(twin, frames, limit, mode, (host, file)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("twin", [DirectReader, compiled.DirectReader])
def test_a_wire_that_breaks_gives_what_it_had_first(twin: type[DirectReader]) -> None:
    given_frames = [MAC + bytes(60), MAC + bytes(60)]

    def read(buffer: memoryview) -> int | None:
        if not given_frames:
            raise OSError(77, "File descriptor in bad state")
        octets = given_frames.pop()
        buffer[: len(octets)] = octets
        return len(octets)

    reader = twin(DmaMemory.anonymous(4 * 2048), 4, AddressFilter(0, MAC, 0))
    for slot in range(4):
        reader.learn(slot, 2048 * slot, 2048)
    assert reader.read(read, 0, 4, 4) == 2
    assert reader.silent
    with pytest.raises(OSError, match="bad state"):
        reader.read(read, 2, 4, 4)


@pytest.mark.parametrize("twin", [DirectReader, compiled.DirectReader])
def test_a_broken_file_raises(twin: type[DirectReader], wire: tuple[socket.socket, io.FileIO]) -> None:
    reader = twin(DmaMemory.anonymous(2048), 1, AddressFilter(0, MAC, 0))
    reader.learn(0, 0, 2048)
    directory = os.open("/", os.O_RDONLY)
    os.dup2(directory, wire[1].fileno())
    os.close(directory)
    with pytest.raises(OSError, match=r"directory"):
        reader.read(wire[1].readinto, 0, 1, 1)


ring_words = st.tuples(
    st.sampled_from([0x0310_F800, 0x0340_F800, 0x0300_F800, 0x8000_F800, 0x4300_F800, 0x0200_F800]),
    st.sampled_from([64, 64, 68, 1518, 1522, 1523, 63, 0, 0x0201_0040, 0xFFF]),
)


@settings(deadline=None, max_examples=300)
@given(descriptors=st.lists(ring_words, min_size=1, max_size=12), data=st.data())
def test_walks_agree(descriptors: list[tuple[int, int]], data: st.DataObject) -> None:
    ring = memoryview(array("I", [word for status, count in descriptors for word in (0, status, count, 0)]))
    first = data.draw(st.integers(0, len(descriptors) - 1))
    end = data.draw(st.integers(first + 1, len(descriptors)))
    assert compiled.whole_frames(ring, first, end, 1518) == whole_frames(ring, first, end, 1518)


@settings(deadline=None, max_examples=100)
@given(length=st.integers(1, 12), message=st.sampled_from([0, 2]), data=st.data())
def test_descriptors_are_handed_over_alike(length: int, message: int, data: st.DataObject) -> None:
    words = st.lists(st.integers(0, 2**32 - 1), min_size=length, max_size=length)
    counts, statuses = (memoryview(array("I", data.draw(words))) for _ in range(2))
    first = data.draw(st.integers(0, length - 1))
    end = data.draw(st.integers(first, length))
    rings = []
    for twin in (hand_over, compiled.hand_over):
        ring = memoryview(array("I", range(4 * length)))
        twin(ring, first, end, message, counts, statuses)
        rings.append(ring.tolist())
    assert rings[0] == rings[1]
    assert rings[0][4 * first + 1 : 4 * end : 4] == statuses[: end - first].tolist()


def test_a_flow_that_a_handler_closes_gets_nothing_more_from_both() -> None:
    octets = datagram(b"x")
    memory = memoryview(octets.ljust(2048, b"\0") * 3)
    for twin in (udp_burst, compiled.udp_burst):
        flows: Flows = {octets[26:38]: (lambda data, address: flows.clear(), (PEER, 5000))}  # noqa: B023 - called here
        burst = Burst(memory, [0, 2048, 4096], [len(octets)] * 3, 1.0, lambda: 0.0)
        assert twin(burst, MAC, flows) is True
        assert burst.taken == 1


async def test_the_choice_reaches_the_stack() -> None:
    await asyncio.sleep(0)
    assert hot.choose(udp_burst) is (compiled.udp_burst if hot.IMPLEMENTATION == "compiled" else udp_burst)
