"""Several workers' nics as the one that observers read (`service.observed.NicView`). Only sums; asks nobody."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from asyncnic.devices import overflow
from asyncnic.errors import DeviceLost
from asyncnic.hot.heads import HeadRing
from asyncnic.lanes.rules import parse_lanes
from asyncnic.nic.burst import Burst
from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.ledger import Accounts, LaneAccount, Ledger
from asyncnic.service.observed import Unwatchable
from asyncnic.service.workers.books import Cut
from asyncnic.service.workers.snapshot import Counted, LaneCounted, Names, Snapshot, Table, add, descriptors, total
from asyncnic.settings.knobs import AUTOMATIC, Knobs
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.stacks.stack import Sockets, TcpStanding


@dataclass(frozen=True, slots=True)
class DeviceNames:
    """What is known of the TAP that the workers share, and of their chips, before there is any."""

    name: str
    backend: str
    chip: str
    mac: bytes


class MergedNic:
    """What all workers together have done, as of the last `show`. Chip and address are the same in all of them.

    Args:
        device: the TAP's names, the chips' name and address.
        knobs: the live knobs, the same in all workers; an automatic budget is shown as the largest of theirs.
    """

    def __init__(self, device: DeviceNames, knobs: Knobs) -> None:
        self.device = device
        self.knobs = knobs
        self.device_up = False
        self.no_link = ""
        self.burst_frames = Histogram(BURST_FRAMES)
        self.delivery_seconds = Histogram(SECONDS)
        self.counted = Counted()
        self._snapshots: Sequence[Snapshot] = ()
        self._last_lane = parse_lanes(knobs.lane)[-1].name
        self._accounts = Accounts(0, {})

    def show(self, cut: Cut, up: bool, no_link: str = "") -> None:
        """Show a new cut.

        Args:
            up: whether the TAP is there.
            no_link: why a TAP that is there carries nothing; empty: it does.
        """
        self._snapshots = snapshots = cut.snapshots
        self.counted = counted = total(snapshots, cut.gone)
        counted.burst_frames.put_into(self.burst_frames)
        counted.delivery_seconds.put_into(self.delivery_seconds)
        up = up and not no_link and bool(snapshots)
        self.no_link = no_link
        self.device_up = up and all(snapshot.standing.device_up for snapshot in snapshots)
        for name in AUTOMATIC:
            if snapshots and getattr(self.knobs, f"{name}_auto"):
                setattr(self.knobs, name, max(getattr(snapshot.standing, name) for snapshot in snapshots))
        # What belongs to nobody is booked on the last lane, which takes what no rule is for.
        beside = Ledger(
            cut.lost + cut.dropped + cut.untold,
            0,
            0,
            cut.untold,
            {"kernel": {overflow(self.device.backend): cut.dropped}, "driver": {"worker_lost": cut.lost}},
        )
        lanes = {}
        for name, lane in (counted.lanes or {self._last_lane: LaneCounted(Ledger(0, 0, 0, 0), 0)}).items():
            in_flight = sum(snapshot.standing.in_flight.get(name, 0) for snapshot in snapshots)
            ledger = replace(lane.ledger, in_flight=in_flight)
            lanes[name] = LaneAccount(ledger + beside if name == self._last_lane else ledger, lane.delivered_bytes)
        self._accounts = Accounts(cut.offered, lanes)

    def ledger(self) -> Ledger:
        """Where every frame was at the last cut."""
        return self._accounts.total

    def accounts(self) -> Accounts:
        """The same, lane by lane. Which lane's queue has dropped is not known: the last one's, it says."""
        return self._accounts

    @property
    def chip(self) -> str:
        return self.device.chip

    @property
    def mac(self) -> bytes:
        return self.device.mac

    @property
    def counters(self) -> Counters:
        return self.counted.counters

    @property
    def receive_errors(self) -> Names:
        return self.counted.receive_errors

    @property
    def transmit_errors(self) -> Names:
        return self.counted.transmit_errors

    @property
    def queue_frames(self) -> int:
        return sum(snapshot.standing.queue_frames for snapshot in self._snapshots)

    def addresses(self) -> dict[str, str]:
        """The stacks' addresses and what they are: of workers that do not agree, what the last one says."""
        merged: dict[str, str] = {}
        for snapshot in self._snapshots:
            merged |= snapshot.standing.addresses
        return merged

    def sockets(self) -> Sockets:
        """The stacks' sockets, worker by worker: a service has its listener in each."""
        found = [snapshot.standing.sockets for snapshot in self._snapshots]
        return Sockets([one for some in found for one in some.listed], sum(some.left_out for some in found))

    def tcp(self) -> TcpStanding:
        """The stacks' connections, added up."""
        standing = TcpStanding()
        for snapshot in self._snapshots:
            standing = add(standing, snapshot.standing.tcp)
        return standing

    def sinks(self) -> dict[str, SinkLedger]:
        """The stacks' sinks, added up: what has been counted, of workers that are gone too, and what stands now."""
        found = dict(self.counted.sinks)
        for snapshot in self._snapshots:
            found = add(found, snapshot.standing.sinks)
        return found

    def ring_descriptors(self) -> Table:
        """Descriptors of all workers by ring and owner."""
        return descriptors(self._snapshots)

    def registers(self) -> Names:
        """The first worker's.

        Raises:
            DeviceLost: its chip does not answer.
        """
        if not self._snapshots:
            raise DeviceLost("no worker is there")
        standing = self._snapshots[0].standing
        if standing.registers_missing:
            raise DeviceLost(standing.registers_missing)
        return standing.registers

    def ring_words(self) -> dict[str, list[tuple[int, int, int]]]:
        """The first worker's; none when there is no worker."""
        return self._snapshots[0].standing.ring_words if self._snapshots else {"rx": [], "tx": []}

    def record_heads(self, heads: HeadRing | None) -> None:
        """See `NicView.record_heads`.

        Raises:
            Unwatchable: when asked to keep them.
        """
        if heads is not None:
            raise Unwatchable("heads of frames are recorded with --workers 1 only")

    def watch(self, watcher: Callable[[Burst], None] | None) -> None:
        """Bursts stay in the workers: there are none to show.

        Raises:
            Unwatchable: when asked to show them.
        """
        if watcher is not None:
            raise Unwatchable("frames can be captured with --workers 1 only")
