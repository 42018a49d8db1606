"""The back-pressure knobs: what an operator may turn while frames flow.

This is the live copy that the nic reads at every burst. It is not the configuration and checks nothing:
`asyncnic.settings` validates, and a reload or `tune` assigns here what it has validated.
"""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Knobs:
    """Each knob as it stands now; a change counts from the next burst on."""

    rx_budget: int = 64
    """Frames a burst, at most: the budget in force."""
    rx_budget_auto: bool = False
    """Whether the receiver turns `rx_budget` itself (`asyncnic.budget`)."""
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
    """Frames that the kernel's TAP queue holds, at most."""

    def turn_to(self, wanted: "Knobs") -> None:
        """Turn every knob to where it stands in `wanted`; an automatic budget goes on from the one in force."""
        for field in fields(self):
            if field.name != "rx_budget" or not wanted.rx_budget_auto:
                setattr(self, field.name, getattr(wanted, field.name))
