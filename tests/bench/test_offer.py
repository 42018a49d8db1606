"""The handle on the load generator: it waits, goes, ends and fails as it says."""

import time

import pytest

from asyncnic.bench import wires
from asyncnic.bench.load import LoadError
from asyncnic.bench.offer import Offer
from tests.bench.conftest import BareTap


def test_nothing_is_sent_before_go(bare_tap: BareTap) -> None:
    offer = Offer([wires.RECEIVER, "--count", "100"])
    assert not offer.finished
    assert bare_tap.drain() == []
    offer.go()
    assert offer.result().datagrams == 100
    assert len(bare_tap.drain()) == 100
    assert offer.finished


def test_finished_when_the_last_datagram_is_sent(bare_tap: BareTap) -> None:
    offer = Offer([wires.RECEIVER, "--count", "10"])
    offer.go()
    end = time.monotonic() + 10
    while not offer.finished and time.monotonic() < end:
        time.sleep(0.01)
    assert offer.finished
    assert len(bare_tap.drain()) == 10
    offer.stop()
    offer.stop()


def test_stop_ends_a_load_that_would_go_on(bare_tap: BareTap) -> None:
    offer = Offer([wires.RECEIVER, "--seconds", "1000"])
    offer.go()
    offer.stop()
    before = wires.counters(bare_tap.name)
    bare_tap.drain()
    assert wires.counters(bare_tap.name).transmit_dropped == before.transmit_dropped


def test_an_impossible_load_is_refused_before_it_starts() -> None:
    with pytest.raises(LoadError, match="--rate needs"):
        Offer([wires.RECEIVER, "--rate", "5"])


def test_a_load_without_a_route_fails_in_one_line() -> None:
    offer = Offer(["203.0.113.9", "--count", "5"])
    offer.go()
    with pytest.raises(LoadError, match=r"^load: 203\.0\.113\.9: Network is unreachable$"):
        offer.result()
