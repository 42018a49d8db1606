"""What a host has open, as rows: handshakes and connections of two hosts over a wire of the tests."""

from typing import Any

import pytest

from asyncnic.stacks.inet.outcomes import Totals
from asyncnic.stacks.inet.sockets import shown, sockets, standing
from asyncnic.stacks.inet.udp import Udp
from asyncnic.stacks.stack import Sockets
from tests.stacks.inet.tcp.pair import Pair

LISTENER = ("tcp", "listen", "192.0.2.2:80", "*")


def listed(pair: Pair, most: int = 100) -> Sockets:
    """What host B has open."""
    return sockets(Udp(Totals()), pair.b, most, pair.now)


def heads(found: Sockets) -> list[tuple[str, str, str, str]]:
    return [(one.protocol, one.state, one.local, one.peer) for one in found.listed]


@pytest.mark.parametrize(
    ("address", "text"),
    [(("192.0.2.1", 7), "192.0.2.1:7"), (("2001:db8::1", 80, 0, 0), "[2001:db8::1]:80")],
)
def test_addresses_are_written_as_people_do(address: tuple[Any, ...], text: str) -> None:
    assert shown(address) == text


def test_a_handshake_is_listed_and_then_its_connection() -> None:
    pair = Pair()
    assert heads(listed(pair)) == [LISTENER]
    client = pair.connect()
    pair.run(lambda: bool(pair.b.listening.half_open))
    peer = f"192.0.2.1:{int.from_bytes(client.connection.key[-2:], 'big')}"
    assert heads(listed(pair)) == [LISTENER, ("tcp", "syn-received", "192.0.2.2:80", peer)]
    pair.run(lambda: bool(pair.accepted))
    assert heads(listed(pair)) == [LISTENER, ("tcp", "established", "192.0.2.2:80", peer)]


def test_queues_and_the_way_are_those_of_the_connection() -> None:
    pair = Pair()
    client, server = pair.opened()
    server.connection.write(bytes(100_000))
    pair.b.touch(server.connection)
    pair.b.flush(pair.now)
    one = listed(pair).listed[-1]
    assert one.send_queue == 100_000
    assert one.receive_queue == 0
    sender = server.connection.sender
    assert one.details["cwnd"] == sender.congestion.window
    assert one.details["in_flight"] == sender.flight > 0
    assert one.details["memory"] == server.connection.charged > 100_000
    assert "ssthresh" not in one.details
    pair.run(lambda: client.connection.receiver.nxt - client.connection.irs > 100_000)
    pair.run(lambda: sender.flight == 0)
    one = listed(pair).listed[-1]
    assert one.send_queue == 0
    assert one.details["rtt"] == pytest.approx(sender.round_trip.smoothed, abs=1e-6)


def test_no_more_are_listed_than_asked_for_and_the_rest_is_counted() -> None:
    pair = Pair()
    for _ in range(5):
        pair.opened()
        pair.accepted.clear()
    found = listed(pair, 3)
    assert (len(found.listed), found.left_out) == (3, 3)
    assert found.first(2) == Sockets(found.listed[:2], 4)
    assert found.first(3) == found


def test_every_state_is_counted_from_the_start_on_and_memory_is_what_the_accounts_say() -> None:
    pair = Pair()
    assert set(standing(pair.b).connections.values()) == {0}
    assert "listen" not in standing(pair.b).connections
    pair.connect()
    pair.run(lambda: bool(pair.b.listening.half_open))
    assert standing(pair.b).connections["syn-received"] == 1
    assert standing(pair.a).connections["syn-sent"] == 1
    assert standing(pair.b).memory == 0
    pair.run(lambda: bool(pair.accepted))
    found = standing(pair.b)
    assert found.connections == dict.fromkeys(found.connections, 0) | {"established": 1}
    assert found.memory == pair.b.accounts.memory > 0
