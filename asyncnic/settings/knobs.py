"""The back-pressure knobs: what an operator may turn while frames flow, each declared once.

`Knobs` is the live copy that the nic reads at every burst; what is said of a knob beside its value (`Knob`) makes its
flag, variable and key (`settings.model`), its metric, its place in `stats`, in `asyncnic top` and on the page. Nothing
is checked here: `settings.model` validates, and a reload or `tune` assigns what it has validated.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asyncnic.lanes.rules import ALLOWED, DEFAULT_LANES, parse_lanes, parse_shed
from asyncnic.settings import values

AUTO = "auto"
AUTOMATIC = ("rx_budget", "rx_usecs")
"""The knobs that the nic may turn itself: those that stand at `AUTO`, as NAME_auto says of each."""

Kind = Literal["number", "seconds", "choice", "rules", "lane numbers"]


@dataclass(frozen=True, slots=True)
class Knob:
    """What is said of a knob, once for all places where it shows.

    Args:
        kind: of its value: a number, seconds, one of `choices`, rules that are read together, or a number for a lane.
        text: what the flag's help says of it.
        check: of `settings.values`: from what was typed to the value.
        placeholder: of the value, in the flag's help.
        hint: beside the value where keys or fields turn it; empty: it is turned by text alone.
        choices: of kind "choice".
    """

    kind: Kind
    text: str
    check: Callable[[object], object] = values.text
    placeholder: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()


def _knob(
    default: Any, kind: Kind, check: Callable[[object], object], placeholder: str, *, text: str, hint: str = ""
) -> Any:
    return dataclasses.field(default=default, metadata={"knob": Knob(kind, text, check, placeholder, hint)})


def _choice(words: tuple[str, ...], text: str, hint: str) -> Any:
    return dataclasses.field(default=words[0], metadata={"knob": Knob("choice", text, hint=hint, choices=words)})


@dataclass(slots=True)
class Knobs:
    """Each knob as it stands now; a change counts from the next burst on."""

    rx_budget: int = _knob(
        64,
        "number",
        values.or_word(AUTO, values.whole_within(1, 4096)),
        "FRAMES",
        text="frames a burst, at most; auto: as many as --target-lag allows",
        hint="frames a burst, or auto",
    )
    """Frames a burst, at most: the budget in force."""
    rx_budget_auto: bool = False
    """Whether the nic turns `rx_budget` itself (`asyncnic.nic.budget`): what `rx_budget = "auto"` says."""
    target_lag: float = _knob(
        0.002,
        "seconds",
        values.duration_within(1e-4, 1.0),
        "TIME",
        text="lag of the event loop that --rx-budget auto holds, like 2ms",
        hint="of the loop, for an automatic budget",
    )
    rx_time_budget: float = _knob(
        0.002,
        "seconds",
        values.duration_within(1e-6, 1.0),
        "TIME",
        text="time a burst, at most, like 2ms",
        hint="time a burst; a late loop: lower it",
    )
    busy_poll: float = _knob(
        0.0,
        "seconds",
        values.duration_within(0.0, 0.1),
        "TIME",
        text="look at an empty ring for so long before waiting for the interrupt, like 50us",
        hint="look at an empty ring before waiting",
    )
    rx_usecs: float = _knob(
        0.0,
        "seconds",
        values.or_word(AUTO, values.duration_within(0.0, 0.01)),
        "TIME",
        text="interrupt moderation: after a wake-up, leave what comes on the wire for so long, so that the next finds "
        "several frames, like 100us; the first frame after a silence goes at once; auto: where it helps, and for "
        "--target-lag at most; none while --busy-poll looks",
        hint="frames wait on the wire, or auto",
    )
    """How long frames are left on the wire after a wake-up."""
    rx_usecs_auto: bool = False
    """Whether the nic turns `rx_usecs` itself (`asyncnic.nic.interval`): what `rx_usecs = "auto"` says."""
    tap_queue: int = _knob(
        1000,
        "number",
        values.whole_within(1, 65536),
        "FRAMES",
        text="frames that the kernel's TAP queue holds, at most; that of each lane",
        hint="frames in the kernel's queue",
    )
    target_age: float = _knob(
        0.004,
        "seconds",
        values.duration_within(0.0, 1.0),
        "TIME",
        text="how long a frame may wait in the TAP's queue in lasting overload, like 4ms; 0us: no limit",
        hint="of a frame there, in lasting overload",
    )
    overload: str = _choice(
        ("leave", "drain"),
        text="frames beyond the free descriptors: leave them to the TAP's queue, or drain and count MISS",
        hint="leave it to the kernel, or drain it",
    )
    sink_window: int = _knob(
        1024,
        "number",
        values.whole_within(1, 65536),
        "DATAGRAMS",
        text="datagrams that a sink (--service PORT=URL) may hold unacknowledged; when they are so many, bursts wait",
        hint="datagrams a sink, unacknowledged",
    )
    queue_limit: int = _knob(
        1024,
        "number",
        values.whole_within(1, 65536),
        "FRAMES",
        text="frames that --delivery queue holds, at most",
        hint="frames in the delivery queue",
    )
    queue_policy: str = _choice(
        ("drop-newest", "drop-oldest", "pause"),
        text="what --delivery queue does when it is full",
        hint="what gives way when that is full",
    )
    lane: tuple[str, ...] = _knob(
        DEFAULT_LANES,
        "rules",
        values.rules(parse_lanes),
        "NAME=RULE",
        text="lane of a TAP or of packet:, highest first (repeatable; bulk, which takes the rest, comes last by "
        f"itself); RULE is a comma list of {ALLOWED}",
        hint="",
    )
    """Only the rules may change: the lanes are settled at the start."""
    shed: tuple[str, ...] = _knob(
        (),
        "rules",
        values.rules(parse_shed),
        "RULE",
        text="frames that are dropped before they are queued; RULE as for --lane (repeatable)",
        hint="",
    )
    lane_queue: tuple[str, ...] = _knob(
        (),
        "lane numbers",
        values.lane_number(1, 65536),
        "NAME=FRAMES",
        text="--tap-queue of one lane (repeatable)",
        hint="",
    )
    lane_weight: tuple[str, ...] = _knob(
        (),
        "lane numbers",
        values.lane_number(1, 1024),
        "NAME=BURSTS",
        text="bursts in a row that a lane may have while lanes below it wait; without, as many as it likes "
        "(repeatable)",
        hint="",
    )

    def turn_to(self, wanted: "Knobs") -> None:
        """Turn every knob to where it stands in `wanted`; an automatic one goes on from what is in force."""
        for field in dataclasses.fields(self):
            if field.name not in AUTOMATIC or not getattr(wanted, f"{field.name}_auto"):
                setattr(self, field.name, getattr(wanted, field.name))

    def as_text(self) -> dict[str, object]:
        """The knobs by name as settings are written: a time with its unit, an automatic one as "auto"."""
        found: dict[str, object] = {}
        for name, knob in KNOBS.items():
            value = getattr(self, name)
            found[name] = values.show_duration(value) if knob.kind == "seconds" else value
        return found | {name: AUTO for name in AUTOMATIC if getattr(self, f"{name}_auto")}

    def as_numbers(self) -> dict[str, float]:
        """The knobs that are numbers, times in seconds, and choices by their position, by name."""
        found: dict[str, float] = {f"{name}_auto": getattr(self, f"{name}_auto") for name in AUTOMATIC}
        for name, knob in KNOBS.items():
            value = getattr(self, name)
            if knob.kind == "choice":
                found[name] = knob.choices.index(value)
            elif knob.kind in ("number", "seconds"):
                found[name] = value
        return found


KNOBS: Mapping[str, Knob] = {
    field.name: field.metadata["knob"] for field in dataclasses.fields(Knobs) if "knob" in field.metadata
}
"""Every knob by its name, in the order in which they are shown."""


def by_lane(pairs: Sequence[str]) -> dict[str, int]:
    """The numbers of `lane_queue` or `lane_weight` by lane."""
    parts = (pair.partition("=") for pair in pairs)
    return {name: int(number) for name, _, number in parts}
