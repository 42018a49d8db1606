"""Cuts: what workers have read against what the wire has handed out, when nobody stands still and some die."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.devices.device import WireCounters
from asyncnic.service.workers.books import Books, Cut
from tests.service.workers.snapshots import counted, snapshot


def imbalance(cut: Cut) -> int:
    """Frames that the cut does not account for, of those that the wire had handed out or dropped."""
    read = sum(one.counted.read for one in cut.snapshots) + cut.gone.read
    return cut.offered - cut.dropped - read - cut.lost - cut.untold


def wire(handed_out: int, dropped: int = 0) -> WireCounters:
    return WireCounters(handed_out + dropped, dropped)


def test_what_lies_between_the_wires_two_counts_is_exact() -> None:
    for read in (90, 95, 100):
        cut = Books().cut([snapshot(40, 40), snapshot(read - 40, 0)], 90, wire(100, 7), True)
        assert (cut.offered, cut.untold, imbalance(cut)) == (read + 7, 0, 0)


def test_what_lies_outside_is_an_imbalance() -> None:
    assert imbalance(Books().cut([snapshot(89, 89)], 90, wire(100), True)) == 1
    assert imbalance(Books().cut([snapshot(103, 103)], 90, wire(100), True)) == -3


def test_what_somebody_could_not_tell_is_in_flight() -> None:
    cut = Books().cut([snapshot(70, 70)], 90, wire(100), False)
    assert (cut.offered, cut.untold, imbalance(cut)) == (90, 20, 0)


def test_what_a_dead_worker_had_is_in_flight_until_it_is_booked() -> None:
    books = Books()
    books.bury(snapshot(50, 40, 10))
    living = [snapshot(30, 30)]
    cut = books.cut(living, 95, wire(95), True)
    assert (cut.untold, cut.lost, imbalance(cut)) == (25, 0, 0)
    books.book(living, wire(95))
    cut = books.cut(living, 95, wire(95), True)
    assert (cut.untold, cut.lost, imbalance(cut)) == (0, 25, 0)
    assert cut.gone.lanes == counted(40, 40).lanes


def test_a_worker_that_never_said_anything_is_booked_too() -> None:
    books = Books()
    books.bury(None)
    assert books.unbooked
    books.book([], wire(12))
    assert (books.lost, books.unbooked) == (12, False)


steps = st.lists(
    st.tuples(st.sampled_from(["read", "cut", "silent", "die", "book"]), st.integers(0, 2), st.integers(0, 50)),
    max_size=60,
)


@given(steps)
def test_every_cut_balances_and_offered_never_falls(steps: list[tuple[str, int, int]]) -> None:
    """Three workers read from one wire. Each cut asks them one after the other while the others read on."""
    books = Books()
    read, told = [0, 0, 0], [snapshot(0, 0)] * 3
    handed_out = offered = 0

    def reads(worker: int, frames: int) -> None:
        nonlocal handed_out
        read[worker] += frames
        handed_out += frames

    def tells(worker: int) -> None:
        told[worker] = snapshot(read[worker], max(0, read[worker] - 3), min(read[worker], 3))

    for what, worker, frames in steps:
        reads(worker, frames)
        if what == "die":
            books.bury(told[worker])
            read[worker], told[worker] = 0, snapshot(0, 0)
        elif what == "book":
            for one in range(3):
                tells(one)
            books.book(told, wire(handed_out))
        elif what != "read":
            before = handed_out
            for one in range(3):
                if what == "cut" or one != worker:
                    tells(one)
                reads((one + 1) % 3, frames)
            cut = books.cut(told, before, wire(handed_out), what == "cut")
            assert imbalance(cut) == 0
            assert cut.offered >= offered
            offered = cut.offered
