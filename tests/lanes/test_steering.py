"""Lanes on a real TAP, to the frame: the queue of each frame, what is counted where, what a live change costs."""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from asyncnic.errors import DeviceError
from asyncnic.lanes import steering as steering_module
from asyncnic.lanes.program import LEFT
from asyncnic.lanes.rules import LaneRule, Rule, parse_lanes, parse_shed
from asyncnic.lanes.steering import QUEUE_SLACK, LaneSteering, ShedSlots
from tests.lanes.frames import ARP, PING4, PING6, SOLICITATION, ethernet, ipv4, ports, udp4, whole_frames
from tests.lanes.reading import classify

TUNSETIFF = 0x4004_54CA
TAP_MULTI_QUEUE = 0x1102  # IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE
LANES = parse_lanes(["control=arp,nd,icmp,icmp6", "dns=udp:53"])
DNS, OTHER = udp4(1024, 53), udp4(1024, 9)


class LanedTap:
    """A TAP that is up, silent but for what tests send, with one queue a lane and the steering under test."""

    def __init__(
        self, name: str, lanes: Sequence[LaneRule], shed: Sequence[Rule] = (), depth: int = 500, length: int = 0
    ) -> None:
        self.name, self.lanes = name, lanes
        self.queues = [self._open() for _ in lanes]
        self.steering = LaneSteering(lanes, shed, [depth] * len(lanes))
        self.steering.attach(self.queues[0])
        # Without IPv6 and ARP of its own the host sends nothing unasked.
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
            file.write("1")
        self.configure("txqueuelen", str(length or depth + QUEUE_SLACK), "up")
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.bind((name, 0))

    def _open(self) -> int:
        queue = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(queue, TUNSETIFF, struct.pack("16sH22x", self.name.encode(), TAP_MULTI_QUEUE))
        return queue

    def configure(self, *words: str) -> None:
        subprocess.run(["ip", "link", "set", self.name, *words], check=True)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.wire.send(frame)

    def read(self, lane: int) -> list[bytes]:
        """Everything that waits in a lane's queue, reported as a device does it."""
        frames: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(os.read(self.queues[lane], 2048))
        self.steering.words_of(lane)[LEFT] += len(frames)
        return frames

    def read_all(self) -> list[int]:
        return [len(self.read(lane)) for lane in range(len(self.queues))]

    def kernel(self) -> tuple[int, int]:
        """The kernel's own count: frames read off the TAP, frames dropped at it."""
        with IPRoute() as route:
            (link,) = route.get_links(ifname=self.name)
            counts = link.get_attr("IFLA_STATS64")
        return counts["tx_packets"], counts["tx_dropped"]

    def close(self) -> None:
        self.steering.close()
        self.wire.close()
        for queue in self.queues:
            os.close(queue)


MakeTap = Callable[..., LanedTap]


@pytest.fixture
def make_tap(tap_name: str) -> Iterator[MakeTap]:
    with contextlib.ExitStack() as taps:

        def make(*args: object, **options: int) -> LanedTap:
            tap = LanedTap(tap_name, *args, **options)  # type: ignore[arg-type]
            taps.callback(tap.close)
            return tap

        yield make


def test_each_frame_lands_in_its_lanes_queue_and_is_counted_there(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    tap.send(*[ARP] * 3, *[PING4] * 4, *[PING6] * 5, *[SOLICITATION] * 6, *[DNS] * 7, *[OTHER] * 8)
    assert [lane.waiting for lane in tap.steering.counts().lanes] == [18, 7, 8]
    assert tap.read(0) == [ARP] * 3 + [PING4] * 4 + [PING6] * 5 + [SOLICITATION] * 6
    assert tap.read(1) == [DNS] * 7
    assert tap.read(2) == [OTHER] * 8
    assert [(lane.name, lane.accepted, lane.waiting) for lane in tap.steering.counts().lanes] == [
        ("control", 18, 0),
        ("dns", 7, 0),
        ("bulk", 8, 0),
    ]
    assert tap.kernel() == (33, 0)


def test_the_wire_agrees_with_the_reference_reading_on_any_frame(make_tap: MakeTap) -> None:
    tags = "one=vlan:7,tcp:179", "two=nd,src:192.0.2.0/24,dst:2001:db8::/33", "three=udp"
    shed = parse_shed(["udp:53", "icmp,dst:fe80::/10"])
    tap = make_tap(parse_lanes(tags), shed)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(whole_frames, min_size=1, max_size=20))
    def check(frames: list[bytes]) -> None:
        verdicts = [classify(frame, tap.lanes, shed) for frame in frames]
        before = tap.steering.counts()
        tap.send(*frames)
        for lane in range(len(tap.lanes)):
            expected = [f for f, v in zip(frames, verdicts, strict=True) if v.lane == lane and v.shed is None]
            assert tap.read(lane) == expected
        after = tap.steering.counts()
        for index, rule in enumerate(shed):
            assert after.shed[rule.text] - before.shed[rule.text] == sum(v.shed == index for v in verdicts)

    check()


def test_a_full_bulk_queue_leaves_the_others_alone_and_every_drop_is_in_one_lane(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, depth=100)
    tap.send(*[OTHER] * 1000, *[ARP] * 50, *[DNS] * 60)
    counts = tap.steering.counts().lanes
    assert [(lane.accepted, lane.overflowed, lane.waiting) for lane in counts] == [
        (50, 0, 50),
        (60, 0, 60),
        (100, 900, 100),
    ]
    assert tap.kernel() == (0, 900)
    assert tap.read_all() == [50, 60, 100]
    assert tap.kernel() == (210, 900)


def test_a_queue_holds_its_depth_again_and_again(make_tap: MakeTap) -> None:
    """The kernel's own ring must never be the one that is full, however its places are freed."""
    tap = make_tap(LANES, depth=100)
    read = 0
    for _ in range(40):
        tap.send(*[OTHER] * 37)
        for _ in range(11):
            os.read(tap.queues[2], 2048)
        tap.steering.words_of(2)[LEFT] += 11
        read += 11
    read += len(tap.read(2))
    bulk = tap.steering.counts().lanes[2]
    assert (bulk.accepted, bulk.waiting, bulk.lost) == (read, 0, 0)
    assert bulk.accepted + bulk.overflowed == 40 * 37
    assert tap.kernel() == (read, bulk.overflowed)


def test_depth_changes_live_and_loses_nothing_that_waits(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, depth=100)
    tap.send(*[OTHER] * 80)
    tap.steering.set_depth(2, 10)
    tap.send(*[OTHER] * 5)
    assert len(tap.read(2)) == 80
    tap.send(*[OTHER] * 20)
    assert len(tap.read(2)) == 10
    assert tap.kernel() == (90, 15)
    with pytest.raises(ValueError, match="queue of lane bulk: 0 frames; at least 1"):
        tap.steering.set_depth(2, 0)


def test_a_queue_is_shortened_for_a_while_and_its_depth_remembered(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, depth=100)
    tap.steering.shorten(2, 30)
    tap.send(*[OTHER] * 80)
    assert len(tap.read(2)) == 30
    tap.steering.shorten(2, None)
    tap.send(*[OTHER] * 120)
    assert len(tap.read(2)) == 100
    tap.steering.shorten(2, 500)
    tap.send(*[OTHER] * 120)
    assert len(tap.read(2)) == 100


def test_shed_frames_are_dropped_before_the_queue_and_counted_by_rule(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, parse_shed(["src:198.51.100.0/24", "udp:9"]))
    unwanted = udp4(1024, 9, "198.51.100.77")
    tap.send(*[unwanted] * 300, *[OTHER] * 20, *[DNS] * 10, *[ARP] * 5)
    counts = tap.steering.counts()
    assert counts.shed == {"src:198.51.100.0/24": 300, "udp:9": 20}
    assert counts.shed_total == 320
    assert tap.kernel() == (0, 320)
    assert tap.read_all() == [5, 10, 0]


def test_each_frame_of_a_send_that_the_kernel_cuts_up_is_counted(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, parse_shed(["udp:9"]))
    tap.configure("address", "02:00:00:00:00:01")
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", tap.name], check=True)
    subprocess.run(
        ["ip", "neighbour", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", tap.name, "nud", "permanent"],
        check=True,
    )
    tap.read_all()
    before = tap.steering.counts()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, 103, 18)  # UDP_SEGMENT
        sender.sendto(bytes(18 * 40), ("192.0.2.2", 53))
        sender.sendto(bytes(18 * 30), ("192.0.2.2", 9))
    after = tap.steering.counts()
    assert after.lanes[1].accepted - before.lanes[1].accepted == 40
    assert after.shed["udp:9"] == 30
    assert len(tap.read(1)) == 40


def test_a_tag_that_a_bridge_took_off_is_read_as_in_the_frame(make_tap: MakeTap, tap_name: str) -> None:
    lanes = parse_lanes(["seven=vlan:7", "dns=udp:53", "provider=ether:0x88a8"])
    tap = make_tap(lanes)
    bridge, near, far = f"b{tap_name}", f"n{tap_name}", f"f{tap_name}"
    commands = [
        f"link add {near} type veth peer name {far}",
        f"link add {bridge} type bridge mcast_snooping 0",
        *(f"link set {member} master {bridge}" for member in (far, tap.name)),
    ]
    try:
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True)
        for name in (near, far, bridge):
            with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
                file.write("1")
            subprocess.run(["ip", "link", "set", name, "up"], check=True)
        packet = ipv4(17, ports(1, 53), "192.0.2.1", "192.0.2.2")
        frames = [ethernet(0x0800, packet, *tags) for tags in ([7], [8], [], [7, 7], [8, 7])]
        frames.append(ethernet(0x88A8, b"\0\7\x08\0" + packet))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind((near, 0))
            for frame in frames:
                wire.send(frame)
        expected: list[list[bytes]] = [[], [], [], []]
        for frame in frames:
            expected[classify(frame, lanes, ()).lane].append(frame)
        assert [tap.read(lane) for lane in range(4)] == expected
        assert [len(lane) for lane in expected] == [2, 2, 1, 1]
    finally:
        subprocess.run(["ip", "link", "del", bridge], check=False)
        subprocess.run(["ip", "link", "del", near], check=False)


def test_rules_change_a_hundred_times_without_a_lost_or_uncounted_frame(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, depth=5000)
    dns_lanes = [LANES, parse_lanes(["control=arp,nd,icmp,icmp6,udp:53", "dns=tcp:53"])]
    sheds = [parse_shed(["udp:9"]), parse_shed([]), parse_shed(["udp:9,tcp", "udp:9"])]
    kept = shed_frames = 0
    for change in range(100):
        tap.steering.replace(dns_lanes[change % 2], sheds[change % 3])
        tap.send(ARP, DNS, OTHER, OTHER)
        sheds_other = change % 3 != 1
        kept += 2 if sheds_other else 4
        shed_frames += 2 if sheds_other else 0
    counts = tap.steering.counts()
    assert sum(counts.shed.values()) == counts.shed_total == shed_frames
    assert counts.shed["udp:9"] == 2 * sum(change % 3 == 0 for change in range(100))
    assert sum(lane.accepted for lane in counts.lanes) == kept
    assert tap.read_all() == [150, 50, kept - 200]
    assert tap.kernel() == (kept, shed_frames)


def test_names_and_number_of_lanes_are_fixed(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    with pytest.raises(ValueError, match=r"names and order are fixed while running \(control, dns, bulk\)"):
        tap.steering.replace(parse_lanes(["control=arp"]), ())


def test_a_refused_change_leaves_the_old_rules_in_force(make_tap: MakeTap, monkeypatch: pytest.MonkeyPatch) -> None:
    tap = make_tap(LANES, parse_shed(["udp:9"]))

    def refuse(code: bytes, name: str) -> int:
        raise DeviceError(f"eBPF program {name}: refused")

    with monkeypatch.context() as patch:
        patch.setattr(steering_module, "load_program", refuse)
        with pytest.raises(DeviceError, match="refused"):
            tap.steering.replace(LANES, parse_shed(["udp:53"]))
    tap.send(OTHER, DNS)
    assert tap.steering.counts().shed["udp:9"] == 1
    assert tap.read_all() == [0, 1, 0]


def test_detached_the_tap_steers_and_sheds_no_more(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, parse_shed(["udp:9"]))
    tap.steering.detach()
    tap.steering.detach()
    tap.send(*[OTHER] * 10)
    assert sum(tap.read_all()) == 10
    assert tap.steering.counts().shed_total == 0


def test_a_tap_that_is_gone_is_no_error_to_detach_from(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    subprocess.run(["ip", "link", "del", tap.name], check=True)
    tap.steering.detach()
    assert [lane.accepted for lane in tap.steering.counts().lanes] == [0, 0, 0]


def test_frames_that_a_shrunk_tap_queue_lost_are_found_when_it_is_quiet(make_tap: MakeTap) -> None:
    tap = make_tap(LANES, depth=100)
    tap.send(*[OTHER] * 100)
    tap.configure("txqueuelen", "10")
    tap.configure("txqueuelen", str(100 + QUEUE_SLACK))
    assert len(tap.read(2)) == 10
    assert tap.kernel() == (10, 0)  # 90 frames are gone and the kernel does not say so
    assert tap.steering.counts().lanes[2].waiting == 90
    tap.steering.settle([True, True, True])
    assert tap.steering.counts().lanes[2].waiting == 90  # once is not enough: one may be on its way
    tap.steering.settle([True, True, True])
    bulk = tap.steering.counts().lanes[2]
    assert (bulk.waiting, bulk.lost) == (0, 90)
    tap.send(*[OTHER] * 120)
    assert len(tap.read(2)) == 100


def test_nothing_is_settled_while_frames_come_or_wait(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    tap.send(OTHER)
    for empty in ([True, True, False], [True, True, True]):
        tap.steering.settle(empty)
    tap.send(OTHER)
    tap.steering.settle([True, True, True])
    bulk = tap.steering.counts().lanes[2]
    assert (bulk.waiting, bulk.lost) == (2, 0)


def test_frames_from_before_are_settled_without_being_called_lost(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    tap.steering.words_of(2)[LEFT] += 5  # as if five had waited when the program came
    for _ in range(2):
        tap.steering.settle([True, True, True])
    tap.send(OTHER)
    bulk = tap.steering.counts().lanes[2]
    assert (bulk.accepted, bulk.waiting, bulk.lost) == (1, 1, 0)


def test_on_a_new_tap_counts_go_on_and_what_waited_is_lost(make_tap: MakeTap) -> None:
    tap = make_tap(LANES)
    tap.send(OTHER, OTHER, OTHER)
    tap.steering.attach(tap.queues[0])
    bulk = tap.steering.counts().lanes[2]
    assert (bulk.accepted, bulk.waiting, bulk.lost) == (3, 0, 3)


def test_a_single_queue_counts_and_sheds_too(make_tap: MakeTap) -> None:
    tap = make_tap(parse_lanes([]), parse_shed(["udp:9"]))
    tap.send(ARP, OTHER, DNS)
    counts = tap.steering.counts()
    assert (counts.lanes[0].accepted, counts.shed) == (2, {"udp:9": 1})
    assert tap.read_all() == [2]


def test_a_rule_counts_on_when_it_comes_back() -> None:
    slots = ShedSlots(4)
    counters = [0] * 4
    (slot,) = slots.assign(["a"], counters)
    counters[slot] += 7
    slots.assign(["b"], counters)
    assert slots.assign(["a"], counters) == [slot]
    assert slots.counts(counters) == {"a": 7, "b": 0}


def test_the_rule_that_went_longest_ago_is_forgotten_first_and_its_frames_are_not() -> None:
    slots = ShedSlots(4)
    counters = [0] * 4
    for text, frames in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        (slot,) = slots.assign([text], counters)
        counters[slot] += frames
    slots.assign(["a"], counters)
    (slot,) = slots.assign(["e"], counters)
    assert slots.counts(counters) == {"a": 1, "c": 3, "d": 4, "e": 0}
    assert slots.forgotten == 2
    counters[slot] += 5
    assert slots.counts(counters)["e"] == 5


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=3), max_size=30))
def test_no_frame_of_any_rule_is_ever_forgotten_and_no_slot_is_reused_at_once(changes: list[list[str]]) -> None:
    slots = ShedSlots(6)
    counters = [0] * 6
    frames = 0
    before: dict[str, int] = {}
    for rules in changes:
        given_slots = dict(zip(rules, slots.assign(rules, counters), strict=True))
        assert len(set(given_slots.values())) == len(rules)
        for text, slot in given_slots.items():
            assert slot not in before.values() or before.get(text) == slot
            counters[slot] += 1
            frames += 1
        before = given_slots
        assert sum(slots.counts(counters).values()) + slots.forgotten == frames
