"""The nic that several workers look like."""

from dataclasses import replace

import pytest

from asyncnic.errors import DeviceLost
from asyncnic.service.observed import NicView, Unwatchable
from asyncnic.service.workers.books import Cut
from asyncnic.service.workers.merged import DeviceNames, MergedNic
from asyncnic.settings.knobs import Knobs
from tests.service.workers.snapshots import counted, snapshot

MAC = bytes.fromhex("02000000000a")


def merged() -> MergedNic:
    return MergedNic(DeviceNames("tap:shared0", "tap", "Am79C970A", MAC), Knobs())


def test_it_is_a_nic_to_those_who_look() -> None:
    nic: NicView = merged()
    assert nic.device.name == "tap:shared0"


def test_before_there_is_a_worker_everything_can_be_looked_at() -> None:
    nic = merged()
    for cut in (None, Cut()):
        if cut is not None:
            nic.show(cut, True)
        assert (nic.chip, nic.mac, nic.device_up, nic.queue_frames) == ("Am79C970A", MAC, False, 0)
        assert nic.ring_words() == {"rx": [], "tx": []}
        assert nic.ring_descriptors()["rx"] == {"card": 0, "host": 0}
        assert nic.ledger().imbalance == 0
        with pytest.raises(DeviceLost, match="no worker"):
            nic.registers()


def test_the_sum_is_a_ledger_and_each_lane_has_its_own() -> None:
    nic = merged()
    nic.show(Cut([snapshot(10, 7, 2, 1), snapshot(20, 20)], offered=35, dropped=5), True)
    ledger = nic.ledger()
    assert ledger.imbalance == 0
    assert (ledger.offered, ledger.delivered, ledger.filtered, ledger.in_flight) == (35, 27, 1, 2)
    assert ledger.dropped_at("kernel") == 5
    assert nic.accounts().lanes["bulk"].ledger.imbalance == 0


def test_a_frame_that_nobody_accounts_for_is_an_imbalance() -> None:
    nic = merged()
    nic.show(Cut([snapshot(10, 10)], offered=11), True)
    assert nic.ledger().imbalance == 1


def test_what_is_lost_is_a_row_and_what_is_untold_is_in_flight() -> None:
    nic = merged()
    nic.show(Cut([snapshot(10, 10)], counted(9, 6).closed(), offered=23, lost=3, untold=4), True)
    ledger = nic.ledger()
    assert ledger.dropped["driver"]["worker_lost"] == 3
    assert (ledger.delivered, ledger.in_flight, ledger.imbalance) == (16, 4, 0)
    assert nic.accounts().lanes["bulk"].ledger.imbalance == 0


@pytest.mark.parametrize(
    ("tap", "chips", "up"),
    [
        (True, (True, True), True),
        (True, (True, False), False),
        (False, (True,), False),
        (True, (), False),
    ],
)
def test_it_is_up_when_the_tap_and_all_chips_are_and_there_is_one(tap: bool, chips: tuple[bool, ...], up: bool) -> None:
    nic = merged()
    nic.show(Cut([snapshot(0, 0, up=chip) for chip in chips]), tap)
    assert nic.device_up is up


def test_bursts_cannot_be_shown_and_that_is_said() -> None:
    nic = merged()
    nic.watch(None)
    with pytest.raises(Unwatchable, match="--workers 1"):
        nic.watch(lambda burst: None)


def test_an_automatic_knob_is_the_largest_of_the_workers() -> None:
    nic = merged()
    one = snapshot(0, 0)
    shown = Cut(
        [replace(one, standing=replace(one.standing, rx_budget=budget, rx_usecs=budget / 1e6)) for budget in (12, 200)]
    )
    nic.show(shown, True)
    assert nic.knobs.rx_budget == 64
    nic.knobs.rx_budget_auto = True
    nic.show(shown, True)
    assert (nic.knobs.rx_budget, nic.knobs.rx_usecs) == (200, 0.0)
    nic.knobs.rx_usecs_auto = True
    nic.show(shown, True)
    assert nic.knobs.rx_usecs == 200 / 1e6
