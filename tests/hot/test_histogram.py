"""A histogram is the same in both forms."""

import importlib
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.hot.histogram import Histogram
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS

compiled = importlib.import_module("asyncnic.hot._histogram").Histogram


@pytest.mark.parametrize("form", [Histogram, compiled])
@given(values=st.lists(st.one_of(st.sampled_from(SECONDS), st.floats(0, 100), st.integers(0, 600))))
def test_each_value_is_in_the_first_bucket_that_holds_it(form: type[Histogram], values: list[float]) -> None:
    for bounds in (SECONDS, BURST_FRAMES):
        histogram, expected = form(bounds), [0] * (len(bounds) + 1)
        for value in values:
            histogram.observe(value)
            expected[bisect_left(bounds, value)] += 1
        assert histogram.counts == expected
        assert histogram.sum == pytest.approx(sum(values))
