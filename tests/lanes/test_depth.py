"""The depth of a queue follows what the wire loses."""

import statistics
from collections import deque

import pytest

from asyncnic.lanes.depth import LEAST, OVERLOAD_SECONDS, DepthControl

STEP = 0.001
AGE = 0.004


class Wire:
    """A queue of 1,000 frames under a control, and what it lost; a look a millisecond."""

    def __init__(self) -> None:
        self.control = DepthControl()
        self.now = 0.0
        self.lost = 0

    def load(
        self, seconds: float, rate: float, *, silent: bool = False, overflows: bool = False, age: float = AGE
    ) -> None:
        """Read at `rate` frames a second for some seconds; `overflows`: as many again are lost."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self.lost += round(rate * STEP) if overflows else 0
            self.control.observe(self.now, round(rate * STEP), silent, self.lost, age)


def test_a_wire_that_falls_silent_keeps_all_its_depth() -> None:
    wire = Wire()
    wire.load(1.0, 33_000, silent=True, overflows=True)
    assert wire.control.depth is None


def test_a_look_that_has_nothing_to_say_is_one_that_changes_nothing() -> None:
    wire = Wire()
    assert wire.control.calm(True)
    assert not wire.control.calm(False)
    assert not wire.control.observe(0.0, 9, True, 5, AGE)
    wire.load(1.0, 33_000, overflows=True)
    assert not wire.control.calm(True)  # the depth is to be given back
    wire.load(STEP, 33_000, silent=True)
    assert wire.control.calm(True)
    assert wire.control.depth is None


def test_a_wire_that_is_never_silent_and_loses_nothing_keeps_all_its_depth() -> None:
    wire = Wire()
    wire.load(1.0, 33_000)
    assert wire.control.depth is None


def test_a_pause_of_the_machine_is_no_overload() -> None:
    wire = Wire()
    wire.load(0.1, 33_000, silent=True)
    wire.now += 0.030  # a thousand frames wait now, and are worked off without the wire falling silent
    wire.load(OVERLOAD_SECONDS - 2 * STEP, 400_000, overflows=True)
    assert wire.control.depth is None


def test_in_overload_no_frame_waits_longer_than_the_target_age() -> None:
    wire = Wire()
    wire.load(0.1, 60_000, overflows=True)
    assert wire.control.depth == 240


def test_the_depth_follows_the_rate_and_returns_with_the_first_silence() -> None:
    wire = Wire()
    wire.load(0.1, 60_000, overflows=True)
    wire.load(0.1, 100_000, overflows=True)
    assert wire.control.depth == 400
    assert wire.control.observe(wire.now + STEP, 10, True, wire.lost, AGE)
    assert wire.control.depth is None
    assert not wire.control.observe(wire.now + 2 * STEP, 10, True, wire.lost, AGE)


def test_the_depth_returns_where_nothing_is_lost_any_more_though_the_wire_is_busy() -> None:
    wire = Wire()
    wire.load(0.1, 60_000, overflows=True)
    wire.load(2 * OVERLOAD_SECONDS, 60_000)
    assert wire.control.depth is None


def test_a_slow_stack_still_finds_a_burst() -> None:
    wire = Wire()
    wire.load(0.1, 1_000, overflows=True)
    assert wire.control.depth == LEAST


def test_without_a_target_the_depth_is_left_alone() -> None:
    wire = Wire()
    wire.load(0.1, 60_000, overflows=True)
    assert wire.control.observe(wire.now + STEP, 60, False, wire.lost, 0.0)
    assert wire.control.depth is None


@pytest.mark.parametrize("work", [1e-6, 10e-6, 100e-6, 1e-3])
@pytest.mark.parametrize("outstanding", [1, 64, 65, 200, 500, 900])
def test_clients_that_wait_for_answers_lose_nothing(outstanding: int, work: float) -> None:
    room, budget, control = 1000, 64, DepthControl()
    waiting = deque(range(outstanding))
    now, lost, answered = 0.0, 0, 0
    while answered < 20 * max(outstanding, 100):
        taken = min(budget, len(waiting))
        for _ in range(taken):
            waiting.popleft()
        control.observe(now, taken, not waiting, lost, AGE)
        now += taken * work
        answered += taken
        depth = room if control.depth is None else min(room, control.depth)
        for number in range(taken):  # each answer brings the next question
            if len(waiting) < depth:
                waiting.append(number)
            else:
                lost += 1
        assert lost == 0


@pytest.mark.parametrize("work", [10e-6, 20e-6])
@pytest.mark.parametrize("times", [2, 10, 20])
def test_in_lasting_overload_the_median_frame_is_no_older_than_5_ms(times: int, work: float) -> None:
    room, budget, control = 1000, 64, DepthControl()
    waiting: deque[float] = deque()
    ages: list[float] = []
    now, due, lost = 0.0, 0.0, 0
    while now < 0.6:
        burst = [waiting.popleft() for _ in range(min(budget, len(waiting)))]
        control.observe(now, len(burst), not waiting, lost, AGE)
        if now > 0.2:
            ages += [now + place * work - came for place, came in enumerate(burst)]
        now += max(1, len(burst)) * work
        depth = room if control.depth is None else min(room, control.depth)
        while due <= now:  # who sends does not look at what becomes of it
            if len(waiting) < depth:
                waiting.append(due)
            else:
                lost += 1
            due += work / times
    assert lost > 0
    assert statistics.median(ages) <= 0.005
