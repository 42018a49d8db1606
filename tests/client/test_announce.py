"""What is announced of a service, from what it says of itself."""

from typing import Any

import pytest

from asyncnic.client.announce import CALM_SECONDS, Announcer, Terms, own_routes


def stats(ready: bool = True, dropped: int = 0) -> dict[str, Any]:
    addresses = {
        "192.0.2.2": "preferred",
        "198.51.100.0/24": "preferred",
        "fe80::1": "preferred",
        "2001:db8::2": "preferred",
    }
    return {
        "ready": ready,
        "dropped": {"kernel": dropped, "card": 0, "driver": 0, "queue": 0},
        "addresses": addresses | {"192.0.2.9": "duplicate", "2001:db8::9": "tentative"},
    }


ROUTE = Terms(("198.51.100.1/32",), "192.0.2.11")
UP = "announce route 198.51.100.1/32 next-hop 192.0.2.11 med 100"
SLOW = "announce route 198.51.100.1/32 next-hop 192.0.2.11 med 1000"
DOWN = "withdraw route 198.51.100.1/32 next-hop 192.0.2.11"


def test_a_service_is_announced_once_when_it_is_ready_and_withdrawn_once_when_it_is_not() -> None:
    announcer = Announcer(ROUTE)
    said = [announcer.read(stats(ready), at) for at, ready in enumerate([False, False, True, True, False, False, True])]
    assert said == [[], [], [UP], [], [DOWN], [], [UP]]


@pytest.mark.parametrize("why", [None, stats(ready=False)], ids=["it does not answer", "it drains"])
def test_whatever_it_is_that_is_wrong(why: dict[str, Any] | None) -> None:
    announcer = Announcer(ROUTE)
    announcer.read(stats(), 0.0)
    assert announcer.read(why, 1.0) == [DOWN]
    assert announcer.announced == {}


def test_med_rises_while_drops_grow_and_falls_when_they_have_not_for_a_while() -> None:
    announcer = Announcer(ROUTE)
    assert announcer.read(stats(dropped=500), 0.0) == [UP]  # before we looked
    assert announcer.read(stats(dropped=501), 1.0) == [SLOW]
    assert announcer.read(stats(dropped=900), 2.0) == []
    assert announcer.read(stats(dropped=900), 2.0 + CALM_SECONDS - 0.1) == []
    assert announcer.read(stats(dropped=900), 2.0 + CALM_SECONDS) == [UP]


def test_a_service_that_begins_anew_has_not_dropped_less() -> None:
    announcer = Announcer(ROUTE)
    announcer.read(stats(dropped=500), 0.0)
    assert announcer.read(stats(dropped=0), 1.0) == []
    assert announcer.read(stats(dropped=1), 2.0) == [SLOW]


def test_without_routes_its_addresses_are_announced() -> None:
    assert own_routes(stats()["addresses"]) == ["192.0.2.2/32", "198.51.100.0/24", "2001:db8::2/128"]
    announcer = Announcer(Terms())
    assert announcer.read(stats(), 0.0)[0] == "announce route 192.0.2.2/32 next-hop self med 100"
    less = stats()
    del less["addresses"]["2001:db8::2"]
    assert announcer.read(less, 1.0) == ["withdraw route 2001:db8::2/128 next-hop self"]
