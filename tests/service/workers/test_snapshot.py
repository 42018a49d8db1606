"""Adding workers up."""

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.nic.counters import Counters
from asyncnic.service.workers.snapshot import Counted, add, descriptors, total
from tests.service.workers.snapshots import counted, snapshot

COUNTS = st.builds(Counters, **{one.name: st.integers(0, 10**12) for one in fields(Counters)})


def test_counts_add_up() -> None:
    both = total([snapshot(10, 7), snapshot(20, 18)], counted(5, 5))
    assert both.read == 35
    assert both.lanes["bulk"].ledger.delivered == 30
    assert both.lanes["bulk"].delivered_bytes == 1800
    assert both.counters.delivered_frames == 30
    assert both.counters.interrupts == 9
    assert both.receive_errors == {"crc": 3}
    assert both.outcomes == {"udp": {"delivered": 30}}
    assert both.stack_failures == 3
    assert sum(both.burst_frames.counts) == 3
    assert both.loop_lag.sum == 0.003


def test_nothing_changes_no_sum() -> None:
    assert add(counted(3, 2), Counted()) == add(Counted(), counted(3, 2)) == counted(3, 2)


def test_a_lane_that_one_of_them_has_is_in_the_sum() -> None:
    first = counted(3, 3)
    control = type(first)(**{name: getattr(first, name) for name in first.__slots__} | {"lanes": {}})
    assert add(control, first).lanes == first.lanes == add(first, control).lanes


def test_of_a_worker_that_is_gone_only_what_came_to_an_end_was_read() -> None:
    closed = counted(10, 5, 2, 1).closed()
    assert closed.read == 8
    assert closed.lanes["bulk"].ledger.imbalance == 0


def test_descriptors_of_all_rings_add_up() -> None:
    assert descriptors([snapshot(0, 0), snapshot(0, 0)]) == {
        "rx": {"card": 500, "host": 12},
        "tx": {"card": 0, "host": 128},
    }


@given(COUNTS, COUNTS)
def test_every_counter_there_is_adds_up_without_being_named(a: Counters, b: Counters) -> None:
    both = add(Counted(counters=a), Counted(counters=b)).counters
    for one in fields(Counters):
        assert getattr(both, one.name) == getattr(a, one.name) + getattr(b, one.name)


def test_no_field_is_forgotten() -> None:
    for one in fields(Counted):
        assert add(getattr(Counted(), one.name), getattr(counted(9, 9), one.name)) == getattr(counted(9, 9), one.name)
