"""The kernel's own stack behind our driver, on a TAP in a namespace beside the test's: real programs on both ends."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_interface

import pytest

from asyncnic.errors import DeviceError
from asyncnic.nic.nic import Nic, open_nic
from asyncnic.stacks.kernel.stack import KernelStack
from tests.wire import Wire, frame, make_tap

MAC = bytes.fromhex("020000000002")


def link(name: str) -> dict[str, object]:
    shown = subprocess.run(["ip", "-j", "addr", "show", name], capture_output=True, text=True, check=True).stdout
    found: dict[str, object] = json.loads(shown)[0]
    return found


@asynccontextmanager
async def running(tap: str, interface: str, *addresses: str) -> AsyncIterator[tuple[Nic, KernelStack]]:
    make_tap(tap)
    if not any(":" in address for address in addresses):
        make_tap(interface)  # which knows no IPv6 and says nothing of its own
    async with open_nic(f"tap:{tap}", mac=MAC, mtu=1400) as nic:
        stack = KernelStack(nic, interface, [ip_interface(address) for address in addresses])
        await stack.set_up()
        task = asyncio.create_task(stack.run())
        try:
            yield nic, stack
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            stack.close()
            stack.close()


@pytest.fixture
def interface(tap_name: str) -> Iterator[str]:
    name = f"k{tap_name}"
    yield name
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


async def until(found: object) -> None:
    assert callable(found)
    async with asyncio.timeout(5):
        while not found():
            await asyncio.sleep(0.002)


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
        assert stack.outcomes()["kernel"] == {"handed": 10, "refused": 0}
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
        assert stack.outcomes()["kernel_transmit"] == {"sent": 200, "queue_full": 0}
        wire.close()
        kernel.close()


async def test_a_refusal_of_the_kernel_is_counted(tap_name: str, interface: str) -> None:
    async with running(tap_name, interface) as (nic, stack):
        subprocess.run(["ip", "link", "set", interface, "down"], check=True)
        wire = Wire(tap_name)
        wire.send(*(frame(MAC, i) for i in range(3)))
        await until(lambda: nic.ledger().delivered == 3)
        assert stack.outcomes()["kernel"] == {"handed": 0, "refused": 3}
        wire.close()


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
