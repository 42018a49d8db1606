"""What is missing of exporters' numbers: losses, and what is none: late, twice, anew."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.inet import sequences as module
from asyncnic.stacks.inet.sequences import FARTHEST, WINDOW, ExporterNumbers, Sequences, Watch
from tests.stacks.inet import exporting as make

TOP = 2**32
PORT, EXPORTER = 2055, ("203.0.113.1", 40000)


def followed(*taken: tuple[int, int | None]) -> tuple[int, int, int, int, int]:
    """Received, missing, late, duplicate, restarts."""
    one = ExporterNumbers()
    for number, count in taken:
        one.take(number % TOP, count)
    return one.received, one.missing, one.late, one.duplicate, one.restarts


def each(*numbers: int) -> list[tuple[int, int | None]]:
    return [(number, 1) for number in numbers]


@pytest.mark.parametrize(
    ("taken", "seen"),
    [
        (each(5, 6, 7), (3, 0, 0, 0, 0)),
        (each(-2, -1, 0, 1), (4, 0, 0, 0, 0)),
        (each(5, 7, 10), (3, 3, 0, 0, 0)),
        (each(-1, 2), (2, 2, 0, 0, 0)),
        (each(5, 7, 6, 8), (4, 1, 1, 0, 0)),
        (each(5, 9, 7, 6, 8, 10), (6, 3, 3, 0, 0)),
        (each(5, 6, 6, 7), (3, 0, 0, 1, 0)),
        (each(5, 7, 6, 6, 8), (4, 1, 1, 1, 0)),
        (each(70_000, 70_001, 0, 1, 2), (5, 0, 0, 0, 1)),
        (each(5, 6 + FARTHEST + 1), (2, 0, 0, 0, 1)),
        (each(5, 6 + FARTHEST), (2, FARTHEST, 0, 0, 0)),
        (each(1000, 1001, 5, 1002, 1003), (5, 0, 0, 0, 1)),
        (each(1000, 1001 - WINDOW, 1001), (2, 0, 0, 1, 0)),
        ([(0, 30), (30, 20), (80, 10)], (60, 30, 0, 0, 0)),
        ([(0, 30), (60, 30), (30, 30), (90, 1)], (91, 30, 30, 0, 0)),
        ([(0, 30), (30, None), (70, 5), (75, 5)], (40, 0, 0, 0, 0)),
        ([(0, 0), (0, 5), (5, 0), (5, 5)], (10, 0, 0, 0, 0)),
        ([(24, 25), (56, 32), (88, 32), (96, 8), (128, 32), (192, 32)], (161, 32, 0, 0, 0)),
        ([(0, 25), (24, 30), (54, 30), (83, 30)], (115, 0, 0, 0, 0)),
        ([(0, 30), (30, 20), (50, 10), (70, 20), (90, 30)], (110, 10, 0, 0, 0)),
    ],
    ids=[
        "in order",
        "around the end of numbers",
        "two gaps",
        "a gap around the end",
        "late",
        "late in any order",
        "twice",
        "late, and twice",
        "anew",
        "farther than a loss can be",
        "as far as a loss can be",
        "a stray is no restart",
        "twice, as far back as that may be",
        "by records",
        "late by records",
        "nobody knows how many records",
        "templates have no number",
        "by records, its own among them",
        "by records, not of options",
        "by records, its own not among them",
    ],
)
def test_what_is_seen(taken: list[tuple[int, int | None]], seen: tuple[int, ...]) -> None:
    assert followed(*taken) == seen


@given(st.integers(0, TOP - 1), st.integers(0, 2**32))
def test_what_the_way_loses_is_missing_to_the_number(first: int, seed: int) -> None:
    """Whatever is lost, doubled or overtaken on the way, of numbers that begin anywhere."""
    chance = random.Random(seed)
    offered = [*range(first, first + 200)]
    survive = [offered[0], *(number for number in offered[1:-1] if chance.random() > 0.1), offered[-1]]
    twice = [number for number in survive[1:-1] if chance.random() < 0.1]
    way = sorted([*survive[1:-1], *twice], key=lambda number: number + 6 * chance.random())
    received, missing, late, duplicate, restarts = followed(*each(survive[0], *way, survive[-1]))
    assert (received, missing - late, restarts) == (len(survive), len(offered) - len(survive), 0)
    assert duplicate == len(twice)


def test_exporters_domains_and_ports_have_numbers_of_their_own() -> None:
    watch = Sequences((PORT, 6343))
    for number in range(10):
        for source in ("203.0.113.1", "203.0.113.2"):
            watch.look(PORT, make.netflow9(number, 7), (source, 40000 + number))  # an exporter may have many ports
            watch.look(PORT, make.netflow9(1000 + 2 * number, 8), (source, 40000))
            watch.look(6343, make.sflow(50 + number), (source, 40000))
    rows = {(one["port"], one["exporter"], one["protocol"], one["domain"]): one["missing"] for one in watch.exporters()}
    assert rows == {
        (port, source, protocol, domain): missing
        for source in ("203.0.113.1", "203.0.113.2")
        for port, protocol, domain, missing in (
            (PORT, "netflow9", "00000007", 0),
            (PORT, "netflow9", "00000008", 9),
            (6343, "sflow", "c000020100000000", 0),
        )
    }
    events = watch.events()
    assert (events["numbers_netflow9_missing"], events["numbers_netflow9_received"]) == (18, 40)
    assert [one["missing"] for one in watch.exporters()[:2]] == [9, 9]


def test_ipfix_is_followed_by_records_and_by_session() -> None:
    watch = Sequences((PORT,))
    at = 0
    for lost in (False, False, True, False):
        if not lost:
            watch.look(PORT, make.ipfix(at, make.template(), make.records(4)), EXPORTER)
        at += 4
    watch.look(PORT, make.ipfix(0, make.template(), make.records(4)), (EXPORTER[0], 40001))  # started anew
    watch.look(PORT, make.ipfix(0, make.records(4)), (EXPORTER[0], 40002))
    watch.look(PORT, b"<13>message", EXPORTER)
    events = {name: count for name, count in watch.events().items() if count}
    assert events == {
        "numbers_ipfix_received": 16,
        "numbers_ipfix_missing": 4,
        "exporter_uncounted": 1,
        "exporter_unnumbered": 1,
    }


def test_netflow5_is_followed_by_flows() -> None:
    watch = Sequences((PORT,))
    for number in (0, 30, 90):
        watch.look(PORT, make.netflow5(number, 30), EXPORTER)
    assert (watch.events()["numbers_netflow5_missing"], watch.events()["numbers_netflow5_received"]) == (30, 90)


def test_the_table_is_bounded_and_what_was_counted_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEQUENCES", 100)
    watch, before = Sequences((PORT,)), {"numbers_netflow9_missing": 0}
    for source in range(1000):
        for number in (0, 2):
            watch.look(PORT, make.netflow9(number), (f"203.0.{source >> 8}.{source & 255}", 40000))
        events = watch.events()
        assert all(events[name] >= count for name, count in before.items())
        before = events
    assert len(watch.exporters()) == 100
    assert (before["numbers_netflow9_missing"], before["exporter_forgotten"]) == (1000, 900)


def test_a_protocol_that_is_watched_notices_nothing() -> None:
    called: list[tuple[Any, ...]] = []

    class Protocol(asyncio.DatagramProtocol):
        def __getattribute__(self, name: str) -> Any:
            return lambda *arguments: called.append((name, *arguments))

    watched = Sequences((PORT,)).watching(Protocol, PORT)()
    assert isinstance(watched, Watch)
    error = OSError()
    watched.connection_made("transport")
    watched.datagram_received(make.netflow9(0), EXPORTER)
    watched.error_received(error)
    watched.pause_writing()
    watched.resume_writing()
    watched.connection_lost(None)
    assert called == [
        ("connection_made", "transport"),
        ("datagram_received", make.netflow9(0), EXPORTER),
        ("error_received", error),
        ("pause_writing",),
        ("resume_writing",),
        ("connection_lost", None),
    ]
