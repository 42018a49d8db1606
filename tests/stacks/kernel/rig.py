"""A kernel stack that runs on a TAP, and what the tests ask of its interface."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_interface

from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.stacks.kernel.stack import KernelStack
from tests.wire import MAC, make_tap


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
