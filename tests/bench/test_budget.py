"""`asyncnic bench budget`: its arithmetic on made-up outcomes, and one small real run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asyncnic.bench import budget
from asyncnic.bench.case import Case, Figures
from asyncnic.cli import main
from tests.bench.outcomes import outcome


def play(case: Case) -> Figures:
    """A machine that delivers 100,000 frames a second less 10,000 a microsecond of work, whose lag is the burst."""
    frames = case.knobs.get("rx_budget", 20)
    made = outcome(case, 100_000 - case.work * 1e10)
    lag = {"timer_lag": {"p50": frames * 1e-6, "p99": frames * 2e-6}, "scrapes": {}}
    return replace(made, bystander=lag, extra={"bursts": made.delivered / frames})


def test_each_budget_is_offered_twice_what_can_be_borne(capsys: pytest.CaptureFixture[str]) -> None:
    result = budget.measure((0.0, 5e-6), 0.003, 0.5, 1.0, 3, play)
    assert [(row["work"], row["budget"]) for row in result["rows"]] == [
        (work, name) for work in (0.0, 5e-6) for name in ("8", "64", "512", "auto")
    ]
    assert [row["frames_per_burst"] for row in result["rows"][:4]] == pytest.approx([8, 64, 512, 20])
    assert result["rows"][2]["lag_p99"]["median"] == 512 * 2e-6
    assert [row["delivered"]["median"] for row in result["rows"][4:]] == [50_000] * 4
    assert {round(made["case"]["load"]["rate"]) for made in result["outcomes"]} == {666_667, 250_000}
    automatic = result["outcomes"][-1]["case"]["knobs"]
    assert automatic == {"rx_budget_auto": True, "target_lag": 0.003, "rx_time_budget": 0.5}
    budget.show_budget(result)
    shown = capsys.readouterr().out
    assert "Target lag 3.000 ms, time budget 500.000 ms; medians of 3 run(s)" in shown
    assert "1.024" in shown


def test_a_small_run_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "budget.json"
    assert main(["bench", "budget", "--work", "0", "--seconds", "0.3", "--runs", "1", "--json", str(file)]) == 0
    assert "auto" in capsys.readouterr().out
    rows = {row["budget"]: row for row in json.loads(file.read_text())["rows"]}
    assert 1 < rows["8"]["frames_per_burst"] <= 8
    assert rows["auto"]["frames_per_burst"] <= 512
    assert all(row["delivered"]["median"] > 0 for row in rows.values())


def test_a_target_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "budget", "--target-lag", "2"]) == 2
    assert capsys.readouterr().err == "asyncnic: target_lag=2: must be a time with its unit, like 50us, 2ms or 1s\n"
