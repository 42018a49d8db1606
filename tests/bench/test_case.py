"""Cases end to end, each in its own process and namespace: the counts are exact, and failures are one line."""

import dataclasses
import json
import subprocess
import sys

import pytest

from asyncnic.bench.case import SYSTEMS, Case, Figures, Load, run_case
from asyncnic.errors import Failed

OURS = ["direct", "packet", "queue-drop-newest", "queue-drop-oldest", "queue-pause"]
CHECKED = [*OURS, "drain-queue", "uvloop-udp", "asyncio-udp", "asyncio-udp-2048", "recv", "af-packet"]
ONLY_COUNTED = ["sink", "readv", "readinto"]


@pytest.mark.parametrize("system", [*CHECKED, *ONLY_COUNTED])
def test_a_system_gets_what_it_is_offered(system: str) -> None:
    outcome = run_case(Case(system, Load(count=3000, seconds=0.6), check=system in CHECKED))
    assert outcome.offered == 3000
    assert outcome.delivered + sum(outcome.lost.values()) == 3000
    assert outcome.lost["uncounted"] == 0
    assert 0 < outcome.window["frames"] <= outcome.delivered
    if system in CHECKED:
        assert outcome.order is not None
        assert outcome.ages is not None
        assert outcome.order["seen"] == outcome.ages["count"] == outcome.delivered
        assert (outcome.order["reordered"], outcome.order["duplicates"]) == (0, 0)
        assert outcome.order["lost"] == 3000 - outcome.delivered


@pytest.mark.parametrize("system", ["scapy", "pytcp"])
def test_a_slow_peer_is_measured_too(system: str) -> None:
    outcome = run_case(Case(system, Load(count=100, seconds=1.0)))
    assert outcome.offered == 100
    assert 0 < outcome.delivered <= 100
    assert outcome.version.startswith(SYSTEMS[system].package)


@pytest.mark.parametrize("system", [*OURS, "sink"])
def test_our_ledger_holds_in_a_flood(system: str) -> None:
    outcome = run_case(Case(system, Load(count=50_000), work=0.0 if system == "sink" else 20e-6))
    assert outcome.ledger is not None
    assert outcome.ledger["imbalance"] == 0
    assert outcome.ledger["in_flight"] == 0
    assert outcome.ledger["offered"] == outcome.offered == 50_000
    assert outcome.lost["uncounted"] == 0


@pytest.mark.parametrize("system", ["direct", "drain-queue", "uvloop-udp"])
def test_a_bystander_reports(system: str) -> None:
    outcome = run_case(Case(system, Load(count=1000, seconds=0.5), bystander=True))
    assert outcome.bystander is not None
    assert outcome.bystander["scrapes"]["count"] > 0
    assert outcome.bystander["scrapes"]["failed"] == 0
    assert outcome.bystander["timer_lag"]["count"] > 0


def test_knobs_and_frame_sizes_reach_the_system() -> None:
    outcome = run_case(
        Case("direct", Load(count=24, rate=1000, frame="imix", flows=3), check=True, rx_ring=16, knobs={"rx_budget": 4})
    )
    assert outcome.delivered == 24
    assert outcome.sender["octets"] == 14 * 60 + 8 * 590 + 2 * 1514
    assert outcome.case["knobs"] == {"rx_budget": 4}


def test_an_outcome_survives_json() -> None:
    outcome = run_case(Case("readv", Load(count=10)))
    assert Figures(**json.loads(json.dumps(dataclasses.asdict(outcome)))) == outcome


def test_a_bad_load_is_one_line() -> None:
    with pytest.raises(Failed, match=r"^bench: readv: load: --frame 20: frames over IPv4 have 60\.\.1514 octets here$"):
        run_case(Case("readv", Load(count=1, frame="20")))


def test_a_case_that_does_not_end_is_stopped() -> None:
    with pytest.raises(Failed, match=r"^bench: readv did not end within 1 s$"):
        run_case(Case("readv", Load(seconds=1000.0)), timeout=1.0)


def test_a_missing_extra_is_one_line() -> None:
    code = (
        "import sys; sys.modules['scapy'] = None; from asyncnic.bench.case import main; "
        'sys.exit(main(\'{"system": "scapy", "load": {"count": 1}}\'))'
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bench: scapy needs scapy")
    assert done.stderr.count("\n") == 1
