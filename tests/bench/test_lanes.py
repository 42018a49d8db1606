"""The experiment about lanes: what its probes count, a small real run, and what is made of scenes."""

import json
from pathlib import Path
from typing import Any

import pytest

from asyncnic.bench import lanes, probes
from asyncnic.bench.answers import HEADER, QUERY, Responder
from asyncnic.bench.lane_scene import Scene
from asyncnic.cli import main


def scene(*, laned: bool, lost: int, delivered: float) -> dict[str, Any]:
    answers = probes.Answers(100, [0.001] * (100 - lost)).as_json()
    shed = {"shed": {"cpu": 0.01, "idle_cpu": 0.01, "offered": 1e6, "sent": 500, "counted": 500}} if laned else {}
    bulk = {"offered": 1e6, "delivered": delivered, "cpu": 0.5, "waited": 0.1}
    return {"bulk": bulk, **dict.fromkeys(lanes.ASKERS, answers), **shed, "law": {"bulk": 0, "all": 0}}


def test_both_sides_are_played_in_turn_and_set_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played: list[bool] = []

    def play(wanted: Scene) -> dict[str, Any]:
        played.append(wanted.lanes)
        return scene(laned=wanted.lanes, lost=0 if wanted.lanes else 60, delivered=300e3 if wanted.lanes else 250e3)

    monkeypatch.setattr(lanes, "play_scene", play)
    result = lanes.measure(1.0, 2, 100)
    assert played == [True, False, False, True]
    assert result["sides"]["lanes"]["asked"]["ping"] == {"sent": 200, "lost": 0, "p99": 0.001}
    assert result["sides"]["one lane"]["asked"]["dns"]["lost"] == 120
    assert result["bulk_ratio"]["median"] == 1.2
    assert (result["shed"]["uncounted"], result["unaccounted"]) == (0, 0)
    lanes.show_lanes(result)
    said = capsys.readouterr().out
    assert "200 of 200" in said
    assert "80 of 200" in said


def test_who_was_never_answered_has_no_times() -> None:
    answers = probes.Answers(3, [])
    assert answers.as_json() == {"sent": 3, "answered": 0, "lost": 3, "p50": None, "p99": None, "max": None}
    assert probes.Answers(4, [1.0, 2.0, 3.0]).as_json() == {
        "sent": 4,
        "answered": 3,
        "lost": 1,
        "p50": 2.0,
        "p99": 3.0,
        "max": 3.0,
    }


def test_the_responder_answers_queries_and_nothing_else() -> None:
    sent: list[bytes] = []
    responder = Responder()
    responder._transport = type("", (), {"sendto": lambda _, data, addr: sent.append(data)})()
    question = b"\x03nic\0\0\1\0\1"
    responder.datagram_received(HEADER.pack(7, QUERY, 1, 0, 0, 0) + question, None)
    for other in (b"", b"short", sent[0], HEADER.pack(7, QUERY, 2, 0, 0, 0) + question):
        responder.datagram_received(other, None)
    assert len(sent) == 1
    assert HEADER.unpack_from(sent[0]) == (7, 0x8180, 1, 1, 0, 0)
    assert sent[0].endswith(b"\x04\xc0\x00\x02\x02")


def test_the_command_measures_writes_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lanes, "NEIGHBOURS", 2)
    file, plot = tmp_path / "lanes.json", tmp_path / "lanes.svg"
    arguments = ["--runs", "1", "--seconds", "0.3", "--asked", "30", "--json", str(file), "--plot", str(plot)]
    assert main(["bench", "lanes", *arguments]) == 0
    result = json.loads(file.read_text())
    assert all(found["lost"] == 0 for found in result["sides"]["lanes"]["asked"].values())
    assert result["sides"]["one lane"]["asked"]["ping"]["sent"] == 30
    assert (result["shed"]["uncounted"], result["unaccounted"]) == (0, 0)
    assert plot.read_bytes().startswith(b"<?xml")
    assert "Answered while the service is flooded" in capsys.readouterr().out
