"""`asyncnic bench udp`: the report's second experiment, on asyncnic and on what a user would pick instead.

Each system is offered the same load, the report's and ten times it; what counts is what was received, where the rest
went, and what a delivered frame cost. The reference for losses is the sender's count: what no counter of the system
explains is "uncounted".
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, spread
from asyncnic.bench.report import Spread, console, percent, show, table

DEFAULT = (
    "direct",
    "packet",
    "queue-drop-newest",
    "queue-drop-oldest",
    "queue-pause",
    "drain-queue",
    "uvloop-udp",
    "asyncio-udp",
    "asyncio-udp-2048",
    "recv",
    "af-packet",
    "scapy",
    "pytcp",
)
FACTORS = (1, 10)


def measure(systems: Sequence[str], packets: int, seconds: float, runs: int, play: Play = run_case) -> dict[str, Any]:
    """Offer `packets` in `seconds`, and in a tenth of it, to each system; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    cases = {
        f"{name} x{factor}": Case(name, Load(count=packets, seconds=seconds / factor))
        for factor in FACTORS
        for name in systems
    }
    outcomes = play_rounds(cases, runs, play)
    return {
        "experiment": "udp",
        "packets": packets,
        "seconds": seconds,
        "runs": runs,
        "systems": {name: described(name, outcomes[f"{name} x{FACTORS[0]}"]) for name in systems},
        "loads": [
            {"factor": factor, "rate": packets * factor / seconds}
            | {"systems": {name: _summary(outcomes[f"{name} x{factor}"]) for name in systems}}
            for factor in FACTORS
        ],
        "outcomes": [asdict(outcome) for of in outcomes.values() for outcome in of],
    }


def _summary(outcomes: Sequence[Figures]) -> dict[str, Any]:
    return {
        "offered": asdict(spread(outcomes, lambda outcome: outcome.offered)),
        "received": asdict(spread(outcomes, lambda outcome: outcome.delivered)),
        "lost": {place: statistics.median(outcome.lost[place] for outcome in outcomes) for place in outcomes[0].lost},
        "cpu_us_per_frame": asdict(spread(outcomes, lambda outcome: (outcome.cpu_per_frame or 0.0) * 1e6)),
    }


def show_udp(result: dict[str, Any]) -> None:
    """Print `measure`'s result, a table for each load."""
    out = console()
    for load in result["loads"]:
        rows = []
        for name, figures in load["systems"].items():
            received, offered = Spread(**figures["received"]), Spread(**figures["offered"])
            rows.append(
                (
                    f"{name}: {SYSTEMS[name].about}",
                    received.show(),
                    percent(offered.median - received.median, offered.median),
                    ", ".join(f"{place} {frames:,.0f}" for place, frames in figures["lost"].items() if frames) or "-",
                    Spread(**figures["cpu_us_per_frame"]).show(digits=1),
                )
            )
        title = f"{result['packets']:,} UDP packets of 60 bytes at {load['rate']:,.0f}/s, {result['runs']} run(s)"
        show(out, title, table(("", "received", "lost", "where", "CPU us a frame"), rows))
