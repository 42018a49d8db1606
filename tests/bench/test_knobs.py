"""`asyncnic bench knobs`: which settings it plays, its figures on made-up outcomes, and one small real run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asyncnic.bench import knobs
from asyncnic.bench.case import Case, Figures
from asyncnic.cli import main
from tests.bench.outcomes import outcome


def play(case: Case) -> Figures:
    made = outcome(case, 80_000)
    return replace(made, extra={"bursts": made.delivered / case.knobs.get("rx_budget", 64), "interrupts": 500})


def test_the_defaults_stand_beside_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [
        "rx_budget=8",
        "rx_budget=auto+target_lag=1ms",
        "delivery=queue+queue_policy=pause+rx_ring=64",
        "rx_budget=8",
    ]
    result = knobs.measure(texts, 7e-6, None, 2.0, 3, play)
    assert [row["setting"] for row in result["rows"]] == ["defaults", *texts[:3]]
    assert result["rate"] == pytest.approx(200_000)
    first = result["outcomes"][::3]
    assert [made["case"]["system"] for made in first] == ["direct", "direct", "direct", "queue-pause"]
    assert [made["case"]["knobs"] for made in first] == [
        {},
        {"rx_budget": 8},
        {"rx_budget_auto": True, "target_lag": 0.001},
        {},
    ]
    assert [made["case"]["rx_ring"] for made in first] == [256, 256, 256, 64]
    assert [row["frames_per_burst"] for row in result["rows"][:2]] == [64, 8]
    assert result["rows"][0]["interrupts"] == 250
    knobs.show_knobs(result)
    shown = capsys.readouterr().out
    assert "200,000 frames/s offered, 7 us of work a frame; medians of 3 run(s) of 2 s" in shown
    assert "kernel 60.0 %" in shown


def test_a_rate_of_ones_own() -> None:
    result = knobs.measure(["busy_poll=50us"], 0.0, 5000.0, 1.0, 1, play)
    assert [made["case"]["load"]["rate"] for made in result["outcomes"]] == [5000, 5000]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rx_budgt=3", "rx_budgt=3: must be NAME=VALUE, with a knob, rx_ring or delivery"),
        ("mtu=1400", "mtu=1400: must be NAME=VALUE, with a knob, rx_ring or delivery"),
        ("rx_budget", "rx_budget: must be NAME=VALUE, with a knob, rx_ring or delivery"),
        ("rx_budget=0", "--rx-budget 0: must be a whole number from 1 to 4096, or auto"),
        ("rx_budget=auto+delivery=queue", "--rx-budget auto: needs --delivery direct"),
    ],
)
def test_what_cannot_be_turned_is_one_line(capsys: pytest.CaptureFixture[str], text: str, line: str) -> None:
    assert main(["bench", "knobs", text]) == 2
    assert capsys.readouterr().err == f"asyncnic: {line}\n"


def test_a_small_run_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "knobs.json"
    arguments = ["--work", "0", "--rate", "20000", "--seconds", "0.3", "--runs", "1", "--json", str(file)]
    assert main(["bench", "knobs", *arguments, "rx_budget=4+lane_weight=control=2"]) == 0
    assert "rx_budget=4" in capsys.readouterr().out
    rows = json.loads(file.read_text())["rows"]
    assert [row["setting"] for row in rows] == ["defaults", "rx_budget=4+lane_weight=control=2"]
    assert rows[1]["frames_per_burst"] <= 4
