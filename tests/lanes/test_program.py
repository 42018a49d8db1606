"""The kernel's reading against the reference reading: any rules, any frame, on the real verifier and helpers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.lanes.assembler import Assembler
from asyncnic.lanes.program import (
    ACCEPTED,
    COUNTER_OCTETS,
    DEPTH,
    LEFT,
    OVERFLOWED,
    SHED_SLOTS,
    SHED_WORDS,
    filter_program,
    spreading_program,
    steering_program,
)
from asyncnic.lanes.rules import MAX_SHED_RULES, MAX_TERMS, LaneRule, Rule, parse_lanes, parse_shed
from asyncnic.linux.bpf import CounterMap, load_program
from tests.lanes.frames import CORNERS, PING4, frames, rule_texts, udp4
from tests.lanes.reading import classify, queue_of
from tests.linux.trying import try_program

lane_lists = st.lists(rule_texts, min_size=1, max_size=4).map(
    lambda rules: parse_lanes([f"lane{number}={rule}" for number, rule in enumerate(rules)])
)
shed_lists = st.lists(rule_texts, max_size=4).map(parse_shed)


TOKENS = (
    "arp",
    "nd",
    "icmp",
    "icmp6",
    "tcp",
    "udp",
    "udp:1",
    "udp:53",
    "udp:9",
    "tcp:53",
    "vlan:7",
    "vlan:0",
    "vlan:8",
    "ether:0x8100",
    "ether:0x88a8",
    "ether:0x0800",
    "ether:0x86dd",
    "ether:0x88cc",
    "src:0.0.0.0/0",
    "src:192.0.2.1",
    "src:192.0.2.0/31",
    "dst:192.0.2.0/25",
    "dst:198.51.100.6/31",
    "src:::/0",
    "src:2001:db8::1",
    "src:2001:db8::/127",
    "dst:2001:db8::/33",
    "src:fe80::/10",
    "dst:fe80::/65",
    "dst:2001:db8::ff00/120",
)
"""A term of each kind that `CORNERS` have something to say about."""


@contextmanager
def loaded(code: Assembler) -> Iterator[int]:
    program = load_program(code.encode(), "asyncnic_test")
    try:
        yield program
    finally:
        os.close(program)


@contextmanager
def counters() -> Iterator[CounterMap]:
    shared = CounterMap(COUNTER_OCTETS)
    try:
        yield shared
    finally:
        shared.close()


@pytest.mark.parametrize("token", TOKENS)
def test_each_term_reads_every_corner_as_the_reference_does(token: str) -> None:
    lanes = parse_lanes([f"lane={token}"])
    with loaded(steering_program(lanes)) as program:
        differing = [f.hex() for f in CORNERS if try_program(program, f).result != classify(f, lanes, ()).lane]
    assert differing == []


@settings(max_examples=150, deadline=None)
@given(lane_lists, st.lists(frames, min_size=1, max_size=30))
def test_steering_reads_as_the_reference_does(lanes: tuple[LaneRule, ...], offered: list[bytes]) -> None:
    with loaded(steering_program(lanes)) as program:
        for frame in offered:
            assert try_program(program, frame).result == classify(frame, lanes, ()).lane, frame.hex()


@settings(max_examples=150, deadline=None)
@given(lane_lists, st.integers(1, 64), st.lists(frames, min_size=1, max_size=30))
def test_spreading_reads_as_the_reference_does(lanes: tuple[LaneRule, ...], queues: int, offered: list[bytes]) -> None:
    with loaded(spreading_program(lanes, queues)) as program:
        for frame in (*CORNERS, *offered):
            assert try_program(program, frame).result == queue_of(frame, lanes, queues), frame.hex()


@settings(max_examples=150, deadline=None)
@given(shed_lists, st.lists(frames, min_size=1, max_size=30))
def test_shedding_reads_as_the_reference_does_and_counts_to_the_frame(
    shed: tuple[Rule, ...], offered: list[bytes]
) -> None:
    expected = [0] * SHED_SLOTS
    kept = 0
    slots = [(rule, 5 + 2 * index) for index, rule in enumerate(shed)]
    with counters() as shared:
        shared.words[DEPTH] = len(offered)
        with loaded(filter_program(slots, shared.descriptor)) as program:
            for frame in offered:
                verdict = classify(frame, (), shed).shed
                if verdict is None:
                    kept += 1
                else:
                    expected[slots[verdict][1]] += 1
                assert try_program(program, frame).result == (len(frame) if verdict is None else 0), frame.hex()
        assert list(shared.words[SHED_WORDS:]) == expected
        assert (shared.words[ACCEPTED], shared.words[OVERFLOWED]) == (kept, 0)


def test_a_lane_takes_frames_up_to_its_depth_and_again_when_some_have_left() -> None:
    frame = udp4()
    with counters() as shared, loaded(filter_program([], shared.descriptor)) as program:
        shared.words[DEPTH] = 3
        assert [try_program(program, frame).result for _ in range(5)] == [len(frame)] * 3 + [0] * 2
        assert (shared.words[ACCEPTED], shared.words[OVERFLOWED]) == (3, 2)
        shared.words[LEFT] += 2
        assert [try_program(program, frame).result for _ in range(3)] == [len(frame)] * 2 + [0]
        assert (shared.words[ACCEPTED], shared.words[OVERFLOWED]) == (5, 3)
        shared.words[DEPTH] = 4
        assert [try_program(program, frame).result for _ in range(2)] == [len(frame), 0]


def test_frames_that_left_uncounted_close_no_queue() -> None:
    frame = udp4()
    with counters() as shared, loaded(filter_program([], shared.descriptor)) as program:
        shared.words[DEPTH] = 1
        shared.words[LEFT] = 2
        assert [try_program(program, frame).result for _ in range(4)] == [len(frame)] * 3 + [0]


def test_shed_frames_take_no_place_in_the_queue() -> None:
    (rule,) = parse_shed(["udp"])
    with counters() as shared, loaded(filter_program([(rule, 0)], shared.descriptor)) as program:
        shared.words[DEPTH] = 1
        assert [try_program(program, frame).result for frame in (udp4(), udp4(), PING4)] == [0, 0, len(PING4)]
        assert (shared.words[SHED_WORDS], shared.words[ACCEPTED]) == (2, 1)


@pytest.mark.parametrize("form", ["2001:db8:{:x}::1", "udp:{}"])
def test_the_most_that_the_grammar_allows_passes_the_verifier(form: str) -> None:
    side = "" if form.startswith("udp") else "src:"
    tokens = [side + form.format(number) for number in range(1, MAX_TERMS + 1)]
    each = MAX_TERMS // MAX_SHED_RULES
    shed = parse_shed([",".join(tokens[at : at + each]) for at in range(0, MAX_TERMS, each)])
    lanes = parse_lanes([f"all={','.join(tokens)}"])
    with counters() as shared:
        slots = [(rule, SHED_SLOTS - 1 - index) for index, rule in enumerate(shed)]
        with loaded(filter_program(slots, shared.descriptor)) as door, loaded(steering_program(lanes)) as steering:
            assert try_program(door, PING4).result == 0  # queue 0 has no depth yet
            assert shared.words[OVERFLOWED] == 1
            assert try_program(steering, PING4).result == 1
