"""The macvtap device on real macvtaps, over a pair of virtual Ethernet ports: one is the parent, one the neighbour."""

import asyncio
import itertools
import os
import select
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncnic.devices import open_device
from asyncnic.devices.device import DeviceOptions
from asyncnic.devices.macvtap.device import MacvtapDevice
from asyncnic.devices.macvtap.link import find, node_of, open_queue
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.waiting import until
from tests.wire import HOST, MAC, assert_law, frame, keep_quiet, number_of

_numbers = itertools.count()
SO_SNDBUFFORCE = 32
BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("333300000099")


class Cable:
    """The parent's name, and the neighbour's end as a socket."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.parent, self.neighbour = f"mvp{number}", f"mvn{number}"
        self.plug()

    def plug(self) -> None:
        ip("link", "add", self.parent, "type", "veth", "peer", "name", self.neighbour)
        for end in (self.parent, self.neighbour):
            keep_quiet(end)
            ip("link", "set", end, "up")
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        # Frames that wait in a macvtap are still the sender's: too small a buffer would hold the sender up.
        self.socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 26)
        self.socket.bind((self.neighbour, 3))
        self.socket.settimeout(2.0)

    def unplug(self) -> None:
        self.socket.close()
        subprocess.run(["ip", "link", "del", self.parent], capture_output=True, check=False)

    def send(self, *frames: bytes) -> None:
        for one in frames:
            self.socket.send(one)

    def make_macvtap(self, name: str, *more: str) -> None:
        ip("link", "add", "link", self.parent, "name", name, *more, "type", "macvtap", "mode", "bridge")


def ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True)


def macvtaps() -> list[str]:
    shown = subprocess.run(["ip", "-o", "link", "show", "type", "macvtap"], capture_output=True, text=True, check=True)
    return [line.split(": ")[1].split("@")[0] for line in shown.stdout.splitlines()]


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.unplug()


def options(*, mac: bytes | None = MAC, mtu: int = 1500, knobs: Knobs | None = None) -> DeviceOptions:
    return DeviceOptions(mac=mac, mtu=mtu, host_address="", memory_size=1 << 20, knobs=knobs or Knobs())


async def opened(name: str, given: DeviceOptions) -> MacvtapDevice:
    device = await open_device(f"macvtap:{name}", given)
    assert isinstance(device, MacvtapDevice)
    return device


async def count(nic: Nic, frames: int) -> list[int]:
    """Take so many frames: their numbers."""
    numbers: list[int] = []
    async for burst in nic:
        numbers += [number_of(one) for one in burst]
        if len(numbers) >= frames:
            break
    return numbers


async def drain(nic: Nic) -> None:
    """Take all frames, for as long as it is let."""
    async for burst in nic:
        for _ in burst:
            pass


@asynccontextmanager
async def nic_on(cable: Cable, **more: object) -> AsyncIterator[Nic]:
    async with open_nic(f"macvtap:{cable.parent}", mac=MAC, **more) as nic:  # type: ignore[arg-type]
        yield nic


async def test_a_macvtap_is_made_set_up_and_gone_with_us(cable: Cable) -> None:
    device = await opened(cable.parent, options(mtu=1400, knobs=Knobs(tap_queue=77)))
    (name,) = macvtaps()
    shown = subprocess.run(["ip", "-d", "-o", "link", "show", name], capture_output=True, text=True, check=True).stdout
    for expected in (
        "mtu 1400",
        "qlen 77",
        "macvtap mode bridge",
        "LOWER_UP",
        "ALLMULTI",
        f"link/ether {MAC.hex(':')}",
    ):
        assert expected in shown
    await device.close()
    await device.close()
    assert macvtaps() == []


async def test_the_kernel_says_nothing_with_our_address(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        assert nic.send(frame(HOST, 7))
        await until(lambda: nic.counters.transmitted_frames == 1)
        assert number_of(cable.socket.recv(2048)) == 7
        cable.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            cable.socket.recv(2048)


async def test_frames_for_us_come_and_others_do_not(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        cable.send(frame(HOST, 9), frame(bytes.fromhex("020000000077"), 8), frame(MAC, 1))
        assert await count(nic, 1) == [1]
        cable.send(frame(BROADCAST, 2))
        assert await count(nic, 1) == [2]
        taken = asyncio.create_task(drain(nic))
        cable.send(frame(GROUP, 3))
        await until(lambda: nic.ledger().filtered == 1)
        assert_law(nic, offered=3)
        taken.cancel()


@pytest.mark.parametrize("destination", [MAC, BROADCAST])
@pytest.mark.parametrize("tap_queue", [50, 1000])
async def test_every_frame_of_a_flood_is_accounted_for(cable: Cable, destination: bytes, tap_queue: int) -> None:
    async with nic_on(cable, knobs=Knobs(tap_queue=tap_queue)) as nic:
        taken = asyncio.create_task(drain(nic))
        cable.send(*(frame(destination, number) for number in range(600)))
        await until(lambda: nic.ledger().offered == 600 and not nic.ledger().in_flight)
        assert_law(nic, offered=600)
        if tap_queue == 1000:
            assert nic.ledger().delivered == 600
        elif destination == MAC:  # at once, so that what the queue has no room for is lost
            assert nic.ledger().dropped_at("kernel") == 550
        taken.cancel()


async def test_frames_that_wait_are_not_offered_yet(cable: Cable) -> None:
    device = await opened(cable.parent, options(knobs=Knobs(tap_queue=50)))
    cable.send(*(frame(MAC, number) for number in range(80)))
    assert (device.wire().offered, device.wire().dropped) == (30, 30)
    await device.close()
    assert (device.wire().offered, device.wire().dropped) == (30, 30)


async def test_a_parent_that_goes_and_comes_back(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        taken = asyncio.create_task(drain(nic))
        cable.send(frame(MAC, 1), frame(MAC, 2))
        await until(lambda: nic.ledger().delivered == 2)
        cable.unplug()
        await until(lambda: not nic.device_up)
        assert_law(nic, offered=2)
        cable.plug()
        await until(lambda: nic.device_up)
        cable.send(frame(MAC, 3))
        await until(lambda: nic.ledger().delivered == 3)
        assert_law(nic, offered=3)
        taken.cancel()
    assert macvtaps() == []


async def test_a_macvtap_that_is_deleted_is_made_again(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        (first,) = macvtaps()
        ip("link", "del", first)
        taken = asyncio.create_task(drain(nic))
        await until(lambda: nic.counters.resets == 1)
        assert macvtaps() not in ([], [first])
        cable.send(frame(MAC, 3))
        await until(lambda: nic.ledger().delivered == 1)
        assert_law(nic, offered=1)
        taken.cancel()


async def test_a_change_of_another_interface_is_no_loss(cable: Cable) -> None:
    device = await opened(cable.parent, options())
    (lane,) = device.lanes
    ip("link", "set", cable.neighbour, "txqueuelen", "77")
    fd = lane.fileno()
    assert fd is not None
    assert select.select([fd], [], [], 0)[0]
    lane.interrupt()
    assert not select.select([fd], [], [], 0)[0]
    ip("link", "del", macvtaps()[0])
    with pytest.raises(DeviceLost, match="deleted"):
        lane.interrupt()
    await device.close()


async def test_one_made_beforehand_stays_and_its_counters_start_at_zero(cable: Cable) -> None:
    name = f"{cable.parent}t"
    cable.make_macvtap(name, "address", "02:00:00:00:00:33")
    keep_quiet(name)
    ip("link", "set", name, "up")
    cable.send(*(frame(bytes.fromhex("020000000033"), number) for number in range(5)))
    async with open_nic(f"macvtap:{name}") as nic:
        assert_law(nic, offered=0)
        cable.send(frame(bytes.fromhex("020000000033"), 6))
        assert await count(nic, 1) == [6]
        assert_law(nic, offered=1)
        with pytest.raises(DeviceError, match="another process"):
            await opened(name, options(mac=None))
    assert macvtaps() == [name]
    with pytest.raises(DeviceError, match="its MAC is 02:00:00:00:00:33: leave --mac out"):
        await opened(name, options())


async def test_what_a_killed_service_left_is_replaced(cable: Cable) -> None:
    script = (
        "import asyncio, os\n"
        "from asyncnic.nic.opening import open_nic\n"
        "async def main():\n"
        f"    async with open_nic('macvtap:{cable.parent}', mac={MAC!r}):\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    (left,) = macvtaps()
    device = await opened(cable.parent, options())
    assert left not in macvtaps()
    assert len(macvtaps()) == 1
    await device.close()


async def test_two_on_one_parent_reach_each_other_and_differ_in_mac(cable: Cable) -> None:
    async with nic_on(cable) as nic:
        with pytest.raises(DeviceError, match=f"macvtap:{cable.parent}: MAC {MAC.hex(':')} is taken"):
            await opened(cable.parent, options())
        async with open_nic(f"macvtap:{cable.parent}") as other:
            assert len(macvtaps()) == 2
            assert other.send(frame(MAC, 5))
            assert await count(nic, 1) == [5]


async def test_the_queue_only_grows_while_running(cable: Cable) -> None:
    knobs = Knobs(tap_queue=50)
    device = await opened(cable.parent, options(knobs=knobs))
    knobs.tap_queue = 60
    await device.apply_knobs()
    cable.send(*(frame(MAC, number) for number in range(80)))
    assert device.wire().dropped == 20
    knobs.tap_queue = 10
    with pytest.raises(DeviceError, match="--tap-queue only grows"):
        await device.apply_knobs()
    assert knobs.tap_queue == 60
    await device.close()


def test_a_missing_or_wrong_node_is_made_up_for(cable: Cable) -> None:
    name = f"{cable.parent}t"
    cable.make_macvtap(name)
    link = find(name)
    assert link is not None
    node_of(link).unlink()
    os.close(open_queue(link))
    node_of(link).symlink_to("/dev/null")
    try:
        os.close(open_queue(link))
    finally:
        node_of(link).unlink()
    assert not list(Path("/dev").glob(".mv*"))


async def test_an_interface_that_is_not_there_says_so() -> None:
    with pytest.raises(DeviceError, match="macvtap:nowhere0: no such interface"):
        await opened("nowhere0", options())


async def test_an_interface_that_cannot_carry_one_says_so(cable: Cable) -> None:
    with pytest.raises(DeviceError, match="macvtap:lo: it cannot carry one"):
        await opened("lo", options())
    ip("link", "add", "mvbr", "type", "bridge")
    ip("link", "set", cable.parent, "master", "mvbr")
    with pytest.raises(DeviceError, match="it belongs to a bridge"):
        await opened(cable.parent, options())
    ip("link", "del", "mvbr")
    with pytest.raises(DeviceError, match="--mtu"):
        ip("link", "set", cable.parent, "mtu", "1400")
        await opened(cable.parent, options())


UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os, sys
import asyncnic.devices.macvtap.device
from asyncnic.devices import open_device
from asyncnic.devices.device import DeviceOptions
from asyncnic.errors import DeviceError
from asyncnic.settings.knobs import Knobs
os.setgid(65534); os.setuid(65534)
async def main():
    given = DeviceOptions(mac=None, mtu=1500, host_address="", memory_size=1 << 20, knobs=Knobs())
    try:
        device = await open_device(sys.argv[1], given)
    except DeviceError as error:
        print(type(error).__name__, error)
    else:
        print("open")
        await device.close()
asyncio.run(main())
"""


def unprivileged(name: str) -> str:
    command = [sys.executable, "-c", UNPRIVILEGED, f"macvtap:{name}"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def test_without_privilege_each_step_names_its_fix(cable: Cable) -> None:
    said = unprivileged(cable.parent)
    assert said.startswith(f"PrivilegeError macvtap:{cable.parent}: making it needs CAP_NET_ADMIN")
    assert f"ip link add link {cable.parent} name NAME type macvtap mode bridge" in said
    name = f"{cable.parent}t"
    cable.make_macvtap(name)
    link = find(name)
    assert link is not None
    node = node_of(link)
    os.chmod(node, 0o600)
    said = unprivileged(name)
    assert said.startswith(f"PrivilegeError {node}: Permission denied")
    assert f"--device {node}" in said
    os.chown(node, 65534, 65534)
    said = unprivileged(name)
    assert said.endswith(f"ip link set {name} allmulticast on")
    ip("link", "set", name, "allmulticast", "on")
    said = unprivileged(name)
    assert said.startswith(f"PrivilegeError macvtap:{name}: --tap-queue needs CAP_NET_ADMIN")
    ip("link", "set", name, "txqueuelen", str(Knobs().tap_queue), "up")
    assert unprivileged(name) == "open"
    node.unlink()
    assert (
        unprivileged(name) == f"DeviceError {node}: absent, or another interface's: give the container --device {node}"
    )
