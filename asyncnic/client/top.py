"""What `asyncnic top` shows, and what its keys do: JSON of the service and keys in, renderables and changes out.

Pure: it fetches nothing, reads no terminal and knows no clock but the service's own uptime: `asyncnic.commands.top`
does that.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from asyncnic.nic.ledger import STAGES
from asyncnic.settings.knobs import AUTO, AUTOMATIC, KNOBS, Knobs
from asyncnic.settings.values import duration, show_duration

Numbers = Mapping[str, Any]

TURNED = {name: knob for name, knob in KNOBS.items() if knob.hint}
"""The knobs that keys turn, in the order shown."""
COLORS = {
    "offered": "bold",
    "delivered": "green",
    "kernel": "yellow",
    "card": "red",
    "driver": "magenta",
    "queue": "blue",
    "filtered": "bright_black",
    "in_flight": "bright_black",
}
_STANDARD = Knobs()
KEYS = "up/down knob  left/right turn it  a automatic  p pause  q quit"
SPARKS = " ▁▂▃▄▅▆▇█"
REMEMBERED = 60
BAR = 24


@dataclass(frozen=True, slots=True)
class Change:
    """A knob to turn, and what to turn it to, as a setting is written."""

    name: str
    value: str


@dataclass(slots=True)
class View:
    """What is on the screen. `take` gives it numbers, `press` keys; `render` draws it."""

    now: Numbers
    before: Numbers | None = None
    selected: int = 0
    paused: bool = False
    message: str = ""
    """What became of the last change, in one line."""
    trouble: str = ""
    """Why the numbers do not come; empty: they do."""
    history: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def take(self, numbers: Numbers) -> None:
        """The service's numbers as they are now. A service that has begun anew has no rates at first."""
        self.before, self.now, self.trouble = self.now, numbers, ""
        rates = self.rates()
        if rates:
            self.history.append(rates)

    def rates(self) -> dict[str, float]:
        """Frames a second for each place of the ledger; empty where there is nothing to compare with."""
        if self.before is None:
            return {}
        seconds = self.now["uptime_seconds"] - self.before["uptime_seconds"]
        if seconds <= 0:
            return {}
        now, before = counts(self.now), counts(self.before)
        return {name: max(0, now[name] - before[name]) / seconds for name in now}

    def press(self, key: str) -> Change | None:
        """What `key` does: moves, pauses, or asks for a change."""
        if key in ("up", "k"):
            self.selected = (self.selected - 1) % len(TURNED)
        elif key in ("down", "j"):
            self.selected = (self.selected + 1) % len(TURNED)
        elif key == "p":
            self.paused = not self.paused
        elif key == "a":
            name = list(TURNED)[self.selected]
            return Change(name if name in AUTOMATIC else "rx_budget", AUTO)
        elif key in ("right", "l", "+", "left", "h", "-"):
            name = list(TURNED)[self.selected]
            more = key in ("right", "l", "+")
            return Change(name, turned(name, str(self.now["settings"][name]), more))
        return None

    def render(self) -> RenderableType:
        """The whole screen."""
        heading, state = heading_of(self.now)
        title = Text.assemble((heading, "bold"), "  ", state, "  ", ("PAUSED" if self.paused else "", "reverse"))
        said = Text(self.trouble, style="bold red") if self.trouble else Text(self.message, style="yellow")
        # What is said stands where it is seen on the smallest screen.
        parts: list[RenderableType] = [title, said, self._ledger(), self._load(), self._knobs()]
        spaced: list[RenderableType] = [line for part in parts for line in (part, Text())]
        return Group(*spaced[:-1], Text(KEYS, style="bright_black"))

    def _ledger(self) -> Table:
        table = Table(box=None, pad_edge=False, expand=False, header_style="bright_black")
        table.add_column("frames")
        for name in ("a second", "total", "share"):
            table.add_column(name, justify="right")
        table.add_column("")
        table.add_column("last minute")
        rates, totals = self.rates(), counts(self.now)
        totals["in_flight"] = self.now["in_flight"]
        offered = rates.get("offered", 0)
        for name, color in COLORS.items():
            label = f"dropped: {name}" if name in STAGES else name.replace("_", " ")
            rate = rates.get(name)
            table.add_row(
                Text(label, style=color),
                "" if rate is None else f"{rate:,.0f}",
                f"{totals[name]:,}",
                f"{totals[name] / totals['offered']:.1%}" if totals["offered"] else "",
                Text(bar(rate or 0, offered), style=color),
                Text(spark([past[name] for past in self.history if name in past]), style=color),
            )
        return table

    def _load(self) -> Table:
        now, before = self.now, self.before or self.now
        rx = now["ring_descriptors"]["rx"]
        bursts = now["burst_frames"]
        ended = now["budget_exhausted"]
        table = Table.grid(padding=(0, 3))
        table.add_row(
            f"burst {mean(bursts, before['burst_frames']):.1f} frames",
            f"ring {rx['host']} of {rx['card'] + rx['host']} filled",
            f"queue {now['queue']['frames']} of {now['queue']['limit']}",
        )
        table.add_row(
            f"delivery 99% within {within(now['delivery_seconds'], before['delivery_seconds'])}",
            f"loop lag 99% within {within(now['loop_lag_seconds'], before['loop_lag_seconds'])}",
            f"ended by budget: {ended['frames']:,} frames, {ended['time']:,} time",
        )
        return table

    def _knobs(self) -> Table:
        table = Table.grid(padding=(0, 3))
        for index, (name, knob) in enumerate(TURNED.items()):
            style = "reverse" if index == self.selected else ""
            table.add_row(
                Text(f" {name} ", style=style), str(self.now["settings"][name]), Text(knob.hint, "bright_black")
            )
        return table


def heading_of(numbers: Numbers) -> tuple[str, Text]:
    """What runs, and whether it is well."""
    device, settings = numbers["device"], numbers["settings"]
    heading = f"{device['name']}  {device['chip']}  {settings['stack']}  {settings['delivery']} delivery"
    if numbers["ready"]:
        return heading, Text(f"ready, up {show_duration(float(int(numbers['uptime_seconds'])))}", style="green")
    return heading, Text(str(numbers["not_ready"]), style="bold red")


def counts(numbers: Numbers) -> dict[str, int]:
    """The counters of the ledger, flat."""
    ends = {name: int(numbers[name]) for name in ("offered", "delivered", "filtered")}
    return ends | {stage: int(numbers["dropped"][stage]) for stage in STAGES}


def turned(name: str, value: str, more: bool) -> str:
    """The next value of a knob in the direction of `more`: twice or half of a number or time, the next or last word."""
    if value == AUTO:
        return str(_STANDARD.as_text()[name])
    words = KNOBS[name].choices
    if words:
        return words[(words.index(value) + (1 if more else -1)) % len(words)]
    if value.isdecimal():
        return str(max(1, int(value) * 2 if more else int(value) // 2))
    seconds = duration(value)
    if more:
        return show_duration(seconds * 2 or 10e-6)
    return show_duration(seconds / 2 if seconds > 10e-6 else 0.0)


def mean(now: Numbers, before: Numbers) -> float:
    """Mean of what a histogram has observed since `before`; 0 when nothing was."""
    count = sum(now["counts"]) - sum(before["counts"])
    return (now["sum"] - before["sum"]) / count if count > 0 else 0.0


def within(now: Numbers, before: Numbers) -> str:
    """The bound under which 99 of 100 observations since `before` stayed, as text."""
    counts = [later - earlier for later, earlier in zip(now["counts"], before["counts"], strict=True)]
    wanted, below = 0.99 * sum(counts), 0
    if wanted <= 0:
        return "-"
    for bound, count in zip(now["bounds"], counts, strict=False):
        below += count
        if below >= wanted:
            return show_duration(bound)
    return f"more than {show_duration(now['bounds'][-1])}"


def bar(part: float, whole: float) -> str:
    """`part` of `whole` as a bar of BAR columns."""
    return "█" * round(BAR * part / whole) if whole else ""


def spark(values: list[float]) -> str:
    """The values as a line of small columns, the largest of them full."""
    most = max(values, default=0)
    return "".join(SPARKS[round((len(SPARKS) - 1) * value / most)] for value in values) if most else ""
