"""Who sends: the limit of a source, what is told from what, and the bounded sketch of the heaviest."""

import random
from collections import Counter
from ipaddress import ip_address

import pytest

from asyncnic.nic.sources import HEAVIEST, LIMITED, SourceLimit, Sources, parse_source_limit

STRIDE = 64


TAGS = {"none": b"", "one": b"\x81\x00\x00\x07", "two": b"\x88\xa8\x00\x01\x81\x00\x00\x07"}


def frame(source: str, tag: bytes = b"") -> bytes:
    octets = ip_address(source).packed
    if len(octets) == 4:
        return (bytes(12) + tag + b"\x08\x00" + bytes(12) + octets).ljust(STRIDE, b"\xee")
    return (bytes(12) + tag + b"\x86\xdd" + bytes(8) + octets).ljust(STRIDE, b"\xee")


def burst(*frames: bytes) -> tuple[memoryview, list[int], list[int]]:
    return memoryview(b"".join(frames)), [STRIDE * at for at in range(len(frames))], [STRIDE] * len(frames)


def kept(sources: Sources, now: float, *given: bytes) -> list[int]:
    found = sources.admitted(*burst(*given), now)
    return list(range(len(given))) if found is None else found


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("", SourceLimit()),
        ("10000/s", SourceLimit(10000, 32, 64)),
        ("10000/s,/24", SourceLimit(10000, 24, 64)),
        ("1/s,/24,/56", SourceLimit(1, 24, 56)),
    ],
)
def test_what_may_be_typed(text: str, limit: SourceLimit) -> None:
    assert parse_source_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["10000", "0/s", "-1/s", "10000/m", "1/s,24", "1/s,/33", "1/s,/0", "1/s,/24,/129", "x"]
)
def test_what_may_not(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        parse_source_limit(text)


@pytest.mark.parametrize("tag", TAGS.values(), ids=TAGS)
@pytest.mark.parametrize(("one", "other"), [("203.0.113.1", "203.0.113.2"), ("2001:db8::1", "2001:db8:0:1::1")])
def test_a_source_has_so_much_and_no_more_and_costs_no_other_anything(one: str, other: str, tag: bytes) -> None:
    sources = Sources(SourceLimit(80))
    flood = [frame(one, tag)] * 64
    assert len(kept(sources, 0.0, *flood)) == 10  # a tenth of a second's worth, and ten at least
    assert kept(sources, 0.0, *flood, frame(other, tag)) == [64]
    passed = sum(len(kept(sources, step / 8, *flood)) for step in range(1, 81))
    assert passed == 800  # ten seconds
    assert kept(sources, 10.0, frame(other, tag)) == [0]


def test_what_comes_again_with_the_next_burst_is_judged_once() -> None:
    sources = Sources(SourceLimit(80))
    given = burst(*[frame("203.0.113.1")] * 30)
    passed = dropped = 0
    while given[1]:  # its stack takes three frames at a time
        found = sources.admitted(*given, 0.0)
        admitted = list(range(len(given[1]))) if found is None else found
        taken = admitted[:3]
        units = admitted[3] if len(admitted) > 3 else len(given[1])
        if found is not None:
            sources.take_back(*given, admitted, units)
        passed, dropped = passed + len(taken), dropped + units - len(taken)
        given = given[0], given[1][units:], given[2][units:]
    sources.look(*burst(*[frame("203.0.113.1")] * 16), 0.0)
    assert (passed, dropped) == (10, 20)
    assert sources.heaviest(0.0)[0]["dropped"] == 20


@pytest.mark.parametrize(
    ("limit", "same", "other"),
    [
        (SourceLimit(10, 24), "203.0.113.200", "203.0.114.1"),
        (SourceLimit(10, 22), "203.0.115.200", "203.0.116.1"),
        (SourceLimit(10, 32, 56), "2001:db8:0:0ff::9", "2001:db8:0:100::1"),
    ],
)
def test_a_source_is_a_prefix(limit: SourceLimit, same: str, other: str) -> None:
    sources = Sources(limit)
    first = "203.0.113.1" if "." in same else "2001:db8::1"
    assert len(kept(sources, 0.0, *[frame(first)] * 20)) == 10
    assert kept(sources, 0.0, frame(same), frame(other)) == [1]


def test_what_is_no_ip_has_no_limit() -> None:
    arp = (bytes(12) + b"\x08\x06").ljust(STRIDE, b"\0")
    assert Sources(SourceLimit(1)).admitted(*burst(*[arp] * 100), 0.0) is None


def test_without_a_limit_all_pass() -> None:
    assert Sources().admitted(*burst(*[frame("203.0.113.1")] * 1000), 0.0) is None


def test_a_crowd_of_strangers_gives_the_flooder_nothing_anew_and_grows_no_table() -> None:
    sources, chance = Sources(SourceLimit(10)), random.Random(7)
    passed = 0
    for _ in range(3 * LIMITED // 16):
        strangers = [frame(str(ip_address(chance.getrandbits(32)))) for _ in range(16)]
        passed += len([at for at in kept(sources, 1.0, *strangers, frame("203.0.113.1")) if at == 16])
    assert passed == 10
    assert len(sources._allowances) == LIMITED


def test_the_heaviest_are_found_among_many_in_a_bounded_table() -> None:
    sources, chance, truth = Sources(), random.Random(7), Counter[str]()
    heavy = {"203.0.113.1": 0.4, "203.0.113.2": 0.2, "2001:db8:1::": 0.1}
    for _ in range(6000):
        frames = []
        for _ in range(8):
            name = chance.choices([*heavy, "x"], [*heavy.values(), 0.3])[0]
            name = name if name != "x" else str(ip_address(chance.getrandbits(32)))
            truth[name] += 1
            frames.append(frame(name))
        sources.look(*burst(*frames), 0.0)
        assert len(sources._counts) <= 2 * HEAVIEST + 1
    rows = sources.heaviest(1.0)
    assert [row["source"] for row in rows[:3]] == ["203.0.113.1", "203.0.113.2", "2001:db8:1::/64"]
    for row, share in zip(rows, heavy.values(), strict=False):
        assert isinstance(row["share"], float)
        assert abs(row["share"] - share) < 0.03
    assert len(rows) <= HEAVIEST


def test_what_is_long_ago_counts_no_more() -> None:
    sources = Sources()
    sources.look(*burst(*[frame("203.0.113.1")] * 64), 0.0)
    sources.look(*burst(*[frame("203.0.113.2")] * 64), 100.0)
    assert [row["source"] for row in sources.heaviest(100.0)] == ["203.0.113.2"]
