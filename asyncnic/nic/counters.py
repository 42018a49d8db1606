"""The nic's plain counters, each declared once: name, help, and where it shows.

A counter of the nic is a field of `Counters` with what its metric says of it; the collector, `stats` and the sum over
several workers are made from the fields. Where it is counted is the owner's business: `Nic.counters` reads it there.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """What a counter's metric says of it.

    Args:
        family: the metric without prefix and "_total".
        text: its help.
        label, word: the label that tells it from others of its family, and its value there; both empty: it is alone.
        stats: where /api/v1/stats has it, as keys; empty: where `family` (and `word`) say.
    """

    family: str
    text: str
    label: str = ""
    word: str = ""
    stats: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """The keys under which /api/v1/stats has the counter."""
        return self.stats or tuple(filter(None, (self.family, self.word)))


def _counter(family: str, text: str, **more: Any) -> Any:
    return dataclasses.field(default=0, metadata={"metric": Metric(family, text, **more)})


_BUDGETS = "Bursts that ended at a budget: frames = rx_budget, time = rx_time_budget (time_squeeze)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The nic's counters at one moment. All but the octets count events; all are monotonic."""

    delivered_frames: int = 0
    """Shown by lane: see `asyncnic.nic.ledger`."""
    delivered_bytes: int = 0
    """Shown by lane, like `delivered_frames`."""
    transmitted_frames: int = _counter("transmitted_frames", "Frames sent (tx_packets).")
    transmitted_bytes: int = _counter("transmitted_bytes", "Octets sent (tx_bytes).")
    interrupts: int = _counter("interrupts", "Times that the chip's interrupt woke the driver.")
    lost_interrupts: int = _counter(
        "lost_interrupts", "Times that frames stood there, no interrupt came, and the driver was woken all the same."
    )
    bursts: int = _counter("bursts", "Bursts handed to the stack; frames a burst say how loaded it is.")
    budget_frames: int = _counter("budget_exhausted", _BUDGETS, label="budget", word="frames")
    budget_time: int = _counter("budget_exhausted", _BUDGETS, label="budget", word="time")
    resets: int = _counter(
        "device_resets", "Times that the chip was reset and initialised again.", stats=("device", "resets")
    )
    resyncs: int = _counter("ring_resyncs", "Times that the ring walk had to follow a chip which jumped descriptors.")

    def shown(self) -> Iterator[tuple[Metric, int]]:
        """Each counter that has a metric of its own, with its value; those of one family follow each other."""
        for name, metric in METRICS.items():
            yield metric, getattr(self, name)


METRICS: Mapping[str, Metric] = {
    field.name: field.metadata["metric"] for field in dataclasses.fields(Counters) if "metric" in field.metadata
}
"""What is said of the counters that have a metric of their own, by the names of their fields."""
