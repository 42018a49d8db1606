"""The TAP device on real TAPs: attaching, what is in the way, counters across its life."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic.devices import open_device
from asyncnic.devices.device import DeviceOptions
from asyncnic.devices.tap.device import TapDevice
from asyncnic.errors import DeviceError, DeviceLost, PrivilegeError
from asyncnic.lanes.rules import DEFAULT_LANES
from asyncnic.lanes.steering import QUEUE_SLACK
from asyncnic.linux.link import LinkCounters, LinkWanted, set_up, state
from asyncnic.settings.knobs import Knobs
from tests.wire import Wire, frame, make_tap

MAC = bytes.fromhex("020000000002")


def options(*, host_address: str = "", mtu: int = 1500, knobs: Knobs | None = None) -> DeviceOptions:
    return DeviceOptions(
        mac=MAC, mtu=mtu, host_address=host_address, memory_size=1 << 20, knobs=knobs if knobs is not None else Knobs()
    )


async def open_tap(name: str, given: DeviceOptions) -> TapDevice:
    device = await open_device(f"tap:{name}", given)
    assert isinstance(device, TapDevice)
    return device


async def test_a_tap_is_made_set_up_and_gone_with_us(tap_name: str) -> None:
    device = await open_tap(tap_name, options(host_address="192.0.2.1/24", mtu=1400, knobs=Knobs(tap_queue=77)))
    shown = subprocess.run(["ip", "-o", "addr", "show", tap_name], capture_output=True, text=True, check=True).stdout
    link = subprocess.run(["ip", "-o", "link", "show", tap_name], capture_output=True, text=True, check=True).stdout
    assert "192.0.2.1/24" in shown
    assert "mtu 1400" in link
    assert f"qlen {77 + QUEUE_SLACK}" in link
    assert "LOWER_UP" in link
    await device.close()
    await device.close()
    assert subprocess.run(["ip", "link", "show", tap_name], capture_output=True, check=False).returncode == 1


async def test_an_ipv6_host_address_is_usable_at_once(tap_name: str) -> None:
    device = await open_tap(tap_name, options(host_address="2001:db8::1/64"))
    shown = subprocess.run(["ip", "-6", "addr", "show", tap_name], capture_output=True, text=True, check=True).stdout
    assert "2001:db8::1/64" in shown
    assert "tentative" not in shown.split("2001:db8::1/64")[1].split("\n")[0]
    await device.close()


async def test_a_persistent_tap_stays_and_its_counters_start_at_zero(tap_name: str) -> None:
    make_tap(tap_name)
    first = await open_tap(tap_name, options())
    wire = Wire(tap_name)
    wire.send(*(frame(MAC, i) for i in range(1500)))
    counters = first.wire()
    assert counters is not None
    assert (counters.offered, counters.dropped) == (500, 500)
    await first.close()
    second = await open_tap(tap_name, options())
    counters = second.wire()
    assert counters is not None
    assert (counters.offered, counters.dropped) == (0, 0)
    await second.close()
    wire.close()


async def test_a_multi_queue_tap_can_be_attached_to(tap_name: str) -> None:
    subprocess.run(["ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue"], check=True)
    device = await open_tap(tap_name, options())
    await device.close()


@pytest.mark.parametrize("lane", [DEFAULT_LANES, ()])
async def test_a_tap_in_use_says_so(tap_name: str, lane: tuple[str, ...]) -> None:
    device = await open_tap(tap_name, options(knobs=Knobs(lane=lane)))
    for other in (DEFAULT_LANES, ()):
        with pytest.raises(DeviceError, match=f"tap:{tap_name}: another process"):
            await open_tap(tap_name, options(knobs=Knobs(lane=other)))
    await device.close()


async def test_an_interface_that_is_no_tap_says_so(tap_name: str) -> None:
    subprocess.run(["ip", "link", "add", tap_name, "type", "bridge"], check=True)
    with pytest.raises(DeviceError, match="is no TAP"):
        await open_tap(tap_name, options())


@pytest.mark.parametrize("name", ["", "x" * 16, "a/b"])
async def test_a_name_that_no_interface_can_have_says_so(name: str) -> None:
    with pytest.raises((DeviceError, ValueError)) as caught:
        await open_tap(name, options())
    assert "\n" not in str(caught.value)


async def test_a_missing_node_names_the_fix(tap_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("asyncnic.linux.tun.NODE", str(tmp_path / "tun"))
    with pytest.raises(DeviceError, match="modprobe tun") as caught:
        await open_tap(tap_name, options())
    assert not isinstance(caught.value, PrivilegeError)


UNPRIVILEGED = """
import asyncio, concurrent.futures.thread, os, sys
import asyncnic.devices.tap.device
from asyncnic.devices import open_device
from asyncnic.devices.device import DeviceOptions
from asyncnic.errors import DeviceError
from asyncnic.settings.knobs import Knobs
os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    address = sys.argv[2]
    device = await open_device(f"tap:{sys.argv[1]}", DeviceOptions(None, 1500, address, 1 << 20, Knobs()))
    wire = device.wire()
    print("open", wire.offered, wire.dropped)
    await device.close()
try:
    asyncio.run(main())
except DeviceError as error:
    print(type(error).__name__, error)
"""


def unprivileged(name: str, address: str = "") -> str:
    """What a user without any capability sees when it opens the TAP."""
    command = [sys.executable, "-c", UNPRIVILEGED, name, address]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.fixture
def open_node() -> object:
    """Let any user open /dev/net/tun for the time of a test."""
    mode = os.stat("/dev/net/tun").st_mode
    os.chmod("/dev/net/tun", 0o666)
    yield
    os.chmod("/dev/net/tun", mode)


@pytest.mark.usefixtures("open_node")
def test_a_tap_of_our_own_needs_no_capability(tap_name: str) -> None:
    make_tap(tap_name, user="nobody")
    assert unprivileged(tap_name) == "open 0 0"


@pytest.mark.usefixtures("open_node")
def test_what_is_missing_without_privilege_is_one_line_with_the_fix(tap_name: str) -> None:
    assert unprivileged(tap_name).startswith(f"PrivilegeError tap:{tap_name}: making it needs CAP_NET_ADMIN")
    make_tap(tap_name)
    assert unprivileged(tap_name).startswith(f"PrivilegeError tap:{tap_name}: it belongs to another user")
    subprocess.run(["ip", "link", "del", tap_name], check=True)
    make_tap(tap_name, user="nobody")
    said = unprivileged(tap_name, "192.0.2.1/24")
    assert said.startswith(f"PrivilegeError tap:{tap_name}: --host-address needs CAP_NET_ADMIN")
    assert said.endswith(f"ip addr add 192.0.2.1/24 dev {tap_name}")


def test_without_the_node_privilege_the_fix_is_named(tap_name: str) -> None:
    os.chmod("/dev/net/tun", 0o600)
    assert unprivileged(tap_name).startswith("PrivilegeError /dev/net/tun: Permission denied")


async def test_the_queue_length_follows_the_knob(tap_name: str) -> None:
    make_tap(tap_name)
    knobs = Knobs(tap_queue=100)
    device = await open_tap(tap_name, options(knobs=knobs))
    wire = Wire(tap_name)
    wire.send(*(frame(MAC, i) for i in range(80)))
    knobs.tap_queue = 300
    await device.apply_knobs()
    wire.send(*(frame(MAC, i) for i in range(80, 330)))
    counters = device.wire()
    assert counters is not None
    assert counters.dropped == 30
    wire.close()
    await device.close()


async def test_counters_survive_the_loss_of_the_tap(tap_name: str) -> None:
    make_tap(tap_name)
    device = await open_tap(tap_name, options())
    wire = Wire(tap_name)
    wire.send(*(frame(MAC, i) for i in range(1100)))
    before = device.wire()
    subprocess.run(["ip", "link", "del", tap_name], check=True)
    with pytest.raises(DeviceLost):
        device.wire()
    assert not await device.reattach()
    assert device.wire() == before
    make_tap(tap_name)
    assert await device.reattach()
    assert device.wire() == before
    await device.close()
    wire.close()


def test_link_state_and_counters_of_an_interface_that_is_not_there() -> None:
    with pytest.raises(DeviceLost):
        state("nonesuch")
    with pytest.raises(DeviceLost):
        LinkCounters("nonesuch")


async def test_the_kernels_refusal_names_the_flag(tap_name: str) -> None:
    make_tap(tap_name)
    with pytest.raises(DeviceError, match="--mtu: the kernel refuses"):
        await set_up(tap_name, LinkWanted(mtu=100_000, queue_length=1000))
