"""Whose turn it is: strict priority, and what a weight makes of it."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.lanes.turns import Turns


def serve(turns: Turns, ready: set[int], bursts: int) -> list[int]:
    """Which lanes have their bursts when those in `ready` never run out of frames."""
    had = []
    for _ in range(bursts):
        lane = next(index for index in turns.order if index in ready)
        turns.took(lane)
        had.append(lane)
    return had


def test_without_weights_the_first_that_has_frames_is_served() -> None:
    turns = Turns(["control", "dns", "bulk"], {})
    assert not turns.weighted
    assert serve(turns, {1, 2}, 3) == [1, 1, 1]
    assert turns.order == [0, 1, 2]


def test_a_weight_lets_those_below_have_a_burst() -> None:
    turns = Turns(["control", "bulk"], {"control": 3})
    assert turns.weighted
    assert serve(turns, {0, 1}, 9) == [0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_nobody_waits_for_a_lane_that_has_nothing() -> None:
    turns = Turns(["control", "bulk"], {"control": 1})
    assert serve(turns, {0}, 4) == [0, 0, 0, 0]
    assert serve(turns, {0, 1}, 3) == [1, 0, 1]


def test_weights_in_the_middle_are_below_those_above() -> None:
    turns = Turns(["control", "dns", "bulk"], {"control": 2, "dns": 1})
    assert serve(turns, {0, 1, 2}, 12) == [0, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0, 2]


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.lists(st.sets(st.integers(0, 4)), max_size=60),
)
def test_every_lane_is_looked_at_once_whatever_happened(weights: list[int], moments: list[set[int]]) -> None:
    names = [f"lane{index}" for index in range(len(weights))]
    turns = Turns(names, {name: weight for name, weight in zip(names, weights, strict=True) if weight})
    for ready in moments:
        assert sorted(turns.order) == list(range(len(weights)))
        lane = next((index for index in turns.order if index in ready), None)
        if lane is not None:
            turns.took(lane)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_with_weights_above_it_no_lane_starves(weights: list[int]) -> None:
    names = [f"lane{index}" for index in range(len(weights))]
    turns = Turns(names, dict(zip(names[:-1], weights, strict=False)))
    everyone = set(range(len(names)))
    turn = 1
    for weight in weights[:-1]:
        turn *= weight + 1
    assert set(serve(turns, everyone, turn)) == everyone
