"""The depth of a queue follows the load."""

from asyncnic.lanes.depth import LEAST, OVERLOAD_SECONDS, DepthControl

STEP = 0.001


def load(control: DepthControl, now: float, seconds: float, rate: float, *, silent: bool, age: float = 0.004) -> float:
    """Read at `rate` frames a second for some seconds, a look a millisecond."""
    for _ in range(round(seconds / STEP)):
        now += STEP
        control.observe(now, round(rate * STEP), silent, age)
    return now


def test_a_wire_that_falls_silent_keeps_all_its_depth() -> None:
    control = DepthControl()
    load(control, 0.0, 1.0, 33_000, silent=True)
    assert control.depth is None


def test_a_pause_of_the_machine_is_no_overload() -> None:
    control = DepthControl()
    now = load(control, 0.0, 0.1, 33_000, silent=True)
    now += 0.030  # a thousand frames wait now, and are worked off without the wire falling silent
    now = load(control, now, OVERLOAD_SECONDS - 2 * STEP, 400_000, silent=False)
    assert control.depth is None


def test_in_overload_no_frame_waits_longer_than_the_target_age() -> None:
    control = DepthControl()
    load(control, 0.0, 0.1, 60_000, silent=False)
    assert control.depth == 240


def test_the_depth_follows_the_rate_and_returns() -> None:
    control = DepthControl()
    now = load(control, 0.0, 0.1, 60_000, silent=False)
    now = load(control, now, 0.1, 100_000, silent=False)
    assert control.depth == 400
    assert control.observe(now + STEP, 10, True, 0.004)
    assert control.depth is None
    assert not control.observe(now + 2 * STEP, 10, True, 0.004)


def test_a_slow_stack_still_finds_a_burst() -> None:
    control = DepthControl()
    load(control, 0.0, 0.1, 1_000, silent=False)
    assert control.depth == LEAST


def test_without_a_target_the_depth_is_left_alone() -> None:
    control = DepthControl()
    now = load(control, 0.0, 0.1, 60_000, silent=False)
    assert control.observe(now + STEP, 60, False, 0.0)
    assert control.depth is None
