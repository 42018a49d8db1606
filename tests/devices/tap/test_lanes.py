"""A TAP with lanes: a queue and a chip each where the kernel lets us, one for all where it does not, and live rules."""

import asyncio
import logging
import os
import subprocess

import pytest

from asyncnic.devices import open_device
from asyncnic.devices.device import NEVER, DeviceOptions, WireCounters
from asyncnic.devices.tap.device import TapDevice
from asyncnic.errors import DeviceError, PrivilegeError
from asyncnic.hot.queue import PATIENCE
from asyncnic.lanes.program import LEFT
from asyncnic.lanes.steering import QUEUE_SLACK, LaneSteering
from asyncnic.linux import tun
from asyncnic.linux.link import state
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.lanes.frames import ARP, PING4, udp4
from tests.wire import Wire, keep_quiet, make_tap

MAC = bytes.fromhex("020000000002")
DNS, OTHER = udp4(1024, 53), udp4(1024, 9)
UNWANTED = udp4(1024, 9, "198.51.100.77")
LANES = ("control=arp,icmp", "dns=udp:53")


async def open_tap(name: str, knobs: Knobs) -> TapDevice:
    device = await open_device(f"tap:{name}", DeviceOptions(MAC, 1500, "", 1 << 20, knobs))
    assert isinstance(device, TapDevice)
    return device


def make_laned_tap(name: str) -> None:
    """A persistent TAP with several queues that is up and quiet."""
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(name)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)


async def queue_length(name: str) -> int:
    return (await asyncio.to_thread(state, name)).queue_length


def wire_of(device: TapDevice) -> WireCounters:
    counters = device.wire()
    assert counters is not None
    return counters


def deny(*_: object) -> None:
    raise PrivilegeError("eBPF map of counters: no; lanes and shedding need CAP_BPF (run as root, or --cap-add BPF)")


async def test_each_lane_has_a_queue_and_a_chip_and_its_drops_are_its_own(tap_name: str) -> None:
    make_laned_tap(tap_name)
    knobs = Knobs(lane=LANES, tap_queue=10, lane_queue=("dns=20",))
    device = await open_tap(tap_name, knobs)
    assert [lane.name for lane in device.lanes] == ["control", "dns", "bulk"]
    assert len({lane.fileno() for lane in device.lanes}) == 3
    assert await queue_length(tap_name) == 20 + QUEUE_SLACK
    before = wire_of(device)
    wire = Wire(tap_name)
    wire.send(*[ARP] * 4, *[DNS] * 25, *[OTHER] * 50)
    wire.close()
    found = wire_of(device)
    assert [lane.waiting for lane in found.lanes] == [4, 20, 10]
    assert [lane.dropped for lane in found.lanes] == [0, 5, 40]
    assert found.offered - before.offered == found.dropped - before.dropped == 45
    await device.close()
    assert wire_of(device).dropped == found.dropped


async def test_what_is_shed_is_in_no_lane(tap_name: str) -> None:
    make_laned_tap(tap_name)
    device = await open_tap(tap_name, Knobs(shed=("src:198.51.100.0/24",)))
    wire = Wire(tap_name)
    wire.send(*[UNWANTED] * 30, *[OTHER] * 3)
    wire.close()
    found = wire_of(device)
    assert (found.shed, found.shed_total, found.dropped) == ({"src:198.51.100.0/24": 30}, 30, 30)
    assert [lane.dropped for lane in found.lanes] == [0, 0]
    assert found.offered == 30
    await device.close()


@pytest.mark.parametrize(
    ("knobs", "level"),
    [(Knobs(), logging.DEBUG), (Knobs(lane=LANES), logging.WARNING)],
    ids=["by default", "asked for"],
)
async def test_a_tap_of_one_queue_has_one_lane_and_it_is_said_once(
    tap_name: str, knobs: Knobs, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    make_tap(tap_name)
    with caplog.at_level(logging.DEBUG):
        device = await open_tap(tap_name, knobs)
    assert [lane.name for lane in device.lanes] == ["bulk"]
    assert await queue_length(tap_name) == 1000
    (said,) = [record for record in caplog.records if record.message == "one lane"]
    assert said.levelno == level
    assert "it has one queue" in vars(said)["fields"]["why"]
    await device.close()


async def test_a_tap_of_one_queue_sheds_too(tap_name: str) -> None:
    make_tap(tap_name)
    device = await open_tap(tap_name, Knobs(shed=("udp:9",), tap_queue=50))
    assert [lane.name for lane in device.lanes] == ["bulk"]
    wire = Wire(tap_name)
    wire.send(*[OTHER] * 30, *[DNS] * 60)
    wire.close()
    found = wire_of(device)
    assert found.shed == {"udp:9": 30}
    assert (found.lanes[0].waiting, found.lanes[0].dropped) == (50, 10)
    await device.close()


async def test_without_the_privilege_there_is_one_lane(
    tap_name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LaneSteering, "__init__", deny)
    with caplog.at_level(logging.DEBUG):
        device = await open_tap(tap_name, Knobs(shed=("udp:9",)))
    assert [lane.name for lane in device.lanes] == ["bulk"]
    assert await queue_length(tap_name) == 1000
    (said,) = [record for record in caplog.records if record.message == "one lane"]
    assert "need CAP_BPF" in vars(said)["fields"]["why"]
    await device.close()


async def test_a_kernel_that_attaches_no_program_leaves_one_queue(
    tap_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LaneSteering, "attach", deny)
    device = await open_tap(tap_name, Knobs())
    assert [lane.name for lane in device.lanes] == ["bulk"]
    await device.close()


async def test_one_lane_is_what_no_lane_asks_for(tap_name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        device = await open_tap(tap_name, Knobs(lane=()))
    assert [lane.name for lane in device.lanes] == ["bulk"]
    assert not caplog.records
    await device.close()


async def test_rules_and_depths_change_live(tap_name: str) -> None:
    make_laned_tap(tap_name)
    knobs = Knobs(lane=LANES, tap_queue=10)
    device = await open_tap(tap_name, knobs)
    wire = Wire(tap_name)
    knobs.lane, knobs.shed = ("control=arp,icmp,udp:53", "dns=tcp:53"), ("udp:9",)
    knobs.tap_queue, knobs.lane_queue = 500, ("control=5",)
    await device.apply_knobs()
    assert await queue_length(tap_name) == 500 + QUEUE_SLACK
    wire.send(*[DNS] * 7, *[OTHER] * 3)
    found = wire_of(device)
    assert [(lane.waiting, lane.dropped) for lane in found.lanes] == [(5, 2), (0, 0), (0, 0)]
    assert found.shed == {"udp:9": 3}
    knobs.tap_queue = 20
    await device.apply_knobs()
    assert await queue_length(tap_name) == 500 + QUEUE_SLACK, "a queue that shrinks loses frames"
    knobs.shed = ()
    await device.apply_knobs()
    wire.send(*[OTHER] * 30)
    assert wire_of(device).lanes[2].waiting == 20
    wire.close()
    await device.close()


@pytest.mark.parametrize("lane", [("control=arp",), ("one=arp", "two=icmp"), ()])
async def test_names_of_lanes_cannot_change_live_and_nothing_does(tap_name: str, lane: tuple[str, ...]) -> None:
    knobs = Knobs(lane=LANES)
    device = await open_tap(tap_name, knobs)
    knobs.lane, knobs.tap_queue = lane, 10
    with pytest.raises(DeviceError, match="--lane: names and order are fixed while running"):
        await device.apply_knobs()
    assert (knobs.lane, knobs.tap_queue) == (LANES, 1000)
    await device.close()


async def test_one_queue_begins_to_shed_while_frames_wait_in_it(tap_name: str) -> None:
    make_tap(tap_name)
    knobs = Knobs(tap_queue=100)
    device = await open_tap(tap_name, knobs)
    wire = Wire(tap_name)
    wire.send(*[OTHER] * 150)
    knobs.shed = ("udp:53",)
    await device.apply_knobs()
    wire.send(*[DNS] * 40)
    found = wire_of(device)
    assert (found.dropped, found.lanes[0].dropped, found.shed) == (90, 50, {"udp:53": 40})
    knobs.lane = ("control=arp,icmp,tcp",)
    with pytest.raises(DeviceError, match=r"--lane: there is one lane: .* it has one queue"):
        await device.apply_knobs()
    wire.close()
    await device.close()


async def test_shedding_without_the_privilege_is_refused_and_changes_nothing(
    tap_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tap(tap_name)
    knobs = Knobs()
    device = await open_tap(tap_name, knobs)
    monkeypatch.setattr(LaneSteering, "__init__", deny)
    knobs.shed = ("udp:9",)
    with pytest.raises(PrivilegeError, match="CAP_BPF"):
        await device.apply_knobs()
    assert not [*knobs.shed]
    await device.close()


async def test_lanes_come_back_with_the_tap_and_counts_go_on(tap_name: str) -> None:
    make_laned_tap(tap_name)
    device = await open_tap(tap_name, Knobs(tap_queue=10))
    first = Wire(tap_name)
    first.send(*[OTHER] * 15, *[ARP] * 3)
    first.close()
    assert wire_of(device).lanes[1].dropped == 5
    subprocess.run(["ip", "link", "del", tap_name], check=True)
    assert not await device.reattach()
    assert wire_of(device).dropped == 5
    make_laned_tap(tap_name)
    assert await device.reattach()
    again = Wire(tap_name)
    again.send(*[OTHER] * 13, *[ARP] * 2)
    again.close()
    found = wire_of(device)
    assert [(lane.waiting, lane.dropped) for lane in found.lanes] == [(2, 0), (10, 8)]
    await device.close()


async def test_rules_that_change_while_the_tap_is_gone_are_in_force_when_it_is_back(tap_name: str) -> None:
    make_laned_tap(tap_name)
    knobs = Knobs(lane=LANES)
    device = await open_tap(tap_name, knobs)
    subprocess.run(["ip", "link", "del", tap_name], check=True)
    assert not await device.reattach()
    knobs.lane, knobs.shed, knobs.tap_queue = ("control=udp:53", "dns=arp"), ("udp:9",), 20
    await device.apply_knobs()
    make_laned_tap(tap_name)
    assert await device.reattach()
    wire = Wire(tap_name)
    wire.send(*[DNS] * 30, ARP, OTHER)
    wire.close()
    found = wire_of(device)
    assert [(lane.waiting, lane.dropped) for lane in found.lanes] == [(20, 10), (1, 0), (0, 0)]
    assert found.shed == {"udp:9": 1}
    await device.close()


async def test_a_tap_that_comes_back_with_one_queue_still_works(tap_name: str) -> None:
    make_laned_tap(tap_name)
    knobs = Knobs()
    async with open_nic(f"tap:{tap_name}", mac=MAC, knobs=knobs) as nic:
        device = nic.device
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        make_tap(tap_name)
        assert await device.reattach()
        for driver in nic._drivers:
            driver.bring_up()
        control, _ = device.lanes
        assert control.fileno() == NEVER
        assert control.poll(64) == 0
        wire = Wire(tap_name)
        wire.send(MAC + PING4[6:])
        assert [len(octets) for octets in await anext(nic)] == [max(60, len(PING4))]
        assert nic.send(wire_frame := b"\xff" * 6 + MAC + b"\x88\xb5" + bytes(46))
        nic._drivers[0].kick()
        assert wire.receive() == wire_frame
        assert nic.ledger().imbalance == 0
        assert nic.accounts().lanes["bulk"].ledger.delivered == 1
        knobs.shed = ("udp:9",)
        with pytest.raises(DeviceError, match="came back without its lanes"):
            await device.apply_knobs()
        assert not [*knobs.shed]
        wire.close()


async def test_a_poll_that_trusts_the_count_is_not_fooled_for_long(tap_name: str) -> None:
    """Frames from before the count began are found, although nothing seems to wait."""
    make_laned_tap(tap_name)
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        control = nic.device.lanes[0]
        assert control.poll(64) == 0
        wire = Wire(tap_name)
        wire.send(MAC + PING4[6:])
        nic.device._queues.steering.words_of(0)[LEFT] += 1  # type: ignore[attr-defined]
        polls = 1
        while not control.poll(64):
            polls += 1
        assert polls == PATIENCE + 1
        wire.send(MAC + PING4[6:])
        nic.device._queues.steering.words_of(0)[LEFT] += 1  # type: ignore[attr-defined]
        control.interrupt()
        assert control.poll(64) == 1, "an interrupt is not doubted"
        wire.close()


def test_a_second_queue_of_a_tap_that_has_one_is_explained(tap_name: str) -> None:
    make_tap(tap_name)
    with pytest.raises(DeviceError, match=r"it has one queue: make it with more .* multi_queue"):
        tun.attach(tap_name, queues=True)
    os.close(tun.attach(tap_name))


async def test_a_change_that_is_refused_half_way_changes_nothing(
    tap_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs = Knobs()
    device = await open_tap(tap_name, knobs)
    keep_quiet(tap_name)

    async def refuse(*_: object) -> None:
        raise PrivilegeError("--tap-queue needs CAP_NET_ADMIN")

    with monkeypatch.context() as patch:
        patch.setattr("asyncnic.devices.tap.queues.set_queue_length", refuse)
        knobs.shed, knobs.tap_queue = ("udp:9",), 5000
        with pytest.raises(PrivilegeError):
            await device.apply_knobs()
    assert not knobs.shed
    assert knobs.tap_queue == 1000
    wire = Wire(tap_name)
    wire.send(UNWANTED)
    assert device.wire().shed_total == 0
    wire.close()
    await device.close()
