"""Where every frame went: the conservation law as a value.

    offered = delivered + dropped{kernel, card, driver, queue} + filtered + in flight

Every term is counted where it happens and read at one moment; none is computed from the others, so the law can fail, and
`imbalance` says by how much. This is not a counter and holds no state: see `Nic.ledger`.
"""

from dataclasses import dataclass, field

STAGES = ("kernel", "card", "driver", "queue")


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
