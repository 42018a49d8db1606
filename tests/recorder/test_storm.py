"""When a storm begins: each condition at its bound, once while it stands, and again after a calm."""

from collections.abc import Iterator, Mapping
from itertools import count

import pytest

from asyncnic.recorder.storm import CALM, FEWEST_DROPS, Reading, StormWatch

INTERVAL = 0.1


def reading(
    offered: float = 0.0,
    dropped: Mapping[str, float] | None = None,
    imbalance: float = 0.0,
    lag: float = 0.0,
    device_up: bool = True,
) -> Reading:
    return Reading(offered, dropped or {"kernel": 0.0}, imbalance, lag, device_up)


def causes(watch: StormWatch, readings: Iterator[Reading], seconds: float, start: float = 1000.0) -> list[str]:
    """The causes that begin in so many seconds of readings."""
    found = []
    for at in range(int(seconds / INTERVAL)):
        begun = watch.judge(start + at * INTERVAL, next(readings))
        if begun is not None:
            found.append(begun[0])
            assert begun[1]
    return found


def flood(share: float, rate: float = 10_000.0) -> Iterator[Reading]:
    """Readings of a steady load of which one stage drops a share."""
    for at in count():
        yield reading(rate * INTERVAL * at, {"kernel": rate * INTERVAL * at * share, "card": 0.0})


def standing(one: Reading) -> Iterator[Reading]:
    while True:
        yield one


@pytest.mark.parametrize(("share", "expected"), [(0.0, []), (0.09, []), (0.11, ["drops"]), (1.0, ["drops"])])
def test_drops_beyond_their_share_are_a_storm_once(share: float, expected: list[str]) -> None:
    assert causes(StormWatch(0.1, 0.5), flood(share), 30.0) == expected


def test_a_few_drops_are_none_whatever_their_share() -> None:
    few = (FEWEST_DROPS - 1) / 1.2
    assert causes(StormWatch(0.1, 0.5), flood(1.0, few), 10.0) == []


def test_a_storm_that_comes_back_after_a_calm_is_another() -> None:
    watch = StormWatch(0.1, 0.5)
    assert causes(watch, flood(1.0), 2.0) == ["drops"]
    calm = standing(reading(offered=2000.0, dropped={"kernel": 1900.0}))
    assert causes(watch, calm, CALM + 2.0, 1002.0) == []
    assert causes(watch, flood(1.0), 2.0, 1002.0 + CALM + 2.0) == ["drops"]


@pytest.mark.parametrize(("lag", "expected"), [(0.49, []), (0.5, ["lag"])])
def test_a_late_loop(lag: float, expected: list[str]) -> None:
    assert causes(StormWatch(0.1, 0.5), standing(reading(lag=lag)), 5.0) == expected


def test_a_law_that_fails_for_one_reading_is_none_and_for_three_is_one() -> None:
    watch = StormWatch(0.1, 0.5)
    assert causes(watch, iter([reading(imbalance=1), reading(imbalance=1), reading()]), 0.3) == []
    assert causes(watch, standing(reading(imbalance=-1)), 1.0) == ["imbalance"]


def test_a_device_that_was_up_and_is_not() -> None:
    watch = StormWatch(0.1, 0.5)
    assert causes(watch, standing(reading(device_up=False)), 1.0) == []
    assert causes(watch, standing(reading()), 1.0, 1001.0) == []
    assert causes(watch, standing(reading(device_up=False)), 1.0, 1002.0) == ["device"]


def test_conditions_that_are_switched_off() -> None:
    assert causes(StormWatch(0.0, 0.0), flood(1.0), 5.0) == []
    assert causes(StormWatch(0.0, 0.0), standing(reading(lag=9.0)), 5.0) == []
