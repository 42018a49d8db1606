import struct

import pytest

from asyncnic.stacks.inet.mld import SOURCES, UNSOLICITED_INTERVAL
from tests.stacks.inet.wire import HOST6, LOCAL6, PEER6, PEER_LOCAL6, Bench, group_mac, icmp6, ipv6, packed, solicited

ROUTER_ALERT = b"\x3a\0\x05\x02\0\0\x01\0"
ALL, ROUTERS = "ff02::1", "ff02::16"
GROUPS = {packed(solicited(HOST6)), packed(solicited(LOCAL6))}


def query(
    group: str = "::",
    code: int = 1000,
    version: int = 2,
    source: str = PEER_LOCAL6,
    hop_limit: int = 1,
    alert: bytes = ROUTER_ALERT,
    sources: tuple[str, ...] = (),
    claimed: int | None = None,
) -> bytes:
    target = ALL if group == "::" else group
    count = len(sources) if claimed is None else claimed
    tail = struct.pack("!BBH", 2, 0x7D, count) + b"".join(map(packed, sources)) if version == 2 else b""
    body = struct.pack("!HH", code, 0) + packed(group) + tail
    message = icmp6(130, 0, body, source, target)
    first, payload = (0, alert + message) if alert else (58, message)
    return ipv6(first, payload, source, target, mac=group_mac(target), hop_limit=hop_limit)


def records(frame: bytes) -> dict[bytes, int]:
    """Group to record type of an MLDv2 report, after a look at what RFC 3810 section 5.2 says of all."""
    assert frame[:6] == group_mac(ROUTERS)
    assert frame[21] == 1
    assert frame[54:62] == ROUTER_ALERT
    assert frame[62] == 143
    count = struct.unpack_from("!H", frame, 68)[0]
    assert len(frame) == 70 + 20 * count
    return {frame[at + 4 : at + 20]: frame[at] for at in range(70, len(frame), 20)}


def test_groups_are_reported_twice_from_nobody_and_again_from_the_link_local_address() -> None:
    bench = Bench(HOST6 + "/64", dad=1)
    bench.inet.start(bench.now)
    (report,) = (frame for frame in bench.replies() if frame[20] == 0)
    assert report[22:38] == bytes(16)
    assert records(report) == dict.fromkeys(GROUPS, 4)
    bench.pass_time(UNSOLICITED_INTERVAL)  # the addresses are in use from now on
    bench.pass_time(UNSOLICITED_INTERVAL)
    reports = [frame for frame in bench.replies() if frame[20] == 0]
    assert {frame[22:38] for frame in reports[-2:]} == {packed(LOCAL6)}  # RFC 3590
    assert all(records(frame) == dict.fromkeys(GROUPS, 4) for frame in reports)
    bench.pass_time(60)
    assert not [frame for frame in bench.replies() if frame[20] == 0]


def test_a_general_query_is_answered_within_its_time_with_all_groups() -> None:
    bench = Bench()
    assert bench.feed(query(code=10_000)) == {("icmpv6", "multicast_listener"): 1}
    assert bench.replies() == []
    due = bench.inet.poll(bench.now)
    assert bench.now <= due <= bench.now + 10
    bench.pass_time(10)
    report = bench.reply()
    assert report[22:38] == packed(LOCAL6)
    assert records(report) == dict.fromkeys(GROUPS, 2)
    bench.pass_time(10)
    assert bench.replies() == []


def test_a_query_of_one_group_is_answered_for_it() -> None:
    bench = Bench()
    bench.feed(query(solicited(HOST6)))
    bench.pass_time(1)
    assert records(bench.reply()) == {packed(solicited(HOST6)): 2}


def asked_for(frame: bytes) -> tuple[int, bytes, set[bytes]]:
    """Kind, group and sources of the one record of a report."""
    kind, _, count = struct.unpack_from("!BBH", frame, 70)
    assert len(frame) == 90 + 16 * count
    return kind, frame[74:90], {frame[at : at + 16] for at in range(90, len(frame), 16)}


SOME = ("2001:db8::71", "2001:db8::72")
MANY = tuple(f"2001:db8::{number:x}" for number in range(1, SOURCES + 2))


@pytest.mark.parametrize(
    ("queries", "kind", "sources"),
    [
        ([SOME], 1, SOME),
        ([SOME[:1], SOME[1:]], 1, SOME),
        ([MANY[:SOURCES]], 1, MANY[:SOURCES]),
        ([SOME, ()], 2, ()),
        ([(), SOME], 2, ()),
        ([MANY], 2, ()),
        ([MANY[:SOURCES], MANY[SOURCES:]], 2, ()),
    ],
    ids=["some", "one by one", "many", "then all", "all first", "too many", "too many in the end"],
)
def test_a_query_for_sources_is_answered_for_them(
    queries: list[tuple[str, ...]], kind: int, sources: tuple[str, ...]
) -> None:
    """RFC 3810 section 6.3: who wants a group from everybody wants it from each who is asked for."""
    bench = Bench()
    group = solicited(HOST6)
    bench.feed(*(query(group, sources=some) for some in queries))
    bench.pass_time(1)
    assert asked_for(bench.reply()) == (kind, packed(group), set(map(packed, sources)))


def test_queries_that_follow_each_other_have_one_answer() -> None:
    bench = Bench()
    bench.feed(query(code=5000), query(code=5000), query(solicited(HOST6), code=0))
    bench.pass_time(0)
    assert records(bench.reply()) == {packed(solicited(HOST6)): 2}
    bench.pass_time(5)
    assert records(bench.reply()) == {packed(solicited(LOCAL6)): 2}
    assert bench.inet.poll(bench.now) > bench.now + 1


def test_a_long_time_to_answer_is_a_floating_point_number() -> None:
    """RFC 3810 section 5.1.3: 0x8000 is 0x1000 << 3 milliseconds."""
    bench = Bench()
    bench.feed(query(code=0x8000))
    bench.pass_time(32.768)
    assert records(bench.replies()[-1]) == dict.fromkeys(GROUPS, 2)


def test_a_query_of_the_first_version_is_answered_in_it() -> None:
    """RFC 3810 section 8.2.1, for routers and switches that know RFC 2710 alone."""
    bench = Bench()
    bench.feed(query(version=1))
    bench.pass_time(1)
    reports = bench.replies()
    assert {(frame[38:54], frame[62], frame[70:86]) for frame in reports} == {(group, 131, group) for group in GROUPS}
    assert all(frame[:6] == group_mac("::" + group_of(frame)) for frame in reports)


def group_of(frame: bytes) -> str:
    return f"{frame[50]:02x}{frame[51]:02x}:{frame[52]:02x}{frame[53]:02x}"


@pytest.mark.parametrize(
    "frame",
    [
        query(source=PEER6),
        query(source="::"),
        query(hop_limit=64),
        query(alert=b""),
        query(alert=b"\x3a\0\x01\x04\0\0\0\0"),
        query("ff02::77"),
        query(ALL),
        query(sources=("2001:db8::71",)),
        query(solicited(HOST6), sources=("2001:db8::71",), claimed=2),
        ipv6(0, ROUTER_ALERT + icmp6(130, 0, bytes(21), PEER_LOCAL6, HOST6), PEER_LOCAL6, HOST6, hop_limit=1),
        ipv6(0, ROUTER_ALERT + icmp6(130, 0, b"", PEER_LOCAL6, HOST6), PEER_LOCAL6, HOST6, hop_limit=1),
    ],
    ids=[
        "global",
        "nobody",
        "hop limit",
        "no options",
        "no alert",
        "another group",
        "all nodes",
        "sources of all groups",
        "fewer sources",
        "between",
        "cut",
    ],
)
def test_queries_that_are_not_answered(frame: bytes) -> None:
    bench = Bench()
    assert sum(bench.feed(frame).values()) == 1
    bench.pass_time(1)
    assert bench.replies() == []


def test_many_groups_go_in_several_reports() -> None:
    bench = Bench(*(f"2001:db8::{number:x}/64" for number in range(1, 151)))
    bench.feed(query())
    bench.pass_time(1)
    reports = [records(frame) for frame in bench.replies()]
    assert [len(report) for report in reports] == [60, 60, 30]
    assert len({group for report in reports for group in report}) == 150
