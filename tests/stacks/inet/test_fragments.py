import random

import pytest

from asyncnic.stacks.inet.fragments import LARGEST, LIMIT, TIMEOUT, Reassembly, Verdict, Whole
from asyncnic.stacks.inet.outcomes import Totals

DATA = bytes(range(256)) * 4


class Table:
    def __init__(self, limit: int = LIMIT) -> None:
        self.totals = Totals()
        self.table = Reassembly(self.totals, limit)

    def add(
        self, start: int, end: int, *, more: bool = True, data: bytes = DATA, key: bytes = b"k", now: float = 0
    ) -> Whole | Verdict:
        return self.table.add(key, start, more, memoryview(data)[start:end], b"head", now)


@pytest.mark.parametrize("seed", range(10))
def test_any_order_makes_the_same_datagram(seed: int) -> None:
    pieces = [(0, 8), (8, 24), (24, 512), (512, 1000), (1000, 1024)]
    random.Random(seed).shuffle(pieces)
    table = Table()
    results = [table.add(start, end, more=end != 1024) for start, end in pieces]
    assert results == [Verdict.HELD] * 4 + [Whole(b"head", DATA)]
    assert len(table.table) == 0


def test_an_exact_repetition_is_dropped_alone() -> None:
    table = Table()
    table.add(0, 512)
    assert table.add(0, 512) is Verdict.DROPPED
    assert table.add(512, 1024, more=False) == Whole(b"head", DATA)


@pytest.mark.parametrize(
    "piece",
    [(0, 504), (0, 520), (8, 16), (504, 600), (256, 1024)],
    ids=["same start, shorter", "same start, longer", "inside", "over the end", "from the middle"],
)
def test_an_overlap_condemns_the_datagram(piece: tuple[int, int]) -> None:
    table = Table()
    table.add(0, 512)
    assert table.add(*piece) is Verdict.DROPPED
    assert table.add(512, 1024, more=False) is Verdict.DROPPED
    assert table.add(0, 1024, more=False, key=b"other") == Whole(b"head", DATA)


def test_an_overlap_over_the_next_piece_condemns() -> None:
    table = Table()
    table.add(512, 1024, more=False)
    assert table.add(0, 520) is Verdict.DROPPED
    assert table.add(0, 512) is Verdict.DROPPED


def test_a_repetition_with_other_octets_condemns() -> None:
    table = Table()
    table.add(0, 512)
    assert table.add(0, 512, data=bytes(1024)) is Verdict.DROPPED
    assert table.add(512, 1024, more=False) is Verdict.DROPPED


@pytest.mark.parametrize(
    "pieces",
    [
        [(512, 600, False), (608, 700, False)],
        [(512, 600, False), (600, 608, True)],
        [(800, 1024, True), (0, 512, False)],
        [(0, 512, True), (0, 512, False)],
        [(0, 0, True)],
    ],
    ids=["two ends", "beyond the end", "end before a piece", "end or not", "empty"],
)
def test_contradictions_condemn(pieces: list[tuple[int, int, bool]]) -> None:
    table = Table()
    verdicts = [table.add(start, end, more=more) for start, end, more in pieces]
    assert verdicts[-1] is Verdict.DROPPED
    assert table.add(0, 1024, more=False) is Verdict.DROPPED


def test_no_datagram_is_longer_than_its_length_field_can_say() -> None:
    table = Table()
    data = memoryview(bytes(16))
    assert table.table.add(b"k", LARGEST - 15, False, data, b"", 0) is Verdict.DROPPED
    assert table.table.add(b"l", LARGEST - 16, False, data, b"", 0) is Verdict.HELD


def test_the_rest_that_does_not_come_times_out() -> None:
    table = Table()
    table.add(0, 512, now=0)
    table.add(512, 1024, key=b"tail", now=1)
    assert table.table.due() == TIMEOUT
    assert table.table.poll(TIMEOUT - 0.1) == []
    assert table.table.poll(TIMEOUT) == [Whole(b"head", DATA[:512])]
    assert table.table.poll(TIMEOUT + 1) == []  # nothing to quote without the first fragment
    assert table.table.due() is None
    assert table.totals.reassembly_timeouts == 2


def test_the_oldest_makes_room() -> None:
    table = Table(limit=3)
    for number in range(5):
        table.add(0, 512, key=bytes((number,)))
    assert len(table.table) == 3
    assert table.totals.reassembly_timeouts == 2
    assert table.add(512, 1024, more=False, key=b"\x04") == Whole(b"head", DATA)
    assert table.add(512, 1024, more=False, key=b"\x00") is Verdict.HELD
