"""A TAP held open for its readers, and a queue of it as a device: descriptors, lanes, counters across its life."""

import os
import subprocess

import pytest

from asyncnic.devices.device import DeviceOptions
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.devices.tap.worker_queue import open_queues
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import DEFAULT_LANES, parse_lanes
from asyncnic.linux.link import LinkWanted
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC, Wire, frame, keep_quiet

ARP = MAC + bytes.fromhex("02000000aaaa 0806") + bytes(46)


async def shared(name: str, readers: int = 2, lanes: tuple[str, ...] = DEFAULT_LANES) -> SharedTap:
    """A quiet TAP, attached to."""
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(name)
    tap = SharedTap(name, readers, parse_lanes(lanes), LinkWanted(1500, 100))
    await tap.attach()
    return tap


def waiting(queue: int) -> int:
    """Read a queue until it is empty; how many frames it had."""
    found = 0
    while True:
        try:
            os.read(queue, 2048)
        except BlockingIOError:
            return found
        found += 1


async def test_the_first_reader_has_the_higher_lanes_besides(tap_name: str) -> None:
    tap = await shared(tap_name, 3, ("control=arp", "dns=udp:53"))
    assert [len(tap.queues_of(reader)) for reader in range(3)] == [3, 1, 1]
    assert sorted(queue for reader in range(3) for queue in tap.queues_of(reader)) == sorted(tap.queues)
    await tap.close()
    assert tap.queues_of(0) == ()


async def test_control_has_its_own_queue_and_both_are_counted(tap_name: str) -> None:
    tap = await shared(tap_name)
    wire = Wire(tap_name)
    wire.send(*[ARP] * 3, *(frame(MAC, number) for number in range(150)))
    control, first = tap.queues_of(0)
    (second,) = tap.queues_of(1)
    assert waiting(control) == 3
    assert waiting(first) == 100  # what is no IP has no flow: all of it is the first reader's
    assert waiting(second) == 0
    counters = tap.wire()
    assert (counters.offered, counters.dropped) == (153, 50)
    wire.close()
    await tap.close()
    assert tap.wire() == counters


async def test_rules_change_and_names_do_not(tap_name: str) -> None:
    tap = await shared(tap_name)
    tap.steer(parse_lanes(("control=ether:0x88b5",)))
    wire = Wire(tap_name)
    wire.send(ARP, frame(MAC), frame(MAC))
    assert [waiting(queue) for queue in tap.queues_of(0)] == [2, 1]
    with pytest.raises(DeviceError, match="fixed while running"):
        tap.steer(parse_lanes(("other=arp",)))
    wire.close()
    await tap.close()


async def test_counts_go_on_when_the_tap_was_deleted_and_came_back(tap_name: str) -> None:
    tap = await shared(tap_name)
    wire = Wire(tap_name)
    wire.send(*(frame(MAC, number) for number in range(10)))
    assert waiting(tap.queues_of(0)[1]) == 10
    wire.close()
    subprocess.run(["ip", "link", "del", tap_name], check=True)
    with pytest.raises(DeviceLost):
        tap.wire()
    tap.lose(12)  # two more were read after the last look
    assert tap.wire().offered == 12
    assert not await tap.reattach()
    subprocess.run(["ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(tap_name)
    assert await tap.reattach()
    wire = Wire(tap_name)
    wire.send(ARP)
    assert waiting(tap.queues_of(0)[0]) == 1
    assert tap.wire().offered == 13
    wire.close()
    await tap.close()


async def test_a_tap_in_use_is_refused(tap_name: str) -> None:
    tap = await shared(tap_name)
    other = SharedTap(tap_name, 2, parse_lanes(DEFAULT_LANES), LinkWanted(1500, 100))
    with pytest.raises(DeviceError, match="another process is attached"):
        await other.attach()
    await tap.close()


async def test_a_queue_is_a_device_that_counts_what_it_reads(tap_name: str) -> None:
    tap = await shared(tap_name)
    options = DeviceOptions(mac=MAC, mtu=1500, host_address="", memory_size=1 << 20, knobs=Knobs())
    copies = [os.dup(queue) for queue in tap.queues_of(0)]
    device = await open_queues(tap_name, copies, options)
    assert device.name == f"tap:{tap_name}"
    assert [lane.name for lane in device.lanes] == ["control", "bulk"]
    assert device.wire().offered == 0
    assert not await device.reattach()
    assert [lane.fileno() for lane in device.lanes] == [None, None]
    device.replace([os.dup(queue) for queue in tap.queues_of(0)])
    assert await device.reattach()
    assert None not in [lane.fileno() for lane in device.lanes]
    await device.close()
    await tap.close()


async def test_a_queue_needs_a_station_address(tap_name: str) -> None:
    options = DeviceOptions(mac=None, mtu=1500, host_address="", memory_size=1 << 20, knobs=Knobs())
    with pytest.raises(ValueError, match="no station address"):
        await open_queues(tap_name, [3], options)
