"""The capture stream: frames once each, bounded, and never in the way."""

import asyncio
import struct
from contextlib import AbstractAsyncContextManager

import aiohttp

from asyncnic import pcapng
from asyncnic.nic.burst import Burst
from asyncnic.web.capture import BUFFER_FRAMES, MOST_CAPTURES, CaptureBuffer, Captures
from asyncnic.web.security import WebConfig
from tests.web.fakes import FakeNic, get, observe, serving
from tests.web.test_security import basic, hashed

ALICE = {"Authorization": basic("alice", "secret")}
USERS = WebConfig(basic_auth_users={"alice": hashed("secret")})


def open_to_alice(nic: FakeNic) -> AbstractAsyncContextManager[str]:
    """A service that lets alice capture by TCP."""
    return serving(observe(nic, enable_lifecycle="true"), USERS)


def alice() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers=ALICE)


def burst_of(frames: list[bytes], at: int = 0) -> Burst:
    memory = bytearray(at) + b"".join(frames)
    offsets = [at + sum(map(len, frames[:index])) for index in range(len(frames))]
    return Burst(memoryview(memory), offsets, [len(frame) for frame in frames], 0.0, lambda: 0.0)


def packets(stream: bytes) -> list[tuple[bytes, int]]:
    """Frames of a pcapng stream, each with its drop count."""
    found, at = [], 0
    while at < len(stream):
        kind, length = struct.unpack_from("<II", stream, at)
        if kind == pcapng.PACKET:
            size = struct.unpack_from("<I", stream, at + 20)[0]
            options = stream[at + 28 + size + -size % 4 : at + length - 4]
            found.append((stream[at + 28 : at + 28 + size], struct.unpack_from("<Q", options, 4)[0] if options else 0))
        at += length
    return found


async def test_a_capture_gets_the_frames_that_the_nic_shows() -> None:
    nic = FakeNic()
    async with open_to_alice(nic) as url, alice() as session:
        async with session.get(url + "/api/v1/capture?count=3") as response:
            await nic.watched.wait()
            assert nic.watcher is not None
            nic.watcher(burst_of([b"one", b"second"]))
            await asyncio.sleep(0)
            nic.watcher(burst_of([b"third frame", b"one too many"]))
            stream = await response.read()
        assert response.headers["Content-Type"] == "application/x-pcapng"
    assert packets(stream) == [(b"one", 0), (b"second", 0), (b"third frame", 0)]
    assert nic.watcher is None


async def test_a_client_that_leaves_ends_its_capture() -> None:
    nic = FakeNic()
    async with open_to_alice(nic) as url, alice() as session:
        async with session.get(url + "/api/v1/capture") as response:
            await response.content.readany()
        while nic.watcher is not None:
            await asyncio.sleep(0.05)


async def test_stopping_ends_a_capture_with_its_statistics() -> None:
    nic = FakeNic()
    async with alice() as session:
        async with open_to_alice(nic) as url:
            response = await session.get(url + "/api/v1/capture")
            await response.content.readany()
        assert struct.unpack_from("<I", await response.read()) == (pcapng.STATISTICS,)


async def test_too_many_captures_are_refused() -> None:
    async with open_to_alice(FakeNic()) as url, alice() as session:
        running = [await session.get(url + "/api/v1/capture") for _ in range(MOST_CAPTURES)]
        status, text = await get(url + "/api/v1/capture", **ALICE)
        assert (status, text) == (503, f"{MOST_CAPTURES} captures are running: end one first\n")
        for response in running:
            response.close()


async def test_a_bad_count_is_refused() -> None:
    async with open_to_alice(FakeNic()) as url:
        for count in ("-1", "x", "1" * 30):
            assert (await get(f"{url}/api/v1/capture?count={count}", **ALICE))[0] == 400


async def test_a_full_buffer_drops_copies_and_counts_them() -> None:
    buffer = CaptureBuffer()
    for _ in range(BUFFER_FRAMES + 3):
        buffer.add(burst_of([b"frame"]), 0)
    assert (len(buffer.frames), buffer.seen, buffer.dropped) == (BUFFER_FRAMES, BUFFER_FRAMES + 3, 3)
    buffer.frames.clear()
    buffer.add(burst_of([b"after the gap", b"next"]), 0)
    assert [(frame, lost) for _, frame, lost in buffer.frames] == [(b"after the gap", 3), (b"next", 0)]


async def test_frames_that_come_again_are_captured_once() -> None:
    captures = Captures(FakeNic())
    buffer = CaptureBuffer()
    captures._buffers.add(buffer)
    memory = memoryview(bytearray(b"aabbccdd"))
    first = Burst(memory, [0, 2, 4], [2, 2, 2], 0.0, lambda: 0.0)
    captures.watch(first)
    first.taken = 1
    captures.watch(Burst(memory, [2, 4, 6], [2, 2, 2], 0.0, lambda: 0.0))
    assert [frame for _, frame, _ in buffer.frames] == [b"aa", b"bb", b"cc", b"dd"]
