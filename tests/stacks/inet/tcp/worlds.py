"""Two worlds in which the same asyncio program must behave the same: the loop's own TCP, and two hosts of this stack.

The hosts are joined by a link in memory: a frame that one sends is in the other's next burst.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from typing import Any

from asyncnic.stacks.inet.stack import Inet
from asyncnic.stacks.inet.tcp.config import Config
from tests.stacks.inet.wire import burst_of

MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ADDRESSES = ("192.0.2.1/24", "2001:db8::1/64"), ("192.0.2.2/24", "2001:db8::2/64")


class World:
    """Where a program runs: its calls, and the host that servers are on."""

    def __init__(self, name: str, server: Any, client: Any, host: str, host6: str) -> None:
        self.name = name
        self.create_server: Callable[..., Any] = server.create_server
        self.start_server: Callable[..., Any] = server.start_server
        self.create_connection: Callable[..., Any] = client.create_connection
        self.open_connection: Callable[..., Any] = client.open_connection
        self.start_tls: Callable[..., Any] = client.start_tls
        self.host = host
        self.host6 = host6
        self.server = server
        self.client = client


class Loop:
    """The loop's own calls."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.create_server = loop.create_server
        self.create_connection = loop.create_connection
        self.start_server = asyncio.start_server
        self.open_connection = asyncio.open_connection
        self.start_tls = loop.start_tls


class Cable:
    """Carries frames from one host to the other, a burst a turn of the loop; `lose` takes some out."""

    def __init__(self, mtu: int = 1500, config: Config | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.lose: Callable[[bytes], bool] = lambda frame: False
        self.frames = 0
        self.room = 1000
        self._waiting: tuple[list[bytes], list[bytes]] = ([], [])
        self.hosts = [
            Inet(
                [ip_interface(address) for address in ADDRESSES[index]],
                MACS[index],
                mtu,
                self._sender(index),
                time.monotonic,
                dad_transmits=0,
                tcp=config,
            )
            for index in range(2)
        ]
        for host in self.hosts:
            host.start(time.monotonic())

    def _sender(self, index: int) -> Callable[[bytes], bool]:
        def send(frame: bytes) -> bool:
            waiting = self._waiting[1 - index]
            if len(waiting) >= self.room:
                return False
            self.frames += 1
            if not self.lose(frame):
                if not waiting:
                    self.loop.call_soon(self._deliver, 1 - index)
                waiting.append(bytes(frame))
            return True

        return send

    def _deliver(self, index: int) -> None:
        waiting = self._waiting[index]
        frames = waiting[:]
        waiting.clear()
        burst = burst_of(frames, float("inf"), time.monotonic)
        self.hosts[index].input(burst)
        self.hosts[1 - index].resume()

    def close(self) -> None:
        for host in self.hosts:
            host.close()


@asynccontextmanager
async def world_of(name: str, config: Config | None = None) -> AsyncIterator[World]:
    """The world called `name`: "loop" or "inet"."""
    if name == "loop":
        loop = Loop()
        yield World(name, loop, loop, "127.0.0.1", "::1")
        return
    cable = Cable(config=config)
    client, server = cable.hosts
    try:
        yield World(name, server, client, "192.0.2.2", "2001:db8::2")
    finally:
        cable.close()
        await asyncio.sleep(0)
