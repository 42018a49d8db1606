"""Where every frame went: the conservation law as a value.

    offered = delivered + dropped{kernel, card, driver, queue} + filtered + in flight

Every term is counted where it happens and read at one moment, but for what was lost with a device or a worker: so the
law can fail, and `imbalance` says by how much. It holds for each lane of a device too, and `Accounts` is both together.
This is not a counter and holds no state: see `Nic.accounts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

STAGES = ("kernel", "card", "driver", "queue")
SHED = "shed"
"""The reason, at stage "kernel", of frames that were dropped because a rule said so."""

LOST_WITH_DEVICE = "lost_with_device"
"""The reason, at stage "card", of frames that were inside a chip when it went away."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """One reading of every place a frame can be in. All fields are frames.

    `dropped` maps stage to reason to frames; a stage with no reason is 0.
    """

    offered: int
    delivered: int
    filtered: int
    in_flight: int
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)

    def dropped_at(self, stage: str) -> int:
        """Frames dropped at `stage` ("kernel", "card", "driver" or "queue"), for whatever reason."""
        return sum(self.dropped.get(stage, {}).values())

    @property
    def dropped_total(self) -> int:
        """Frames dropped at all stages together."""
        return sum(self.dropped_at(stage) for stage in STAGES)

    @property
    def imbalance(self) -> int:
        """Offered minus everything accounted for: 0 when the law holds."""
        return self.offered - self.delivered - self.filtered - self.in_flight - self.dropped_total

    def as_json(self) -> dict[str, object]:
        """The contract's JSON form: offered, delivered, filtered, in_flight, dropped by stage."""
        return {
            "offered": self.offered,
            "delivered": self.delivered,
            "filtered": self.filtered,
            "in_flight": self.in_flight,
            "dropped": {stage: self.dropped_at(stage) for stage in STAGES},
        }

    def __add__(self, other: "Ledger") -> "Ledger":
        """Sum of two readings: lanes of a device, workers of a service."""
        stages = {stage: dict(reasons) for stage, reasons in self.dropped.items()}
        for stage, reasons in other.dropped.items():
            mine = stages.setdefault(stage, {})
            for reason, frames in reasons.items():
                mine[reason] = mine.get(reason, 0) + frames
        return Ledger(
            self.offered + other.offered,
            self.delivered + other.delivered,
            self.filtered + other.filtered,
            self.in_flight + other.in_flight,
            stages,
        )


@dataclass(frozen=True, slots=True)
class LaneAccount:
    """One lane's part. `waiting` frames stand in its queue on the wire and are not offered yet; None where nobody
    counts them.
    """

    ledger: Ledger
    delivered_bytes: int
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Accounts:
    """One reading of a device: what its wire says was offered, its lanes by name, and what was shed before any lane.

    `shed` is by rule; `shed_total` has the frames of rules that are no longer remembered too. `injected` says how often
    each fault that is rehearsed has happened (`asyncnic.faults`); what that did with frames is in the lanes' ledgers.
    """

    offered: int
    lanes: Mapping[str, LaneAccount]
    shed: Mapping[str, int] = field(default_factory=dict)
    shed_total: int = 0
    injected: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Ledger:
        """The device's ledger: the lanes' sum and what was shed, against what the wire offered."""
        total = Ledger(0, 0, 0, 0, {"kernel": {SHED: self.shed_total}})
        for lane in self.lanes.values():
            total += lane.ledger
        return replace(total, offered=self.offered)
