"""Workers that serve on a real TAP, in this process's event loop, and floods for them."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from asyncnic.service.workers.group import WorkerGroup, open_workers
from asyncnic.settings.load import load
from tests.wire import keep_quiet

PATIENCE = 30.0
HOST, MAC = "192.0.2.2", "02:00:00:00:00:0a"


def send(count: int, flows: int = 32) -> None:
    """Offer so many datagrams, from `flows` source ports in turn."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(flows)]
    for number in range(count):
        sockets[number % flows].sendto(b"x" * 18, (HOST, 7))
    for out in sockets:
        out.close()


@contextmanager
def flood(rate: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Offer `rate` datagrams a second over 64 flows from a process of its own, until the context is left."""
    command = [sys.executable, "-m", "asyncnic.bench.load", HOST, "--flows", "64", "--rate", str(rate)]
    sender = subprocess.Popen([*command, "--seconds", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield sender
    finally:
        sender.kill()
        sender.wait()


def make_shared_tap(name: str) -> None:
    """A persistent TAP with many queues that knows its neighbour and says nothing of its own."""
    subprocess.run(["ip", "tuntap", "add", name, "mode", "tap", "multi_queue"], check=True)
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", name], check=True)
    keep_quiet(name)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "neighbour", "add", HOST, "lladdr", MAC, "dev", name], check=True)


@asynccontextmanager
async def workers(tap: str, **flags: str) -> AsyncIterator[WorkerGroup]:
    """Two workers that serve, drained in the end, with what they were offered all accounted for."""
    given = {"device": f"tap:{tap}", "mac": MAC, "workers": "2", "stack": "sink", "log_level": "error", **flags}
    async with open_workers(load(given, {}, None)) as group:
        running = asyncio.create_task(group.run())
        try:
            yield group
        finally:
            group.finish()
            await asyncio.wait_for(running, PATIENCE)
        assert group.observed.nic.ledger().imbalance == 0, group.observed.nic.ledger()


async def until_delivered(group: WorkerGroup, frames: int) -> None:
    """Wait until the workers have delivered so many frames together."""
    async with asyncio.timeout(PATIENCE):
        while group.observed.nic.ledger().delivered < frames:
            await asyncio.sleep(0.02)
            await group.refresh()


async def until_restarted(group: WorkerGroup, restarts: int) -> None:
    """Wait until workers have been started again so many times, and all are there."""
    async with asyncio.timeout(PATIENCE):
        while group.observed.workforce.restarts < restarts or group.observed.stack.down:
            await asyncio.sleep(0.02)
