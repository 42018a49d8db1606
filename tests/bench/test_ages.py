"""Durations in buckets against the same durations sorted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.bench.ages import LONGEST, SPLIT_BITS, Ages, bucket, longest_in


@given(st.integers(0, LONGEST))
def test_a_bucket_holds_what_falls_into_it_and_is_narrow(nanoseconds: int) -> None:
    index = bucket(nanoseconds)
    shortest = longest_in(index - 1) + 1 if index else 0
    assert shortest <= nanoseconds <= longest_in(index)
    assert longest_in(index) - shortest <= nanoseconds / (1 << SPLIT_BITS)


@given(st.lists(st.integers(-5, LONGEST + 5), min_size=1), st.floats(0.0, 1.0))
def test_a_quantile_is_right_to_three_per_cent(given: list[int], share: float) -> None:
    ages = Ages()
    for nanoseconds in given:
        ages.add(nanoseconds)
    sound = sorted(min(max(one, 0), LONGEST) for one in given)
    rank = max(1.0, share * len(sound))
    exact = next(one for number, one in enumerate(sound, 1) if number >= rank) / 1e9
    found = ages.quantile(share)
    assert found is not None
    assert exact <= found <= exact * (1 + 1 / (1 << SPLIT_BITS)) + 1e-12
    assert ages.quantile(1.0) == sound[-1] / 1e9


def test_without_any_there_is_no_quantile() -> None:
    assert Ages().as_json() == {"count": 0, "p50": None, "p90": None, "p99": None, "p999": None, "max": None}


@pytest.mark.parametrize("count", [1, 1000])
def test_as_json(count: int) -> None:
    ages = Ages()
    for _ in range(count):
        ages.add(2000)
    assert ages.as_json() == {"count": count, **dict.fromkeys(("p50", "p90", "p99", "p999", "max"), 2e-6)}
