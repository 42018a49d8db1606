"""`asyncnic bench workers`: its arithmetic on made-up outcomes, a real run, and what it refuses."""

import json
from pathlib import Path

import pytest

from asyncnic.bench import workers
from asyncnic.bench.case import Case, Figures, Load, run_case
from asyncnic.cli import main
from tests.bench.outcomes import outcome


def play(case: Case) -> Figures:
    """A machine on which each worker but the first is worth nine tenths of it."""
    return outcome(case, (0.1 + 0.9 * case.workers) / (case.work + 5e-6), cpu_per_frame=case.work + 5e-6)


def test_every_number_is_compared_with_the_first_under_one_load(capsys: pytest.CaptureFixture[str]) -> None:
    result = workers.measure((1, 2), (20e-6, 100e-6), 2.0, 3, play)
    assert [(row["work"], row["workers"]) for row in result["rows"]] == [(20e-6, 1), (20e-6, 2), (1e-4, 1), (1e-4, 2)]
    assert [row["over_first"]["median"] for row in result["rows"]] == pytest.approx([1, 1.9, 1, 1.9], rel=1e-3)
    assert [row["busy"]["median"] for row in result["rows"]] == pytest.approx([1, 1.9, 1, 1.9], rel=1e-3)
    loads = {round(made["case"]["load"]["rate"]) for made in result["outcomes"]}
    assert loads == {round(1.25 * 2 / 23e-6), round(1.25 * 2 / 103e-6)}
    workers.show_workers(result)
    assert "1.90" in capsys.readouterr().out


def test_workers_share_a_load_and_account_for_it() -> None:
    done = run_case(Case("workers", Load(count=5000, seconds=0.5, flows=32), work=5e-6, workers=2))
    assert done.offered == 5000
    assert done.delivered + sum(done.lost.values()) == 5000
    assert done.lost["uncounted"] == 0
    assert done.ledger is not None
    assert done.ledger["imbalance"] == 0
    assert done.window["cpu_seconds"] > done.delivered * 5e-6 * 0.9


def test_a_small_run_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "workers.json"
    arguments = ["--workers", "1", "--work", "100", "--seconds", "0.3", "--runs", "1", "--json", str(file)]
    assert main(["bench", "workers", *arguments]) == 0
    assert "sender's core" in capsys.readouterr().out
    (row,) = json.loads(file.read_text())["rows"]
    assert 0 < row["delivered"]["median"] < 10_000


@pytest.mark.parametrize("given", ["0", "65", "two"])
def test_a_number_that_cannot_be_is_refused_in_one_line(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "workers", "--workers", given]) == 2
    assert capsys.readouterr().err.count("\n") == 1
