"""The receiver names exactly what was lost, doubled and overtaken, and how old everything was."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.bench.ages import LONGEST, Ages, bucket, longest_in
from asyncnic.bench.load import STAMP
from asyncnic.bench.receiver import REMEMBERED_GAPS, Counter, Sequence, StampReader, burn


@pytest.mark.parametrize(
    ("numbers", "sent", "lost", "reordered", "duplicates"),
    [
        ([], 3, 3, 0, 0),
        ([0, 1, 2], 3, 0, 0, 0),
        ([0, 2], 4, 2, 0, 0),
        ([1, 0, 2], 3, 0, 1, 0),
        ([0, 0, 1, 1], 2, 0, 0, 2),
        ([5, 0, 4, 2, 2, 4], 6, 2, 3, 2),
        ([0, 9, 5, 4, 6, 3, 7, 3], 10, 3, 5, 1),
    ],
)
def test_made_up_sequences(numbers: list[int], sent: int, lost: int, reordered: int, duplicates: int) -> None:
    sequence = Sequence()
    for number in numbers:
        sequence.arrived(number)
    assert (sequence.lost(sent), sequence.reordered, sequence.duplicates) == (lost, reordered, duplicates)


@given(st.lists(st.integers(0, 60), max_size=120))
def test_any_sequence_against_a_set(numbers: list[int]) -> None:
    sequence = Sequence()
    seen: set[int] = set()
    reordered = duplicates = 0
    for number in numbers:
        duplicates += number in seen
        reordered += number not in seen and number < max(seen, default=-1)
        seen.add(number)
        sequence.arrived(number)
    assert (sequence.seen, sequence.reordered, sequence.duplicates) == (len(seen), reordered, duplicates)


def test_memory_of_gaps_is_bounded() -> None:
    sequence = Sequence()
    numbers = range(1, 8 * REMEMBERED_GAPS, 2)
    for number in numbers:
        sequence.arrived(number)
    sequence.arrived(numbers[-1] - 1)
    sequence.arrived(0)
    assert len(sequence._gaps) <= REMEMBERED_GAPS
    assert (sequence.seen, sequence.reordered, sequence.duplicates) == (len(numbers) + 1, 1, 1)


def test_receiver_reads_the_stamp() -> None:
    receiver = StampReader()
    for number in (0, 1, 3):
        receiver.datagram_received(STAMP.pack(number, time.monotonic_ns() - 5_000_000) + b"xx", ("192.0.2.1", 1))
    receiver.datagram_received(b"short", ("192.0.2.1", 1))
    median = receiver.ages.quantile(0.5)
    assert (receiver.datagrams, receiver.unstamped, receiver.sequence.lost(4)) == (4, 1, 1)
    assert median is not None
    assert median >= 0.005


def test_counter_counts() -> None:
    counter = Counter()
    counter.datagram_received(b"", ("192.0.2.1", 1))
    assert counter.datagrams == 1


def test_burn_takes_cpu_time() -> None:
    before = time.thread_time_ns()
    burn(200_000)
    assert time.thread_time_ns() - before >= 200_000


@given(st.integers(0, LONGEST))
def test_a_bucket_holds_its_durations_to_four_per_cent(nanoseconds: int) -> None:
    longest = longest_in(bucket(nanoseconds))
    assert nanoseconds <= longest <= nanoseconds * 1.04 + 1
    assert bucket(longest) == bucket(nanoseconds)


def test_quantiles_of_known_durations() -> None:
    ages = Ages()
    durations = list(range(1, 10_001))
    random.Random(1).shuffle(durations)
    for duration in durations:
        ages.add(duration * 1000)
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        assert ages.quantile(share) == pytest.approx(share * 0.01, rel=0.04)
    assert ages.as_json()["max"] == 0.01


def test_no_durations_no_quantiles() -> None:
    assert Ages().as_json() == {"count": 0, "p50": None, "p90": None, "p99": None, "p999": None, "max": None}
    ages = Ages()
    ages.add(-5)
    ages.add(LONGEST * 2)
    assert (ages.count, ages.quantile(0.5), ages.quantile(1.0)) == (2, 0.0, LONGEST / 1e9)
