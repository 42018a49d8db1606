"""Reads the ledger: what the wire says it offered, and where those frames stand or ended.

Nothing is counted here. All that is read is plain integers of others, read at one moment on the loop's thread; of a
chip that runs beside us, which has no such moment, two readings of its wire are the bounds.
"""

from asyncnic.devices.device import Device, Lane, LaneCounters, WireCounters
from asyncnic.errors import DeviceLost
from asyncnic.nic.delivery.delivery import Delivery
from asyncnic.nic.ledger import Accounts, LaneAccount, Ledger
from asyncnic.nic.rings import Rings
from asyncnic.nic.state import Life

_DRIVER_DROPS = ("error_descriptor", "buffer", "length", "no_start", "oversize", "reset")


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
        self._wire: WireCounters | None = None

    def accounts(self) -> Accounts:
        """Every term of the law, lane by lane, with what was shed before any lane."""
        wire = self._read_wire()
        lanes = {lane.name: self._account(number, lane, wire) for number, lane in enumerate(self._device.lanes)}
        if wire is None or not wire.lanes:
            return Accounts(sum(account.ledger.offered for account in lanes.values()), lanes)
        return Accounts(wire.offered, lanes, wire.shed, wire.shed_total)

    def _account(self, number: int, lane: Lane, wire: WireCounters | None) -> LaneAccount:
        """One lane's part. Where the wire cannot be asked, what came off it is what was offered."""
        driver = self._rings.drivers[number]
        if self._life.present:
            driver.sample_missed()
        counters = driver.rx.counters
        standing = driver.rx.finished()
        came = counters.seen + standing + driver.missed + lane.filtered
        if wire is None:
            on_wire = LaneCounters(came, 0)
        else:
            on_wire = wire.lanes[number] if wire.lanes else self._at_one_moment(wire, came)
        delivered, octets = self._delivery.delivered(number)
        ledger = Ledger(
            offered=on_wire.offered,
            delivered=delivered,
            filtered=lane.filtered + counters.filtered,
            in_flight=self._rings.in_flight(number, standing) + self._delivery.in_flight(number),
            dropped={
                "kernel": {"tap_queue_full": on_wire.dropped},
                "card": {"miss": driver.missed},
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
        if wire.offered - wire.dropped == came:
            return LaneCounters(wire.offered, wire.dropped)
        after = self._read_wire() or wire
        read = max(wire.offered - wire.dropped, min(came, after.offered - after.dropped))
        return LaneCounters(read + after.dropped, after.dropped)

    def _read_wire(self) -> WireCounters | None:
        """The wire's count now, or the last one where the wire is gone."""
        try:
            self._wire = self._device.wire()
        except DeviceLost as error:
            self._life.lose(error)
        return self._wire
