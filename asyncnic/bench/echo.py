"""`asyncnic bench echo` and `bench dns`: what an answer costs and how long it takes, beside what others need.

A service that answers is the rule. `echo` sends every datagram back, at rates from idle to flat out and three sizes;
`dns` is the same small responder under a real client. Each is a plain `asyncio.DatagramProtocol` on asyncnic and on the
kernel's stack. What counts is answers for each second of the answering process's CPU time, the round trip at the
client, and that no question is lost which the load does not force.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, ratio, spread
from asyncnic.bench.report import Spread, console, microseconds, show, table

ECHO = ("direct", "packet", "uvloop-udp", "asyncio-udp-2048", "recvfrom")
DNS = ("direct", "packet", "uvloop-udp")
RATES = (1_000.0, 10_000.0, 33_333.0, 100_000.0, 250_000.0, None)
"""Datagrams a second; None: flat out."""
SIZES = (60, 554, 1514)
"""Octets of the frame without FCS: 18, 512 and 1,472 octets of data."""
HEADERS = 42
QUESTIONS: tuple[tuple[str, int, float | None], ...] = (
    ("200 outstanding", 200, None),
    ("20,000/s", 200, 20_000.0),
    ("one at a time", 1, None),
)
"""What the client does: label, questions outstanding, questions a second."""


def measure(
    systems: Sequence[str],
    rates: Sequence[float | None],
    sizes: Sequence[int],
    seconds: float,
    runs: int,
    play: Play = run_case,
) -> dict[str, Any]:
    """Have each system echo at each rate and size, `runs` times, interleaved; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    points = [(_rate(rate) + f", {size - HEADERS} octets", rate, size) for size in sizes for rate in rates]
    cases = {
        f"{name}, {label}": Case(name, Load(seconds=seconds, rate=rate, frame=str(size)), answer="echo")
        for label, rate, size in points
        for name in systems
    }
    return _result("echo", systems, [label for label, _, _ in points], cases, seconds, runs, play)


def measure_dns(systems: Sequence[str], seconds: float, runs: int, play: Play = run_case) -> dict[str, Any]:
    """Have each system answer each kind of client, `runs` times, interleaved; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    cases = {
        f"{name}, {label}": Case(name, Load(seconds=seconds, rate=rate, outstanding=outstanding), answer="dns")
        for label, outstanding, rate in QUESTIONS
        for name in systems
    }
    return _result("dns", systems, [label for label, _, _ in QUESTIONS], cases, seconds, runs, play)


def _result(
    experiment: str,
    systems: Sequence[str],
    points: Sequence[str],
    cases: dict[str, Case],
    seconds: float,
    runs: int,
    play: Play,
) -> dict[str, Any]:
    outcomes = play_rounds(cases, runs, play)
    rows = []
    for label in points:
        base = outcomes[f"{systems[-1]}, {label}"]
        for name in systems:
            of = outcomes[f"{name}, {label}"]
            reference = outcomes.get(f"uvloop-udp, {label}", base)
            rows.append(
                {
                    "system": name,
                    "load": label,
                    "answers_per_cpu_second": asdict(spread(of, _per_cpu_second)),
                    "cpu_us": asdict(spread(of, lambda outcome: (outcome.cpu_per_frame or 0.0) * 1e6)),
                    "ratio": asdict(ratio(of, reference, _per_cpu_second)),
                    "rate": asdict(spread(of, lambda outcome: outcome.rate)),
                    "lost": asdict(spread(of, _lost)),
                    "p50": asdict(spread(of, lambda outcome: _round_trip(outcome, "p50", "mean"))),
                    "p99": asdict(spread(of, lambda outcome: _round_trip(outcome, "p99", "max"))),
                }
            )
    return {
        "experiment": experiment,
        "seconds": seconds,
        "runs": runs,
        "systems": {name: described(name, outcomes[f"{name}, {points[0]}"]) for name in systems},
        "rows": rows,
        "outcomes": [asdict(outcome) for of in outcomes.values() for outcome in of],
    }


def show_answers(result: dict[str, Any]) -> None:
    """Print `measure`'s or `measure_dns`'s result."""
    rows = [
        (
            f"{row['load']}: {row['system']}",
            Spread(**row["answers_per_cpu_second"]).show(1000),
            Spread(**row["ratio"]).show(digits=2),
            Spread(**row["cpu_us"]).show(digits=1),
            f"{row['rate']['median']:,.0f}",
            f"{microseconds(row['p50']['median'])} / {microseconds(row['p99']['median'])}",
            f"{row['lost']['median']:,.0f}",
        )
        for row in result["rows"]
    ]
    columns = ("", "k answers a CPU-s", "x uvloop's", "CPU us", "answers/s", "p50 / p99 us", "lost")
    notes = "mean and longest, from dnsperf, in place of quantiles; " if result["experiment"] == "dns" else ""
    systems = ", ".join(f"{name}: {SYSTEMS[name].about}" for name in result["systems"])
    title = f"Answers, medians (range) of {result['runs']} run(s) of {result['seconds']:g} s; {notes}{systems}"
    show(console(), title, table(columns, rows))


def _rate(rate: float | None) -> str:
    return "flat out" if rate is None else f"{rate:,.0f}/s"


def _per_cpu_second(outcome: Figures) -> float:
    return outcome.per_cpu_second


def _lost(outcome: Figures) -> float:
    """Questions without an answer at the client."""
    return float(outcome.sender["datagrams"] - outcome.sender["answers"])


def _round_trip(outcome: Figures, *quantiles: str) -> float:
    trips: dict[str, float | None] = outcome.sender["round_trips"]
    return next((value for name in quantiles if (value := trips.get(name)) is not None), 0.0)
