"""A minute of everything at once leaves nothing behind, and what would be left behind shows."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from asyncnic.bench.soak import Sample, Soak, Tally, judged


def test_a_minute_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "soak.json"
    command = [sys.executable, "-m", "asyncnic", "bench", "soak", "--minutes", "1", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text())
    assert result["well"]
    assert result["unaccounted"] == 0
    assert all(result["done"][what] > result["refused"][what] for what in result["done"])
    assert "frames unaccounted for: 0" in done.stdout


def soaked(*samples: Sample, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    rest = [samples[0], samples[-1]] if samples else []
    made = SimpleNamespace(samples=list(samples), at_rest=rest, problems=list(problems), tally=Tally())
    return judged(cast(Soak, made), 10.0)


def test_what_grows_or_is_lost_is_not_well() -> None:
    steady = [Sample(50_000, 30, 12, 0, 0.01)] * 60
    assert soaked(*steady)["well"]
    assert not soaked(*steady, problems=("a service ended with 1",))["well"]
    assert not soaked(*steady, Sample(50_000, 30, 12, 1, 0.01))["well"]
    for grown in (Sample(90_000, 30, 12, 0, 0.01), Sample(50_000, 31, 12, 0, 0.01), Sample(50_000, 30, 13, 0, 0.01)):
        assert not soaked(*steady, *[grown] * 20)["well"]
    assert not soaked()["well"]
