"""`asyncnic bench speed`: frames per second of the receiver's CPU time, beside the ceilings and uvloop's UDP endpoint.

Every case is flooded flat out; what counts is what a delivered frame costs, whoever else is on the machine. The two
ratios that matter are the sink over a bare FileIO.readinto loop on the same kind of TAP, and asyncnic's UDP over
uvloop's on the kernel's stack. Beside them stands what a frame costs the sender: on a veth pair the kernel's IP and UDP
work for the receiver is done, and paid for, there.
"""

from dataclasses import asdict
from typing import Any

from asyncnic.bench.case import Case, Load, Outcome, run_case
from asyncnic.bench.experiment import Play, described, play_rounds, ratio, spread
from asyncnic.bench.report import Spread, console, show, table

CASES = ("readv", "readinto", "sink", "direct", "uvloop-udp")
RATIOS = (("sink", "readinto"), ("sink", "readv"), ("direct", "readv"), ("direct", "uvloop-udp"))


def measure(seconds: float, runs: int, play: Play = run_case) -> dict[str, Any]:
    """Flood each case for `seconds`, `runs` times, interleaved; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_case` raises.
    """
    load = Load(seconds=seconds)
    outcomes = play_rounds({name: Case(name, load) for name in CASES}, runs, play)
    return {
        "experiment": "speed",
        "seconds": seconds,
        "runs": runs,
        "systems": {
            name: described(name, of)
            | {
                "frames_per_cpu_second": asdict(spread(of, _per_cpu_second)),
                "sender_us_per_frame": asdict(spread(of, _sender_us)),
            }
            for name, of in outcomes.items()
        },
        "ratios": {
            f"{over} / {under}": asdict(ratio(outcomes[over], outcomes[under], _per_cpu_second))
            for over, under in RATIOS
        },
        "outcomes": [asdict(outcome) for of in outcomes.values() for outcome in of],
    }


def show_speed(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    out = console()
    rows = [
        (
            f"{name}: {system['about']}",
            system["wire"],
            Spread(**system["frames_per_cpu_second"]).show(1000),
            Spread(**system["sender_us_per_frame"]).show(digits=1),
        )
        for name, system in result["systems"].items()
    ]
    title = f"Thousand frames a CPU-second, 60 octets, flat out for {result['seconds']:g} s, {result['runs']} runs"
    show(out, title, table(("", "wire", "median (range)", "sender's us a frame"), rows))
    ratios = [(name, Spread(**value).show(digits=2)) for name, value in result["ratios"].items()]
    show(out, "Ratios, round by round", table(("", "median (range)"), ratios))


def _per_cpu_second(outcome: Outcome) -> float:
    return outcome.per_cpu_second


def _sender_us(outcome: Outcome) -> float:
    return outcome.sender["cpu_seconds"] / outcome.offered * 1e6 if outcome.offered else 0.0
