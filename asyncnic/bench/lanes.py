"""`asyncnic bench lanes`: who still gets an answer while the service is flooded, with lanes and without.

The flood is as much as the load generator makes, into the service as `asyncnic run` has it. Pings and DNS questions go
out a hundred a second, and the kernel looks for its neighbours from an empty cache. Beside the answers stand what the
lanes cost the flood itself, and what is left of it for the service when its source is shed.
"""

from typing import Any

from asyncnic.bench.experiment import tell
from asyncnic.bench.lane_scene import LANES, SHED, Scene, play_scene
from asyncnic.bench.report import Spread, console, milliseconds, show, table

SIDES = {"lanes": True, "one lane": False}
ASKERS = {"ping": "ping", "dns": "DNS query", "arp": "ARP, empty cache", "nd": "ND, empty cache"}
NEIGHBOURS = 10
_BULK = ("offered", "delivered", "cpu", "waited")


def measure(seconds: float, runs: int, asked: int) -> dict[str, Any]:
    """Play both sides `runs` times, interleaved; the result as JSON has it.

    Args:
        seconds: how long the flood is measured by itself.
        asked: pings and DNS questions of each run.

    Raises:
        PrivilegeError, Failed: what `play_scene` raises.
    """
    seen: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(runs):
        sides = list(SIDES) if number % 2 == 0 else list(reversed(SIDES))
        for place, side in enumerate(sides):
            tell(f"[{number * len(sides) + place + 1}/{runs * len(sides)}] {side}")
            seen[side].append(play_scene(Scene(SIDES[side], seconds, asked, NEIGHBOURS)))
    pairs = zip(seen["lanes"], seen["one lane"], strict=True)
    return {
        "experiment": "lanes",
        "seconds": seconds,
        "runs": runs,
        "rules": {"lane": list(LANES), "shed": [SHED]},
        "sides": {side: _summary(scenes) for side, scenes in seen.items()},
        "bulk_ratio": _spread([one["bulk"]["delivered"] / other["bulk"]["delivered"] for one, other in pairs]),
        "shed": {
            name: _spread([scene["shed"][name] for scene in seen["lanes"]]) for name in ("cpu", "idle_cpu", "offered")
        }
        | {"uncounted": sum(scene["shed"]["sent"] - scene["shed"]["counted"] for scene in seen["lanes"])},
        "unaccounted": sum(abs(frames) for side in seen.values() for scene in side for frames in scene["law"].values()),
        "scenes": seen,
    }


def _summary(scenes: list[dict[str, Any]]) -> dict[str, Any]:
    """One side's figures over its runs: the answers of all of them together, the slowest p99 of any."""
    asked = {}
    for asker in ASKERS:
        answers = [scene[asker] for scene in scenes]
        slowest = [answer["p99"] for answer in answers if answer["p99"] is not None]
        asked[asker] = {
            "sent": sum(answer["sent"] for answer in answers),
            "lost": sum(answer["lost"] for answer in answers),
            "p99": max(slowest, default=None),
        }
    bulk = {name: _spread([scene["bulk"][name] for scene in scenes]) for name in _BULK}
    return {"asked": asked, "bulk": bulk}


def _spread(values: list[float]) -> dict[str, float]:
    spread = Spread.of(values)
    return {"median": spread.median, "low": spread.low, "high": spread.high}


def show_lanes(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    out, sides = console(), result["sides"]
    rows = []
    for asker, words in ASKERS.items():
        cells = [words]
        for side in SIDES:
            found = sides[side]["asked"][asker]
            cells += [f"{found['sent'] - found['lost']:,} of {found['sent']:,}", milliseconds(found["p99"])]
        rows.append(cells)
    columns = ("", *(column for side in SIDES for column in (f"answered, {side}", "p99, ms")))
    show(out, "Answered while the service is flooded; p99 of the slowest run", table(columns, rows))
    rows = [
        [words, *(Spread(**sides[side]["bulk"][name]).show(unit, digits) for side in SIDES)]
        for name, words, unit, digits in (
            ("offered", "flood offered, thousand frames/s", 1000, 0),
            ("delivered", "flood delivered, thousand frames/s", 1000, 0),
            ("cpu", "service on a CPU, per cent of the time", 0.01, 0),
            ("waited", "service waiting for a CPU, per cent", 0.01, 0),
        )
    ]
    show(out, f"The flood by itself, {result['runs']} run(s) of {result['seconds']:g} s", table(("", *SIDES), rows))
    shed = result["shed"]
    out.print(f"Bulk delivered with lanes over without: {Spread(**result['bulk_ratio']).show(1, 2)}")
    out.print(
        f"Its source shed, {Spread(**shed['offered']).show(1000)} thousand frames/s offered: the service takes "
        f"{Spread(**shed['cpu']).show(0.01, 1)} per cent of a CPU (idle: {Spread(**shed['idle_cpu']).show(0.01, 1)}); "
        f"{shed['uncounted']:,} frames uncounted"
    )
    out.print(f"Frames unaccounted for, over all lanes and runs: {result['unaccounted']:,}")
