"""The window: the law at every step, bounded by whoever looks at `room`, and order kept whatever the broker says."""

from hypothesis import given
from hypothesis import strategies as st

from asyncnic.sinks.ledger import GIVEN_UP, REFUSED
from asyncnic.sinks.window import BrokerVerdict, Window

SOURCE, LOCAL = ("192.0.2.1", 4000), ("192.0.2.2", 514)


def fill(window: Window, count: int) -> None:
    for _ in range(count):
        window.take(1, b"x", SOURCE, LOCAL)


def imbalance(window: Window) -> int:
    return window.received - window.acknowledged - window.in_flight - sum(window.failed.values())


def numbers(window: Window, most: int) -> list[int]:
    return [datagram.number for datagram in window.batch(most)]


def test_a_datagram_waits_goes_out_and_is_acknowledged() -> None:
    window = Window(lambda: 4)
    window.take(7, b"data", SOURCE, LOCAL)
    assert (window.waiting, window.out, window.in_flight, window.room) == (1, 0, 1, 3)
    assert window.batch(10) == [(0, 7, b"data", SOURCE, LOCAL)]
    assert (window.waiting, window.out, window.in_flight) == (0, 1, 1)
    assert window.answer(0, BrokerVerdict.ACKNOWLEDGED)
    assert (window.acknowledged, window.in_flight, window.room) == (1, 0, 4)


def test_an_answer_counts_once() -> None:
    window = Window(lambda: 4)
    fill(window, 1)
    assert not window.answer(0, BrokerVerdict.ACKNOWLEDGED)  # not out yet
    window.batch(1)
    assert window.answer(0, BrokerVerdict.REFUSED)
    assert not window.answer(0, BrokerVerdict.ACKNOWLEDGED)
    assert not window.answer(99, BrokerVerdict.ACKNOWLEDGED)
    assert (window.acknowledged, window.failed[REFUSED]) == (0, 1)


def test_what_has_no_answer_goes_again_before_what_came_later() -> None:
    window = Window(lambda: 10)
    fill(window, 5)
    assert numbers(window, 3) == [0, 1, 2]
    window.answer(1, BrokerVerdict.ACKNOWLEDGED)
    window.answer(2, BrokerVerdict.LATER)
    window.disconnected()
    fill(window, 1)
    assert numbers(window, 9) == [0, 2, 3, 4, 5]
    assert window.republished == 2


def test_a_window_turned_down_has_no_room_and_loses_nothing() -> None:
    limit = [4]
    window = Window(lambda: limit[0])
    fill(window, 4)
    limit[0] = 1
    assert window.room == -3
    assert not window.ample
    assert numbers(window, 9) == [0, 1, 2, 3]


def test_closing_gives_up_what_is_there_and_what_comes() -> None:
    window = Window(lambda: 4)
    fill(window, 3)
    window.batch(1)
    window.close()
    window.close()
    assert not window.answer(0, BrokerVerdict.ACKNOWLEDGED)
    fill(window, 2)
    assert (window.failed[GIVEN_UP], window.in_flight, window.room) == (5, 0, 4)


STEPS = st.one_of(
    st.tuples(st.just("take"), st.integers(1, 9)),
    st.tuples(st.just("batch"), st.integers(1, 9)),
    st.tuples(st.sampled_from(BrokerVerdict), st.integers(0, 60)),
    st.tuples(st.sampled_from(("disconnected", "close")), st.just(0)),
)


@given(st.lists(STEPS, max_size=60))
def test_the_law_holds_after_every_step_and_the_bound_too(steps: list[tuple[str | BrokerVerdict, int]]) -> None:
    window, published = Window(lambda: 8), 0
    for step, argument in steps:
        match step:
            case "take":
                fill(window, max(0, min(argument, window.room)))
            case "batch":
                batch = numbers(window, argument)
                assert batch == sorted(batch)
                assert len(batch) <= argument
                published += len(batch)
            case "disconnected":
                window.disconnected()
            case "close":
                window.close()
            case BrokerVerdict():
                window.answer(argument, step)
        assert imbalance(window) == 0
        assert 0 <= window.in_flight <= 8
        assert window.in_flight == window.waiting + window.out
    assert window.republished <= published
