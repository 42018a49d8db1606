"""`asyncnic bench tcp` on a TAP and a veth pair: its figures on made-up runs, wrk's report, and small real runs."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from asyncnic.bench import tcp
from asyncnic.bench.stream import STREAM_SYSTEMS, StreamCase, StreamRun, run_stream
from asyncnic.bench.stream_peer import SLOT, Pace
from asyncnic.bench.stream_trial import read_wrk
from asyncnic.cli import main
from asyncnic.errors import Failed, SettingsError


def play(case: StreamCase) -> StreamRun:
    fast = case.system in ("inet", "packet")
    return StreamRun(asdict(case), case.octets, 2.0, 1.0 if fast else 2.0, 1e6, 3 if case.direction == "http" else 0)


def test_every_system_is_measured_in_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    result = tcp.measure(list(STREAM_SYSTEMS), 1000, 1.0, 2, play)
    rows = {(row["load"], row["system"]): row for row in result["rows"]}
    for direction, word in (("in", "100 MB in"), ("out", "100 MB out"), ("http", "page")):
        for wire in ("tap", "veth", "veth, offload"):
            of = [system for load, system in rows if load == f"{word}, {wire}"]
            own = [name for name in STREAM_SYSTEMS if ("veth" in name or "packet" in name) == (wire != "tap")]
            assert of == [name for name in own if direction in STREAM_SYSTEMS[name].serves]
    assert rows["100 MB in, tap", "inet"]["ratio"]["median"] == pytest.approx(2.0)
    assert rows["100 MB in, tap", "kernel-streams"]["ratio"]["median"] == pytest.approx(1.0)
    assert rows["page, veth", "packet"]["failed"] == 6
    tcp.show_streams(result)
    assert "the report, 2009: user-level driver" in capsys.readouterr().out


def test_a_system_that_there_is_not_is_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^--systems nothing: must be of inet, "):
        tcp.choose_stream_systems(["nothing"])


def test_the_report_of_wrk_is_read() -> None:
    said = """  6120 requests in 2.10s, 1.50MB read
  Socket errors: connect 1, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:   2914.28"""
    assert read_wrk(said, 1.5) == (6120, 2.1, 1.5, 0.0, 10)
    with pytest.raises(Failed, match="wrk does not say how many requests: unable to connect"):
        read_wrk("unable to connect", 1.0)


def test_the_best_slot_is_the_largest_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr("asyncnic.bench.stream_peer.time.monotonic", lambda: now)
    pace = Pace()
    for step, size in ((0.0, 5), (0.05, 5), (0.06, 300), (0.2, 1), (0.0, 1000)):
        now += step
        pace.took(size)
    assert (pace.octets, pace.best) == (1311, 300 / SLOT)


@pytest.mark.heavy
@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize("system", STREAM_SYSTEMS)
def test_a_small_stream_crosses_whole(system: str, direction: str) -> None:
    run = run_stream(StreamCase(system, direction, 2_000_000))
    assert run.done == 2_000_000
    assert run.best > 0
    assert run.cpu_seconds > 0


@pytest.mark.heavy
def test_super_frames_cross_whole_and_a_page_is_served(tmp_path: Path) -> None:
    assert run_stream(StreamCase("packet", "in", 2_000_000, offload=True)).done == 2_000_000
    file = tmp_path / "tcp.json"
    arguments = ["--systems", "inet", "--octets", "1000000", "--seconds", "1", "--runs", "1", "--json", str(file)]
    assert main(["bench", "tcp", *arguments]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["direction"] for row in rows] == ["in", "out", "http"]
    assert [row["failed"] for row in rows] == [0, 0, 0]
