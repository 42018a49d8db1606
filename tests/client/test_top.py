"""What top draws and what its keys ask for, without a terminal."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from asyncnic.client.top import REMEMBERED, TURNED, Change, View, bar, mean, spark, turned, within
from asyncnic.commands.top import keys
from asyncnic.settings.model import LIVE
from asyncnic.web.stats import stats
from tests.web.fakes import FakeNic, observe


def numbers(later: float = 0.0, **more: int) -> dict[str, Any]:
    """/api/v1/stats of the fake, so many seconds later and with so much more in its counters."""
    found: dict[str, Any] = json.loads(json.dumps(stats(observe(FakeNic()), 165.0 + later)))
    for name, frames in more.items():
        if name in found["dropped"]:
            found["dropped"][name] += frames
        else:
            found[name] += frames
    return found


def screen(view: View, width: int = 110) -> list[str]:
    """What `view` draws, line by line."""
    console = Console(file=io.StringIO(), width=width, height=40, force_terminal=False)
    console.print(view.render())
    drawn = console.file
    assert isinstance(drawn, io.StringIO)
    return [line.rstrip() for line in drawn.getvalue().splitlines()]


def test_first_screen_has_totals_and_no_rates() -> None:
    lines = screen(View(numbers()))
    assert lines[0].startswith("tap:golden0  Am79C970A  inet  direct delivery  ready")
    (row,) = [line for line in lines if line.startswith("dropped: kernel")]
    assert row.split() == ["dropped:", "kernel", "60", "6.0%"]
    assert "ring 2 of 256 filled" in "\n".join(lines)


def test_rates_are_differences_over_the_services_own_clock() -> None:
    view = View(numbers())
    view.take(numbers(later=2.0, offered=2000, delivered=1500, kernel=500))
    assert view.rates() == {
        "offered": 1000,
        "delivered": 750,
        "filtered": 0,
        "kernel": 250,
        "card": 0,
        "driver": 0,
        "queue": 0,
    }
    (row,) = [line for line in screen(view) if line.startswith("delivered")]
    assert row.split()[1:3] == ["750", "2,400"]


def test_a_service_that_began_anew_has_no_rates() -> None:
    view = View(numbers(later=50.0))
    view.take(numbers())
    assert view.rates() == {}
    assert not view.history


def test_memory_is_bounded() -> None:
    view = View(numbers())
    for second in range(2 * REMEMBERED):
        view.take(numbers(later=second + 1.0, offered=second))
    assert len(view.history) == REMEMBERED


def test_what_is_wrong_is_in_the_first_line() -> None:
    lost = json.loads(json.dumps(stats(observe(FakeNic(device_up=False)), 165.0)))
    assert "device tap:golden0 is lost" in screen(View(lost))[0]
    down = json.loads(json.dumps(stats(observe(FakeNic(device_up=False, no_link="the interface is down")), 165.0)))
    assert "device tap:golden0: the interface is down" in screen(View(down))[0]


def test_every_shown_knob_is_live() -> None:
    assert TURNED.keys() <= LIVE


def test_keys_move_and_turn() -> None:
    view = View(numbers())
    assert view.press("right") == Change("rx_budget", "128")
    assert view.press("-") == Change("rx_budget", "32")
    assert view.press("down") is None
    assert view.press("+") == Change("target_lag", "4ms")
    assert view.press("k") is None
    assert view.press("up") is None
    assert view.press("l") == Change("queue_policy", "drop-oldest")
    assert view.press("left") == Change("queue_policy", "pause")
    assert view.press("a") == Change("rx_budget", "auto")
    assert view.press("?") is None
    view.selected = list(TURNED).index("rx_usecs")
    assert view.press("a") == Change("rx_usecs", "auto")


def test_p_pauses_and_says_so() -> None:
    view = View(numbers())
    view.press("p")
    assert view.paused
    assert "PAUSED" in screen(view)[0]
    view.press("p")
    assert "PAUSED" not in screen(view)[0]


@pytest.mark.parametrize(
    ("name", "value", "more", "then"),
    [
        ("rx_budget", "1", False, "1"),
        ("rx_budget", "auto", True, "64"),
        ("rx_budget", "auto", False, "64"),
        ("rx_usecs", "auto", True, "0us"),
        ("busy_poll", "0us", True, "10us"),
        ("busy_poll", "10us", False, "0us"),
        ("busy_poll", "0us", False, "0us"),
        ("rx_time_budget", "2ms", False, "1ms"),
        ("overload", "leave", True, "drain"),
        ("overload", "leave", False, "drain"),
        ("queue_policy", "pause", True, "drop-newest"),
    ],
)
def test_knobs_turn_in_steps(name: str, value: str, more: bool, then: str) -> None:
    assert turned(name, value, more) == then


def test_histograms_are_read_between_two_readings() -> None:
    before = {"bounds": [0.001, 0.01], "counts": [5, 0, 0], "sum": 0.005}
    now = {"bounds": [0.001, 0.01], "counts": [7, 2, 0], "sum": 0.025}
    assert mean(now, before) == pytest.approx(0.005)
    assert within(now, before) == "10ms"
    assert within({**now, "counts": [5, 0, 3]}, before) == "more than 10ms"
    assert within(before, before) == "-"
    assert mean(before, before) == 0


def test_bars_and_sparks() -> None:
    assert bar(1, 2) == "█" * 12
    assert bar(0, 0) == ""
    assert spark([0, 4, 8]) == " ▄█"
    assert spark([0, 0]) == ""


def test_terminal_sequences_become_keys() -> None:
    assert keys(b"\x1b[A\x1bOBq") == ["up", "down", "q"]
    assert keys(b"\x1b\x00\xff+") == ["+"]
