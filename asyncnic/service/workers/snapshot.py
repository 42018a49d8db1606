"""What a worker has counted and what stands in it, at one moment; and how several workers are added up. Pure.

`Counted` only grows and outlives its worker: what a dead worker had counted stays in the sum. `Standing` is true now
and gone with the worker. Both are added field by field, whatever their fields are: a new counter is declared where it
is counted, or here, and nowhere else.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from asyncnic.errors import DeviceLost
from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.ledger import Ledger
from asyncnic.nic.nic import Nic
from asyncnic.service.observed import Observed
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.stacks.stack import Sockets, TcpStanding

MOST_SOCKETS = 256
"""How many a worker lists: what it says at a time is bounded (`channel.LARGEST`)."""
Names = dict[str, int]
Table = dict[str, Names]

_T = TypeVar("_T")


def add(a: _T, b: _T) -> _T:
    """The sum of two values of one type: dataclasses by field, mappings by key (what one of them lacks is the other's),
    lists place by place, and numbers.

    Raises:
        ValueError: lists of different lengths.
    """
    made: Any = type(a)
    sum_: Any
    if dataclasses.is_dataclass(a):
        sum_ = made(**{name: add(getattr(a, name), getattr(b, name)) for name in _names(a)})
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        both = {name: add(value, b[name]) if name in b else value for name, value in a.items()}
        sum_ = both | {name: value for name, value in b.items() if name not in a}
    elif isinstance(a, list) and isinstance(b, list):
        sum_ = [add(one, other) for one, other in zip(a, b, strict=True)]
    else:
        sum_ = a + b  # type: ignore[operator]  # numbers
    return sum_  # type: ignore[no-any-return]


def _names(value: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(value)]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram at one moment: counts of each bucket, and the sum of what was observed."""

    counts: list[int]
    sum: float

    @classmethod
    def of(cls, histogram: Histogram) -> "Buckets":
        """A copy of `histogram` as it is."""
        return cls(list(histogram.counts), histogram.sum)

    def put_into(self, histogram: Histogram) -> None:
        """Make `histogram` show this."""
        histogram.counts, histogram.sum = list(self.counts), self.sum


def _seconds() -> Buckets:
    return Buckets.of(Histogram(SECONDS))


@dataclass(frozen=True, slots=True)
class LaneCounted:
    """A lane's part. `ledger.offered` is what was read of its queue; its `in_flight` is 0 here."""

    ledger: Ledger
    delivered_bytes: int


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything that only grows. As made without arguments: what was counted before anything happened."""

    lanes: dict[str, LaneCounted] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    receive_errors: Names = field(default_factory=dict)
    transmit_errors: Names = field(default_factory=dict)
    stack_failures: int = 0
    stack_stalls: int = 0
    outcomes: Table = field(default_factory=dict)
    events: Names = field(default_factory=dict)
    burst_frames: Buckets = field(default_factory=lambda: Buckets.of(Histogram(BURST_FRAMES)))
    delivery_seconds: Buckets = field(default_factory=_seconds)
    loop_lag: Buckets = field(default_factory=_seconds)
    sinks: dict[str, SinkLedger] = field(default_factory=dict)
    """What only grows of them."""

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
        return replace(self, lanes=lanes, sinks={name: sink.closed() for name, sink in self.sinks.items()})


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that is as it is now. `registers`, `ring_words` and `sockets` are there when they were
    asked for.
    """

    device_up: bool
    in_flight: Names
    queue_frames: int
    stack_down: str
    ring_descriptors: Table
    registers: Names = field(default_factory=dict)
    registers_missing: str = ""
    ring_words: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    sockets: Sockets = field(default_factory=Sockets)
    tcp: TcpStanding = field(default_factory=TcpStanding)
    addresses: dict[str, str] = field(default_factory=dict)
    sinks: dict[str, SinkLedger] = field(default_factory=dict)
    """What is of them as it is now."""
    rx_budget: int = 1
    """Frames a burst, at most: the budget in force."""
    rx_usecs: float = 0.0
    """Seconds for which frames are left on the wire: the wait in force."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A worker at one moment."""

    counted: Counted
    standing: Standing


def take(nic: Nic, observed: Observed, rings: bool) -> Snapshot:
    """The nic and its stack now; on the loop's thread. With `rings`, descriptors, registers and sockets as
    well."""
    lanes, sinks = nic.accounts().lanes, observed.sinks()
    registers, missing = {}, ""
    if rings:
        try:
            registers = nic.registers()
        except DeviceLost as error:
            missing = str(error)
    return Snapshot(
        Counted(
            lanes={
                name: LaneCounted(replace(lane.ledger, in_flight=0), lane.delivered_bytes)
                for name, lane in lanes.items()
            },
            counters=nic.counters,
            receive_errors=nic.receive_errors,
            transmit_errors=nic.transmit_errors,
            stack_failures=observed.stack.failures,
            stack_stalls=observed.stack.stalls,
            events=dict(observed.events()),
            outcomes={protocol: dict(outcomes) for protocol, outcomes in observed.outcomes().items()},
            burst_frames=Buckets.of(nic.burst_frames),
            delivery_seconds=Buckets.of(nic.delivery_seconds),
            loop_lag=Buckets.of(observed.loop_lag),
            sinks={name: sink.counted() for name, sink in sinks.items()},
        ),
        Standing(
            device_up=nic.device_up,
            in_flight={name: lane.ledger.in_flight for name, lane in lanes.items()},
            queue_frames=nic.queue_frames,
            stack_down=observed.stack.down or observed.stack_trouble(),
            ring_descriptors=nic.ring_descriptors(),
            registers=registers,
            registers_missing=missing,
            ring_words=nic.ring_words() if rings else {},
            sockets=observed.sockets().first(MOST_SOCKETS) if rings else Sockets(),
            tcp=observed.tcp(),
            addresses=dict(observed.addresses()),
            sinks={name: sink.standing() for name, sink in sinks.items()},
            rx_budget=nic.knobs.rx_budget,
            rx_usecs=nic.knobs.rx_usecs,
        ),
    )


def total(snapshots: Iterable[Snapshot], base: Counted) -> Counted:
    """What all of them have counted, and `base`."""
    for snapshot in snapshots:
        base = add(base, snapshot.counted)
    return base


def descriptors(snapshots: Iterable[Snapshot]) -> Table:
    """The descriptors of all rings by ring and owner."""
    found: Table = {ring: {"card": 0, "host": 0} for ring in ("rx", "tx")}
    for snapshot in snapshots:
        found = add(found, snapshot.standing.ring_descriptors)
    return found
