"""`asyncnic bench throughput`: the highest rate without loss (NDR), and with at most 0.5 % of it (PDR), by frame size.

The search is MLRsearch (draft-ietf-bmwg-mlrsearch; FD.io's library of that name), which tells a rate that loses from a
machine that hiccuped: a load counts as borne when more than half of the time tried at it went well. RFC 2544 section
26.1 is the ancestor. Loss is by the sender's count, and a frame that the generator could not send in time counts as
lost.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asyncnic.bench.case import SYSTEMS, Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, tell
from asyncnic.bench.report import console, show, table
from asyncnic.bench.trial import version
from asyncnic.errors import Failed

DEFAULT = ("direct", "uvloop-udp")
FRAMES = {"64": "60", "512": "508", "1518": "1514", "imix": "imix"}
"""Frame sizes as RFC 2544 section 9 names them, FCS included, and what the load generator calls them."""
LINE_RATES = {"10 Mbit/s": 14_880, "100 Mbit/s": 148_800}
"""Frames of 64 octets that the wire itself lets pass in a second, preamble and gap included."""
LOWEST, HIGHEST = 1_000.0, 1_500_000.0
PDR_LOSS = 0.005
WIDTH = 0.05
"""Searched until the bounds are this close, as a share of the upper one."""
TRIALS = 3
"""Trials of full length that decide about a load."""
SEARCH_SECONDS = 1800.0
LATE = 1.01
"""A trial may take so many times its duration before what comes later counts as lost."""

CaseAt = Callable[[float, float], Case]


@dataclass(frozen=True, slots=True)
class Rates:
    """Figures of a search, in frames a second; None where even the lowest rate lost."""

    ndr: float | None
    pdr: float | None
    trials: int


def search(case_at: CaseAt, seconds: float, play: Play = run_case) -> Rates:
    """Find NDR and PDR of a system.

    Args:
        case_at: makes the case for a rate in frames a second and a duration in seconds.
        seconds: of a full trial.

    Raises:
        DeviceError, Failed: what `run_case` raises, or MLRsearch is not installed, or finds no end.
    """
    try:
        mlr: Any = importlib.import_module("MLRsearch")
    except ModuleNotFoundError:
        raise Failed("bench: the search needs MLRsearch: pip install 'asyncnic[bench]'") from None
    trials = 0

    class Measurer(mlr.AbstractMeasurer):  # type: ignore[misc]
        def measure(self, intended_duration: float, intended_load: float) -> Any:
            nonlocal trials
            trials += 1
            outcome = play(case_at(intended_load, intended_duration))
            tell(f"  {intended_load:,.0f}/s: lost {outcome.offered - outcome.delivered:,} of {outcome.offered:,}")
            return mlr.MeasurementResult(
                intended_duration=intended_duration,
                intended_load=intended_load,
                offered_count=outcome.offered,
                forwarding_count=outcome.delivered - _late(outcome, intended_duration),
            )

    def goal(loss: float) -> Any:
        return mlr.SearchGoal(
            loss_ratio=loss,
            exceed_ratio=0.5,
            relative_width=WIDTH,
            initial_trial_duration=seconds / 2,
            final_trial_duration=seconds,
            duration_sum=TRIALS * seconds,
            preceding_targets=2,
            expansion_coefficient=2,
            fail_fast=False,
        )

    ndr, pdr = goal(0.0), goal(PDR_LOSS)
    config = mlr.Config(
        goals=[ndr, pdr],
        min_load=LOWEST,
        max_load=HIGHEST,
        search_duration_max=SEARCH_SECONDS,
        warmup_duration=None,
    )
    try:
        found = mlr.MultipleLossRatioSearch(config=config).search(measurer=Measurer(), debug=_ignore)
    except RuntimeError as error:
        raise Failed(f"bench: the search for NDR and PDR failed: {error}") from error
    return Rates(_throughput(found[ndr]), _throughput(found[pdr]), trials)


def measure(
    systems: Sequence[str], frames: Sequence[str], rx_ring: int, seconds: float, play: Play = run_case
) -> dict[str, Any]:
    """Search NDR and PDR of each system at each frame size (a name in `FRAMES`); the result as JSON has it.

    Raises:
        DeviceError, Failed: see `search`.
    """
    rows = []
    for name in systems:
        for frame in frames:
            tell(f"{name}, frames of {frame}")
            found = search(_case_at(name, FRAMES[frame], rx_ring), seconds, play)
            rows.append({"system": name, "frame": frame, **asdict(found)})
    return {
        "experiment": "throughput",
        "seconds": seconds,
        "rx_ring": rx_ring,
        "pdr_loss": PDR_LOSS,
        "width": WIDTH,
        "systems": {name: {"about": SYSTEMS[name].about, "version": version(name)} for name in systems},
        "rates": rows,
        "line_rates": [_at_line_rate(name, line, rx_ring, seconds, play) for name in systems for line in LINE_RATES],
    }


def _at_line_rate(system: str, line: str, rx_ring: int, seconds: float, play: Play) -> dict[str, Any]:
    rate = float(LINE_RATES[line])
    tell(f"{system}, {rate:,.0f}/s")
    outcome = play(_case_at(system, FRAMES["64"], rx_ring)(rate, seconds))
    lost = outcome.offered - outcome.delivered
    return {"system": system, "line": line, "rate": rate, "offered": outcome.offered, "lost": lost}


def _case_at(system: str, frame: str, rx_ring: int) -> CaseAt:
    return lambda rate, seconds: Case(system, Load(rate=rate, seconds=seconds, frame=frame), rx_ring=rx_ring)


def show_throughput(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""

    def rate(value: float | None) -> str:
        return f"{value:,.0f}" if value is not None else f"below {LOWEST:,.0f}"

    rows = [
        (
            f"{row['system']}: {SYSTEMS[row['system']].about}",
            row["frame"],
            rate(row["ndr"]),
            rate(row["pdr"]),
            str(row["trials"]),
        )
        for row in result["rates"]
    ]
    title = f"Frames a second without loss (NDR), and with at most {PDR_LOSS:.1%} of it (PDR)"
    out = console()
    show(out, title, table(("", "octets with FCS", "NDR", "PDR", "trials"), rows))
    lines = [
        (row["system"], row["line"], f"{row['rate']:,.0f}", f"{row['offered']:,}", f"{row['lost']:,}")
        for row in result["line_rates"]
    ]
    show(out, "Frames of 64 octets at line rate", table(("", "line", "frames/s", "offered", "lost"), lines))


def _late(outcome: Figures, seconds: float) -> int:
    """Frames that a generator which fell behind offered after the trial's end."""
    return max(0, outcome.offered - round(outcome.offered_rate * seconds * LATE))


def _throughput(result: Any) -> float | None:
    return None if result is None or result.conditional_throughput is None else float(result.conditional_throughput)


def _ignore(_line: str) -> None:
    """MLRsearch explains every step; trials are told above."""
