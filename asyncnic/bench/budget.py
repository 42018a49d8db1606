"""`asyncnic bench budget`: an automatic budget beside fixed ones, under a flood, for each amount of work a frame.

A small budget holds the event loop's lag and pays with frames; a large one gives the frames and pays with lag; and
where the middle lies depends on what a frame costs. The table shows for each budget what was delivered and how late a
1 ms timer on the same loop came. Every case is offered twice what can be borne at best, and not all that the load
generator makes, so that this takes no more of the machine than it must.

The lag is that of the whole process: where it is not alone on its core (`busy` well below 1), it waits for the
scheduler as well, which no budget cures.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds
from asyncnic.bench.report import Spread, console, milliseconds, show, table

FIXED = (8, 64, 512)
WORK = (0.0, 10e-6, 100e-6)
RX_RING = 512
"""As many descriptors as the largest budget has frames."""
FRAME_SECONDS = 3e-6
"""What a frame costs at best, besides its work."""
OVERLOAD = 2.0
"""Offered, over what can be borne at best."""


def measure(
    work: Sequence[float], target_lag: float, time_budget: float, seconds: float, runs: int, play: Play = run_case
) -> dict[str, Any]:
    """Flood each budget with each amount of work, interleaved; the result as JSON has it.

    Args:
        work: seconds of CPU time a frame.
        target_lag: what the automatic budget holds, in seconds.
        time_budget: `rx_time_budget` of all of them, in seconds.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    rows = []
    outcomes: list[Figures] = []
    for burden in work:
        load = Load(rate=OVERLOAD / (burden + FRAME_SECONDS), seconds=seconds)
        cases = {
            f"budget {name} +{burden * 1e6:.0f} us": _case(load, burden, time_budget, knobs)
            for name, knobs in _budgets(target_lag).items()
        }
        played = play_rounds(cases, runs, play)
        for name, of in zip(_budgets(target_lag), played.values(), strict=True):
            rows.append({"budget": name, "work": burden, **_figures(of)})
            outcomes += of
    return {
        "experiment": "budget",
        "target_lag": target_lag,
        "time_budget": time_budget,
        "seconds": seconds,
        "runs": runs,
        "systems": {"direct": described("direct", outcomes)},
        "rows": rows,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


def _budgets(target_lag: float) -> dict[str, dict[str, Any]]:
    """The knobs of each budget."""
    fixed: dict[str, dict[str, Any]] = {str(frames): {"rx_budget": frames} for frames in FIXED}
    return fixed | {"auto": {"rx_budget_auto": True, "target_lag": target_lag}}


def _case(load: Load, work: float, time_budget: float, knobs: Mapping[str, Any]) -> Case:
    knobs = {**knobs, "rx_time_budget": time_budget}
    return Case("direct", load, check=True, work=work, bystander=True, rx_ring=RX_RING, knobs=knobs)


def _figures(outcomes: Sequence[Figures]) -> dict[str, Any]:
    """Spreads over the runs: frames a second, frames a burst, share of a core, seconds of lag."""

    def lag(quantile: str) -> dict[str, float]:
        return asdict(Spread.of([(outcome.bystander or {})["timer_lag"][quantile] or 0.0 for outcome in outcomes]))

    return {
        "delivered": asdict(Spread.of([outcome.rate for outcome in outcomes])),
        "frames_per_burst": statistics.median(outcome.delivered / outcome.extra["bursts"] for outcome in outcomes),
        "busy": statistics.median(outcome.window["cpu_seconds"] / outcome.window["seconds"] for outcome in outcomes),
        "lag_p50": lag("p50"),
        "lag_p99": lag("p99"),
    }


def show_budget(result: dict[str, Any]) -> None:
    """Print `measure`'s result: one table, a block of rows for each amount of work."""
    rows = [
        (
            f"{row['work'] * 1e6:.0f} us",
            row["budget"],
            f"{row['delivered']['median']:,.0f}",
            f"{row['frames_per_burst']:.1f}",
            f"{row['busy']:.0%}",
            milliseconds(row["lag_p50"]["median"]),
            milliseconds(row["lag_p99"]["median"]),
        )
        for row in result["rows"]
    ]
    columns = ("work a frame", "budget", "delivered/s", "frames/burst", "busy", "lag p50 ms", "lag p99 ms")
    show(
        console(),
        f"Target lag {milliseconds(result['target_lag'])} ms, time budget {milliseconds(result['time_budget'])} ms; "
        f"medians of {result['runs']} run(s) of {result['seconds']:g} s under twice the load that can be borne at best",
        table(columns, rows),
    )
