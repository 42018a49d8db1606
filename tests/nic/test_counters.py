"""The nic's counters as a table: each field shows once, in one place."""

import dataclasses

from asyncnic.nic.counters import METRICS, Counters

BY_LANE = {"delivered_frames", "delivered_bytes"}
"""Shown by the ledger, lane by lane."""


def test_every_counter_has_a_metric_or_is_the_ledgers() -> None:
    assert METRICS.keys() | BY_LANE == {field.name for field in dataclasses.fields(Counters)}
    assert not METRICS.keys() & BY_LANE


def test_no_two_counters_show_in_the_same_place() -> None:
    assert len({(metric.family, metric.word) for metric in METRICS.values()}) == len(METRICS)
    assert len({metric.path for metric in METRICS.values()}) == len(METRICS)


def test_counters_of_one_family_say_the_same_of_it() -> None:
    said: dict[str, tuple[str, str]] = {}
    for metric in METRICS.values():
        assert said.setdefault(metric.family, (metric.text, metric.label)) == (metric.text, metric.label)
