"""Messages and descriptors between two ends of a channel: in order, whole, and none lost to a side that is slow."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnic.errors import Failed
from asyncnic.lanes.rules import MAX_LANES
from asyncnic.service.workers.channel import ENDED, MOST_WAITING, Channel, Line, pair
from asyncnic.service.workers.messages import Ask, Frame, Message, Queues, Resume, encode

LARGE = Frame(bytes(20_000))


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = pair()
    both = (ours, Channel(theirs))
    yield both
    for end in both:
        end.close()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def everything(channel: Channel) -> list[Message]:
    found = []
    while (received := channel.receive()) is not None:
        found.append(received[0])
    return found


def test_messages_arrive_one_by_one_in_order(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert ours.send(Ask(1, True))
    assert ours.send(Resume())
    assert theirs.receive() == (Ask(1, True), [])
    assert theirs.receive() == (Resume(), [])
    assert theirs.receive() is None


@pytest.mark.parametrize("count", [1, 9, MAX_LANES])
def test_descriptors_go_over_as_copies_all_of_them(ends: tuple[Channel, Channel], count: int) -> None:
    ours, theirs = ends
    pipes = [os.pipe() for _ in range(count)]
    assert ours.send(Queues(), [reading for reading, _ in pipes])
    received = theirs.receive()
    assert received is not None
    assert len(received[1]) == count
    for number, ((reading, writing), copy) in enumerate(zip(pipes, received[1], strict=True)):
        os.close(reading)
        os.write(writing, bytes([number]))
        assert os.read(copy, 100) == bytes([number])
        os.close(writing)
        os.close(copy)


def test_descriptors_that_were_cut_off_are_an_error_and_leak_nothing(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    before = open_descriptors()
    with socket.socket(fileno=os.dup(ours.fileno())) as raw:
        socket.send_fds(raw, [encode(Queues())], [0] * (MAX_LANES + 1))
    with pytest.raises(Failed, match="incomplete"):
        theirs.receive()
    assert open_descriptors() == before


def test_the_end_is_told_after_the_last_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send(Ask(7))
    ours.close()
    assert theirs.receive() == (Ask(7), [])
    with pytest.raises(EOFError):
        theirs.receive()
    with pytest.raises(EOFError):
        theirs.send(Resume())


def test_what_is_not_read_waits_in_order_with_its_descriptors(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    sent = 1
    while ours.send(LARGE):
        sent += 1
        assert sent < MOST_WAITING
    reading, writing = os.pipe()
    assert not ours.send(Queues(), [reading])
    os.close(reading)
    assert not ours.flush()
    assert everything(theirs) == [LARGE] * (sent - 1)
    assert ours.flush()
    assert theirs.receive() == (LARGE, [])
    received = theirs.receive()
    assert received is not None
    assert received[0] == Queues()
    os.write(writing, b"frame")
    assert os.read(received[1][0], 100) == b"frame"
    for descriptor in (writing, *received[1]):
        os.close(descriptor)


def test_who_never_reads_blocks_nobody_and_is_told_from_who_is_slow(ends: tuple[Channel, Channel]) -> None:
    ours, _ = ends
    before = open_descriptors()
    with pytest.raises(Failed, match="does not read"):
        for _ in range(10 * MOST_WAITING):
            ours.send(LARGE, [0])
    assert open_descriptors() == before + MOST_WAITING
    ours.close()
    assert open_descriptors() == before - 1


def test_waiting_ends_with_a_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.wait(0.0)
    assert theirs.receive() is None
    ours.send(Resume())
    theirs.wait(30.0)
    assert theirs.receive() is not None


async def test_a_line_sends_what_waits_as_soon_as_there_is_room(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    heard: list[Message] = []
    line = Line(ours, lambda message, _: None, heard.clear)  # type: ignore[arg-type]  # it does not end
    for number in range(100):
        line.send(Ask(number))
        line.send(LARGE)
    other = Line(theirs, lambda message, _: heard.append(message), lambda why: None)
    async with asyncio.timeout(10):
        while len(heard) < 200:
            await asyncio.sleep(0.001)
    assert heard == [one for number in range(100) for one in (Ask(number), LARGE)]
    line.close()
    other.close()


async def test_a_line_ends_once_and_says_why(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    why: list[str] = []
    line = Line(ours, lambda message, _: None, why.append)
    while not why:
        line.send(LARGE)
    line.send(LARGE)
    line.close()
    assert len(why) == 1
    assert "does not read" in why[0]
    other = Line(theirs, lambda message, _: None, why.append)
    async with asyncio.timeout(10):
        while len(why) < 2:
            await asyncio.sleep(0.001)
    other.send(Resume())
    assert why[1:] == [ENDED]


async def test_a_line_that_hears_nonsense_ends(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    why: list[str] = []
    line = Line(ours, lambda message, _: None, why.append)
    with socket.socket(fileno=os.dup(theirs.fileno())) as raw:
        raw.send(b"Nothing {}")
    line.read()
    assert why == ["no message is called b'Nothing'"]
