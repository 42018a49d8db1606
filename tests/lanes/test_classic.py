"""The kernel's reading of rules in classic BPF against the reference reading: any rules, any frame."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.lanes.classic import MOST_INSTRUCTIONS, Code
from asyncnic.lanes.rules import MAX_TERMS, LaneRule, Rule, parse_lanes, parse_shed
from tests.lanes.frames import CORNERS, frames
from tests.lanes.reading import classify
from tests.lanes.taker import Taker, takers
from tests.lanes.test_program import TOKENS, lane_lists, shed_lists


def program(before: Sequence[Rule], own: Rule, shed: Sequence[Rule]) -> bytes:
    code = Code(takes=False)
    code.accept()
    code.select(before, own, shed)
    return code.encoded()


def programs(lanes: Sequence[LaneRule], shed: Sequence[Rule] = ()) -> list[bytes]:
    """One for each lane."""
    rules = [lane.rule for lane in lanes]
    return [program(rules[:number], rule, shed) for number, rule in enumerate(rules)]


def taken_by(made: Sequence[Taker], frame: bytes) -> list[int]:
    return [number for number, taker in enumerate(made) if taker.takes(frame)]


@pytest.mark.parametrize("token", TOKENS)
def test_each_term_reads_every_corner_as_the_reference_does(token: str) -> None:
    lanes = parse_lanes([f"lane={token}"])
    with takers(*programs(lanes)) as made:
        differing = [f.hex() for f in CORNERS if taken_by(made, f) != [classify(f, lanes, ()).lane]]
    assert differing == []


@settings(max_examples=150, deadline=None)
@given(lane_lists, shed_lists, st.lists(frames, min_size=1, max_size=30))
def test_a_frame_is_in_the_one_lane_that_the_reference_says_or_shed(
    lanes: tuple[LaneRule, ...], shed: tuple[Rule, ...], offered: list[bytes]
) -> None:
    with takers(*programs(lanes, shed)) as made:
        for frame in offered:
            verdict = classify(frame, lanes, shed)
            assert taken_by(made, frame) == ([] if verdict.shed is not None else [verdict.lane]), frame.hex()


def test_the_most_terms_that_there_can_be_are_within_the_kernels_limit() -> None:
    terms = [f"src:2001:db8:{number:x}::/128" for number in range(MAX_TERMS)]
    lanes, shed = parse_lanes([f"lane={','.join(terms[:-1])}"]), parse_shed([terms[-1]])
    code = Code(takes=False)
    code.accept()
    code.select([lanes[0].rule], lanes[1].rule, shed)
    assert len(code.encoded()) // 8 <= MOST_INSTRUCTIONS
