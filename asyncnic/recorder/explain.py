"""What a snapshot says, in ten lines at most: what was offered, what became of it, since when, and what to look at.

It reads a directory that `snapshot.py` made, and computes: no running service is asked, and nothing is guessed that the
numbers do not say.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from asyncnic.errors import Failed

RISE = 3.0
"""By how many times the load must exceed what it was before to have risen."""
FEWEST = 1000.0
"""Frames a second below which nothing counts as a rise."""
REASONS = "dropped_by_reason."


@dataclass(frozen=True, slots=True)
class Story:
    """A snapshot as read: facts of snapshot.json, and the columns of counters.csv over its times."""

    facts: dict[str, Any]
    times: Sequence[str]
    seconds: Sequence[float]
    """Since the first row."""
    columns: dict[str, list[float]]

    def of(self, name: str) -> list[float]:
        """A column; one that was always 0 is not in the file."""
        return self.columns.get(name) or [0.0] * len(self.times)

    def rates(self, name: str) -> list[float]:
        """What a counter grew by, a second, between each row and the one before; the first row has none."""
        values, seconds = self.of(name), self.seconds
        return [
            (values[at] - values[at - 1]) / max(seconds[at] - seconds[at - 1], 1e-3) for at in range(1, len(values))
        ]

    def grown(self, name: str) -> float:
        """What a counter grew by in all."""
        values = self.of(name)
        return values[-1] - values[0]


def read(directory: Path) -> Story:
    """The snapshot in `directory`.

    Raises:
        Failed: there is none, in one line.
    """
    fix = "name a directory that `asyncnic snapshot` made"
    try:
        facts = json.loads((directory / "snapshot.json").read_bytes())
        with (directory / "counters.csv").open(newline="") as file:
            heading, *rows = csv.reader(file)
        columns = {name: [float(row[at]) for row in rows] for at, name in enumerate(heading) if at}
        times = [row[0] for row in rows]
        stamps = [datetime.fromisoformat(text) for text in times]
        story = Story(facts, times, [(one - stamps[0]).total_seconds() for one in stamps], columns)
        if len(times) >= 2:
            explain(story)
    except OSError as error:
        raise Failed(f"{directory}: {error.strerror}: {fix}") from None
    except (ArithmeticError, AttributeError, ValueError, LookupError, TypeError):
        raise Failed(f"{directory}: no snapshot, or a damaged one: {fix}") from None
    if len(times) < 2:
        raise Failed(f"{directory}: fewer than two readings: there is nothing to explain yet")
    return story


def explain(story: Story) -> list[str]:
    """At most ten lines."""
    tellers: tuple[Callable[[Story], str], ...] = (
        *(_what, _balance, _load, _drops, _work),
        *(_lag, _knobs, _device, _heads, _advice),
    )
    return [line for line in (teller(story) for teller in tellers) if line]


def _what(story: Story) -> str:
    stats, facts = story.facts["stats"], story.facts
    device, build = stats["device"], stats["build"]
    return (
        f"{facts['time']}: {device['name']} ({device['chip']}), asyncnic {build['version']}, "
        f"stack {facts['settings']['stack']}, delivery {facts['settings']['delivery']}; written because: {facts['why']}"
    )


def _balance(story: Story) -> str:
    offered, delivered = story.grown("offered"), story.grown("delivered")
    dropped = sum(_stages(story).values())
    imbalance = story.of("imbalance")[-1]
    law = f"{imbalance:+,.0f} frames are NOT accounted for" if imbalance else "every frame is accounted for"
    return (
        f"in {story.seconds[-1]:.1f} s {offered:,.0f} frames were offered, {delivered:,.0f} delivered, "
        f"{dropped:,.0f} dropped ({_share(dropped, offered)}); {law}"
    )


def _load(story: Story) -> str:
    rates = story.rates("offered")
    at, peak = rise(rates), max(rates)
    if at is None:
        return f"the load did not jump: {_rate(median(rates))} frames/s in the middle, {_rate(peak)} at most"
    return (
        f"at {_clock(story.times[at])} offered rose from {_rate(median(rates[:at]))} to "
        f"{_rate(max(rates[at : at + 10]))} frames/s within a second ({_rate(peak)} at most)"
    )


def rise(rates: Sequence[float]) -> int | None:
    """Where the load first exceeds `RISE` times the median of what was before; None: nowhere."""
    for at in range(1, len(rates)):
        if rates[at] >= max(FEWEST, RISE * median(rates[:at])):
            return at
    return None


def _drops(story: Story) -> str:
    """Where drops began, the largest first."""
    found = []
    for name in story.columns:
        if name.startswith(REASONS) and story.grown(name) > 0:
            rates = story.rates(name)
            first = next(at for at, rate in enumerate(rates) if rate > 0)
            stage, _, reason = name.removeprefix(REASONS).partition(".")
            said = f"{stage} ({reason}) from {_clock(story.times[first])} on, {story.grown(name):,.0f} frames, "
            found.append((story.grown(name), said + f"up to {_rate(max(rates))}/s"))
    if not found:
        return "nothing was dropped"
    return "dropped at " + "; ".join(said for _, said in sorted(found, reverse=True)[:3])


def _work(story: Story) -> str:
    bursts = story.grown("bursts")
    if not bursts:
        return "no burst was delivered"
    frames, squeezed = story.grown("budget_exhausted.frames"), story.grown("budget_exhausted.time")
    return (
        f"the stack took {_rate(max(story.rates('delivered')))} frames/s at most, "
        f"{story.grown('delivered') / bursts:.1f} a burst; {_share(frames, bursts)} of the bursts ended at rx_budget, "
        f"{_share(squeezed, bursts)} at rx_time_budget"
    )


def _lag(story: Story) -> str:
    lags = story.of("lag")
    worst = max(lags)
    return f"the event loop was at most {worst * 1000:.0f} ms late, at {_clock(story.times[lags.index(worst)])}"


def _knobs(story: Story) -> str:
    turned = []
    for name, values in story.columns.items():
        changes = [at for at in range(1, len(values)) if values[at] != values[at - 1]]
        if name.startswith("knobs.") and changes:
            knob, when = name.removeprefix("knobs."), _clock(story.times[changes[-1]])
            turned.append(f"{knob} {values[0]:g} -> {values[-1]:g}, last at {when}")
    return f"turned meanwhile: {'; '.join(turned)}" if turned else ""


def _device(story: Story) -> str:
    up, said = story.of("device.up"), []
    said += [f"went down at {_clock(story.times[at])}" for at in range(1, len(up)) if up[at - 1] and not up[at]][:2]
    said += [f"came back at {_clock(story.times[at])}" for at in range(1, len(up)) if up[at] and not up[at - 1]][:2]
    if resets := story.grown("device.resets"):
        said.append(f"was reset {resets:.0f} times")
    return f"the device {', '.join(said)}" if said else ""


def _heads(story: Story) -> str:
    heads = story.facts["heads"]
    total = heads["kept"]
    if not total:
        return ""
    sources = [f"{name} {_share(count, total)}" for name, count in list(heads["sources"].items())[:3]]
    ends = [f"{name} {_share(count, total)}" for name, count in list(heads["ends"].items())[:3]]
    return (
        f"the last {total:,} frames ({heads['seconds'] * 1000:,.0f} ms) came from {', '.join(sources)}; "
        f"they ended as {', '.join(ends)}"
    )


def _advice(story: Story) -> str:
    """What the numbers point to; one thing, the gravest."""
    offered, bursts, stages = story.grown("offered"), max(1.0, story.grown("bursts")), _stages(story)
    if story.of("imbalance")[-1]:
        return "look at the law itself: this is a fault of the service, and this directory is what its makers want"
    if not story.of("device.up")[-1]:
        return "look at the device: the service takes it up again by itself when it is back"
    if stages["driver"] > max(stages["kernel"], stages["queue"], stages["card"]):
        return "look at the wire: the frames themselves are bad (asyncnic stats, receive errors)"
    if max(story.of("lag")) >= 0.1:
        return "look at what else runs on the event loop: stacks.txt says where it stood"
    if stages["queue"] > 0.01 * offered:
        return "look at what takes frames behind --delivery queue: --delivery direct drops earlier, at less cost"
    if stages["kernel"] + stages["card"] <= 0.01 * offered:
        return "nothing to mend: what was offered was delivered"
    if story.grown("budget_exhausted.time") > 0.5 * bursts:
        return "look at the time that a frame costs in the stack: it is the limit; lanes choose what is not lost"
    return "more was offered than one process takes: --workers share it, lanes choose what is not lost"


def _stages(story: Story) -> dict[str, float]:
    return {stage: story.grown(f"dropped.{stage}") for stage in story.facts["stats"]["dropped"]}


def _clock(time: str) -> str:
    """Of 2026-11-28T12:03:04.200Z the 12:03:04.2."""
    return time[11:21]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _rate(rate: float) -> str:
    return f"{rate / 1000:,.1f} k" if rate >= 1000 else f"{rate:,.0f}"
