"""Plots of the experiments' results, from their JSON; matplotlib comes with the extra ``asyncnic[bench]``.

The file's ending says the format: .svg or .png. Nothing is measured here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncnic.errors import Failed, SettingsError
from asyncnic.linux.files import write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {
    "direct": ("#0072b2", "o", "asyncnic, direct"),
    "packet": ("#56b4e9", "P", "asyncnic, packet ring"),
    "queue-pause": ("#56b4e9", "v", "asyncnic, queue, pause"),
    "queue-drop-newest": ("#e69f00", "s", "asyncnic, queue, drop newest"),
    "queue-drop-oldest": ("#f0e442", "D", "asyncnic, queue, drop oldest"),
    "drain-queue": ("#d55e00", "X", "TAP drained into a bounded queue"),
    "uvloop-udp": ("#000000", "^", "kernel UDP socket, uvloop"),
}
"""Colour (Okabe and Ito's, told apart by everybody), marker and name of a system."""
FORMATS = (".svg", ".png")


def check_plot(path: Path | None) -> None:
    """Find out before a long run that its plot cannot be drawn.

    Raises:
        SettingsError: an ending that is no format.
        Failed: matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix not in FORMATS:
        raise SettingsError(f"--plot {path}: must end in {' or '.join(FORMATS)}")
    _matplotlib()


def save(result: Mapping[str, Any], path: Path) -> None:
    """Draw an experiment's result.

    Raises:
        Failed: the file cannot be written, or there is no plot of this experiment.
    """
    figure = _PLOTS[result["experiment"]](result)
    try:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with write_beside(path) as out:
            figure.savefig(out, format=path.suffix[1:], bbox_inches="tight", dpi=150, metadata=metadata)
    except OSError as error:
        raise Failed(f"--plot {path}: {error.strerror}") from error


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise Failed("--plot: needs matplotlib: pip install 'asyncnic[bench]'") from None
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "asyncnic", "font.size": 9})
    import matplotlib.pyplot

    return matplotlib.pyplot


def _livelock(result: Mapping[str, Any]) -> "Figure":
    """Delivered against offered, and below it the age of a frame; a column for each amount of work."""
    work = sorted({curve["work"] for curve in result["curves"]})
    figure, axes = _matplotlib().subplots(
        2, len(work), figsize=(3.6 * len(work) + 1, 6), squeeze=False, sharex="col", height_ratios=(3, 2)
    )
    for column, burden in enumerate(work):
        rate, age = axes[0][column], axes[1][column]
        for curve in (curve for curve in result["curves"] if curve["work"] == burden):
            offered = [point["offered"] / 1000 for point in curve["points"]]
            _line(rate, curve["system"], offered, [point["delivered"] / 1000 for point in curve["points"]])
            aged = [
                (x, point["age_p50"]) for x, point in zip(offered, curve["points"], strict=True) if point["age_p50"]
            ]
            _line(age, curve["system"], [x for x, _ in aged], [seconds * 1000 for _, seconds in aged])
        rate.set_title(f"{burden * 1e6:.0f} us of work a frame")
        rate.set_xscale("log")
        rate.set_ylim(bottom=0)
        age.set_yscale("log")
        for axis in (age.xaxis, age.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        age.set_xlabel("offered, thousand frames/s")
    axes[0][0].set_ylabel("delivered, thousand frames/s")
    axes[1][0].set_ylabel("median age, ms")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False)
    figure.suptitle("Delivered against offered load")
    return _typed(figure)


def _udp(result: Mapping[str, Any]) -> "Figure":
    """Share received, a bar for each system and load."""
    figure, axes = _matplotlib().subplots(figsize=(7, 0.4 * len(result["systems"]) + 1.5))
    names = list(reversed(list(result["systems"])))
    height = 0.8 / len(result["loads"])
    for place, load in enumerate(result["loads"]):
        shares = [
            100 * load["systems"][n]["received"]["median"] / load["systems"][n]["offered"]["median"] for n in names
        ]
        at = [index - place * height for index in range(len(names))]
        axes.barh(at, shares, height, label=f"{load['rate']:,.0f} packets/s", color=("#0072b2", "#e69f00")[place % 2])
    axes.set_yticks([index - 0.5 * height * (len(result["loads"]) - 1) for index in range(len(names))], names)
    axes.set_xlabel("received, per cent")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, frameon=False)
    axes.set_title(f"{result['packets']:,} UDP packets of 60 bytes")
    return _typed(figure)


def _throughput(result: Mapping[str, Any]) -> "Figure":
    """NDR and PDR by frame size."""
    return _groups(
        result["rates"],
        "frame",
        {"ndr": "NDR", "pdr": "PDR"},
        lambda row, key: (row[key] or 0) / 1000,
        "thousand frames/s",
    )


def _latency(result: Mapping[str, Any]) -> "Figure":
    """Median and 99th percentile of the age by load."""
    rows = [{**row, "load": f"{row['share']:.0%} of NDR"} for row in result["latencies"]]
    return _groups(rows, "load", {"p50": "p50", "p99": "p99"}, lambda row, key: row["ages"][key]["median"] * 1000, "ms")


def _speed(result: Mapping[str, Any]) -> "Figure":
    """Frames per CPU-second."""
    figure, axes = _matplotlib().subplots(figsize=(7, 3))
    names = list(reversed(list(result["systems"])))
    figures = [result["systems"][name]["frames_per_cpu_second"] for name in names]
    middle = [each["median"] / 1000 for each in figures]
    low = [(each["median"] - each["low"]) / 1000 for each in figures]
    high = [(each["high"] - each["median"]) / 1000 for each in figures]
    axes.barh(names, middle, xerr=[low, high], color="#0072b2")
    axes.set_xlabel("thousand frames per CPU-second")
    return _typed(figure)


def _lanes(result: Mapping[str, Any]) -> "Figure":
    """Share answered by who asked, and below it what was delivered of the flood; a bar for each side."""
    figure, (answered, bulk) = _matplotlib().subplots(2, 1, figsize=(7, 5), height_ratios=(3, 2))
    askers = list(next(iter(result["sides"].values()))["asked"])
    for place, (side, found) in enumerate(result["sides"].items()):
        colour = ("#0072b2", "#e69f00")[place]
        shares = [100 * (1 - found["asked"][asker]["lost"] / found["asked"][asker]["sent"]) for asker in askers]
        bars = answered.bar(
            [index + 0.4 * place for index in range(len(askers))], shares, 0.38, color=colour, label=side
        )
        answered.bar_label(bars, fmt="%.1f")
        delivered = {name: value / 1000 for name, value in found["bulk"]["delivered"].items()}
        error = [[delivered["median"] - delivered["low"]], [delivered["high"] - delivered["median"]]]
        bulk.barh([side], [delivered["median"]], xerr=error, color=colour)
    answered.set_xticks([index + 0.2 for index in range(len(askers))], askers)
    answered.set_ylabel("answered, per cent")
    answered.set_ylim(0, 130)
    answered.legend(loc="upper right", ncols=2, frameon=False)
    answered.set_title("While the service is flooded")
    bulk.set_xlabel("flood delivered, thousand frames/s")
    figure.tight_layout()
    return _typed(figure)


def _snapshot(result: Mapping[str, Any]) -> "Figure":
    """What was offered, delivered and dropped a second, and below it how late the event loop was."""
    figure, (rate, lag) = _matplotlib().subplots(2, 1, figsize=(8, 5), sharex=True, height_ratios=(3, 1))
    seconds = [second - result["seconds"][-1] for second in result["seconds"]]
    colours = ("#000000", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#f0e442")
    for colour, (name, values) in zip(colours, result["rates"].items(), strict=True):
        if any(values):
            rate.plot(seconds, [value / 1000 for value in values], color=colour, label=name, linewidth=1.2)
    lag.plot(seconds, [1000 * value for value in result["lag"]], color="#009e73", linewidth=1.2)
    rate.set_ylabel("thousand frames/s")
    rate.set_ylim(bottom=0)
    rate.legend(loc="upper left", frameon=False)
    rate.set_title(result["why"], fontsize=9)
    lag.set_ylabel("lag, ms")
    lag.set_xlabel("seconds before the snapshot")
    for axes in (rate, lag):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    return _typed(figure)


def _groups(
    rows: list[Any], by: str, keys: Mapping[str, str], value: Callable[[Any, str], float], unit: str
) -> "Figure":
    """Bars in groups: one group for each value of `by`, in it one bar for each system and key."""
    figure, axes = _matplotlib().subplots(figsize=(7, 3.5))
    groups = list(dict.fromkeys(row[by] for row in rows))
    systems = list(dict.fromkeys(row["system"] for row in rows))
    bars = [(system, key) for system in systems for key in keys]
    width = 0.8 / len(bars)
    for place, (system, key) in enumerate(bars):
        heights = {row[by]: value(row, key) for row in rows if row["system"] == system}
        at = [index + place * width for index in range(len(groups))]
        colour, hatch = STYLES.get(system, ("#999999", "", system))[0], "//" if key == list(keys)[-1] else ""
        label = f"{_name(system)}, {keys[key]}"
        axes.bar(
            at,
            [heights.get(group, 0.0) for group in groups],
            width,
            label=label,
            color=colour,
            hatch=hatch,
            edgecolor="white",
        )
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(groups))], groups)
    axes.set_ylabel(unit)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, frameon=False)
    return _typed(figure)


def _line(axes: "Axes", system: str, x: list[float], y: list[float]) -> None:
    colour, marker, name = STYLES.get(system, ("#999999", ".", system))
    axes.plot(x, y, color=colour, marker=marker, markersize=4, linewidth=2 if system == "direct" else 1.2, label=name)
    axes.grid(alpha=0.3)


def _name(system: str) -> str:
    return STYLES.get(system, ("", "", system))[2]


def _typed(figure: Any) -> "Figure":
    made: Figure = figure
    return made


_PLOTS: dict[str, Callable[[Mapping[str, Any]], "Figure"]] = {
    "lanes": _lanes,
    "livelock": _livelock,
    "udp": _udp,
    "throughput": _throughput,
    "latency": _latency,
    "speed": _speed,
    "snapshot": _snapshot,
}
