"""`asyncnic bench livelock`: the curve of Mogul and Ramakrishnan, delivered against offered.

With each amount of work a frame, every system is offered from a quarter to twenty times of what direct delivery can
bear on a core of its own (its capacity, measured first), or as much as the load generator makes. Beside the delivered
rate stand the CPU time of a delivered frame, its age, and how late a bystander on the same event loop got its turn.

The verdict is by rule: delivered at the highest load over the best delivered at any load. From 0.95 on the curve is
flat, from 0.5 on it bends, below that it is livelock. Where other work shares the cores that share moves with it; the
same share of frames per CPU-second, which does not, stands beside it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, tell
from asyncnic.bench.report import Spread, console, microseconds, milliseconds, show, table

DEFAULT = ("direct", "queue-drop-newest", "queue-drop-oldest", "queue-pause", "drain-queue", "uvloop-udp")
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 10.0, 20.0)
WORK = (0.0, 10e-6, 100e-6)
LARGEST_OFFER = 1_000_000.0
"""Frames a second from which on the load generator is not asked to pace: it offers flat out."""
FLAT, BENDS = 0.95, 0.5


@dataclass(frozen=True, slots=True)
class Point:
    """One load on one system: medians over the runs. Rates in frames a second, times in seconds.

    `busy` is the share of a core that the receiver had: below 1 in overload, somebody else had the rest.
    """

    factor: float
    offered: float
    delivered: float
    busy: float
    cpu_per_frame: float | None
    age_p50: float | None
    age_p99: float | None
    timer_p99: float | None
    scrape_max: float | None
    scrapes_failed: float | None

    @classmethod
    def of(cls, factor: float, outcomes: Sequence[Figures]) -> "Point":
        """The point that these runs of one case make."""

        def bystander(outcome: Figures, what: str, figure: str) -> float | None:
            return None if outcome.bystander is None else outcome.bystander[what][figure]

        return cls(
            factor=factor,
            offered=statistics.median(outcome.offered_rate for outcome in outcomes),
            delivered=statistics.median(outcome.rate for outcome in outcomes),
            busy=statistics.median(outcome.window["cpu_seconds"] / outcome.window["seconds"] for outcome in outcomes),
            cpu_per_frame=_median([outcome.cpu_per_frame for outcome in outcomes]),
            age_p50=_median([outcome.ages["p50"] for outcome in outcomes if outcome.ages]),
            age_p99=_median([outcome.ages["p99"] for outcome in outcomes if outcome.ages]),
            timer_p99=_median([bystander(outcome, "timer_lag", "p99") for outcome in outcomes]),
            scrape_max=_median([bystander(outcome, "scrapes", "max") for outcome in outcomes]),
            scrapes_failed=_median([bystander(outcome, "scrapes", "failed") for outcome in outcomes]),
        )


def measure(
    systems: Sequence[str],
    work: Sequence[float],
    factors: Sequence[float],
    seconds: float,
    runs: int,
    play: Play = run_case,
) -> dict[str, Any]:
    """Draw the curve of each system for each amount of work; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    curves = []
    outcomes: list[Figures] = []
    versions: dict[str, Any] = {}
    for burden in work:
        capacity = _capacity(burden, seconds, play)
        tell(f"capacity with {burden * 1e6:.0f} us a frame: {capacity:,.0f}/s")
        loads = _loads(capacity, factors, seconds)
        cases = {
            f"{name} +{burden * 1e6:.0f} us x{factor:g}": Case(name, load, check=True, work=burden, bystander=True)
            for name in systems
            for factor, load in loads.items()
        }
        played = play_rounds(cases, runs, play)
        for name in systems:
            mine = [played[f"{name} +{burden * 1e6:.0f} us x{factor:g}"] for factor in loads]
            versions[name] = described(name, mine[0])
            points = sorted(
                (Point.of(factor, of) for factor, of in zip(loads, mine, strict=True)), key=lambda point: point.offered
            )
            curves.append(
                {"system": name, "work": burden, "capacity": capacity, **_judge(points, mine)}
                | {"points": [asdict(point) for point in points]}
            )
        outcomes += [outcome for of in played.values() for outcome in of]
    return {
        "experiment": "livelock",
        "seconds": seconds,
        "runs": runs,
        "rule": f"delivered at the highest load / peak: >= {FLAT} flat, >= {BENDS} bends, else livelock",
        "systems": versions,
        "curves": curves,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


def verdict(share: float) -> str:
    """What the rule says of delivered at the highest load over the peak."""
    return "flat" if share >= FLAT else "bends" if share >= BENDS else "livelock"


def _capacity(work: float, seconds: float, play: Play) -> float:
    """Frames a second that direct delivery delivers on a whole core when it is flooded."""
    return play(Case("direct", Load(seconds=seconds), check=True, work=work, bystander=True)).per_cpu_second


def _loads(capacity: float, factors: Sequence[float], seconds: float) -> dict[float, Load]:
    """A load for each factor; above what the generator paces, one flat out stands for all."""
    paced = {factor: capacity * factor for factor in sorted(factors)}
    loads = {
        factor: Load(rate=rate, seconds=seconds) if rate < LARGEST_OFFER else Load(seconds=seconds)
        for factor, rate in paced.items()
    }
    flat_out = [factor for factor, rate in paced.items() if rate >= LARGEST_OFFER]
    for factor in flat_out[:-1]:
        del loads[factor]
    return loads


def _judge(points: Sequence[Point], runs: Sequence[Sequence[Figures]]) -> dict[str, Any]:
    """The verdict, its figure for each round by itself, and the same figure by CPU time."""
    share = points[-1].delivered / max(point.delivered for point in points)
    rounds = [
        max(at, key=lambda outcome: outcome.offered_rate).rate / max(o.rate for o in at)
        for at in zip(*runs, strict=True)
    ]
    costs = [point.cpu_per_frame for point in points if point.cpu_per_frame]
    dearest = points[-1].cpu_per_frame
    return {
        "verdict": verdict(share),
        "share_of_peak": share,
        "share_by_round": asdict(Spread.of(rounds)),
        "share_by_cpu_time": min(costs) / dearest if dearest else 0.0,
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def show_livelock(result: dict[str, Any]) -> None:
    """Print `measure`'s result: a table for each amount of work, and a verdict for each curve."""
    out = console()
    columns = (
        "",
        "x",
        "offered/s",
        "delivered/s",
        "busy",
        "CPU us",
        "age p50 ms",
        "p99 ms",
        "timer p99 ms",
        "scrape max ms",
    )
    for work in sorted({curve["work"] for curve in result["curves"]}):
        curves = [curve for curve in result["curves"] if curve["work"] == work]
        rows = [
            (
                curve["system"],
                f"{point.offered / curve['capacity']:.2f}",
                f"{point.offered:,.0f}",
                f"{point.delivered:,.0f}",
                f"{point.busy:.0%}",
                microseconds(point.cpu_per_frame),
                milliseconds(point.age_p50),
                milliseconds(point.age_p99),
                milliseconds(point.timer_p99),
                milliseconds(point.scrape_max),
            )
            for curve in curves
            for point in (Point(**values) for values in curve["points"])
        ]
        show(out, f"{work * 1e6:.0f} us of work a frame; x = offered over direct's capacity", table(columns, rows))
    for curve in result["curves"]:
        name, share = curve["system"], curve["share_of_peak"]
        out.print(
            f"{name} ({SYSTEMS[name].about}), {curve['work'] * 1e6:.0f} us: {curve['verdict']}, "
            f"{share:.2f} of its peak at the highest load ({curve['share_by_cpu_time']:.2f} by CPU time)"
        )
    out.print(f"Rule: {result['rule']}.")
