"""`asyncnic bench echo` and `dns`: their figures on made-up outcomes, dnsperf's report, and small real runs."""

import json
from pathlib import Path

import pytest

from asyncnic.bench import echo
from asyncnic.bench.case import Case, Figures
from asyncnic.bench.dnsperf import read_report
from asyncnic.bench.load import LoadError
from asyncnic.cli import main
from tests.bench.outcomes import outcome

REPORT = """
  Queries sent:         2345
  Queries completed:    2340 (99.79%)
  Queries lost:         5 (0.21%)
  Run time (s):         1.500000
  Average Latency (s):  0.000250 (min 0.000100, max 0.012500)
"""


def play(case: Case) -> Figures:
    return outcome(case, 50_000, 4e-6 if case.system == "direct" else 6e-6)


def test_every_system_meets_every_rate_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    result = echo.measure(["direct", "uvloop-udp"], [1000.0, None], [60, 1514], 1.0, 1, play)
    loads = [(row["load"], row["system"]) for row in result["rows"]]
    labels = ("1,000/s, 18 octets", "flat out, 18 octets", "1,000/s, 1472 octets", "flat out, 1472 octets")
    assert loads == [(label, system) for label in labels for system in ("direct", "uvloop-udp")]
    assert all(made["case"]["answer"] == "echo" for made in result["outcomes"])
    assert result["rows"][0]["ratio"]["median"] == pytest.approx(1.5)
    assert result["rows"][2]["lost"]["median"] == 1_450_000
    echo.show_answers(result)
    assert "100.0 / 300.0" in capsys.readouterr().out


def test_the_questions_are_those_of_a_client() -> None:
    result = echo.measure_dns(["direct"], 2.0, 1, play)
    loads = [made["case"]["load"] for made in result["outcomes"]]
    assert [(load["outstanding"], load["rate"]) for load in loads] == [(200, None), (200, 20_000), (1, None)]


def test_the_report_of_dnsperf_is_read() -> None:
    expected = {"sent": 2345, "completed": 2340, "seconds": 1.5, "latency": 0.00025, "longest": 0.0125}
    assert read_report(REPORT) == expected


def test_a_report_that_is_none_is_one_line() -> None:
    with pytest.raises(LoadError, match=r"^dnsperf does not say sent, .*: Error: no such server$"):
        read_report("DNS Performance Testing Tool\nError: no such server\n")


def test_small_echo_runs_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "echo.json"
    arguments = ["--rate", "2000", "--frame", "60,1514", "--seconds", "0.3", "--runs", "1", "--json", str(file)]
    assert main(["bench", "echo", *arguments]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert {row["system"] for row in rows} == set(echo.ECHO)
    assert [row["lost"]["median"] for row in rows] == [0] * len(rows)
    assert all(0 < row["p50"]["median"] <= row["p99"]["median"] for row in rows)


def test_small_dns_runs_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "dns.json"
    assert main(["bench", "dns", "--seconds", "1", "--runs", "1", "--json", str(file)]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["system"] for row in rows] == ["direct", "packet", "uvloop-udp"] * 3
    assert [row["lost"]["median"] for row in rows] == [0] * len(rows)
