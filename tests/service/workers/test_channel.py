"""Messages and descriptors between two ends of a channel."""

import os

import pytest

from asyncnic.service.workers.channel import LARGEST, Channel, pair


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    ours, theirs = pair()
    return ours, Channel(theirs)


def test_messages_arrive_one_by_one_in_order(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert ours.send("ask", 1, True)
    assert ours.send("resume")
    first, second = theirs.receive(), theirs.receive()
    assert first is not None
    assert first[:3] == ("ask", 1, True)
    assert second is not None
    assert second[:3] == ("resume", 0, None)
    assert theirs.receive() is None
    ours.close()
    theirs.close()


def test_a_descriptor_goes_over_as_a_copy(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    reading, writing = os.pipe()
    assert ours.send("queues", 0, None, (reading,))
    os.close(reading)
    message = theirs.receive()
    assert message is not None
    [copy] = message.descriptors
    os.write(writing, b"frame")
    assert os.read(copy, 100) == b"frame"
    for descriptor in (copy, writing):
        os.close(descriptor)
    ours.close()
    theirs.close()


def test_the_end_is_told_after_the_last_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.send("answer", 7)
    ours.close()
    message = theirs.receive()
    assert message is not None
    assert message.number == 7
    with pytest.raises(EOFError):
        theirs.receive()
    assert not theirs.send("ask")
    theirs.close()


def test_who_does_not_read_blocks_nobody(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    sent = 0
    while ours.send("frame", 0, "00" * 1000):
        sent += 1
        assert sent < LARGEST
    assert sent > 10
    ours.close()
    theirs.close()


def test_waiting_ends_with_a_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.wait(0.0)
    assert theirs.receive() is None
    ours.send("resume")
    theirs.wait(30.0)
    assert theirs.receive() is not None
    ours.close()
    theirs.close()
