"""asyncnic as the demo and the experiments use it: a nic, the inet stack, and one UDP protocol on it.

The wire is made beforehand (`wires.make_tap`, `wires.FarSide`), so that it is quiet before a frame is counted. Nothing
is measured here.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from typing import Any

from asyncnic.bench import wires
from asyncnic.bench.receiver import Counter, StampReader
from asyncnic.devices.device import PacketOptions
from asyncnic.devices.host import SharedHost
from asyncnic.linux.thread import in_thread
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from asyncnic.stacks.inet.skin import InetStack
from asyncnic.stacks.sink import Sink

PORT = 9


@asynccontextmanager
async def open_rig(
    device: str, app: Counter | StampReader | None, knobs: Knobs, *, rx_ring: int = 256, delivery: str = "direct"
) -> AsyncIterator[Nic]:
    """Open the nic on a device with `app` on UDP port 9 of the receiver's address; without `app`, with the sink.

    "tap:NAME" is a TAP that is there and is given that address; on "packet:INTERFACE" the interface has it already, and
    the kernel keeps it.

    Traffic passes when this returns. What the stack raises is raised on leaving.

    Raises:
        DeviceError: the device cannot be used (`PrivilegeError`: for want of a privilege).
    """
    mac = bytes.fromhex(wires.RECEIVER_MAC.replace(":", ""))
    backend, _, interface = device.partition(":")
    host = SharedHost() if backend == "packet" else None
    async with open_nic(
        device, mac=mac, rx_ring=rx_ring, knobs=knobs, delivery=delivery, packet=PacketOptions(host=host)
    ) as nic:
        run: Coroutine[Any, Any, Any]
        if app is None:
            run = Sink(nic).run()
        else:
            stack = InetStack(nic, (ip_interface(f"{wires.RECEIVER}/{wires.PREFIX}"),), host=host)
            await stack.inet.create_datagram_endpoint(lambda: app, local_addr=(wires.RECEIVER, PORT))
            run = stack.run()
        running = asyncio.create_task(run, name="stack")
        await in_thread(wires.wait_until_up, interface)
        try:
            yield nic
        finally:
            nic.stop()
            await running
