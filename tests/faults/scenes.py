"""Devices to inject faults into, each on a wire that a test offers frames on."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from asyncnic import pcapng
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.settings.knobs import Knobs
from tests.devices.packet.rig import Cable
from tests.wire import MAC, Wire, frame, make_tap

CAPTURED = 3000
Offer = Callable[[int], None]
"""Puts so many more frames on the wire."""


@contextmanager
def wired(device: str, name: str, directory: Path) -> Iterator[tuple[str, Offer]]:
    """The name of a device of that backend, and what offers frames on its wire; of a capture they are all there."""
    numbers = iter(range(1 << 30))

    def frames(count: int) -> list[bytes]:
        return [frame(MAC, next(numbers), 60 + index % 1400) for index in range(count)]

    if device == "pcap":
        path = directory / "capture"
        packets = b"".join(pcapng.packet(0, one) for one in frames(CAPTURED))
        path.write_bytes(pcapng.section_header("test") + pcapng.interface("eth0") + packets)
        yield f"pcap:{path}", lambda count: None
    elif device in ("packet", "macvtap"):
        cable = Cable()
        if device == "macvtap":
            subprocess.run(["ip", "link", "set", cable.name, "address", "02:00:00:00:00:77"], check=True)
        try:
            yield f"{device}:{cable.name}", lambda count: cable.send(*frames(count))
        finally:
            cable.unplug()
    else:
        make_tap(name)
        wire = Wire(name)
        try:
            yield f"{device}:{name}", lambda count: wire.send(*frames(count))
        finally:
            wire.close()


class Scene:
    """An open nic whose frames are taken, and its wire."""

    def __init__(self, nic: Nic, offer: Offer) -> None:
        self.nic = nic
        self.offer = offer
        self.seen: list[bytes] = []

    async def take(self) -> None:
        async for burst in self.nic:
            self.seen += [bytes(one) for one in burst]

    def happened(self, name: str) -> int:
        return self.nic.accounts().injected.get(name, 0)

    async def offer_until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Offer frames, a few at a time, until it holds."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.offer(20)
                await asyncio.sleep(0.002)


@asynccontextmanager
async def scene(
    device: str, name: str, directory: Path, *faults: str, delivery: str = "direct", overload: str = "leave"
) -> AsyncIterator[Scene]:
    """An open nic on `device` with these faults."""
    with wired(device, name, directory) as (typed, offer):
        async with open_nic(
            typed, mac=MAC, rx_ring=64, knobs=Knobs(overload=overload), delivery=delivery, faults=faults
        ) as nic:
            yield Scene(nic, offer)
