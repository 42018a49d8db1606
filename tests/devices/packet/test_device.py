"""The packet device as a station on one end of a pair of virtual Ethernet ports: frames, the law, and every loss."""

import asyncio
import os
import random
import subprocess

import pytest

from asyncnic.devices.device import PacketOptions
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.packet.rig import Cable, count, drained, ip, nic_on
from tests.trust import recovering
from tests.waiting import until
from tests.wire import HOST, MAC, assert_law, frame, number_of

BROADCAST = b"\xff" * 6
OTHER = bytes.fromhex("020000000077")


async def test_the_chip_has_the_address_of_the_interface(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        assert nic.mac == MAC
        cable.send(frame(MAC, 1), frame(BROADCAST, 2))
        assert await count(nic, 2) == [1, 2]
        assert_law(nic, offered=2)


async def test_an_address_of_our_own_beside_the_interfaces(cable: Cable) -> None:
    async with nic_on(cable, mac=OTHER) as nic:
        cable.send(frame(OTHER, 1), frame(MAC, 2), frame(OTHER, 3))
        assert await count(nic, 2) == [1, 3]
        assert nic.ledger().filtered == 1
        assert_law(nic, offered=3)


async def test_what_we_send_leaves_and_does_not_come_back(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        assert nic.send(frame(HOST, 7))
        assert number_of(await asyncio.to_thread(cable.receive)) == 7
        cable.send(frame(MAC, 8))
        assert await count(nic, 1) == [8]
        assert nic.counters.transmitted_frames == 1
        assert_law(nic, offered=1)


@pytest.mark.parametrize("overload", ["leave", "drain"])
@pytest.mark.parametrize("destination", [MAC, BROADCAST, OTHER])
async def test_every_frame_of_a_flood_is_accounted_for(cable: Cable, destination: bytes, overload: str) -> None:
    async with nic_on(cable, knobs=Knobs(overload=overload), packet=PacketOptions(ring=256), mac=MAC) as nic:
        ip("link", "set", cable.name, "promisc", "on")
        cable.send(*(frame(destination, number) for number in range(600)))
        async with drained(nic):
            await until(lambda: nic.ledger().offered == 600 and not nic.ledger().in_flight)
        assert_law(nic, offered=600)
        assert nic.ledger().dropped_at("kernel") == 344  # at once, so that what the ring has no room for is lost
        assert nic.ledger().filtered == (256 if destination == OTHER else 0)


async def test_frames_that_stand_in_the_ring_are_not_offered_yet(cable: Cable) -> None:
    async with nic_on(cable, packet=PacketOptions(ring=64)) as nic:
        cable.send(*(frame(MAC, number) for number in range(80)))
        account = nic.accounts().lanes["bulk"]
        assert (account.ledger.offered, account.ledger.dropped_at("kernel"), account.waiting) == (16, 16, 64)
        assert_law(nic, offered=16)
    assert_law(nic, offered=80)
    assert nic.ledger().dropped_at("kernel") == 80


async def test_counters_grow_on_although_the_kernels_are_reset_by_reading(cable: Cable) -> None:
    async with nic_on(cable, packet=PacketOptions(ring=64)) as nic:
        for times in range(1, 4):
            cable.send(*(frame(MAC, number) for number in range(100)))
            nic.ledger()
            async with drained(nic):
                await until(lambda times=times: nic.ledger().offered == 100 * times and not nic.ledger().in_flight)  # type: ignore[misc]
            assert_law(nic, offered=100 * times)
            assert nic.ledger().dropped_at("kernel") == 36 * times


async def test_ten_thousand_random_frames(cable: Cable) -> None:
    numbers = random.Random(13)
    async with nic_on(cable) as nic:
        async with drained(nic):
            for _ in range(100):
                cable.send(*(MAC + numbers.randbytes(numbers.randrange(8, 1508)) for _ in range(100)))
                await asyncio.sleep(0)
            await until(lambda: nic.ledger().offered == 10_000 and not nic.ledger().in_flight)
        assert_law(nic, offered=10_000)


@pytest.mark.parametrize("flooded", [False, True])
@pytest.mark.parametrize("fault", ["down", "deleted", "moved", "renamed"])
async def test_an_interface_that_goes_is_noticed_and_met_again(cable: Cable, fault: str, flooded: bool) -> None:
    async with nic_on(cable, packet=PacketOptions(ring=64)) as nic, drained(nic):
        cable.send(frame(MAC, 1), frame(MAC, 2))
        await until(lambda: nic.ledger().delivered == 2)
        if flooded:
            cable.send(*(frame(MAC, number) for number in range(200)))
        before = nic.ledger()
        if fault == "down":
            ip("link", "set", cable.name, "down")
        elif fault == "deleted":
            cable.unplug()
        elif fault == "moved":
            holder = subprocess.Popen(["unshare", "-n", "sleep", "60"])
            await until(lambda: _in_a_namespace_of_its_own(holder.pid))
            ip("link", "set", cable.name, "netns", str(holder.pid))
        else:
            ip("link", "set", cable.name, "down")
            ip("link", "set", cable.name, "name", "renamed0")
        await until(lambda: not nic.device_up)
        assert nic.ledger().imbalance == 0
        if fault == "down":
            ip("link", "set", cable.name, "up")
        elif fault == "deleted":
            cable.plug()
        elif fault == "moved":
            holder.kill()  # with its namespace go the interface and its other end
            holder.wait()
            await until(lambda: not _exists(cable.neighbour))
            cable.unplug()
            cable.plug()
        else:
            ip("link", "set", "renamed0", "up")
        with recovering():
            await until(lambda: nic.device_up)
        after = nic.ledger()
        assert after.offered >= before.offered
        assert after.delivered >= before.delivered
        await until(lambda: _running(cable.neighbour))
        cable.send(frame(MAC, 3))
        offered = 203 if flooded else 3  # what stood in the ring when the interface went is not lost
        await until(lambda: nic.ledger().offered == offered and not nic.ledger().in_flight)
        assert_law(nic, offered=offered)
        if fault == "renamed":
            ip("link", "set", "renamed0", "down")
            ip("link", "set", "renamed0", "name", cable.name)


def _in_a_namespace_of_its_own(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    except OSError:
        return False


def _exists(name: str) -> bool:
    return subprocess.run(["ip", "link", "show", name], capture_output=True, check=False).returncode == 0


def _running(name: str) -> bool:
    shown = subprocess.run(["ip", "link", "show", name], capture_output=True, text=True, check=True).stdout
    return "LOWER_UP" in shown


async def test_a_rename_while_up_changes_nothing(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        if subprocess.run(["ip", "link", "set", cable.name, "name", "renamed1"], capture_output=True).returncode == 0:
            cable.send(frame(MAC, 1))
            assert await count(nic, 1) == [1]
            ip("link", "set", "renamed1", "name", cable.name)
        assert nic.device_up
        assert nic.ledger().imbalance == 0


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (("link", "set", "pktbad", "down"), "packet:pktbad: the interface is down: ip link set pktbad up"),
        (("link", "del", "pktbad"), "packet:pktbad: no such interface: see ip link"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(prepare: tuple[str, ...], said: str) -> None:
    ip("link", "add", "pktbad", "type", "veth", "peer", "name", "pktbadn")
    ip("link", "set", "pktbad", "up")
    try:
        ip(*prepare)
        with pytest.raises(DeviceError, match=f"^{said}$"):
            async with open_nic("packet:pktbad"):
                pass
    finally:
        subprocess.run(["ip", "link", "del", "pktbadn"], capture_output=True, check=False)


async def test_no_ethernet_interface() -> None:
    with pytest.raises(DeviceError, match="packet:lo: is no Ethernet interface"):
        async with open_nic("packet:lo"):
            pass


async def test_a_lane_says_why_it_was_lost(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        ip("link", "set", cable.name, "down")
        with pytest.raises(DeviceLost, match="down, or was deleted or moved"):
            nic.device.lanes[0].interrupt()
