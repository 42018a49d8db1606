"""`asyncnic bench latency`: how old a frame is at the application, at 10, 50 and 90 per cent of the no-drop rate.

The age runs from the sender's system call to the application's callback, on one clock; all frames of one system call
share a stamp, so waiting inside the sender's batch (at most half a millisecond of its schedule) is part of it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, tell
from asyncnic.bench.report import Spread, console, milliseconds, show, table
from asyncnic.bench.throughput import search
from asyncnic.errors import Failed

DEFAULT = ("direct", "packet", "uvloop-udp")
SHARES = (0.1, 0.5, 0.9)
QUANTILES = ("p50", "p90", "p99", "p999", "max")


def measure(
    systems: Sequence[str], rate: float | None, seconds: float, runs: int, play: Play = run_case
) -> dict[str, Any]:
    """Take the ages at each share of the no-drop rate; the result as JSON has it.

    Args:
        rate: the no-drop rate in frames a second; None searches that of each system.

    Raises:
        DeviceError, Failed: what `search` raises, or a system that has no no-drop rate.
    """
    rates = {name: rate if rate is not None else _no_drop_rate(name, seconds, play) for name in systems}
    cases = {
        f"{name} at {share:.0%}": Case(name, Load(rate=rates[name] * share, seconds=seconds), check=True)
        for share in SHARES
        for name in systems
    }
    outcomes = play_rounds(cases, runs, play)
    rows = []
    for name in systems:
        for share in SHARES:
            of = outcomes[f"{name} at {share:.0%}"]
            ages = {
                quantile: asdict(Spread.of([(outcome.ages or {}).get(quantile) or 0.0 for outcome in of]))
                for quantile in QUANTILES
            }
            lost = sum(outcome.offered - outcome.delivered for outcome in of)
            rows.append({"system": name, "share": share, "rate": rates[name] * share, "lost": lost, "ages": ages})
    return {
        "experiment": "latency",
        "seconds": seconds,
        "runs": runs,
        "systems": {name: described(name, outcomes[f"{name} at {SHARES[0]:.0%}"]) for name in systems},
        "latencies": rows,
        "outcomes": [asdict(outcome) for of in outcomes.values() for outcome in of],
    }


def _no_drop_rate(system: str, seconds: float, play: Play) -> float:
    tell(f"no-drop rate of {system}")
    found = search(lambda rate, time: Case(system, Load(rate=rate, seconds=time), check=True), seconds, play)
    if found.ndr is None:
        raise Failed(f"bench latency: {system} loses frames at any rate: give --rate")
    return found.ndr


def show_latency(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    rows = [
        (
            f"{row['system']}: {SYSTEMS[row['system']].about}",
            f"{row['share']:.0%}",
            f"{row['rate']:,.0f}",
            *(milliseconds(Spread(**row["ages"][quantile]).median) for quantile in QUANTILES),
            f"{row['lost']:,}",
        )
        for row in result["latencies"]
    ]
    title = f"Age of a frame at the application, in ms; medians of {result['runs']} run(s) of {result['seconds']:g} s"
    show(console(), title, table(("", "of NDR", "frames/s", *QUANTILES, "lost"), rows))
