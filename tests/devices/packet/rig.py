"""A pair of virtual Ethernet ports in the run's namespace: one is the device's interface, the other its neighbour."""

import asyncio
import itertools
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncnic.devices.device import DeviceOptions, PacketOptions
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC, keep_quiet, number_of

_numbers = itertools.count()
_SO_SNDBUFFORCE = 32
_PACKET_VNET_HDR = 15


def ip(*command: str) -> None:
    subprocess.run(["ip", *command], check=True)


class Cable:
    """Both ends' names, and the neighbour's end as a socket. Neither kernel says anything by itself."""

    def __init__(self, *peer: str) -> None:
        number = next(_numbers)
        self.name, self.neighbour = f"pkt{number}", f"pkn{number}"
        self._peer = peer
        self.plug()

    def plug(self) -> None:
        ip(
            "link",
            "add",
            self.name,
            "address",
            MAC.hex(":"),
            "type",
            "veth",
            "peer",
            "name",
            self.neighbour,
            *self._peer,
        )
        for end in (self.name, self.neighbour):
            keep_quiet(end)
            ip("link", "set", end, "up")
        self.socket = self._open()
        self._offload: socket.socket | None = None

    def _open(self, *options: int) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 1 << 26)
        for option in options:
            sock.setsockopt(263, option, 1)
        sock.bind((self.neighbour, 3))
        sock.settimeout(5.0)
        return sock

    def unplug(self) -> None:
        self.socket.close()
        if self._offload is not None:
            self._offload.close()
        subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)

    def send(self, *frames: bytes) -> None:
        for one in frames:
            self.socket.send(one)

    def send_offloaded(
        self, frame: bytes, *, start: int, offset: int, kind: int = 0, size: int = 0, headers: int = 0
    ) -> None:
        """Send a frame whose checksum from `start` on is left to the card; with a `kind` a run of pieces of `size`."""
        if self._offload is None:
            self._offload = self._open(_PACKET_VNET_HDR)
        self._offload.send(struct.pack("=BBHHHH", 1, kind, headers, size, start, offset) + frame)

    def receive(self) -> bytes:
        """The next frame that came to the neighbour."""
        while True:
            octets, address = self.socket.recvfrom(65536)
            if address[2] != socket.PACKET_OUTGOING:
                return octets


def options(**packet: Any) -> DeviceOptions:
    return DeviceOptions(
        mac=None, mtu=1500, host_address="", memory_size=1 << 20, knobs=Knobs(), packet=PacketOptions(**packet)
    )


@asynccontextmanager
async def nic_on(cable: Cable, **more: Any) -> AsyncIterator[Nic]:
    async with open_nic(f"packet:{cable.name}", **more) as nic:
        yield nic


async def count(nic: Nic, frames: int) -> list[int]:
    """Take so many frames: their numbers."""
    return [number_of(one) for one in await take(nic, frames)]


async def take(nic: Nic, frames: int) -> list[bytes]:
    """Take so many frames: their octets.

    Raises:
        TimeoutError: they never came.
    """
    found: list[bytes] = []
    async with asyncio.timeout(10):
        async for burst in nic:
            found += [bytes(one) for one in burst]
            if len(found) >= frames:
                break
    return found


@asynccontextmanager
async def drained(nic: Nic) -> AsyncIterator[None]:
    """All frames are taken meanwhile."""

    async def drain() -> None:
        async for burst in nic:
            for _ in burst:
                pass

    taken = asyncio.create_task(drain())
    try:
        yield
    finally:
        taken.cancel()
