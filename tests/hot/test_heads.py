"""The ring of heads: whatever is recorded, the last ones are there, in order, as they were."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.hot import choose
from asyncnic.hot.heads import HEAD, Head, HeadRing

FORMS = [pytest.param(HeadRing, id="plain"), pytest.param(choose(HeadRing), id="chosen")]
SLOT = 256


@dataclass
class Vector:
    """A burst's memory with frames of the given lengths, each full of an octet of its own."""

    lengths: list[int]

    def __post_init__(self) -> None:
        self.memory = memoryview(bytearray(SLOT * len(self.lengths)))
        self.offsets = [SLOT * place for place in range(len(self.lengths))]
        for place, length in enumerate(self.lengths):
            self.memory[SLOT * place : SLOT * place + length] = bytes([place % 251 + 1]) * length


@pytest.mark.parametrize("form", FORMS)
@given(
    size=st.integers(1, 20),
    bursts=st.lists(
        st.tuples(st.lists(st.integers(0, SLOT), min_size=1, max_size=30), st.integers(0, 3), st.integers(0, 40)),
        max_size=6,
    ),
)
def test_the_last_heads_are_there_in_order(
    form: type[HeadRing], size: int, bursts: list[tuple[list[int], int, int]]
) -> None:
    ring = form(size)
    expected: list[Head] = []
    for time_ns, (lengths, lane, place) in enumerate(bursts, start=2**62):
        vector = Vector(lengths)
        ends = {place: "udp no_listener"}
        ring.record(vector.memory, vector.offsets, lengths, len(lengths), time_ns, lane, ends)
        for at, length in enumerate(lengths):
            octets = bytes(vector.memory[SLOT * at :][: min(length, HEAD)])
            expected.append(Head(time_ns, lane, length, octets, ends.get(at, "")))
    assert list(ring.heads()) == expected[-size:]
    assert ring.total == len(expected)


@pytest.mark.parametrize("form", FORMS)
def test_only_the_frames_that_were_taken_are_recorded(form: type[HeadRing]) -> None:
    vector = Vector([60, 61, 62])
    ring = form(8)
    ring.record(vector.memory, vector.offsets, vector.lengths, 2, 1, 0, {2: "not taken"})
    assert [(head.length, head.end) for head in ring.heads()] == [(60, ""), (61, "")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("offset", "length"), [(-1, 60), (SLOT, 60), (SLOT - 59, 60), (2**40, 1)])
def test_a_frame_outside_the_memory_is_empty(form: type[HeadRing], offset: int, length: int) -> None:
    ring = form(2)
    ring.record(memoryview(bytearray(SLOT)), [offset], [length], 1, 1, 0, {})
    assert list(ring.heads()) == [Head(1, 0, 0, b"", "")]


@pytest.mark.parametrize("form", FORMS)
def test_a_copy_stays_as_it_was(form: type[HeadRing]) -> None:
    vector = Vector([60] * 5)
    ring = form(4)
    ring.record(vector.memory, vector.offsets, vector.lengths, 5, 1, 0, {4: "arp request"})
    before = list(ring.heads())
    copy = ring.copy()
    ring.record(vector.memory, vector.offsets, vector.lengths, 5, 2, 1, {0: "arp reply"})
    assert list(copy.heads()) == before
    assert before[-1].end == "arp request"
