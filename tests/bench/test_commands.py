"""`asyncnic bench` as it is typed: small real runs, and one-line refusals with the right exit code."""

import json
from pathlib import Path

import pytest

from asyncnic.cli import main


def test_udp_prints_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, plot = tmp_path / "udp.json", tmp_path / "udp.svg"
    arguments = ["--systems", "direct, recv", "--packets", "2000", "--seconds", "0.5"]
    assert main(["bench", "udp", *arguments, "--json", str(file), "--plot", str(plot)]) == 0
    result = json.loads(file.read_text())
    assert [load["rate"] for load in result["loads"]] == [4000, 40_000]
    assert set(result["systems"]) == {"direct", "recv"}
    assert len(result["outcomes"]) == 4
    assert all(outcome["offered"] == 2000 for outcome in result["outcomes"])
    assert plot.read_bytes().startswith(b"<?xml")
    assert "2,000 UDP packets of 60 bytes at 4,000/s" in capsys.readouterr().out


def test_speed_has_every_case(tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    assert main(["bench", "speed", "--seconds", "0.2", "--runs", "1", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    paces = ("10,000", "33,333", "100,000", "250,000")
    besides = {f"{name} at {pace}/s" for name in ("direct", "packet", "uvloop-udp") for pace in paces}
    besides |= {"direct, --rx-budget auto"}
    assert (
        set(result["systems"]) == {"readv", "readinto", "sink", "direct", "recorded", "packet", "uvloop-udp"} | besides
    )
    assert all(system["frames_per_cpu_second"]["median"] > 0 for system in result["systems"].values())
    assert {"packet / uvloop-udp", "packet / uvloop-udp, both sides"} <= set(result["ratios"])
    assert {"sink / readinto", "direct / uvloop-udp", "direct / uvloop-udp, both sides"} <= set(result["ratios"])


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["udp", "--systems", "nosuch"], 2, "--systems nosuch: must be of direct, "),
        (["udp", "--plot", "curve.pdf"], 2, "--plot curve.pdf: must end in .svg or .png"),
        (["livelock", "--work", "ten"], 2, "--work: must be numbers"),
        (["livelock", "--work", "-1"], 2, "--work: must be 0 to 100000 microseconds"),
        (["throughput", "--frame", "77"], 2, "--frame: 77: must be of 64, 512, 1518, imix"),
        (["latency", "--seconds", "0"], 2, "--seconds"),
        (["echo", "--rate", "fast"], 2, "--rate: must be numbers above 0, or flat"),
        (["echo", "--frame", "59"], 2, "--frame: must be numbers from 60 to 1514"),
        (["dns", "--systems", "nosuch"], 2, "--systems nosuch: must be of direct, "),
        (["speed", "--json", "/nowhere/speed.json"], 1, "--json /nowhere/speed.json: No such file or directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == code
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
