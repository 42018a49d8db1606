"""The driver's walk over whole frames: the interpreted and the compiled form of one text do the same."""

import importlib
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.hot.ring import ReceiveSlots

compiled = importlib.import_module("asyncnic.hot._ring")
FORMS = [ReceiveSlots, compiled.ReceiveSlots]
ARMED = 0x8000_F800
SIZE = 8

ring_words = st.tuples(
    st.sampled_from([0x0310_F800, 0x0340_F800, 0x0300_F800, 0x8000_F800, 0x4300_F800, 0x0200_F800]),
    st.sampled_from([64, 64, 68, 1518, 1522, 1523, 63, 0, 0x0201_0040, 0xFFF]),
)


def slots(form: type[ReceiveSlots], descriptors: list[tuple[int, int]]) -> tuple[ReceiveSlots, memoryview]:
    ring = memoryview(array("I", [word for status, count in descriptors for word in (0, status, count, 7)]))
    return form(ring, [2048 * slot for slot in range(len(descriptors))], ARMED, 1518), ring


@settings(deadline=None, max_examples=300)
@given(
    descriptors=st.lists(ring_words, min_size=SIZE, max_size=SIZE),
    steps=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=6),
)
def test_walks_agree(descriptors: list[tuple[int, int]], steps: list[tuple[int, int]]) -> None:
    seen = []
    for form in FORMS:
        walk, ring = slots(form, descriptors)
        found: list[object] = []
        for limit, leave in steps:
            offsets, lengths = walk.collect(limit)
            assert len(offsets) == len(lengths) == walk.span <= limit
            found.append((offsets, lengths, walk.stands()))
            walk.leave(min(leave, walk.span))
            found.append((walk.head, walk.span, walk.seen, ring.tolist()))
        seen.append(found)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_given_back_in_order_and_round_the_end(form: type[ReceiveSlots]) -> None:
    walk, ring = slots(form, [(0x0340_F800, 64)] * SIZE)
    walk.head = 6
    assert walk.collect(4) == ([2048 * 6, 2048 * 7], [60, 60])
    walk.hand_back(3)
    assert (walk.head, walk.seen) == (1, 0)
    armed = [slot for slot in range(SIZE) if ring[4 * slot + 1] == ARMED and not ring[4 * slot + 2]]
    assert armed == [0, 6, 7]
    assert ring[3::4].tolist() == [7] * SIZE
