"""The histogram against counting by hand, and its bounds against what is observed."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram


@given(st.lists(st.floats(-1.0, 1000.0)))
def test_each_observation_is_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram(BURST_FRAMES)
    for value in values:
        histogram.observe(value)
    for bound, cumulative in zip(BURST_FRAMES, _cumulative(histogram.counts), strict=False):
        assert cumulative == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == sum(values)


def _cumulative(counts: list[int]) -> list[int]:
    return [sum(counts[: index + 1]) for index in range(len(counts))]


def test_what_is_beyond_the_last_bound_is_counted_too() -> None:
    histogram = Histogram(SECONDS)
    histogram.observe(3600.0)
    assert histogram.counts == [0] * len(SECONDS) + [1]


def test_a_full_ring_has_a_bucket_of_its_own() -> None:
    histogram = Histogram(BURST_FRAMES)
    histogram.observe(512)
    histogram.observe(513)
    assert histogram.counts[-2:] == [1, 1]
