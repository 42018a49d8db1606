"""`asyncnic bench`: the experiments. The commands parse, measure, print and write; the work is in `asyncnic.bench`."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(dir_okay=False, path_type=Path)
_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.group()
def command() -> None:
    """Measure asyncnic, and what a user would pick instead, each system in a process and a network of its own."""


def _outputs(function: Command) -> Command:
    """--json and --plot."""
    json_file = click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
    plot = click.option("--plot", metavar="FILE.svg|.png", type=_PATH, help="draw the result there")
    return json_file(plot(function))


def _effort(seconds: float, runs: int) -> Callable[[Command], Command]:
    """--seconds and --runs with these defaults."""

    def add(function: Command) -> Command:
        time = click.option("--seconds", type=_POSITIVE, default=seconds, show_default=True, help="length of a trial")
        times = click.option(
            "--runs", type=click.IntRange(min=1), default=runs, show_default=True, help="interleaved runs"
        )
        return time(times(function))

    return add


def _split(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


_systems = click.option("--systems", metavar="NAME,...", callback=_split, help="measure these systems rather than all")
_where = click.option(
    "--system", "where", type=click.Choice(["tap", "guest"]), help="on a TAP here, or in a guest of QEMU with its PCnet"
)


def _finish(
    result: dict[str, Any], show: Callable[[dict[str, Any]], None], json_file: Path | None, plot: Path | None
) -> int:
    from asyncnic.bench.report import write_json

    show(result)
    if json_file is not None:
        write_json(json_file, result)
    if plot is not None:
        from asyncnic.bench.plots import save

        save(result, plot)
    return 0


def _check_outputs(json_file: Path | None, plot: Path | None) -> None:
    from asyncnic.bench.plots import check_plot
    from asyncnic.bench.report import must_be_writable

    check_plot(plot)
    must_be_writable("--json", json_file)
    must_be_writable("--plot", plot)


@command.command()
@_where
@_systems
@click.option("--packets", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="packets to send")
@_effort(30.0, 1)
@_outputs
def udp(
    where: str | None,
    systems: list[str],
    packets: int,
    seconds: float,
    runs: int,
    json_file: Path | None,
    plot: Path | None,
) -> int:
    """Experiment 2 of the report: 1,000,000 UDP packets of 60 bytes in 30 s, and ten times as fast."""
    if where == "guest":
        return int(_guest().run_udp(packets, seconds, runs, json_file))
    from asyncnic.bench import udp as experiment
    from asyncnic.bench.experiment import choose_systems

    _check_outputs(json_file, plot)
    chosen = choose_systems(systems, experiment.DEFAULT)
    return _finish(experiment.measure(chosen, packets, seconds, runs), experiment.show_udp, json_file, plot)


@command.command()
@_systems
@click.option(
    "--work", "work", metavar="US,...", callback=_split, help="microseconds of work a frame  [default: 0,10,100]"
)
@_effort(2.0, 1)
@_outputs
def livelock(
    systems: list[str], work: list[str], seconds: float, runs: int, json_file: Path | None, plot: Path | None
) -> int:
    """Delivered against offered load, up to twenty times of what can be borne."""
    from asyncnic.bench import livelock as experiment
    from asyncnic.bench.experiment import choose_systems

    _check_outputs(json_file, plot)
    chosen = choose_systems(systems, experiment.DEFAULT)
    result = experiment.measure(chosen, _microseconds(work) or experiment.WORK, experiment.FACTORS, seconds, runs)
    return _finish(result, experiment.show_livelock, json_file, plot)


@command.command()
@click.option(
    "--work", "work", metavar="US,...", callback=_split, help="microseconds of work a frame  [default: 0,10,100]"
)
@click.option("--target-lag", metavar="TIME", default="2ms", show_default=True, help="lag that the budget auto holds")
@click.option(
    "--rx-time-budget", metavar="TIME", default="2ms", show_default=True, help="of all budgets; 1s: as good as none"
)
@_effort(2.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def budget(
    work: list[str], target_lag: str, rx_time_budget: str, seconds: float, runs: int, json_file: Path | None
) -> int:
    """An automatic budget beside budgets of 8, 64 and 512 frames: delivered rate, and lag of the event loop.

    Example: asyncnic bench budget --rx-time-budget 1s
    """
    from asyncnic.bench import budget as experiment
    from asyncnic.settings.load import load, tuned

    settings = tuned(load({}, {}, None), {"target_lag": target_lag, "rx_time_budget": rx_time_budget})
    _check_outputs(json_file, None)
    burdens = _microseconds(work) or experiment.WORK
    result = experiment.measure(burdens, settings.knobs().target_lag, settings.knobs().rx_time_budget, seconds, runs)
    return _finish(result, experiment.show_budget, json_file, None)


@command.command()
@click.option("--work", metavar="US", callback=_split, help="microseconds of work a frame  [default: 10]")
@click.option("--rate", type=_POSITIVE, help="frames/s to offer; without it, twice what can be borne at best")
@_effort(2.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
@click.argument("settings", nargs=-1, required=True, metavar="NAME=VALUE[+NAME=VALUE]...")
def knobs(
    work: list[str],
    rate: float | None,
    seconds: float,
    runs: int,
    json_file: Path | None,
    settings: tuple[str, ...],
) -> int:
    """What turning knobs does: each setting beside the defaults, under the same load.

    Example: asyncnic bench knobs rx_budget=8 rx_budget=auto+target_lag=1ms delivery=queue
    """
    from asyncnic.bench import knobs as experiment

    burdens = _microseconds(work) or [10e-6]
    if len(burdens) != 1:
        raise click.BadParameter("must be one number", param_hint="--work")
    _check_outputs(json_file, None)
    result = experiment.measure(settings, burdens[0], rate, seconds, runs)
    return _finish(result, experiment.show_knobs, json_file, None)


def _microseconds(texts: list[str]) -> list[float]:
    try:
        found = [float(text) / 1e6 for text in texts]
    except ValueError:
        raise click.BadParameter("must be numbers", param_hint="--work") from None
    if any(not 0 <= work <= 0.1 for work in found):
        raise click.BadParameter("must be 0 to 100000 microseconds", param_hint="--work")
    return found


@command.command()
@_systems
@click.option("--rate", type=_POSITIVE, help="no-drop rate in frames/s, if it is known; without it, it is searched")
@_effort(5.0, 3)
@_outputs
def latency(
    systems: list[str], rate: float | None, seconds: float, runs: int, json_file: Path | None, plot: Path | None
) -> int:
    """Age of a frame at the application at 10, 50 and 90 % of the no-drop rate."""
    from asyncnic.bench import latency as experiment
    from asyncnic.bench.experiment import choose_systems

    _check_outputs(json_file, plot)
    chosen = choose_systems(systems, experiment.DEFAULT)
    return _finish(experiment.measure(chosen, rate, seconds, runs), experiment.show_latency, json_file, plot)


@command.command()
@_systems
@click.option(
    "--frame", metavar="SIZE,...", callback=_split, help="sizes with FCS: 64, 512, 1518, imix  [default: all]"
)
@click.option("--rx-ring", type=click.IntRange(1, 512), default=512, show_default=True, help="receive descriptors")
@click.option("--seconds", type=_POSITIVE, default=2.0, show_default=True, help="length of a trial")
@_outputs
def throughput(
    systems: list[str], frame: list[str], rx_ring: int, seconds: float, json_file: Path | None, plot: Path | None
) -> int:
    """Highest rates without loss (NDR) and with at most 0.5 % of it (PDR), by frame size."""
    from asyncnic.bench import throughput as experiment
    from asyncnic.bench.experiment import choose_systems

    for size in frame:
        if size not in experiment.FRAMES:
            raise click.BadParameter(f"{size}: must be of {', '.join(experiment.FRAMES)}", param_hint="--frame")
    _check_outputs(json_file, plot)
    chosen = choose_systems(systems, experiment.DEFAULT)
    result = experiment.measure(chosen, frame or list(experiment.FRAMES), rx_ring, seconds)
    return _finish(result, experiment.show_throughput, json_file, plot)


@command.command()
@_effort(2.0, 3)
@_outputs
def speed(seconds: float, runs: int, json_file: Path | None, plot: Path | None) -> int:
    """Frames per CPU-second, beside bare read loops and uvloop's UDP endpoint."""
    from asyncnic.bench import speed as experiment

    _check_outputs(json_file, plot)
    return _finish(experiment.measure(seconds, runs), experiment.show_speed, json_file, plot)


@command.command()
@_systems
@click.option("--rate", metavar="RATE,...", callback=_split, help="datagrams a second, or flat  [default: all of them]")
@click.option("--frame", metavar="SIZE,...", callback=_split, help="octets without FCS  [default: 60,554,1514]")
@_effort(1.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def echo(
    systems: list[str], rate: list[str], frame: list[str], seconds: float, runs: int, json_file: Path | None
) -> int:
    """Answers per CPU-second and round trips, where every datagram is sent back."""
    from asyncnic.bench import echo as experiment
    from asyncnic.bench.experiment import choose_systems

    if not all(text == "flat" or (text.isdecimal() and int(text)) for text in rate):
        raise click.BadParameter("must be numbers above 0, or flat", param_hint="--rate")
    if not all(text.isdecimal() and 60 <= int(text) <= 1514 for text in frame):
        raise click.BadParameter("must be numbers from 60 to 1514", param_hint="--frame")
    _check_outputs(json_file, None)
    rates = [None if text == "flat" else float(text) for text in rate] or experiment.RATES
    sizes = [int(text) for text in frame] or experiment.SIZES
    result = experiment.measure(choose_systems(systems, experiment.ECHO), rates, sizes, seconds, runs)
    return _finish(result, experiment.show_answers, json_file, None)


@command.command()
@_systems
@_effort(3.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def dns(systems: list[str], seconds: float, runs: int, json_file: Path | None) -> int:
    """A small DNS responder under dnsperf: queries/s, lost, CPU; and single questions: round trips."""
    from asyncnic.bench import echo as experiment
    from asyncnic.bench.experiment import choose_systems

    _check_outputs(json_file, None)
    result = experiment.measure_dns(choose_systems(systems, experiment.DNS), seconds, runs)
    return _finish(result, experiment.show_answers, json_file, None)


@command.command()
@click.option("--workers", metavar="N,...", callback=_split, help="how many, the first to compare with  [default: 1,2]")
@click.option(
    "--work", "work", metavar="US,...", callback=_split, help="microseconds of work a frame  [default: 20,100]"
)
@_effort(2.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def workers(workers: list[str], work: list[str], seconds: float, runs: int, json_file: Path | None) -> int:
    """What several worker processes deliver, over one."""
    from asyncnic.bench import workers as experiment

    if not all(count.isdecimal() and 1 <= int(count) <= 64 for count in workers):
        raise click.BadParameter("must be numbers from 1 to 64", param_hint="--workers")
    _check_outputs(json_file, None)
    counts = [int(count) for count in workers] or list(experiment.WORKERS)
    result = experiment.measure(counts, _microseconds(work) or experiment.WORK, seconds, runs)
    return _finish(result, experiment.show_workers, json_file, None)


@command.command()
@click.option("--minutes", type=_POSITIVE, default=10.0, show_default=True, help="how long")
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def soak(minutes: float, json_file: Path | None) -> int:
    """A service under floods, scrapes, tuning, TCP, device loss and restarts: what grows, and what is lost."""
    from asyncnic.bench import soak as experiment

    _check_outputs(json_file, None)
    result = experiment.measure(minutes)
    _finish(result, experiment.show_soak, json_file, None)
    return 0 if result["well"] else 1


@command.command()
@click.option(
    "--asked", type=click.IntRange(1, 60_000), default=1000, show_default=True, help="pings and DNS questions a run"
)
@_effort(3.0, 3)
@_outputs
def lanes(asked: int, seconds: float, runs: int, json_file: Path | None, plot: Path | None) -> int:
    """Who is answered under a flood, with lanes and without; what is left of a flood that is shed."""
    from asyncnic.bench import lanes as experiment

    _check_outputs(json_file, plot)
    return _finish(experiment.measure(seconds, runs, asked), experiment.show_lanes, json_file, plot)


@command.command()
@_systems
@click.option(
    "--system",
    "where",
    type=click.Choice(["host", "guest"]),
    default="host",
    show_default=True,
    help="asyncnic's own TCP on a TAP and a veth pair here, or --stack kernel in a guest of QEMU with its PCnet",
)
@click.option("--octets", type=click.IntRange(min=1), default=100_000_000, show_default=True, help="of a stream")
@_effort(2.0, 3)
@click.option("--json", "json_file", metavar="FILE", type=_PATH, help="write the result there")
def tcp(systems: list[str], where: str, octets: int, seconds: float, runs: int, json_file: Path | None) -> int:
    """Experiment 1 of the report: 100 MB over TCP, both ways, and a page under wrk; or into a guest."""
    if where == "guest":
        return int(_guest().run_tcp(runs, json_file))
    from asyncnic.bench import tcp as experiment

    _check_outputs(json_file, None)
    result = experiment.measure(experiment.choose_stream_systems(systems), octets, seconds, runs)
    return _finish(result, experiment.show_streams, json_file, None)


def _guest() -> Any:
    return importlib.import_module("asyncnic.bench.guest_experiments")
