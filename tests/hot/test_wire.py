"""The chip's sending loop in both forms: what it writes to a file that is a wire, and what it leaves to others."""

import importlib
import io
import socket
from collections.abc import Iterator
from types import ModuleType

import pytest

from asyncnic.hot import wire
from tests.hot.card import ERR, OWN, RING, Card

FORMS = (wire, importlib.import_module("asyncnic.hot._wire"))


class FileWire:
    """A file each write to which is a frame, or a socket."""

    def __init__(self, *, is_socket: bool) -> None:
        near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        near.setblocking(False)
        self.far.setblocking(False)
        self.file: wire.Line = near if is_socket else io.FileIO(near.detach(), "r+")

    def frames(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.far.recv(4096))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.file.close()
        self.far.close()


@pytest.fixture(params=[False, True], ids=["file", "socket"])
def line(request: pytest.FixtureRequest) -> Iterator[FileWire]:
    line = FileWire(is_socket=request.param)
    yield line
    line.close()


def writer(module: ModuleType, card: Card) -> wire.FrameWriter:
    made: wire.FrameWriter = module.FrameWriter(card.memory.octets, card.memory.words, card.memory.bus, RING // 4)
    return made


def frame(number: int, size: int = 60) -> bytes:
    return bytes((number + 1,)) * size


@pytest.mark.parametrize("module", FORMS)
def test_a_frame_to_no_station_is_left_to_the_wires_owner(module: ModuleType, line: FileWire) -> None:
    card = Card(8)
    card.slots.put(frame(1))
    card.slots.put(bytes(6) + frame(2, 54))
    sender = writer(module, card)
    assert sender.write(line.file, 0, 8) == 1
    assert not sender.stopped
    assert line.frames() == [frame(1)]


@pytest.mark.parametrize("module", FORMS)
def test_frames_are_written_in_order_and_their_descriptors_returned(module: ModuleType, line: FileWire) -> None:
    card = Card(8)
    sizes = (60, 61, 1514)
    for number, size in enumerate(sizes):
        card.slots.put(frame(number, size))
    sender = writer(module, card)
    assert sender.write(line.file, 0, 8) == 3
    assert sender.stopped
    assert line.frames() == [frame(number, size) for number, size in enumerate(sizes)]
    assert [card.words[4 * index + 1] & (OWN | ERR) for index in range(3)] == [0, 0, 0]
    assert card.slots.reap() == 3


@pytest.mark.parametrize("module", FORMS)
def test_it_sends_no_more_than_it_is_asked(module: ModuleType, line: FileWire) -> None:
    card = Card(8)
    for number in range(4):
        card.slots.put(frame(number))
    sender = writer(module, card)
    assert sender.write(line.file, 1, 3) == 3
    assert not sender.stopped
    assert line.frames() == [frame(1), frame(2)]


@pytest.mark.parametrize("module", FORMS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda card: card.words.__setitem__(1, card.words[1] & ~(1 << 25)),  # no STP: a piece of a frame
        lambda card: card.words.__setitem__(1, card.words[1] & ~(1 << 24)),  # no ENP
        lambda card: card.words.__setitem__(1, card.words[1] & ~0xFFF | (-59 & 0xFFF)),
        lambda card: card.words.__setitem__(1, card.words[1] & ~0xFFF | (-1515 & 0xFFF)),
        lambda card: card.words.__setitem__(1, card.words[1] & ~0xFFF),
        lambda card: card.words.__setitem__(0, card.memory.bus - 1),
        lambda card: card.words.__setitem__(0, card.memory.bus + len(card.memory.octets) - 59),
        lambda card: card.words.__setitem__(0, 0xFFFF_FFFF),
    ],
)
def test_what_is_not_usual_stays_where_it_is(module: ModuleType, line: FileWire, spoil: object) -> None:
    card = Card(8)
    card.slots.put(frame(1))
    assert callable(spoil)
    spoil(card)
    before = list(card.words)
    sender = writer(module, card)
    assert sender.write(line.file, 0, 8) == 0
    assert not sender.stopped
    assert line.frames() == []
    assert list(card.words) == before


@pytest.mark.parametrize("module", FORMS)
def test_a_wire_that_takes_no_more_stops_it(module: ModuleType, line: FileWire) -> None:
    card = Card(512)
    while card.slots.put(frame(7, 1514)):
        pass
    sender = writer(module, card)
    done = sender.write(line.file, 0, 512)
    assert 0 < done < 511
    assert not sender.stopped
    assert len(line.frames()) == done
    assert sender.write(line.file, done, 512) > done


@pytest.mark.parametrize("module", FORMS)
def test_a_wire_that_is_gone_loses_no_descriptor(module: ModuleType, line: FileWire) -> None:
    card = Card(8)
    card.slots.put(frame(1))
    line.far.close()
    sender = writer(module, card)
    assert sender.write(line.file, 0, 8) == 0
    assert not sender.stopped
    assert card.words[1] & OWN


@pytest.mark.parametrize("module", FORMS)
def test_more_than_go_in_one_call_go_in_order(module: ModuleType, line: FileWire) -> None:
    card = Card(512)
    for number in range(150):
        card.slots.put(frame(number))
    sender = writer(module, card)
    assert sender.write(line.file, 0, 512) == 150
    assert sender.stopped
    assert line.frames() == [frame(number) for number in range(150)]
    assert card.slots.reap() == 150
