"""The back-pressure knobs: what an operator may turn while frames flow.

This is the live copy that the nic reads at every burst. It is not the configuration and checks nothing:
`asyncnic.settings.model` validates, and a reload or `tune` assigns here what it has validated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from asyncnic.lanes.rules import DEFAULT_LANES


@dataclass(slots=True)
class Knobs:
    """Each knob as it stands now; a change counts from the next burst on."""

    rx_budget: int = 64
    """Frames a burst, at most: the budget in force."""
    rx_budget_auto: bool = False
    """Whether the receiver turns `rx_budget` itself (`asyncnic.nic.budget`)."""
    target_lag: float = 0.002
    """The event loop's lag that an automatic budget holds, in seconds."""
    rx_time_budget: float = 0.002
    """Time a burst, at most, in seconds."""
    busy_poll: float = 0.0
    """How long to keep looking at an empty ring before waiting for the interrupt, in seconds."""
    queue_limit: int = 1024
    """Frames that queue delivery holds, at most. Direct delivery has no queue."""
    queue_policy: str = "drop-newest"
    """What queue delivery does when it is full: "drop-newest", "drop-oldest" or "pause"."""
    overload: str = "leave"
    """Frames beyond the free descriptors: "leave" them on the wire, or "drain" and count MISS, as silicon does."""
    tap_queue: int = 1000
    """Frames that the kernel's TAP queue holds, at most; that of each lane."""
    target_age: float = 0.004
    """How long a frame may wait in the kernel's TAP queue in lasting overload, in seconds (`asyncnic.lanes.depth`);
    0: as long as the queue is.
    """
    lane: tuple[str, ...] = DEFAULT_LANES
    """Lanes as "NAME=RULE", highest first (`asyncnic.lanes.rules`). Only the rules may change."""
    shed: tuple[str, ...] = ()
    """Rules of frames that are dropped before they are queued."""
    lane_queue: tuple[str, ...] = ()
    """`tap_queue` for single lanes, as "NAME=FRAMES"."""
    lane_weight: tuple[str, ...] = ()
    """Bursts in a row that a lane may have while lanes below it wait, as "NAME=BURSTS"; others as many as they like."""

    def turn_to(self, wanted: "Knobs") -> None:
        """Turn every knob to where it stands in `wanted`; an automatic budget goes on from the one in force."""
        for field in fields(self):
            if field.name != "rx_budget" or not wanted.rx_budget_auto:
                setattr(self, field.name, getattr(wanted, field.name))


def by_lane(values: Sequence[str]) -> dict[str, int]:
    """The numbers of `lane_queue` or `lane_weight` by lane."""
    pairs = (value.partition("=") for value in values)
    return {name: int(number) for name, _, number in pairs}
