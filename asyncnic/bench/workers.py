"""`asyncnic bench workers`: what worker processes add, each with a queue of the TAP, a ring and a loop of its own.

Frames are dear here, so that a load which is more than all workers can bear costs its sender a small part of a core:
what is compared is what one and several workers make of the cores that are left. Frames are of many flows, since the
kernel keeps a flow on one queue.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, ratio, spread
from asyncnic.bench.report import Spread, console, percent, show, table

WORK = (20e-6, 100e-6)
WORKERS = (1, 2)
FLOWS = 64
FRAME_SECONDS = 3e-6
"""What a frame costs at best, besides its work."""
OVERLOAD = 1.25
"""Offered, over what the most workers can bear at best."""


def measure(
    workers: Sequence[int], work: Sequence[float], seconds: float, runs: int, play: Play = run_case
) -> dict[str, Any]:
    """Flood each number of workers with each amount of work, interleaved; the result as JSON has it.

    Args:
        workers: how many, the one to compare with first.
        work: seconds of CPU time a frame.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    rows = []
    outcomes: list[Figures] = []
    for burden in work:
        load = Load(rate=OVERLOAD * max(workers) / (burden + FRAME_SECONDS), seconds=seconds, flows=FLOWS)
        cases = {
            f"{count} worker(s) +{burden * 1e6:.0f} us": Case("workers", load, work=burden, workers=count)
            for count in workers
        }
        played = list(play_rounds(cases, runs, play).values())
        rows += [
            {
                "workers": count,
                "work": burden,
                "delivered": asdict(spread(of, lambda outcome: outcome.rate)),
                "over_first": asdict(ratio(of, played[0], lambda outcome: outcome.rate)),
                "busy": asdict(spread(of, _busy)),
                "sender": asdict(spread(of, _sender)),
            }
            for count, of in zip(workers, played, strict=True)
        ]
        outcomes += [outcome for of in played for outcome in of]
    return {
        "experiment": "workers",
        "seconds": seconds,
        "runs": runs,
        "systems": {"workers": described("workers", outcomes)},
        "rows": rows,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


def _busy(outcome: Figures) -> float:
    """Cores that the workers had."""
    return outcome.window["cpu_seconds"] / outcome.window["seconds"]


def _sender(outcome: Figures) -> float:
    """Share of a core that the load generator had."""
    return float(outcome.sender["cpu_seconds"] / outcome.sender["seconds"])


def show_workers(result: dict[str, Any]) -> None:
    """Print `measure`'s result: one table, a block of rows for each amount of work."""
    rows = [
        (
            f"{row['work'] * 1e6:.0f} us",
            str(row["workers"]),
            Spread(**row["delivered"]).show(),
            Spread(**row["over_first"]).show(digits=2),
            Spread(**row["busy"]).show(digits=2),
            percent(row["sender"]["median"], 1.0),
        )
        for row in result["rows"]
    ]
    columns = ("work a frame", "workers", "delivered/s", "over the first", "cores used", "sender's core")
    title = f"Frames of {FLOWS} flows, more than can be borne, for {result['seconds']:g} s, {result['runs']} run(s)"
    show(console(), title, table(columns, rows))
