"""The automatic budget against simulated loops: it converges, holds the target, and stays within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.nic.budget import LEAST_SHARE, TURNS, BudgetControl
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC, Wire, assert_law, frame, number_of

LIMIT = 512
TARGET = 0.002


class Loop:
    """An event loop in a flood: bursts, and whatever else runs between them.

    Args:
        cost: seconds a frame.
        others: seconds between two bursts.
        overhead: seconds of a burst besides its frames.
    """

    def __init__(self, cost: float, others: float = 0.0, overhead: float = 1e-5) -> None:
        self.cost = cost
        self.others = others
        self.overhead = overhead
        self.control = BudgetControl(LIMIT)
        self.budget = 64
        self._now = 100.0

    def turn(self) -> float:
        """One burst and one turn of the others; how long both took."""
        begun = self._now
        ended = begun + self.overhead + self.cost * self.budget
        self.budget = self.control.left(begun, ended, self.budget, TARGET)
        self._now = ended + self.others
        return self._now - begun

    def turns(self, count: int) -> list[float]:
        return [self.turn() for _ in range(count)]


@pytest.mark.parametrize("others", [0.0, 1e-4])
@pytest.mark.parametrize("cost", [1e-6, 3e-6, 1e-5, 1e-4])
def test_a_turn_of_the_loop_is_held_and_used(cost: float, others: float) -> None:
    loop = Loop(cost, others)
    loop.turns(300)
    longest = max(loop.turns(100))
    assert longest <= TARGET / TURNS + cost
    unused = TARGET / TURNS - longest
    assert loop.budget == LIMIT or unused <= 2 * cost + loop.overhead


def test_a_jump_of_the_cost_is_followed_within_a_few_bursts() -> None:
    loop = Loop(3e-6)
    loop.turns(300)
    loop.cost = 1e-4
    loop.turns(8)
    assert loop.turn() <= TARGET / TURNS


def test_one_burst_that_lost_its_cpu_costs_little() -> None:
    loop = Loop(3e-6)
    loop.turns(300)
    before = loop.budget
    loop.overhead = 0.030
    loop.turn()
    loop.overhead = 1e-5
    assert loop.budget >= before // 2
    loop.turns(40)
    assert loop.budget >= 0.9 * before


def test_one_long_turn_of_the_others_costs_little() -> None:
    loop = Loop(3e-6)
    loop.turns(300)
    before = loop.budget
    loop.others = 1.0
    loop.turn()
    loop.others = 0.0
    loop.turn()
    assert loop.budget >= 0.75 * before


def test_others_that_use_the_target_up_do_not_starve_the_wire() -> None:
    loop = Loop(1e-6, others=0.010, overhead=0.0)
    loop.turns(300)
    assert loop.budget == pytest.approx(LEAST_SHARE * TARGET / TURNS / 1e-6, abs=1)


def test_what_passes_while_the_loop_waits_is_nobodys_time() -> None:
    loop = Loop(3e-6)
    loop.turns(300)
    before = loop.budget
    loop.others = 10.0
    for _ in range(50):
        loop.turn()
        loop.control.idle()
    assert loop.budget == before


def test_a_frame_that_takes_longer_than_the_target_comes_alone() -> None:
    loop = Loop(0.1)
    loop.turns(20)
    assert loop.budget == 1


def test_frames_that_cost_nothing_get_the_whole_ring() -> None:
    assert BudgetControl(256).left(1.0, 1.0, 1, TARGET) == 256


Bursts = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 10), st.integers(1, LIMIT), st.booleans()), min_size=1, max_size=50
)


@given(st.integers(1, LIMIT), st.floats(1e-4, 1.0), Bursts)
def test_the_budget_is_never_below_one_nor_above_the_ring(
    limit: int, target: float, bursts: list[tuple[float, float, int, bool]]
) -> None:
    control, now = BudgetControl(limit), 0.0
    for gap, duration, taken, idle in bursts:
        if idle:
            control.idle()
        begun = now + gap
        now = begun + duration
        assert 1 <= control.left(begun, now, taken, target) <= limit


@given(st.floats(1e-7, 1e-3), st.floats(0.0, TARGET / TURNS / 2))
def test_it_settles(cost: float, others: float) -> None:
    loop = Loop(cost, others)
    loop.turns(500)
    settled = {loop.budget}
    for _ in range(50):
        loop.turn()
        settled.add(loop.budget)
    assert max(settled) - min(settled) <= max(1, 0.02 * max(settled))


async def test_the_receiver_turns_the_knob_it_is_given(tap_name: str, wire: Wire) -> None:
    now = 0.0
    knobs = Knobs(rx_budget=64, rx_budget_auto=True, target_lag=0.003_15, rx_time_budget=1.0)
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs, clock=lambda: now) as nic:
        wire.send(*(frame(MAC, i) for i in range(300)))
        numbers: list[int] = []
        sizes: list[int] = []
        async for burst in nic:
            sizes.append(len(burst))
            for octets in burst:
                numbers.append(number_of(octets))
                now += 0.000_1
            if len(numbers) == 300:
                break
        assert numbers == list(range(300))
        assert sizes[0] == 64
        assert max(sizes[1:]) == 10  # a third of 3.15 ms, at 100 us a frame
        assert knobs.rx_budget == 10
        assert_law(nic, offered=300)


async def test_a_fixed_budget_stays_as_it_is(tap_name: str, wire: Wire) -> None:
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(rx_budget=8)) as nic:
        wire.send(*(frame(MAC, i) for i in range(40)))
        async for burst in nic:
            if number_of(list(burst)[-1]) == 39:
                break
        assert nic.knobs.rx_budget == 8
