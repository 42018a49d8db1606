"""The nic that several workers look like."""

from dataclasses import replace

import pytest

from asyncnic.devices.device import WireCounters
from asyncnic.service.observed import NicView, Unwatchable
from asyncnic.service.workers.merged import DeviceNames, MergedNic
from asyncnic.service.workers.snapshot import Counted
from asyncnic.settings.knobs import Knobs
from tests.service.workers.snapshots import counted, snapshot


def merged() -> MergedNic:
    return MergedNic(DeviceNames("tap:shared0", "tap"), Knobs())


def test_it_is_a_nic_to_those_who_look() -> None:
    nic: NicView = merged()
    assert nic.device.name == "tap:shared0"


def test_the_law_holds_for_what_the_wire_says_and_the_workers_count() -> None:
    nic = merged()
    nic.update([snapshot(10, 7, 2, 1), snapshot(20, 20)], Counted(), 0, WireCounters(35, 5), True)
    ledger = nic.ledger()
    assert ledger.imbalance == 0
    assert (ledger.offered, ledger.delivered, ledger.filtered, ledger.in_flight) == (35, 27, 1, 2)
    assert ledger.dropped_at("kernel") == 5
    assert nic.accounts().lanes["bulk"].ledger.imbalance == 0


def test_a_frame_that_nobody_accounts_for_is_an_imbalance() -> None:
    nic = merged()
    nic.update([snapshot(10, 10)], Counted(), 0, WireCounters(11, 0), True)
    assert nic.ledger().imbalance == 1


def test_what_dead_workers_had_in_hand_is_dropped_by_the_driver() -> None:
    nic = merged()
    nic.update([snapshot(10, 10)], counted(9, 6).closed(), 3, WireCounters(19, 0), True)
    ledger = nic.ledger()
    assert ledger.dropped["driver"]["worker_lost"] == 3
    assert ledger.delivered == 16
    assert ledger.imbalance == 0


def test_it_is_up_when_the_tap_and_all_chips_are() -> None:
    nic = merged()
    for up, chips, expected in ((True, (True, True), True), (True, (True, False), False), (False, (True,), False)):
        nic.update([snapshot(0, 0, up=chip) for chip in chips], Counted(), 0, WireCounters(0, 0), up)
        assert nic.device_up is expected


def test_bursts_cannot_be_shown_and_that_is_said() -> None:
    nic = merged()
    nic.watch(None)
    with pytest.raises(Unwatchable, match="--workers 1"):
        nic.watch(lambda burst: None)


def test_an_automatic_budget_is_the_largest_of_the_workers() -> None:
    nic = merged()
    one = snapshot(0, 0)
    shown = [replace(one, standing=replace(one.standing, rx_budget=budget)) for budget in (12, 200)]
    nic.update(shown, Counted(), 0, WireCounters(0, 0), True)
    assert nic.knobs.rx_budget == 64
    nic.knobs.rx_budget_auto = True
    nic.update(shown, Counted(), 0, WireCounters(0, 0), True)
    assert nic.knobs.rx_budget == 200
