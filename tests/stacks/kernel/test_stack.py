"""The kernel's own stack behind our driver, on a TAP in a namespace beside the test's: real programs on both ends."""

import asyncio
import hashlib
import socket
import subprocess
import sys
from contextlib import suppress
from types import CoroutineType

import pytest

from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic.opening import open_nic
from asyncnic.stacks.kernel.stack import KernelStack
from tests.stacks.kernel.rig import link, running
from tests.waiting import until
from tests.wire import MAC, Wire, frame, make_tap


async def test_the_interface_is_the_nic_by_mac_mtu_and_addresses(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface, "198.51.100.2/24", "2001:db8:5::2/64"):
        found = link(interface)
        assert found["address"] == MAC.hex(":")
        assert found["mtu"] == 1400
        addresses = {item["local"] for item in found["addr_info"]}  # type: ignore[attr-defined]
        assert {"198.51.100.2", "2001:db8:5::2"} <= addresses


async def test_frames_reach_the_kernel_and_add_up(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface, "198.51.100.2/24") as (nic, stack):
        listener = Wire(interface)
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(10)))
        assert [await asyncio.to_thread(listener.receive) for _ in range(10)] == [frame(MAC, i) for i in range(10)]
        await until(lambda: nic.ledger().delivered == 10)
        assert stack.outcomes()["kernel"] == {"handed": 10, "refused": 0, "no_interface": 0}
        assert nic.ledger().imbalance == 0
        listener.close()
        wire.close()


async def test_what_the_kernel_sends_leaves_by_the_nic(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface, "198.51.100.2/24") as (_, stack):
        wire, kernel = Wire(tap_name), Wire(interface)
        kernel.send(*(frame(b"\xff" * 6, i) for i in range(200)))
        assert [await asyncio.to_thread(wire.receive) for _ in range(200)] == [
            frame(b"\xff" * 6, i) for i in range(200)
        ]
        assert stack.outcomes()["kernel_transmit"] == {"sent": 200, "unsent": 0, "queue_full": 0}
        wire.close()
        kernel.close()


async def test_a_refusal_of_the_kernel_is_counted(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface) as (nic, stack):
        subprocess.run(["ip", "link", "set", interface, "down"], check=True)
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(3)))
        await until(lambda: nic.ledger().delivered == 3)
        assert stack.outcomes()["kernel"] == {"handed": 0, "refused": 3, "no_interface": 0}
        wire.close()


async def test_frames_that_the_stack_is_cancelled_with_are_neither_delivered_nor_counted(
    tap_name: str, interface: str
) -> None:
    """It waits for a descriptor that takes no more (a socket here: a TAP pushes back when its frames pile up)."""
    make_tap(tap_name)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        stack = KernelStack(nic, interface, [])
        await stack.set_up()
        tap, stack.interface.fd = stack.interface.fd, ours.fileno()
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += bool(ours.send(bytes(60)))
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(3)))
        task = asyncio.create_task(stack.run())
        await until(lambda: "_writable" in awaits(task))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert stack.outcomes()["kernel"] == {"handed": 0, "refused": 0, "no_interface": 0}
        nic.abandon_burst()
        assert nic.ledger().delivered == 0
        assert nic.ledger().imbalance == 0

        again = asyncio.create_task(stack.run())
        await until(lambda: "_writable" in awaits(again))
        for _ in range(filled):
            theirs.recv(100)
        assert [await asyncio.to_thread(theirs.recv, 100) for _ in range(3)] == [frame(MAC, i) for i in range(3)]
        await until(lambda: nic.ledger().delivered == 3)
        assert stack.outcomes()["kernel"] == {"handed": 3, "refused": 0, "no_interface": 0}
        assert nic.ledger().imbalance == 0
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)
        stack.interface.fd = tap
        stack.close()
        wire.close()
    ours.close()
    theirs.close()


def awaits(task: asyncio.Task[None]) -> list[str]:
    """The coroutines that a task is in, from the outermost on."""
    names = []
    inner: object = task.get_coro()
    while isinstance(inner, CoroutineType):
        names.append(inner.cr_code.co_name)
        inner = inner.cr_await
    return names


async def test_the_frame_in_hand_is_counted_when_the_stack_ends_without_room_for_it(
    tap_name: str, interface: str
) -> None:
    async with running(tap_name, interface) as (nic, stack):
        kernel = Wire(interface)
        kernel.send(frame(b"\xff" * 6))
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        nic._life.lose(DeviceLost("deleted"))  # before the frame is read
        await until(lambda: any(task.get_name() == "asyncnic sends the kernel's frame" for task in asyncio.all_tasks()))
        kernel.close()
    assert stack.outcomes()["kernel_transmit"] == {"sent": 0, "unsent": 1, "queue_full": 0}


async def test_the_carrier_follows_the_device(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface) as (nic, _):
        assert "LOWER_UP" in link(interface)["flags"]  # type: ignore[operator]
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        await until(lambda: not nic.device_up)
        await until(lambda: "NO-CARRIER" in link(interface)["flags"])  # type: ignore[operator]


async def test_programs_use_the_nic_as_an_ordinary_interface(tap_name: str, interface: str) -> None:
    """TCP over the wire to a server in another namespace, which has the kernel's interface."""
    name = f"peer{tap_name}"
    async with running(tap_name, interface) as (nic, stack):
        for command in (
            f"ip addr add 198.51.100.1/24 dev {tap_name}",
            f"ip netns add {name}",
            f"ip link set {interface} netns {name}",
            f"ip -n {name} addr add 198.51.100.2/24 dev {interface}",
            f"ip -n {name} link set {interface} up",
        ):
            subprocess.run(command.split(), check=True)
        try:
            server = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", name, sys.executable, "-c", _SERVER), stdout=asyncio.subprocess.PIPE
            )
            assert server.stdout is not None
            async with asyncio.timeout(20):
                assert await server.stdout.readline() == b"ready\n"
                reader, writer = await asyncio.open_connection("198.51.100.2", 5001)
                writer.write(bytes(range(250)) * 4000)
                writer.write_eof()
                digest = await reader.read(-1)
                writer.close()
                await server.wait()
            assert digest == hashlib.sha256(bytes(range(250)) * 4000).digest()
            assert stack.handed + stack.refused == nic.ledger().delivered
            assert nic.ledger().imbalance == 0
        finally:
            subprocess.run(["ip", "netns", "del", name], check=False)


_SERVER = """
import hashlib, socket
listener = socket.create_server(("198.51.100.2", 5001))
print("ready", flush=True)
peer, _ = listener.accept()
digest = hashlib.sha256()
while octets := peer.recv(65536):
    digest.update(octets)
peer.sendall(digest.digest())
peer.close()
"""


async def test_an_interface_that_is_no_tap_is_an_error_that_names_the_flag(tap_name: str) -> None:
    make_tap(tap_name)
    async with open_nic(f"tap:{tap_name}", mac=MAC) as nic:
        stack = KernelStack(nic, "lo", [])
        with pytest.raises(DeviceError, match=r"^--kernel-if: .*no TAP"):
            await stack.set_up()
