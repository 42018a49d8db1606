"""The workers' counts against the wire's, at one moment: the ledger of several processes. Pure; it asks nobody.

A reading is a cut. The wire's counter is read, then each worker is asked, then the wire's counter is read again. So
what all workers have read, each at a moment of its own between the two, must lie between the wire's two counts; then
it is what the wire had handed out at a moment in between, and the sum of their ledgers is the ledger of that cut. When
it lies outside, that is an imbalance and shows as one: the wire and the workers count independently.

Frames that somebody has read who could not tell (a worker that did not answer, or is about to be ready, or has died and
is not booked yet) are in flight: what the wire had handed out before the asking, less what everybody accounts for. They
are told later, or booked as lost by `book`. That is the one term that is inferred, and at no other time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncnic.devices.device import WireCounters
from asyncnic.service.workers.snapshot import Counted, Snapshot, add


@dataclass(frozen=True, slots=True)
class Cut:
    """Everybody's counts at one moment. All numbers are frames."""

    snapshots: Sequence[Snapshot] = ()
    """Of the workers that there are."""
    gone: Counted = field(default_factory=Counted)
    """What workers that are gone had counted."""
    offered: int = 0
    dropped: int = 0
    """By the queues on the wire."""
    lost: int = 0
    """Read by workers that are gone, which nobody accounts for."""
    untold: int = 0
    """Read by somebody who could not tell."""


class Books:
    """Keeps what workers that are gone had counted, and makes the cuts.

    Attributes:
        gone: see `Cut.gone`.
        lost: see `Cut.lost`.
        unbooked: whether somebody has died since `book`.
        handed_out: frames that the wire had handed out at the last cut, at least.
    """

    def __init__(self) -> None:
        self.gone = Counted()
        self.lost = 0
        self.unbooked = False
        self.handed_out = 0

    def bury(self, snapshot: Snapshot | None) -> None:
        """A worker is gone, and this is the last that it has said."""
        if snapshot is not None:
            self.gone = add(self.gone, snapshot.counted.closed())
        self.unbooked = True

    def accounted(self, snapshots: Sequence[Snapshot]) -> int:
        """Frames that the workers which are there have read, and those that came to an end otherwise."""
        return self.gone.read + self.lost + sum(snapshot.counted.read for snapshot in snapshots)

    def book(self, snapshots: Sequence[Snapshot], wire: WireCounters) -> None:
        """Book what is not accounted for as lost with the workers that are gone. All others have told everything, and
        have read nothing since.
        """
        self.lost += max(0, wire.offered - wire.dropped - self.accounted(snapshots))
        self.unbooked = False

    def cut(self, snapshots: Sequence[Snapshot], before: int, wire: WireCounters, told: bool) -> Cut:
        """Make a cut.

        Args:
            snapshots: what each worker that is there has said last.
            before: frames that the wire had handed out before they were asked.
            wire: its counters now.
            told: whether all who read have answered.
        """
        least = max(before, self.handed_out)
        read = self.accounted(snapshots)
        untold = 0 if told and not self.unbooked else max(0, least - read)
        self.handed_out = max(least, min(read + untold, wire.offered - wire.dropped))
        return Cut(snapshots, self.gone, self.handed_out + wire.dropped, wire.dropped, self.lost, untold)
