"""`asyncnic bench knobs`: what turning knobs does, the defaults beside every setting that is named.

A setting is one or more NAME=VALUE of `asyncnic run`, with "+" between them: the knobs, `rx_ring` and `delivery`. All
of them bear the same load, interleaved: twice what can be borne at best, or a rate of one's own. The table has what the
tuning guide looks at, and says nothing about which is better.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asyncnic.bench.budget import FRAME_SECONDS, OVERLOAD
from asyncnic.bench.case import Case, Figures, Load, run_case
from asyncnic.bench.experiment import Play, play_rounds
from asyncnic.bench.report import Spread, console, microseconds, milliseconds, percent, show, table
from asyncnic.errors import SettingsError
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load
from asyncnic.settings.model import LIVE, Settings

DEFAULTS = "defaults"
FIXED = ("rx_ring", "delivery")
"""Settings that are no knobs, and matter here."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is turned, as it was typed, and the settings that this makes."""

    label: str
    settings: Settings

    @classmethod
    def of(cls, text: str) -> "Setting":
        """The setting of "NAME=VALUE+NAME=VALUE"; of "", the defaults.

        Raises:
            SettingsError: no such thing to turn, or not to this value.
        """
        flags: dict[str, object] = {}
        for part in text.split("+") if text else ():
            name, equals, value = part.partition("=")
            if not equals or name not in (*LIVE, *FIXED):
                raise SettingsError(f"{part}: must be NAME=VALUE, with a knob, rx_ring or delivery")
            flags[name] = value
        return cls(text or DEFAULTS, load(flags, {}, None))

    def case(self, load: Load, work: float) -> Case:
        """The case that has these settings."""
        settings, defaults = self.settings, Knobs()
        turned = settings.knobs()
        knobs = {name: value for name, value in asdict(turned).items() if value != getattr(defaults, name)}
        knobs.pop("queue_policy", None)
        system = "direct" if settings.delivery == "direct" else f"queue-{turned.queue_policy}"
        return Case(system, load, check=True, work=work, bystander=True, rx_ring=settings.rx_ring, knobs=knobs)


def measure(
    texts: Sequence[str], work: float, rate: float | None, seconds: float, runs: int, play: Play = run_case
) -> dict[str, Any]:
    """Play the defaults and each setting; the result as JSON has it.

    Args:
        texts: settings as typed.
        work: seconds of CPU time a frame.
        rate: frames a second to offer; None offers twice what can be borne at best.

    Raises:
        SettingsError: a setting is wrong.
        DeviceError, Failed: what `run_case` raises.
    """
    offered = rate if rate is not None else OVERLOAD / (work + FRAME_SECONDS)
    settings = [Setting.of(text) for text in dict.fromkeys(("", *texts))]
    load = Load(rate=offered, seconds=seconds)
    played = play_rounds({setting.label: setting.case(load, work) for setting in settings}, runs, play)
    return {
        "experiment": "knobs",
        "work": work,
        "rate": offered,
        "seconds": seconds,
        "runs": runs,
        "rows": [{"setting": label, **_figures(outcomes)} for label, outcomes in played.items()],
        "outcomes": [asdict(outcome) for of in played.values() for outcome in of],
    }


def _figures(outcomes: Sequence[Figures]) -> dict[str, Any]:
    """Medians over the runs. Rates in frames or wake-ups a second, times in seconds."""

    def middle(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    lost: dict[str, int] = {}
    for outcome in outcomes:
        for stage, frames in outcome.lost.items():
            lost[stage] = lost.get(stage, 0) + frames
    return {
        "delivered": asdict(Spread.of([outcome.rate for outcome in outcomes])),
        "offered_frames": sum(outcome.offered for outcome in outcomes),
        "lost": lost,
        "frames_per_burst": middle([outcome.delivered / outcome.extra["bursts"] for outcome in outcomes]),
        "interrupts": middle([outcome.extra["interrupts"] / outcome.window["seconds"] for outcome in outcomes]),
        "cpu_per_frame": middle([outcome.cpu_per_frame for outcome in outcomes]),
        "lag_p99": middle([(outcome.bystander or {})["timer_lag"]["p99"] for outcome in outcomes]),
        "age_p50": middle([(outcome.ages or {}).get("p50") for outcome in outcomes]),
        "age_p99": middle([(outcome.ages or {}).get("p99") for outcome in outcomes]),
    }


def show_knobs(result: dict[str, Any]) -> None:
    """Print `measure`'s result."""
    columns = ("", "delivered/s", "lost", "CPU us", "frames/burst", "wake-ups/s", "lag p99 ms", "age p50 ms", "p99 ms")
    rows = [
        (
            row["setting"],
            f"{row['delivered']['median']:,.0f}",
            _where(row["lost"], row["offered_frames"]),
            microseconds(row["cpu_per_frame"]),
            f"{row['frames_per_burst']:.1f}",
            f"{row['interrupts']:,.0f}",
            *(milliseconds(row[figure]) for figure in ("lag_p99", "age_p50", "age_p99")),
        )
        for row in result["rows"]
    ]
    show(
        console(),
        f"{result['rate']:,.0f} frames/s offered, {result['work'] * 1e6:.0f} us of work a frame; "
        f"medians of {result['runs']} run(s) of {result['seconds']:g} s",
        table(columns, rows),
    )


def _where(lost: dict[str, int], offered: int) -> str:
    """The places where frames were lost, like "kernel 12.0 %"."""
    return ", ".join(f"{stage} {percent(frames, offered)}" for stage, frames in lost.items() if frames > 0) or "-"
