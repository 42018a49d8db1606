"""One wire, one service: whatever the two backends, in whatever order, also when both start at once; and what the last
user of a TAP has left on it.
"""

import asyncio
import fcntl
import os
import socket
import struct
import subprocess

import pytest

from asyncnic.devices import open_device
from asyncnic.devices.device import Device, DeviceOptions
from asyncnic.devices.macvtap.link import find, open_queue
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.errors import DeviceError
from asyncnic.linux import bpf, tun
from asyncnic.linux.thread import in_thread
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.test_attachment import Host
from tests.wire import HOST, MAC, Wire, frame, keep_quiet

TAP_USERS = ("tap", "one lane", "shared", "qemu")
TUNSETOFFLOAD = 0x400454D0
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
UDP_SEGMENT = 103


async def opened(backend: str, name: str) -> Device | SharedTap:
    if backend == "one lane":
        return await open_device(f"tap:{name}", DeviceOptions(MAC, 1500, "", 1 << 20, Knobs(lane=())))
    return await Host(backend, name).open()


def make_multi_queue_tap(name: str) -> None:
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(name)


@pytest.mark.parametrize("multi_queue", [True, False])
@pytest.mark.parametrize("second", TAP_USERS)
@pytest.mark.parametrize("first", TAP_USERS)
async def test_a_tap_has_one_user_whoever_comes_second(
    tap_name: str, first: str, second: str, multi_queue: bool
) -> None:
    if multi_queue:
        make_multi_queue_tap(tap_name)
    there = await opened(first, tap_name)
    with pytest.raises(DeviceError, match=rf"^(tap|qemu):{tap_name}: another process is attached to it: stop that one"):
        await opened(second, tap_name)
    await there.close()
    await (await opened(second, tap_name)).close()


async def test_a_macvtap_made_beforehand_has_one_user(tap_name: str) -> None:
    host = Host("macvtap", tap_name)
    host.make()
    mine = f"{tap_name}m"
    subprocess.run(["ip", "link", "add", "link", tap_name, "name", mine, "type", "macvtap"], check=True)
    there = await open_device(f"macvtap:{mine}", DeviceOptions(None, 1500, "", 1 << 20, Knobs()))
    with pytest.raises(DeviceError, match=rf"^macvtap:{mine}: another process is attached to it"):
        await open_device(f"macvtap:{mine}", DeviceOptions(None, 1500, "", 1 << 20, Knobs()))
    await there.close()


@pytest.mark.parametrize("backends", [("tap", "tap"), ("tap", "qemu"), ("tap", "shared")])
async def test_of_two_that_start_at_once_one_gets_it(tap_name: str, backends: tuple[str, str]) -> None:
    make_multi_queue_tap(tap_name)
    for _ in range(3):
        results = await asyncio.gather(*(opened(backend, tap_name) for backend in backends), return_exceptions=True)
        refused = [result for result in results if isinstance(result, DeviceError)]
        got = [result for result in results if not isinstance(result, BaseException)]
        assert (len(refused), len(got)) == (1, 1)
        assert "another process is attached" in str(refused[0])
        await got[0].close()


async def receive_one(device: str, host: str, segment: int = 0) -> bytes:
    """The next frame of type IPv4 that a nic gets from the kernel's interface `host`, the whole of it.

    With `segment`, the kernel is given a run of datagrams of so many octets at once, for the card to cut.
    """
    async with asyncio.timeout(10), open_nic(device, mac=MAC) as nic:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        subprocess.run(["ip", "addr", "add", "192.0.2.1/24", "dev", host], check=True)
        neighbour = ["ip", "neigh", "add", "192.0.2.2", "lladdr", MAC.hex(":"), "dev", host]
        subprocess.run(neighbour, check=True)
        if segment:
            sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
        sender.sendto(bytes(range(200)), ("192.0.2.2", 9))
        sender.close()
        async for one in nic.frames():
            if bytes(one[12:14]) == b"\x08\x00":
                return bytes(one)
    raise AssertionError("no frame came")


def leave_offloads_on(fd: int) -> None:
    """As a virtual machine's back end does. Whoever cuts runs of datagrams says so to kernels from 6.2 on."""
    known = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
    try:
        fcntl.ioctl(fd, TUNSETOFFLOAD, known | TUN_F_USO4 | TUN_F_USO6)
    except OSError:
        fcntl.ioctl(fd, TUNSETOFFLOAD, known)
    os.close(fd)


def make_macvtap(name: str) -> str:
    """A macvtap beforehand on one end of a veth; the other end, which is up."""
    Host("macvtap", name).make()
    for command in (
        ["ip", "link", "set", name, "up"],
        ["ip", "link", "set", f"{name}p", "up"],
        ["ip", "link", "add", "link", name, "name", f"{name}m", "address", MAC.hex(":"), "type", "macvtap"],
    ):
        subprocess.run(command, check=True)
    keep_quiet(f"{name}p")
    return f"{name}p"


async def left_with_offloads(kind: str, name: str) -> tuple[str, str]:
    """A device whose last user left all offloads on, and the kernel's interface that sends to it."""
    if kind == "macvtap":
        host = make_macvtap(name)
        link = await in_thread(find, f"{name}m")
        assert link is not None
        leave_offloads_on(await in_thread(open_queue, link))
        return f"macvtap:{name}m", host
    several = kind == "tap with several queues"
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", *["multi_queue"] * several], check=True)
    keep_quiet(name)
    leave_offloads_on(tun.attach(name))
    return f"tap:{name}", name


KINDS = pytest.mark.parametrize("kind", ["tap", "tap with several queues", "macvtap"])


@KINDS
async def test_checksums_are_whole_though_the_last_user_left_offloads_on(tap_name: str, kind: str) -> None:
    one = await receive_one(*await left_with_offloads(kind, tap_name))
    udp = one[34:242]
    pseudo = one[26:34] + struct.pack("!HH", 17, len(udp))
    assert sum(struct.unpack(f"!{(len(pseudo) + len(udp)) // 2}H", pseudo + udp)) % 0xFFFF == 0


@KINDS
async def test_no_frame_is_a_run_of_many_though_the_last_user_left_offloads_on(tap_name: str, kind: str) -> None:
    one = await receive_one(*await left_with_offloads(kind, tap_name), segment=100)
    assert len(one) == 14 + 20 + 8 + 100


async def test_a_filter_of_a_service_that_was_killed_is_gone(tap_name: str) -> None:
    make_multi_queue_tap(tap_name)
    fd = tun.attach(tap_name)
    reject = bpf.load_program(
        struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0), "asyncnic_test"
    )
    bpf.attach(fd, bpf.TUNSETFILTEREBPF, reject)
    fcntl.ioctl(fd, tun.TUNATTACHFILTER, _drop_all())
    os.close(reject)
    os.close(fd)  # as at the end of a process: the TAP keeps both
    async with asyncio.timeout(10), open_nic(f"tap:{tap_name}", mac=MAC, knobs=Knobs(lane=())) as nic:
        wire = Wire(tap_name)
        wire.send(frame(MAC, 7))
        async for one in nic.frames():
            assert bytes(one[6:12]) == HOST
            break
        wire.close()


def _drop_all() -> bytes:
    import ctypes

    program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0))
    _drop_all.keep = program  # type: ignore[attr-defined]
    return struct.pack("@HP", 1, ctypes.addressof(program))
