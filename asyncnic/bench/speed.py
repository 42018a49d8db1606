"""`asyncnic bench speed`: frames per second of the receiver's CPU time, beside the ceilings and uvloop's UDP endpoint.

What counts is what a delivered frame costs, whoever else is on the machine. Every case is flooded flat out, asyncnic's
UDP with the budget of 64 frames a burst and with the one that follows the load (`--rx-budget auto`). It and uvloop's on
the kernel's stack are offered besides what both bear, since an endpoint that is never empty is spared its waking (at
10,000/s waking up is nearly all). The
ratios that matter are the sink over a bare FileIO.readinto loop on the same kind of TAP, and asyncnic's UDP over
uvloop's. Beside them stands what a frame costs the sender: on a veth pair the kernel's IP and UDP work for the receiver
is done, and paid for, there; "both sides" counts it.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, ratio, spread
from asyncnic.bench.report import Spread, console, show, table

CASES = ("readv", "readinto", "sink", "direct", "recorded", "packet", "uvloop-udp")
PEERS = ("direct", "packet", "uvloop-udp")
"""asyncnic on a TAP and on the peer's own veth pair; the last is what they are compared with."""
PACES = (10_000.0, 33_333.0, 100_000.0, 250_000.0)
"""Frames a second that all of `PEERS` bear, from where waking up is all of the cost; 33,333 is the report's load."""
AUTO = "direct, --rx-budget auto"
OURS, THEIRS = PEERS[:-1], PEERS[-1]
RATIOS = (
    ("sink", "readinto"),
    ("sink", "readv"),
    ("direct", "readv"),
    *((ours, THEIRS) for ours in OURS),
    (AUTO, "uvloop-udp"),
    ("recorded", "direct"),
)


def measure(seconds: float, runs: int, play: Play = run_case) -> dict[str, Any]:
    """Flood each case for `seconds`, `runs` times, interleaved; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    cases = {name: Case(name, Load(seconds=seconds)) for name in CASES}
    cases[AUTO] = Case("direct", Load(seconds=seconds), knobs={"rx_budget_auto": True})
    paced = {_paced(name, pace): Case(name, Load(rate=pace, seconds=seconds)) for pace in PACES for name in PEERS}
    outcomes = play_rounds(cases | paced, runs, play)

    def ratios(over: str, under: str, of: Callable[[Figures], float]) -> dict[str, float]:
        return asdict(ratio(outcomes[over], outcomes[under], of))

    return {
        "experiment": "speed",
        "seconds": seconds,
        "runs": runs,
        "systems": {
            label: described(of[0].system, of)
            | {
                "frames_per_cpu_second": asdict(spread(of, _per_cpu_second)),
                "sender_us_per_frame": asdict(spread(of, _sender_us)),
            }
            for label, of in outcomes.items()
        },
        "ratios": {f"{over} / {under}": ratios(over, under, _per_cpu_second) for over, under in RATIOS}
        | {f"{ours} / {THEIRS}, both sides": ratios(ours, THEIRS, _both_sides) for ours in (*OURS, AUTO)}
        | {
            f"{ours} / {THEIRS}, at {pace:,.0f}/s{sides}": ratios(_paced(ours, pace), _paced(THEIRS, pace), of)
            for pace in PACES
            for ours in OURS
            for sides, of in (("", _per_cpu_second), (", both sides", _both_sides))
        },
        "outcomes": [asdict(outcome) for of in outcomes.values() for outcome in of],
    }


def show_speed(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    out = console()
    rows = [
        (
            f"{label}: {system['about']}",
            system["wire"],
            Spread(**system["frames_per_cpu_second"]).show(1000),
            Spread(**system["sender_us_per_frame"]).show(digits=1),
        )
        for label, system in result["systems"].items()
    ]
    title = f"Thousand frames a CPU-second, 60 octets, flat out for {result['seconds']:g} s, {result['runs']} runs"
    show(out, title, table(("", "wire", "median (range)", "sender's us a frame"), rows))
    ratios = [(name, Spread(**value).show(digits=2)) for name, value in result["ratios"].items()]
    show(out, "Ratios, round by round", table(("", "median (range)"), ratios))


def _paced(name: str, pace: float) -> str:
    return f"{name} at {pace:,.0f}/s"


def _per_cpu_second(outcome: Figures) -> float:
    return outcome.per_cpu_second


def _sender_us(outcome: Figures) -> float:
    return outcome.sender["cpu_seconds"] / outcome.offered * 1e6 if outcome.offered else 0.0


def _both_sides(outcome: Figures) -> float:
    """Frames per second of CPU time that receiving one and sending one took together."""
    spent = (outcome.cpu_per_frame or 0.0) + _sender_us(outcome) * 1e-6
    return 1.0 / spent if spent else 0.0
