"""Which frames the kernel takes by these filters, against a reading of the same frames in plain words.

A Unix socket runs the same program over the same octets as a packet socket does, but for what lies beside a frame: to
it every one is for this host and has no tag. The whole is tried on real rings (test_device.py, test_lanes.py).
"""

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.devices.packet.filters import of_everything, of_ports, of_station, shares
from asyncnic.errors import DeviceError
from asyncnic.lanes.rules import DEFAULT_LANES, LaneRule, Rule, parse_lanes, parse_shed
from tests.lanes import frames
from tests.lanes.frames import ARP, CORNERS, PORTS, V4, V6, ethernet, fragment_header, ipv4, ipv6, ports, udp4
from tests.lanes.reading import classify
from tests.lanes.taker import takers
from tests.lanes.test_program import lane_lists, shed_lists

MAC = bytes.fromhex("020000000002")
LINK_LOCAL, ALL_NODES = "fe80::ff:fe00:2", "ff02::1"
TCP, UDP = 6, 17
ONE = parse_lanes(())
(EVERYTHING,) = shares(ONE, ())


def number(frame: bytes, at: int, octets: int = 2) -> int:
    """Raises EOFError where the frame ends before."""
    if len(frame) < at + octets:
        raise EOFError
    return int.from_bytes(frame[at : at + octets], "big")


def for_ports(frame: bytes, udp: Sequence[int], tcp: Sequence[int]) -> bool:
    """Whether a frame goes to one of these ports, or may be a later piece of a datagram that does."""
    wanted = {UDP: udp, TCP: tcp}
    try:
        match number(frame, 12):
            case 0x0800 if number(frame, 20) & 0x1FFF:
                return number(frame, 23, 1) == UDP
            case 0x0800:
                header = 4 * (number(frame, 14, 1) & 0xF)
                return number(frame, 23, 1) in wanted and number(frame, 16 + header) in wanted[number(frame, 23, 1)]
            case 0x86DD if number(frame, 20, 1) == 44:
                later = number(frame, 54, 1) == UDP and number(frame, 56) & 0xFFF8
                return bool(later) or (number(frame, 54, 1) == UDP and number(frame, 64) in udp)
            case 0x86DD:
                return number(frame, 20, 1) in wanted and number(frame, 56) in wanted[number(frame, 20, 1)]
            case _:
                return False
    except EOFError:
        return False


def for_station(
    frame: bytes, addresses: Sequence[IPv4Interface | IPv6Interface], prefixes: Sequence[IPv4Network | IPv6Network]
) -> bool:
    """Whether a frame goes to one of these, to one inside of a prefix, or to a group that they are in."""
    own = {interface.ip for interface in addresses}
    groups = set()
    if any(one.version == 4 for one in (*own, *prefixes)):
        groups |= {ip_address("224.0.0.1"), ip_address("255.255.255.255")}
    groups |= {one.network.broadcast_address for one in addresses if isinstance(one, IPv4Interface)}
    if any(one.version == 6 for one in (*own, *prefixes)):
        own.add(ip_address(LINK_LOCAL))
        groups.add(ip_address(ALL_NODES))
    for one in own:
        if one.version == 6:
            groups.add(ip_address(int(ip_address("ff02::1:ff00:0")) | int(one) & 0xFF_FFFF))
    try:
        match number(frame, 12):
            case 0x0806:
                asked = ip_address(number(frame, 38, 4))
                return any(prefix.version == 4 for prefix in prefixes) or asked in own
            case 0x0800:
                target = ip_address(number(frame, 30, 4))
            case 0x86DD:
                target = ip_address(number(frame, 38, 16).to_bytes(16, "big"))
            case _:
                return False
    except EOFError:
        return False
    asks = ip_network("ff02::1:ff00:0/104")
    six = any(prefix.version == 6 for prefix in prefixes)
    return target in own | groups or any(target in prefix for prefix in prefixes) or (six and target in asks)


def share_of(frame: bytes, lanes: Sequence[LaneRule], shed: Sequence[Rule]) -> int | None:
    """The lane of a frame; None: it is shed."""
    verdict = classify(frame, lanes, shed)
    return verdict.lane if verdict.shed is None else None


port_sets = st.lists(st.sampled_from(PORTS), max_size=4)
stations = st.lists(
    st.sampled_from([ip_interface(f"{one}/24") for one in V4[:3]] + [ip_interface(f"{one}/64") for one in V6[:4]]),
    max_size=4,
)
prefix_lists = st.lists(st.sampled_from([ip_network("198.51.100.0/23"), ip_network("2001:db8::/65")]), max_size=2)
offers = st.lists(frames.frames, min_size=1, max_size=30)


@settings(max_examples=60)
@given(port_sets, port_sets, lane_lists, shed_lists, offers)
def test_of_the_frames_for_some_ports_each_lane_takes_its_own(
    udp: list[int], tcp: list[int], lanes: tuple[LaneRule, ...], shed: tuple[Rule, ...], offered: list[bytes]
) -> None:
    with takers(*(of_ports(udp, tcp, share) for share in shares(lanes, shed))) as made:
        for frame in offered:
            taken = [number for number, taker in enumerate(made) if taker.takes(frame)]
            lane = share_of(frame, lanes, shed) if for_ports(frame, udp, tcp) else None
            assert taken == ([] if lane is None else [lane]), frame.hex()


@settings(max_examples=60)
@given(stations, prefix_lists, lane_lists, shed_lists, offers)
def test_of_the_frames_for_a_station_each_lane_takes_its_own(
    addresses: list[IPv4Interface | IPv6Interface],
    prefixes: list[IPv4Network | IPv6Network],
    lanes: tuple[LaneRule, ...],
    shed: tuple[Rule, ...],
    offered: list[bytes],
) -> None:
    with takers(*(of_station(addresses, MAC, share, prefixes) for share in shares(lanes, shed))) as made:
        for frame in offered:
            taken = [number for number, taker in enumerate(made) if taker.takes(frame)]
            lane = share_of(frame, lanes, shed) if for_station(frame, addresses, prefixes) else None
            assert taken == ([] if lane is None else [lane]), frame.hex()


@settings(max_examples=30)
@given(lane_lists, shed_lists, offers)
def test_of_all_frames_each_lane_takes_its_own(
    lanes: tuple[LaneRule, ...], shed: tuple[Rule, ...], offered: list[bytes]
) -> None:
    with takers(*map(of_everything, shares(lanes, shed))) as made:
        for frame in offered:
            lane = share_of(frame, lanes, shed)
            taken = [number for number, taker in enumerate(made) if taker.takes(frame)]
            assert taken == ([] if lane is None else [lane]), frame.hex()


def test_every_corner_of_the_readings() -> None:
    addresses = [ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64")]
    with takers(of_ports((53,), (53,), EVERYTHING), of_station(addresses, MAC, EVERYTHING)) as (ported, stationed):
        for frame in CORNERS:
            assert ported.takes(frame) == for_ports(frame, (53,), (53,)), frame.hex()
            assert stationed.takes(frame) == for_station(frame, addresses, ()), frame.hex()


def question(target: str) -> bytes:
    """Who has this IPv4 address?"""
    return ARP[:38] + ip_address(target).packed + ARP[42:]


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (question("192.0.2.2"), True),
        (question("192.0.2.9"), False),
        (udp4(), True),
        (ethernet(0x0800, ipv4(UDP, ports(1, 2), V4[0], "192.0.2.255")), True),
        (ethernet(0x0800, ipv4(UDP, ports(1, 2), V4[0], "224.0.0.1")), True),
        (ethernet(0x0800, ipv4(UDP, ports(1, 2), V4[0], "224.0.0.251")), False),
        (ethernet(0x86DD, ipv6(UDP, ports(1, 2), V6[0], "2001:db8::2")), True),
        (ethernet(0x86DD, ipv6(UDP, ports(1, 2), V6[0], LINK_LOCAL)), True),
        (ethernet(0x86DD, ipv6(58, b"\x87" + bytes(31), V6[0], "ff02::1:ff00:2")), True),
        (ethernet(0x86DD, ipv6(58, b"\x87" + bytes(31), V6[0], "ff02::1:ff00:9")), False),
        (ethernet(0x86DD, ipv6(58, b"\x86" + bytes(31), V6[4], ALL_NODES)), True),
        (ethernet(0x86DD, ipv6(58, b"\x86" + bytes(31), V6[4], "ff02::fb")), False),
        (ethernet(0x88CC, bytes(46)), False),
    ],
)
def test_what_a_station_hears(frame: bytes, taken: bool) -> None:
    addresses = [ip_interface("192.0.2.2/24"), ip_interface("2001:db8::2/64")]
    with takers(of_station(addresses, MAC, EVERYTHING)) as (taker,):
        assert taker.takes(frame) == taken


def test_all_pieces_of_a_datagram_come_and_of_others_none() -> None:
    """Only the first piece says its port."""
    pieces = [ethernet(0x0800, ipv4(UDP, bytes(24), V4[0], V4[1], fragment=part)) for part in (0x2003, 3)]
    pieces.append(ethernet(0x86DD, ipv6(44, fragment_header(UDP, 3) + bytes(24), V6[0], V6[1])))
    pieces.append(ethernet(0x86DD, ipv6(44, fragment_header(UDP, 0, 1) + ports(1, 53), V6[0], V6[1])))
    others = [ethernet(0x0800, ipv4(TCP, bytes(24), V4[0], V4[1], fragment=3))]
    others.append(ethernet(0x86DD, ipv6(44, fragment_header(TCP, 3) + bytes(24), V6[0], V6[1])))
    others.append(ethernet(0x86DD, ipv6(44, fragment_header(UDP, 0, 1) + ports(53, 1), V6[0], V6[1])))
    with takers(of_ports((53,), (53,), EVERYTHING)) as (taker,):
        assert [taker.takes(piece) for piece in pieces] == [True] * 4
        assert [taker.takes(piece) for piece in others] == [False] * 3


def test_where_there_is_one_lane_and_nothing_is_shed_no_program_is_needed() -> None:
    assert of_everything(EVERYTHING) is None
    assert of_everything(shares(ONE, parse_shed(["udp:19"]))[0]) is not None
    assert [share.everything for share in shares(parse_lanes(DEFAULT_LANES), ())] == [False, False]


def test_what_is_longer_than_the_kernel_takes_is_one_line() -> None:
    with pytest.raises(DeviceError, match=r"^--lane, --shed: \d+ instructions, at most 4096: fewer terms$"):
        of_ports(range(1, 3000), range(1, 3000), shares(parse_lanes(["a=udp:53"]), ())[1])
