"""The walk of the receive ring against descriptors written by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.pcnet32.descriptors import BUFF, CRC, ENP, ERR, FRAM, OFLO, ONES, OWN, STP
from asyncnic.pcnet32.driver.receive_ring import BUFFER_SIZE, ReceiveRing
from asyncnic.pcnet32.memory import DmaMemory

RING = 4096
ARMED = 0x8000_F800  # OWN, ONES, and -2048 in twelve bits


class Bench:
    """A ring on memory, and the card's hand on it."""

    def __init__(self, size: int, max_frame: int = 1518) -> None:
        self.size = size
        self.buffers = RING + 16 * size
        self.memory = DmaMemory.anonymous(self.buffers + (size + 2) * BUFFER_SIZE)
        self.ring = ReceiveRing(self.memory, RING, self.buffers, self.buffers + size * BUFFER_SIZE, size, max_frame)
        self.ring.arm_all()

    def card_writes(self, index: int, status: int, count: int, octets: bytes = b"") -> None:
        start = self.buffers + index * BUFFER_SIZE
        self.memory.octets[start : start + len(octets)] = octets
        self.memory.words[RING // 4 + 4 * index + 2] = count
        self.memory.words[RING // 4 + 4 * index + 1] = status | ONES

    def status(self, index: int) -> int:
        return self.memory.words[RING // 4 + 4 * index + 1]

    def card_owns_all(self) -> bool:
        return all(self.status(i) == ARMED for i in range(self.size))

    def taken_losses(self) -> int:
        counters = self.ring.counters
        losses = counters.error_descriptor + counters.buffer + counters.length + counters.no_start
        return losses + counters.oversize


def test_arming_writes_addresses_ones_and_own() -> None:
    bench = Bench(4)
    assert [bench.memory.words[RING // 4 + 4 * i] for i in range(4)] == [
        bench.memory.bus + bench.buffers + i * 2048 for i in range(4)
    ]
    assert bench.card_owns_all()
    assert bench.ring.collect(4) == ([], [])


def test_whole_frames_come_in_order_and_go_back_as_far_as_taken() -> None:
    bench = Bench(4)
    for i in range(3):
        bench.card_writes(i, STP | ENP, 64 + i)
    assert bench.ring.collect(2) == ([bench.buffers, bench.buffers + 2048], [60, 61])
    bench.ring.leave(1)
    assert [bench.status(i) == ARMED for i in range(4)] == [True, False, False, True]
    assert bench.ring.collect(8) == ([bench.buffers + 2048, bench.buffers + 4096], [61, 62])
    assert bench.ring.finished() == 2
    bench.ring.leave(2)
    assert bench.card_owns_all()
    assert bench.ring.counters.seen == 3


def test_a_burst_ends_at_the_end_of_the_ring() -> None:
    bench = Bench(4)
    for i in range(3):
        bench.card_writes(i, STP | ENP, 64)
    bench.ring.collect(4)
    bench.ring.leave(3)
    for i in (3, 0, 1):
        bench.card_writes(i, STP | ENP, 64)
    assert len(bench.ring.collect(4)[0]) == 1
    bench.ring.leave(1)
    assert bench.ring.head == 0
    assert len(bench.ring.collect(4)[0]) == 2


def test_the_upper_bits_of_rmd2_are_counts_of_the_970a_and_no_length() -> None:
    bench = Bench(2)
    bench.card_writes(0, STP | ENP, 0x0302_0000 | 64)
    assert bench.ring.collect(1)[1] == [60]


@pytest.mark.parametrize(
    ("status", "count", "counter", "error"),
    [
        (STP | ENP | ERR | CRC, 64, "error_descriptor", "crc"),
        (STP | ENP | ERR | FRAM | CRC, 64, "error_descriptor", "framing"),
        (STP | ERR | OFLO, 0, "error_descriptor", "overflow"),
        (STP | ERR | BUFF, 0, "buffer", "buffer"),
        (STP | ERR | BUFF | OFLO, 0, "buffer", "buffer"),
        (STP | ENP, 4, "length", "length"),
        (STP | ENP, 63, "length", "length"),
        (STP | ENP, 1523, "oversize", None),
        (ENP, 64, "no_start", None),
    ],
)
def test_an_error_unit_is_counted_once_and_handed_back(
    status: int, count: int, counter: str, error: str | None
) -> None:
    bench = Bench(4)
    bench.card_writes(0, status, count)
    bench.card_writes(1, STP | ENP, 64)
    assert bench.ring.collect(4) == ([bench.buffers + 2048], [60])
    assert getattr(bench.ring.counters, counter) == 1
    assert bench.taken_losses() == 1
    assert bench.ring.errors == {name: int(name == error) for name in bench.ring.errors}
    bench.ring.leave(1)
    assert bench.card_owns_all()
    assert bench.ring.counters.seen == 2


def test_good_frames_in_front_of_a_bad_length_come_first() -> None:
    bench = Bench(4)
    for i, count in enumerate((64, 70, 4000, 64)):
        bench.card_writes(i, STP | ENP, count)
    assert bench.ring.collect(4)[1] == [60, 66]
    bench.ring.leave(2)
    assert bench.ring.collect(4)[1] == [60]
    assert bench.ring.counters.oversize == 1


def test_a_descriptor_without_an_end_is_unfinished_until_another_frame_starts() -> None:
    bench = Bench(4)
    bench.card_writes(0, STP, 0)
    assert bench.ring.collect(4) == ([], [])
    assert bench.status(0) != ARMED
    bench.card_writes(1, STP | ENP, 64)
    assert bench.ring.collect(4)[1] == [60]
    assert bench.ring.counters.no_start == 1


def test_a_chained_frame_is_put_together_even_over_the_end_of_the_ring() -> None:
    bench = Bench(2, max_frame=3000)
    bench.card_writes(0, STP | ENP, 64)
    bench.ring.collect(1)
    bench.ring.leave(1)
    payload = bytes(i % 251 for i in range(2500))
    bench.card_writes(1, STP, 0, payload[:2048])
    bench.card_writes(0, ENP, 2504, payload[2048:])
    ((offset,), (length,)) = bench.ring.collect(4)
    assert bytes(bench.memory.octets[offset : offset + length]) == payload
    bench.ring.leave(1)
    assert bench.card_owns_all()
    assert bench.ring.head == 1
    assert bench.ring.counters.seen == 2


def test_a_chained_frame_whose_length_does_not_fit_its_buffers_is_dropped() -> None:
    bench = Bench(4, max_frame=3000)
    bench.card_writes(0, STP, 0)
    bench.card_writes(1, ENP, 100)
    assert bench.ring.collect(4) == ([], [])
    assert bench.ring.counters.length == 1
    assert bench.card_owns_all()


def test_the_walk_follows_a_card_that_jumped() -> None:
    bench = Bench(8)
    bench.card_writes(5, STP | ENP, 64)
    assert bench.ring.collect(8) == ([], [])
    assert bench.ring.resync()
    assert bench.ring.collect(8)[1] == [60]
    bench.ring.leave(1)
    assert bench.ring.head == 6
    assert bench.ring.counters.resyncs == 1
    assert not bench.ring.resync()


@settings(deadline=None)
@given(
    size=st.sampled_from([1, 2, 8, 32]),
    words=st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=1, max_size=64),
    budget=st.integers(1, 40),
)
def test_any_descriptor_words_end_counted(size: int, words: list[tuple[int, int]], budget: int) -> None:
    bench = Bench(size)
    for start in range(0, len(words), size):
        for i, (status, count) in enumerate(words[start : start + size]):
            bench.memory.words[RING // 4 + 4 * i + 1] = status & ~OWN
            bench.memory.words[RING // 4 + 4 * i + 2] = count
        taken = 0
        before = bench.taken_losses(), bench.ring.counters.seen
        for _ in range(2 * size):
            offsets, lengths = bench.ring.collect(budget)
            assert all(60 <= length <= 1518 for length in lengths)
            assert all(0 <= offset <= len(bench.memory.octets) - 1518 for offset in offsets)
            taken += len(offsets)
            bench.ring.leave(len(offsets))
        losses = bench.taken_losses() - before[0]
        assert bench.ring.counters.seen - before[1] == taken + losses
        bench.ring.arm_all()
