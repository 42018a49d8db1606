"""Frames off the wire into descriptors: the interpreted and the compiled form of one text do the same."""

import importlib
import io
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.hot.reader import FrameReader
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.address_filter import AddressFilter
from asyncnic.pcnet32.descriptors import multicast_hash
from asyncnic.pcnet32.memory import DmaMemory
from tests.stacks.inet.wire import MAC

compiled = importlib.import_module("asyncnic.hot._reader")
FORMS = [FrameReader, compiled.FrameReader]
GROUP = bytes.fromhex("01005e000001")
SLOTS = 4
ARMED, WHOLE, OWN_ADDRESS = 0x8000_F800, 0x0300_F800, 1 << 22


class Chip:
    """The state of a chip that receives into a ring of four, and a reader that knows its descriptors."""

    def __init__(self, form: type[FrameReader], mode: int = 0) -> None:
        self.memory = DmaMemory.anonymous(SLOTS * 2048 + 4096)
        first = SLOTS * 2048 // 4
        self.ring = self.memory.words[first : first + 4 * SLOTS]
        for slot in range(SLOTS):
            self.ring[4 * slot : 4 * slot + 2] = memoryview(bytes(8)).cast("I")
            self.ring[4 * slot], self.ring[4 * slot + 1] = self.memory.bus + 2048 * slot, ARMED
        csr = [0] * 128
        csr[reg.CSR_STATUS] = reg.CSR0_RXON
        self.core = SimpleNamespace(
            memory=self.memory,
            csr=csr,
            rx_length=SLOTS,
            rx_count=SLOTS,
            link_up=True,
            bus_master=True,
            counters=SimpleNamespace(stored=0, read=0, filtered=0),
        )
        self.reader = form(self.core, self.ring, 2, AddressFilter(mode, MAC, 1 << multicast_hash(GROUP)))
        for slot in range(SLOTS):
            self.reader.learn(slot, 2048 * slot, 2048, WHOLE | OWN_ADDRESS)

    def seen(self) -> tuple[Any, ...]:
        """Everything that can be seen of it."""
        buffers = [bytes(self.reader.view(slot)) for slot in range(SLOTS) if not self.ring[4 * slot + 1] & 1 << 31]
        return (
            self.ring.tolist(),
            self.core.rx_count,
            self.core.csr[0],
            vars(self.core.counters),
            self.reader.silent,
            self.reader.size,
            buffers,
        )


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
    limits=st.lists(st.integers(0, 8), min_size=1, max_size=3),
    mode=st.sampled_from([0, 0, 0x8000, 0x2000, 0x4000]),
    rearmed=st.integers(0, SLOTS),
)
def test_both_forms_fill_alike(frames: list[bytes], limits: list[int], mode: int, rearmed: int) -> None:
    outcomes = []
    for form in FORMS:
        host, card = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        card.setblocking(False)
        with host, card, io.FileIO(os.dup(card.fileno()), "r+") as file:
            chip = Chip(form, mode)
            for octets in frames:
                host.send(octets)
            taken = []
            for limit in limits:
                taken.append(chip.reader.fill(file.readinto, limit))
                if chip.reader.size:
                    break
                for slot in range(rearmed):
                    chip.ring[4 * slot + 1], chip.ring[4 * slot + 2] = ARMED, 0
            left = 0
            while file.readinto(bytearray(4096)):
                left += 1
            outcomes.append((taken, left, *chip.seen()))
    assert outcomes[0] == outcomes[1]
    taken, left = outcomes[0][0], outcomes[0][1]
    assert sum(taken) + left + bool(outcomes[0][7]) == len(frames)


@pytest.mark.parametrize("form", FORMS)
def test_a_frame_stands_in_its_descriptor(form: type[FrameReader], wire: tuple[socket.socket, io.FileIO]) -> None:
    chip = Chip(form)
    wire[0].send(MAC + b"x" * 94)
    wire[0].send(b"\xff" * 6 + b"y")
    assert chip.reader.fill(wire[1].readinto, 64) == 2
    assert chip.ring[1:3].tolist() == [WHOLE | OWN_ADDRESS, 104]
    assert chip.ring[5:7].tolist() == [WHOLE | 1 << 20, 64]
    assert bytes(chip.reader.view(1)[:60]) == (b"\xff" * 6 + b"y").ljust(60, b"\0")
    assert (chip.core.rx_count, chip.core.csr[0] & reg.CSR0_RINT) == (2, reg.CSR0_RINT)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_not_learnt_is_left(form: type[FrameReader], wire: tuple[socket.socket, io.FileIO]) -> None:
    chip = Chip(form)
    wire[0].send(MAC + bytes(60))
    chip.ring[1] = ARMED + 1  # another length of buffer
    assert chip.reader.fill(wire[1].readinto, 4) == 0
    assert not chip.reader.silent
    assert chip.reader.armed(0, 4) == 0
    assert chip.reader.armed(1, 4) == 4


@pytest.mark.parametrize(
    ("what", "value"), [("csr0", 0), ("csr5", 1), ("mode", 4), ("csr4", 0x400), ("link_up", False), ("bus_master", 0)]
)
@pytest.mark.parametrize("form", FORMS)
def test_a_chip_that_is_not_simply_receiving_takes_nothing_here(
    form: type[FrameReader], what: str, value: int, wire: tuple[socket.socket, io.FileIO]
) -> None:
    chip = Chip(form)
    wire[0].send(MAC + bytes(60))
    if what.startswith("csr") or what == "mode":
        chip.core.csr[{"csr0": 0, "csr4": 4, "csr5": 5, "mode": 15}[what]] = value
    else:
        setattr(chip.core, what, value)
    assert not chip.reader.receiving()
    assert chip.reader.fill(wire[1].readinto, 4) == 0
    assert wire[1].readinto(bytearray(100)) == 66


@pytest.mark.parametrize("form", FORMS)
def test_a_wire_that_breaks_gives_what_it_had_first(form: type[FrameReader]) -> None:
    given_frames = [MAC + bytes(60), MAC + bytes(60)]

    def read(buffer: memoryview) -> int | None:
        if not given_frames:
            raise OSError(77, "File descriptor in bad state")
        octets = given_frames.pop()
        buffer[: len(octets)] = octets
        return len(octets)

    chip = Chip(form)
    assert chip.reader.fill(read, 4) == 2
    assert chip.reader.silent
    with pytest.raises(OSError, match="bad state"):
        chip.reader.fill(read, 4)


@pytest.mark.parametrize("form", FORMS)
def test_a_broken_file_raises(form: type[FrameReader], wire: tuple[socket.socket, io.FileIO]) -> None:
    directory = os.open("/", os.O_RDONLY)
    os.dup2(directory, wire[1].fileno())
    os.close(directory)
    with pytest.raises(OSError, match=r"directory"):
        Chip(form).reader.fill(wire[1].readinto, 1)
