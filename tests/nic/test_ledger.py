"""The ledger: adding up, balancing, and a device's lanes against its wire."""

from asyncnic.nic.ledger import Accounts, LaneAccount, Ledger


def lane(offered: int, full: int) -> LaneAccount:
    return LaneAccount(Ledger(offered, offered - full, 0, 0, {"kernel": {"tap_queue_full": full}}), 60 * offered)


def test_a_ledger_balances_or_says_by_how_much() -> None:
    dropped = {"kernel": {"tap_queue_full": 2, "shed": 1}, "card": {"miss": 3}}
    ledger = Ledger(offered=20, delivered=8, filtered=4, in_flight=2, dropped=dropped)
    assert ledger.dropped_total == 6
    assert ledger.imbalance == 0
    assert Ledger(21, 8, 4, 2, dropped).imbalance == 1


def test_the_sum_has_the_reasons_of_both() -> None:
    one = Ledger(3, 1, 0, 0, {"kernel": {"tap_queue_full": 2}})
    other = Ledger(5, 1, 0, 0, {"kernel": {"tap_queue_full": 1, "shed": 2}, "card": {"miss": 1}})
    assert (one + other).dropped == {"kernel": {"tap_queue_full": 3, "shed": 2}, "card": {"miss": 1}}
    assert one.dropped == {"kernel": {"tap_queue_full": 2}}, "neither is changed"


def test_a_devices_ledger_is_its_lanes_and_what_was_shed() -> None:
    total = Accounts(37, {"control": lane(10, 0), "bulk": lane(20, 15)}, {"udp:9": 5}, 7).total
    assert (total.offered, total.delivered, total.imbalance) == (37, 15, 0)
    assert total.dropped["kernel"] == {"tap_queue_full": 15, "shed": 7}
    assert total.as_json()["dropped"] == {"kernel": 22, "card": 0, "driver": 0, "queue": 0}


def test_the_wire_is_a_witness_of_its_own() -> None:
    assert Accounts(31, {"bulk": lane(30, 0)}).total.imbalance == 1
