"""The experiments' arithmetic, on made-up outcomes: interleaving, ratios, verdicts, searches, tables and plots."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncnic.bench import experiment, latency, livelock, plots, speed, throughput, udp
from asyncnic.bench.case import Case, Figures, Load
from asyncnic.bench.report import Spread, write_json
from asyncnic.errors import Failed, SettingsError
from tests.bench.outcomes import outcome


def test_rounds_are_interleaved_and_turn_round() -> None:
    played: list[str] = []

    def play(case: Case) -> Figures:
        played.append(case.system)
        return outcome(case, 1e6)

    cases = {name: Case(name, Load(count=1)) for name in ("readv", "sink", "direct")}
    found = experiment.play_rounds(cases, 2, play)
    assert played == ["readv", "sink", "direct", "direct", "sink", "readv"]
    assert [len(of) for of in found.values()] == [2, 2, 2]
    assert [of[1].system for of in found.values()] == list(cases)


def test_unknown_and_missing_systems_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match="--systems nosuch: must be of direct, "):
        experiment.choose_systems(["nosuch"], ())
    monkeypatch.setattr(experiment, "installed", lambda name: name != "scapy")
    with pytest.raises(Failed, match="--systems scapy: not installed: pip install"):
        experiment.choose_systems(["scapy"], ())
    assert experiment.choose_systems([], ("direct", "scapy")) == ["direct"]
    assert "not measured" in capsys.readouterr().err


def test_spread_shows_the_middle_and_the_range() -> None:
    assert Spread.of([3000, 1000, 2000]).show(1000) == "2 (1-3)"
    assert Spread.of([1.0]).show(digits=2) == "1.00"


def test_speed_takes_ratios_round_by_round(capsys: pytest.CaptureFixture[str]) -> None:
    slower = {name: iter((1.0, 2.0, 4.0)) for name in speed.CASES}
    cost = {
        "readv": 2e-6,
        "readinto": 1e-6,
        "sink": 2e-6,
        "direct": 4e-6,
        "recorded": 5e-6,
        "packet": 1.5e-6,
        "uvloop-udp": 3e-6,
    }

    def play(case: Case) -> Figures:
        return outcome(
            case, 1e6, cost[case.system] * (2.0 if case.load.rate or case.knobs else next(slower[case.system]))
        )

    result = speed.measure(1.0, 3, play)
    assert result["ratios"]["sink / readinto"] == pytest.approx({"median": 0.5, "low": 0.5, "high": 0.5})
    assert result["ratios"]["direct / uvloop-udp"]["median"] == pytest.approx(0.75)
    assert result["ratios"]["packet / uvloop-udp"]["median"] == pytest.approx(2.0)
    assert result["ratios"]["recorded / direct"]["median"] == pytest.approx(0.8)
    assert result["ratios"]["packet / uvloop-udp, at 250,000/s"]["median"] == pytest.approx(2.0)
    assert result["ratios"]["direct / uvloop-udp, both sides"]["high"] == pytest.approx(4 / 5)
    assert result["ratios"]["direct / uvloop-udp, at 250,000/s, both sides"]["median"] == pytest.approx(7 / 9)
    assert result["ratios"]["direct, --rx-budget auto / uvloop-udp"]["high"] == pytest.approx(3 * 4 / (4 * 2))
    assert result["systems"]["direct at 250,000/s"]["frames_per_cpu_second"]["median"] == pytest.approx(125_000)
    assert result["systems"]["readinto"]["frames_per_cpu_second"]["high"] == pytest.approx(1e6)
    assert result["systems"]["sink"]["sender_us_per_frame"]["median"] == pytest.approx(1.0)
    speed.show_speed(result)
    assert "0.75" in capsys.readouterr().out


def test_udp_says_where_the_rest_went(capsys: pytest.CaptureFixture[str]) -> None:
    result = udp.measure(["direct", "recv"], 1000, 1.0, 1, lambda case: outcome(case, 4000))
    report, tenfold = result["loads"]
    assert (report["rate"], tenfold["rate"]) == (1000, 10_000)
    assert report["systems"]["direct"]["received"]["median"] == 1000
    assert tenfold["systems"]["recv"]["lost"] == {"kernel": 600, "uncounted": 0}
    udp.show_udp(result)
    shown = capsys.readouterr().out
    assert "60.0 %" in shown
    assert "kernel 600" in shown


def collapsing(case: Case) -> Figures:
    """Direct delivers 50,000/s at most; the queue collapses in proportion to the overload; uvloop bends a little."""
    rate = case.load.rate or 1_500_000.0
    most = 50_000.0
    if case.system == "drain-queue":
        most = min(most, most * most / rate)
    elif case.system == "uvloop-udp" and rate > 10 * most:
        most *= 0.7
    return outcome(case, most, cpu_per_frame=1 / most)


def test_livelock_verdicts_follow_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    result = livelock.measure(["direct", "drain-queue", "uvloop-udp"], (0.0,), livelock.FACTORS, 1.0, 2, collapsing)
    verdicts = {curve["system"]: curve["verdict"] for curve in result["curves"]}
    assert verdicts == {"direct": "flat", "drain-queue": "livelock", "uvloop-udp": "bends"}
    direct = result["curves"][0]
    assert direct["capacity"] == pytest.approx(50_000)
    assert [curve["share_by_cpu_time"] for curve in result["curves"]] == pytest.approx([1.0, 1 / 30, 0.7])
    assert [point["factor"] for point in direct["points"]] == list(livelock.FACTORS)
    assert direct["points"][0]["delivered"] == 12_500
    assert direct["points"][-1]["offered"] == pytest.approx(1_500_000)
    livelock.show_livelock(result)
    shown = capsys.readouterr().out
    assert (
        "direct (asyncnic, direct delivery, inet stack), 0 us: flat, 1.00 of its peak at the highest load (1.00 by CPU"
        in shown
    )
    assert "Rule: delivered at the highest load / peak" in shown


def test_what_cannot_be_paced_is_offered_flat_out_once() -> None:
    loads = livelock._loads(400_000.0, (1.0, 2.0, 4.0, 10.0, 20.0), 1.0)
    assert [(factor, load.rate) for factor, load in loads.items()] == [(1.0, 400_000.0), (2.0, 800_000.0), (20.0, None)]


@pytest.mark.parametrize(
    ("share", "word"), [(1.0, "flat"), (0.95, "flat"), (0.94, "bends"), (0.5, "bends"), (0.49, "livelock")]
)
def test_the_rule(share: float, word: str) -> None:
    assert livelock.verdict(share) == word


def test_throughput_finds_a_known_capacity(capsys: pytest.CaptureFixture[str]) -> None:
    capacity = 87_000.0
    result = throughput.measure(["direct"], ["64"], 512, 1.0, lambda case: outcome(case, capacity))
    (row,) = result["rates"]
    assert capacity * (1 - 2 * throughput.WIDTH) < row["ndr"] <= capacity
    assert row["ndr"] <= row["pdr"] <= capacity * 1.01
    assert [(line["rate"], line["lost"]) for line in result["line_rates"]] == [(14_880, 0), (148_800, 148_800 - 87_000)]
    throughput.show_throughput(result)
    assert "64" in capsys.readouterr().out


def test_a_system_that_always_loses_has_no_rate() -> None:
    def play(case: Case) -> Figures:
        return outcome(case, 10.0)

    found = throughput.search(lambda rate, seconds: Case("direct", Load(rate=rate, seconds=seconds)), 1.0, play)
    assert (found.ndr, found.pdr) == (None, None)
    with pytest.raises(Failed, match="loses frames at any rate"):
        latency.measure(["direct"], None, 1.0, 1, play)


def test_a_generator_that_falls_behind_counts_as_loss() -> None:
    def play(case: Case) -> Figures:
        made = outcome(case, 1e9)
        made.sender["rate"] = min(made.sender["rate"], 200_000.0)
        return made

    found = throughput.search(lambda rate, seconds: Case("direct", Load(rate=rate, seconds=seconds)), 1.0, play)
    assert found.ndr is not None
    assert found.ndr <= 200_000 * throughput.LATE


def test_latency_at_shares_of_the_rate(capsys: pytest.CaptureFixture[str]) -> None:
    result = latency.measure(["direct"], 100_000.0, 1.0, 2, lambda case: outcome(case, 60_000.0))
    assert [row["rate"] for row in result["latencies"]] == [10_000, 50_000, 90_000]
    assert [row["lost"] for row in result["latencies"]] == [0, 0, 60_000]
    assert result["latencies"][0]["ages"]["p99"]["median"] == 3e-4
    latency.show_latency(result)
    assert "0.300" in capsys.readouterr().out


def results() -> dict[str, dict[str, Any]]:
    """One made-up result of each experiment."""

    def play(case: Case) -> Figures:
        return outcome(case, 60_000.0)

    return {
        "speed": speed.measure(1.0, 1, play),
        "udp": udp.measure(["direct", "recv"], 1000, 1.0, 1, play),
        "livelock": livelock.measure(["direct", "drain-queue"], (0.0, 1e-5), livelock.FACTORS, 1.0, 1, collapsing),
        "throughput": throughput.measure(["direct", "uvloop-udp"], ["64", "imix"], 512, 1.0, play),
        "latency": latency.measure(["direct", "uvloop-udp"], 10_000.0, 1.0, 1, play),
    }


def test_every_result_is_json_and_has_a_plot(tmp_path: Path) -> None:
    for name, result in results().items():
        file = tmp_path / f"{name}.json"
        write_json(file, result)
        again = json.loads(file.read_text())
        assert again["experiment"] == name
        assert set(again["environment"]) >= {"version", "hot_path", "python", "uvloop", "kernel", "cpus"}
        for ending, start in ((".svg", b"<?xml"), (".png", b"\x89PNG")):
            plot = tmp_path / f"{name}{ending}"
            plots.save(again, plot)
            assert plot.read_bytes().startswith(start)


def test_a_plot_names_its_systems(tmp_path: Path) -> None:
    plot = tmp_path / "curve.svg"
    plots.save(results()["livelock"], plot)
    text = plot.read_text()
    assert plots.STYLES["direct"][2] in text
    assert plots.STYLES["drain-queue"][2] in text


def test_outputs_are_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"--plot .*curve\.pdf: must end in \.svg or \.png"):
        plots.check_plot(tmp_path / "curve.pdf")
    with pytest.raises(Failed, match=r"--json .*: No such file or directory"):
        write_json(tmp_path / "nowhere" / "a.json", {})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(Failed, match="needs matplotlib"):
        plots.check_plot(tmp_path / "curve.svg")
