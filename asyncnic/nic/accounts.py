"""Reads the ledger: what the wire says it offered, and where those frames stand or ended.

Nothing is counted here. All that is read is plain integers of others, read at one moment on the loop's thread; of a
chip that runs beside us, which has no such moment, two readings of its wire are the bounds.
"""

from asyncnic.devices import overflow
from asyncnic.devices.device import Device, Lane, LaneCounters, WireCounters
from asyncnic.errors import DeviceLost
from asyncnic.faults import injected_into
from asyncnic.nic.delivery.delivery import Delivery
from asyncnic.nic.ledger import LOST_WITH_DEVICE, Accounts, LaneAccount, Ledger
from asyncnic.nic.rings import Rings
from asyncnic.nic.state import Life, State

_DRIVER_DROPS = ("error_descriptor", "buffer", "length", "no_start", "oversize", "reset", "source_limit")


class Accountant:
    """Reads the accounts of one nic.

    Args:
        device: its wire is asked.
        rings: what came off it.
        delivery: what became of that.
        life: the nic's state; a wire that is gone when it is asked is lost.
    """

    def __init__(self, device: Device, rings: Rings, delivery: Delivery, life: Life) -> None:
        self._device = device
        self._rings = rings
        self._delivery = delivery
        self._life = life
        self._injected = [injected_into(lane) for lane in device.lanes]
        life.tell(self._changed)

    def accounts(self) -> Accounts:
        """Every term of the law, lane by lane, with what was shed before any lane."""
        if self._life.present:
            for driver in self._rings.drivers:
                driver.sample_missed()  # a chip that does not answer is found out before its wire is read
        wire = self._read_wire()
        lanes = {lane.name: self._account(number, lane, wire) for number, lane in enumerate(self._device.lanes)}
        injected = [read() for read in self._injected]
        happened: dict[str, int] = {}
        for one in injected:
            for name, times in one.happened.items():
                happened[name] = happened.get(name, 0) + times
        if wire is None or not wire.lanes:
            return Accounts(sum(account.ledger.offered for account in lanes.values()), lanes, injected=happened)
        offered = wire.offered + sum(one.offered for one in injected)
        return Accounts(offered, lanes, wire.shed, wire.shed_total, happened)

    def _account(self, number: int, lane: Lane, wire: WireCounters | None) -> LaneAccount:
        """One lane's part. Where the wire cannot be asked, what came off it is what was offered."""
        driver = self._rings.drivers[number]
        if self._life.present:
            driver.sample_missed()
        counters = driver.rx.counters
        standing = driver.rx.finished()  # once: a chip beside us goes on filling its ring
        came = self._came_in(number, standing)
        if wire is None:
            on_wire = LaneCounters(came, 0)
        else:
            on_wire = wire.lanes[number] if wire.lanes else self._at_one_moment(wire, came)
        delivered, octets = self._delivery.delivered(number)
        injected = self._injected[number]()
        ledger = Ledger(
            offered=on_wire.offered + (injected.offered if wire is not None else 0),
            delivered=delivered,
            filtered=lane.filtered + counters.filtered,
            in_flight=self._rings.in_flight(number, standing) + self._delivery.in_flight(number) + injected.held,
            dropped={
                "kernel": {overflow(self._device.backend): on_wire.dropped},
                "card": {
                    "miss": driver.missed,
                    LOST_WITH_DEVICE: wire.lost if wire and not wire.lanes else 0,
                    **injected.dropped,
                },
                "driver": {reason: getattr(counters, reason) for reason in _DRIVER_DROPS},
                "queue": self._delivery.dropped(number),
            },
        )
        return LaneAccount(ledger, octets, on_wire.waiting)

    def _at_one_moment(self, wire: WireCounters, came: int) -> LaneCounters:
        """What the wire had handed out when the chip was read, of which `came` frames had come in.

        A chip that takes frames by itself does so between two readings too. Its count was taken after `wire`, and is
        then of one moment with the wire's if a second reading of that is not below it; what lies outside these bounds
        is frames that are unaccounted for.
        """
        came += wire.lost
        if wire.offered - wire.dropped == came:
            return LaneCounters(wire.offered, wire.dropped)
        after = self._read_wire() or wire
        read = max(wire.offered - wire.dropped, min(came, after.offered - after.dropped))
        return LaneCounters(read + after.dropped, after.dropped)

    def _read_wire(self) -> WireCounters | None:
        """The wire's count now, or the last one where it is gone."""
        try:
            return self._device.wire()
        except DeviceLost as error:
            self._life.lose(error)
            self._count_out()
        return self._device.wire()

    def _changed(self) -> None:
        """A device that was lost counts for the last time."""
        if self._life.state in (State.LOST, State.ORPHANED):
            self._count_out()

    def _count_out(self) -> None:
        """Have the lost device count for the last time, and its chips too, as far as they can still be read."""
        self._device.lose(self._came)
        self._came()

    def _came(self) -> int:
        """Frames that have come off the wire, as the drivers' rings and chips say."""
        for driver in self._rings.drivers:
            driver.sample_missed()
        return sum(self._came_in(number, driver.rx.finished()) for number, driver in enumerate(self._rings.drivers))

    def _came_in(self, number: int, standing: int) -> int:
        driver = self._rings.drivers[number]
        counters = driver.rx.counters
        got = counters.seen + standing + driver.missed + self._device.lanes[number].filtered
        return got + self._injected[number]().came
