from collections.abc import Sequence

import pytest

from asyncnic.stacks.inet.neighbours import (
    ALL_PENDING,
    ATTEMPTS,
    FORGET,
    LIMIT,
    PENDING,
    REACHABLE,
    RETRANSMIT,
    Neighbours,
)
from asyncnic.stacks.inet.outcomes import Totals

A, B, C = b"\x0a\0\0\x01", b"\x0a\0\0\x02", b"\x0a\0\0\x03"
MAC = b"\x02\0\0\0\0\x01"


class Cache:
    def __init__(self, limit: int = 8) -> None:
        self.asked: list[tuple[bytes, bytes | None]] = []
        self.sent: list[tuple[bytes, bytes]] = []
        self.totals = Totals()
        self.room = True
        self.changes = 0
        self.cache = Neighbours(
            lambda *question: self.asked.append(question), self.transmit, self.totals, limit, self.changed
        )

    def changed(self) -> None:
        self.changes += 1

    def transmit(self, mac: bytes, packets: Sequence[bytes]) -> bool:
        if self.room:
            self.sent.extend((mac, packet) for packet in packets)
        return self.room


def test_packets_wait_in_order_for_the_answer() -> None:
    test = Cache()
    assert test.cache.send(A, [b"1"], 0)
    assert test.cache.send(A, [b"2", b"3"], 0.1)
    assert test.asked == [(A, None)]
    assert test.sent == []
    test.cache.learn(A, MAC, 0.2)
    assert test.sent == [(MAC, b"1"), (MAC, b"2"), (MAC, b"3")]
    assert test.cache.pending() == 0


def test_some_packets_wait_and_the_oldest_makes_room() -> None:
    test = Cache()
    for number in range(PENDING + 2):
        test.cache.send(A, [number.to_bytes(2, "big")], 0)
    assert test.cache.pending() == PENDING
    assert test.totals.unresolved == 2
    test.cache.learn(A, MAC, 0)
    assert [int.from_bytes(packet, "big") for _, packet in test.sent] == list(range(2, PENDING + 2))
    assert test.cache.pending() == 0


def test_all_that_wait_are_bounded_too() -> None:
    test = Cache()
    addresses = [bytes((192, 0, 2, number)) for number in range(ALL_PENDING // PENDING + 1)]
    for address in addresses:
        for _ in range(PENDING):
            test.cache.send(address, [b"1"], 0)
    assert test.cache.pending() == ALL_PENDING
    assert test.totals.unresolved == PENDING
    test.cache.learn(addresses[0], MAC, 0)
    assert test.cache.pending() == ALL_PENDING - PENDING
    for attempt in range(1, ATTEMPTS + 1):
        test.cache.poll(attempt * RETRANSMIT)
    assert test.cache.pending() == 0
    assert test.totals.unresolved == ALL_PENDING


def test_who_moves_is_told_of() -> None:
    test = Cache()
    test.cache.send(A, [b"1"], 0)
    test.cache.learn(A, MAC, 0)
    test.cache.learn(A, MAC, 1)
    assert test.changes == 0
    test.cache.learn(A, b"other1", 2)
    assert test.changes == 1
    test.cache.poll(2 + FORGET)
    assert test.changes == 2


def test_it_asks_again_and_gives_up() -> None:
    test = Cache()
    test.cache.send(A, [b"1"], 0)
    due = test.cache.poll(0)
    assert due == RETRANSMIT
    for attempt in range(1, ATTEMPTS):
        assert len(test.asked) == attempt
        due = test.cache.poll(attempt * RETRANSMIT)
    assert len(test.asked) == ATTEMPTS
    assert due == ATTEMPTS * RETRANSMIT
    assert test.cache.poll(due) is None
    assert len(test.cache) == 0
    assert test.totals.unresolved == 1


def test_a_stale_neighbour_is_probed_while_it_is_used() -> None:
    test = Cache()
    test.cache.learn(A, MAC, 0, create=True)
    test.cache.send(A, [b"1"], REACHABLE)
    assert test.asked == []
    test.cache.send(A, [b"2"], REACHABLE + 1)
    test.cache.send(A, [b"3"], REACHABLE + 1)
    assert test.asked == [(A, MAC)]
    assert len(test.sent) == 3
    test.cache.learn(A, MAC, REACHABLE + 1.1)
    assert test.cache.poll(REACHABLE + 5) == REACHABLE + 1.1 + FORGET
    assert len(test.asked) == 1


def test_a_neighbour_that_is_gone_is_forgotten() -> None:
    test = Cache()
    test.cache.learn(A, MAC, 0, create=True)
    test.cache.send(A, [b"1"], 100)
    for attempt in range(1, ATTEMPTS + 1):
        test.cache.poll(100 + attempt * RETRANSMIT)
    assert test.cache.lookup(A) is None


def test_unused_entries_are_forgotten() -> None:
    test = Cache()
    test.cache.learn(A, MAC, 0, create=True)
    assert test.cache.poll(FORGET - 1) == FORGET
    assert test.cache.poll(FORGET) is None
    assert len(test.cache) == 0


def test_the_oldest_entry_makes_room() -> None:
    test = Cache(limit=2)
    test.cache.send(A, [b"1"], 0)
    test.cache.learn(B, MAC, 1, create=True)
    test.cache.learn(A, MAC, 2)
    test.cache.learn(C, MAC, 3, create=True)
    assert len(test.cache) == 2
    assert test.cache.lookup(B) is None
    assert test.cache.lookup(A) == test.cache.lookup(C) == MAC


def test_strangers_do_not_enter() -> None:
    test = Cache()
    test.cache.learn(A, MAC, 0)
    assert len(test.cache) == 0


def test_what_waited_and_finds_no_room_is_counted() -> None:
    test = Cache()
    test.cache.send(A, [b"1"], 0)
    test.room = False
    test.cache.learn(A, MAC, 0)
    assert test.totals.unresolved == 1
    assert not test.cache.send(A, [b"2"], 0)


def address(number: int) -> bytes:
    return b"\x0a\1" + number.to_bytes(2, "big")


@pytest.mark.parametrize("resolved", [False, True], ids=["who do not answer", "who do"])
def test_newcomers_do_not_push_out_a_neighbour_in_use(resolved: bool) -> None:
    test = Cache(limit=LIMIT)
    test.cache.learn(A, MAC, 0, create=True)
    for number in range(3000):
        if resolved:
            test.cache.learn(address(number), MAC, 0, create=True)
        test.cache.send(address(number), [b"answer"], 0)
        assert test.cache.send(A, [b"in use"], 0)
        assert len(test.cache) <= LIMIT
    assert sum(packet == b"in use" for _, packet in test.sent) == 3000
    assert test.totals.neighbours_evicted == 3001 - LIMIT
    assert test.totals.unresolved == (0 if resolved else 3001 - LIMIT)


def test_addresses_that_nobody_has_cost_known_neighbours_little() -> None:
    """RFC 6583: a sweep takes its share of the table, and of those known who were not used for longest."""
    test = Cache(limit=80)
    for number in range(80):
        test.cache.learn(address(number), MAC, 0, create=True)
    for number in range(1000, 3000):
        test.cache.send(address(number), [b"?"], 0)
    known = [number for number in range(80) if test.cache.lookup(address(number))]
    assert known == list(range(11, 80))


def test_a_newcomer_is_answered_while_others_do_not_answer() -> None:
    test = Cache(limit=16)
    for number in range(1000):
        test.cache.send(address(number), [b"?"], 0)
    test.cache.send(B, [b"for B"], 0)
    test.cache.learn(B, MAC, 0.1)
    assert test.sent == [(MAC, b"for B")]
