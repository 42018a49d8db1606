"""What a worker has counted and what stands in it, at one moment; and how several workers are added up. Pure.

`Counted` only grows and outlives its worker: what a dead worker had counted stays in the sum. `Standing` is true now
and gone with the worker.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from asyncnic.errors import DeviceLost
from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.ledger import Ledger
from asyncnic.nic.nic import Nic
from asyncnic.service.observed import Observed

Names = dict[str, int]
Table = dict[str, Names]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram at one moment: counts of each bucket, and the sum of what was observed."""

    counts: list[int]
    sum: float

    @classmethod
    def of(cls, histogram: Histogram) -> "Buckets":
        """A copy of `histogram` as it is."""
        return cls(list(histogram.counts), histogram.sum)

    def __add__(self, other: "Buckets") -> "Buckets":
        return Buckets([a + b for a, b in zip(self.counts, other.counts, strict=True)], self.sum + other.sum)

    def put_into(self, histogram: Histogram) -> None:
        """Make `histogram` show this."""
        histogram.counts, histogram.sum = list(self.counts), self.sum


@dataclass(frozen=True, slots=True)
class LaneCounted:
    """A lane's part. `ledger.offered` is what was read of its queue; its `in_flight` is 0 here."""

    ledger: Ledger
    delivered_bytes: int

    def __add__(self, other: "LaneCounted") -> "LaneCounted":
        return LaneCounted(self.ledger + other.ledger, self.delivered_bytes + other.delivered_bytes)


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that only grows."""

    lanes: dict[str, LaneCounted]
    counters: Counters
    receive_errors: Names
    transmit_errors: Names
    stack_failures: int
    outcomes: Table
    burst_frames: Buckets
    delivery_seconds: Buckets
    loop_lag: Buckets

    @property
    def read(self) -> int:
        """Frames that were read of all queues."""
        return sum(lane.ledger.offered for lane in self.lanes.values())

    def closed(self) -> "Counted":
        """The same of a worker that is gone: read is only what came to an end in it, as far as it has told."""
        lanes = {
            name: replace(lane, ledger=replace(lane.ledger, offered=lane.ledger.offered - lane.ledger.imbalance))
            for name, lane in self.lanes.items()
        }
        return replace(self, lanes=lanes)

    def __add__(self, other: "Counted") -> "Counted":
        theirs = other.lanes
        return Counted(
            self.lanes
            | {name: self.lanes[name] + lane if name in self.lanes else lane for name, lane in theirs.items()},
            self.counters + other.counters,
            _add(self.receive_errors, other.receive_errors),
            _add(self.transmit_errors, other.transmit_errors),
            self.stack_failures + other.stack_failures,
            _add_tables(self.outcomes, other.outcomes),
            self.burst_frames + other.burst_frames,
            self.delivery_seconds + other.delivery_seconds,
            self.loop_lag + other.loop_lag,
        )


NOTHING = Counted(
    {},
    Counters(),
    {},
    {},
    0,
    {},
    Buckets.of(Histogram(BURST_FRAMES)),
    Buckets.of(Histogram(SECONDS)),
    Buckets.of(Histogram(SECONDS)),
)
"""What was counted before anything happened."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that is as it is now. `registers` and `ring_words` are there when they were asked for."""

    device_up: bool
    in_flight: Names
    queue_frames: int
    stack_down: str
    ring_descriptors: Table
    chip: str
    mac: str
    registers: Names = field(default_factory=dict)
    registers_missing: str = ""
    ring_words: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    rx_budget: int = 1
    """Frames a burst, at most: the budget in force."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A worker at one moment."""

    counted: Counted
    standing: Standing

    def as_json(self) -> Any:
        """The snapshot as JSON's types."""
        return _ADAPTER.dump_python(self, mode="json")

    @staticmethod
    def from_json(value: Any) -> "Snapshot":
        """The snapshot that `as_json` made `value` of."""
        return _ADAPTER.validate_python(value)


_ADAPTER = TypeAdapter(Snapshot)


def take(nic: Nic, observed: Observed, rings: bool) -> Snapshot:
    """The nic and its stack now; on the loop's thread. With `rings`, descriptors and registers as well."""
    lanes = nic.accounts().lanes
    registers, missing = {}, ""
    if rings:
        try:
            registers = nic.registers()
        except DeviceLost as error:
            missing = str(error)
    return Snapshot(
        Counted(
            {
                name: LaneCounted(replace(lane.ledger, in_flight=0), lane.delivered_bytes)
                for name, lane in lanes.items()
            },
            nic.counters,
            nic.receive_errors,
            nic.transmit_errors,
            observed.stack_failures,
            {protocol: dict(outcomes) for protocol, outcomes in observed.outcomes().items()},
            Buckets.of(nic.burst_frames),
            Buckets.of(nic.delivery_seconds),
            Buckets.of(observed.loop_lag),
        ),
        Standing(
            nic.device_up,
            {name: lane.ledger.in_flight for name, lane in lanes.items()},
            nic.queue_frames,
            observed.stack_down,
            nic.ring_descriptors(),
            nic.chip,
            observed.mac,
            registers,
            missing,
            nic.ring_words() if rings else {},
            nic.knobs.rx_budget,
        ),
    )


def total(snapshots: Iterable[Snapshot], base: Counted) -> Counted:
    """What all of them have counted, and `base`."""
    for snapshot in snapshots:
        base = base + snapshot.counted
    return base


def descriptors(snapshots: Iterable[Snapshot]) -> Table:
    """The descriptors of all rings by ring and owner."""
    found: Table = {ring: {"card": 0, "host": 0} for ring in ("rx", "tx")}
    for snapshot in snapshots:
        found = _add_tables(found, snapshot.standing.ring_descriptors)
    return found


def _add(a: Mapping[str, int], b: Mapping[str, int]) -> Names:
    return {name: a.get(name, 0) + b.get(name, 0) for name in (*a, *(name for name in b if name not in a))}


def _add_tables(a: Mapping[str, Names], b: Mapping[str, Names]) -> Table:
    return {name: _add(a.get(name, {}), b.get(name, {})) for name in (*a, *(name for name in b if name not in a))}
