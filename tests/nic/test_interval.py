"""The wait after a wake-up, against simulated senders: open ones, and ones that wait for the answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.nic.interval import GOAL, KEPT, LEAST, LONGEST_PAUSE, WINDOW, WORTH, IntervalControl

ROOM = 256
BOUND = 0.002


class Sender:
    """Frames, and looks at them by what the control says; `open` sends whatever becomes of them, `closed` waits.

    Args:
        outstanding: frames that a closed sender has on its way, at most; 0: an open one.
        rate: frames a second, where nobody waits.
    """

    def __init__(self, rate: float, outstanding: int = 0) -> None:
        self.control = IntervalControl(ROOM)
        self.rate = rate
        self.outstanding = outstanding
        self.now = 100.0
        self.waits = 0.0
        self.late: list[float] = []  # waits that were in force when a look found frames
        self.frames = 0

    def look(self) -> None:
        """The next look: at a tick after the wait, or when the next frame interrupts."""
        self.now += self.waits or 1 / self.rate
        found = max(1, round(self.rate * self.waits))
        if self.outstanding and found > self.outstanding:
            found = self.outstanding
        self.frames += found
        self.waits = self.control.automatic(self.now, found, self.waits, BOUND)
        self.late.append(self.waits)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.look()


@pytest.mark.parametrize("rate", [10_000, 33_000, 250_000, 1_000_000])
def test_an_open_sender_is_looked_at_when_enough_has_come(rate: float) -> None:
    sender = Sender(rate)
    sender.run(1.0)
    assert sender.waits == pytest.approx(min(BOUND, GOAL / rate), rel=0.1)


@pytest.mark.parametrize("rate", [1, 100, 1000, 0.9 * WORTH / BOUND])
def test_a_light_load_never_waits(rate: float) -> None:
    sender = Sender(rate)
    sender.run(max(1.0, 20 / rate))
    assert set(sender.late) == {0.0}


@pytest.mark.parametrize("outstanding", [1, 4, 16, 31, 200])
@pytest.mark.parametrize("rate", [10_000, 50_000])
def test_whoever_waits_for_answers_is_not_slowed_down(rate: float, outstanding: int) -> None:
    sender = Sender(rate, outstanding)
    sender.run(8.0)
    before = sender.frames
    sender.run(8.0)
    usual = outstanding / rate  # between a frame and its answer, where nobody waits
    kept = 0.96 if usual < KEPT * min(BOUND, GOAL / rate) else KEPT
    assert sender.frames - before >= kept * 8.0 * rate


def test_a_sender_alone_costs_one_wait_a_pause() -> None:
    sender = Sender(10_000, 1)
    sender.run(20.0)
    assert sum(1 for wait in sender.late if wait) <= 20.0 / LONGEST_PAUSE + 10


def test_after_a_silence_the_first_frame_interrupts_whatever_was_learnt() -> None:
    sender = Sender(100_000)
    sender.run(1.0)
    assert sender.waits > 0
    assert sender.control.automatic(sender.now + sender.waits, 0, sender.waits, BOUND) == 0
    assert sender.control.automatic(sender.now + 10.0, 1, 0.0, BOUND) == 0


def test_a_load_that_falls_below_what_is_worth_it_is_waited_for_no_more() -> None:
    sender = Sender(100_000)
    sender.run(1.0)
    sender.rate = 1000
    sender.run(2 * WINDOW)
    assert sender.waits == 0
    sender.rate = 100_000
    sender.run(1.0)
    assert sender.waits == pytest.approx(GOAL / 100_000, rel=0.1)


def test_too_few_after_a_wait_end_it_at_once() -> None:
    sender = Sender(50_000)
    sender.run(1.0)
    assert sender.control.automatic(sender.now + sender.waits, LEAST - 1, sender.waits, BOUND) == 0


def test_a_time_is_waited_for_but_not_after_nothing() -> None:
    control = IntervalControl(ROOM)
    assert control.fixed(1, 0.0, 0.001) == 0.001
    assert control.fixed(1, 0.001, 0.001) == 0.001
    assert control.fixed(0, 0.001, 0.001) == 0


def test_a_time_is_shortened_where_half_a_ring_would_come_and_grows_again() -> None:
    control, wait = IntervalControl(ROOM), 0.01
    for _ in range(20):
        found = round(250_000 * wait)
        wait = control.fixed(found, wait, 0.01)
    assert 250_000 * wait <= 1.05 * ROOM / 2
    for _ in range(20):
        wait = control.fixed(max(1, round(1000 * wait)), wait, 0.01)
    assert wait == 0.01


def test_a_time_in_between_forgets_what_was_learnt() -> None:
    sender = Sender(100_000)
    sender.run(1.0)
    sender.control.fixed(1, 0.0, 0.001)
    assert sender.control.automatic(sender.now, 64, 0.0, BOUND) == 0


Looks = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5000), st.floats(1e-4, 1.0)), max_size=80)


@given(st.integers(1, 512), Looks)
def test_no_wait_is_longer_than_its_bound_nor_comes_after_nothing(
    room: int, looks: list[tuple[float, int, float]]
) -> None:
    control, now, wait = IntervalControl(room), 100.0, 0.0
    for apart, found, bound in looks:
        now += apart
        wait = control.automatic(now, found, wait, bound)
        assert 0.0 <= wait <= bound
        assert found or wait == 0.0


@given(st.integers(1, 512), Looks)
def test_a_fixed_wait_is_never_longer_than_asked(room: int, looks: list[tuple[float, int, float]]) -> None:
    control, wait = IntervalControl(room), 0.0
    for _, found, asked in looks:
        wait = control.fixed(found, wait, asked)
        assert 0.0 <= wait <= asked
        assert (wait > 0.0) == bool(found)
