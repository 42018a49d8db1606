"""The law of a sink as a value: it can fail, and it survives the worker that had the datagrams."""

from asyncnic.sinks.ledger import GIVEN_UP, REFUSED, WORKER_LOST, SinkLedger


def test_a_ledger_can_fail_and_a_lost_worker_takes_what_stood_in_it() -> None:
    ledger = SinkLedger(received=10, acknowledged=6, in_flight=3, failed={REFUSED: 1, GIVEN_UP: 0, WORKER_LOST: 0})
    assert ledger.imbalance == 0
    assert SinkLedger(received=1).imbalance == 1
    closed = ledger.counted().closed()
    assert closed.failed[WORKER_LOST] == 3
    assert closed.imbalance == 0
    assert ledger.standing() == SinkLedger(in_flight=3)


def test_its_json_has_every_term_of_the_law() -> None:
    found = SinkLedger(received=3, acknowledged=2, in_flight=1, down=1, waits=4, waited=0.25, republished=5).as_json()
    assert found == {
        "received": 3,
        "acknowledged": 2,
        "in_flight": 1,
        "failed": {REFUSED: 0, GIVEN_UP: 0, WORKER_LOST: 0},
        "up": False,
        "window_waits": 4,
        "window_wait_seconds": 0.25,
        "republished": 5,
    }
