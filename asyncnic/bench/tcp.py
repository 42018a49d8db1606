"""`asyncnic bench tcp`: experiment 1 of the report on asyncnic's own TCP, and on what others would put in its place.

100 MB in either direction over one connection, and requests of a crowd for a small page: on a TAP without offload, and
on a veth pair without and with. What counts is the rate, and what a second of CPU time of everything that the receiving
side needs is worth.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from asyncnic.bench.experiment import tell
from asyncnic.bench.report import Spread, console, show, table
from asyncnic.bench.stream import STREAM_SYSTEMS, VETH_SYSTEMS, StreamCase, StreamRun, run_stream
from asyncnic.errors import SettingsError

OCTETS = 100_000_000
DIRECTIONS = ("in", "out", "http")
REPORT = {"in-kernel driver": (2.3, 3.9), "user-level driver": (2.4, 2.6)}
"""MB/s on average and in the best second, of 2009."""
_PAGES = {"tap": "kernel", "veth": "veth"}
_STREAMS = {"tap": "kernel-streams", "veth": "veth-streams"}
"""What a wire's systems are compared with."""
_WORDS = {"in": "100 MB in", "out": "100 MB out", "http": "page"}
NOTE = (
    "CPU time is that of the receiving process, and of the relay where there is one; on a veth pair the kernel's work "
    "on what comes in is done by the sender's processor."
)

Play = Callable[[StreamCase], StreamRun]


def choose_stream_systems(names: Sequence[str]) -> list[str]:
    """The systems to measure: those named, or all.

    Raises:
        SettingsError: there is no such system.
    """
    for name in names:
        if name not in STREAM_SYSTEMS:
            raise SettingsError(f"--systems {name}: must be of {', '.join(STREAM_SYSTEMS)}")
    return list(names) or list(STREAM_SYSTEMS)


def cases(systems: Sequence[str], octets: int, seconds: float) -> dict[str, StreamCase]:
    """Every case of these systems, by a label that says what it is."""
    found = {}
    for direction in DIRECTIONS:
        for offload in (False, True):
            for name in systems:
                if direction in STREAM_SYSTEMS[name].serves and (name in VETH_SYSTEMS or not offload):
                    label = f"{_WORDS[direction]}, {_wire(name)}{', offload' if offload else ''}: {name}"
                    found[label] = StreamCase(name, direction, octets, offload, seconds=seconds)
    return found


def measure(systems: Sequence[str], octets: int, seconds: float, runs: int, play: Play = run_stream) -> dict[str, Any]:
    """Play each case `runs` times, interleaved; the result as JSON has it.

    Raises:
        DeviceError, Failed: what `run_stream` raises.
    """
    wanted = cases(systems, octets, seconds)
    outcomes: dict[str, list[StreamRun]] = {label: [] for label in wanted}
    labels = list(wanted)
    for number in range(runs):
        for place, label in enumerate(labels if number % 2 == 0 else reversed(labels)):
            tell(f"[{number * len(labels) + place + 1}/{runs * len(labels)}] {label}")
            outcomes[label].append(play(wanted[label]))
    rows = []
    for label, case in wanted.items():
        of = outcomes[label]
        reference = outcomes.get(label.rpartition(": ")[0] + ": " + _reference(case), [])
        ratios = [one.per_cpu_second / other.per_cpu_second for one, other in zip(of, reference, strict=False)]
        rows.append(
            {
                "system": case.system,
                "load": label.rpartition(": ")[0],
                "direction": case.direction,
                "rate": asdict(Spread.of([run.rate for run in of])),
                "best": asdict(Spread.of([run.best for run in of])),
                "per_cpu_second": asdict(Spread.of([run.per_cpu_second for run in of])),
                "ratio": asdict(Spread.of(ratios)) if ratios else None,
                "failed": sum(run.failed for run in of),
            }
        )
    return {
        "experiment": "tcp",
        "where": "host",
        "octets": octets,
        "runs": runs,
        "systems": {name: {"about": STREAM_SYSTEMS[name].about} for name in systems},
        "rows": rows,
        "report": REPORT,
        "outcomes": [asdict(run) for of in outcomes.values() for run in of],
    }


def show_streams(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    out = console()
    streams = [row for row in result["rows"] if row["direction"] != "http"]
    pages = [row for row in result["rows"] if row["direction"] == "http"]
    lines = [
        (f"{row['load']}: {row['system']}", *(Spread(**row[name]).show(1e6, 1) for name in _COLUMNS), _ratio(row))
        for row in streams
    ]
    lines += [(f"the report, 2009: {name}", f"{mean}", f"{best}", "", "") for name, (mean, best) in REPORT.items()]
    title = (
        f"{result['octets'] / 1e6:,.0f} MB over one connection, MTU 1500, medians (range) of {result['runs']} run(s)"
    )
    show(out, title, table(("", "MB/s", "best 0.1 s", "MB a CPU-s", "x kernel, streams"), lines))
    if pages:
        lines = [
            (
                f"{row['load']}: {row['system']}",
                Spread(**row["rate"]).show(),
                Spread(**row["per_cpu_second"]).show(),
                _ratio(row),
                f"{row['failed']}",
            )
            for row in pages
        ]
        show(out, "aiohttp under wrk", table(("", "requests/s", "a CPU-s", "x kernel", "failed"), lines))
    out.print(f"{NOTE} {_about(result)}")


_COLUMNS = ("rate", "best", "per_cpu_second")


def _about(result: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {system['about']}" for name, system in result["systems"].items())


def _ratio(row: dict[str, Any]) -> str:
    return "-" if row["ratio"] is None else Spread(**row["ratio"]).show(digits=2)


def _wire(system: str) -> str:
    return "veth" if system in VETH_SYSTEMS else "tap"


def _reference(case: StreamCase) -> str:
    wire = _wire(case.system)
    return _PAGES[wire] if case.direction == "http" else _STREAMS[wire]
