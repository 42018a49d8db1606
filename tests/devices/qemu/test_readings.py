"""Readings of a chip that takes frames by itself, in the middle of a flood: each is one moment, to the frame."""

import asyncio
import subprocess
import sys

import pytest

from asyncnic.nic.opening import open_nic
from asyncnic.stacks.sink import Sink
from tests.wire import make_tap

MAC = bytes.fromhex("525400123456")
READINGS = 300


@pytest.mark.parametrize("ring", [1, 32, 512])
async def test_every_reading_under_a_flood_is_exact(tap_name: str, ring: int) -> None:
    make_tap(tap_name)
    for command in (
        f"ip addr add 192.0.2.1/24 dev {tap_name}",
        f"ip neigh add 192.0.2.2 lladdr {MAC.hex(':')} dev {tap_name}",
    ):
        subprocess.run(command.split(), check=True)
    async with open_nic(f"qemu:{tap_name}", mac=MAC, rx_ring=ring) as nic:
        stack = asyncio.create_task(Sink(nic).run())
        flood = subprocess.Popen(
            [sys.executable, "-m", "asyncnic.bench.load", "192.0.2.2", "--seconds", "60", "--count", "3000000"],
            stdout=subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(30):
                while nic.ledger().delivered < 100:
                    await asyncio.sleep(0.01)
            offered = 0
            readings = 0
            while flood.poll() is None and readings < READINGS:
                ledger = nic.ledger()
                assert ledger.imbalance == 0, ledger
                assert ledger.offered >= offered
                offered = ledger.offered
                readings += 1
                await asyncio.sleep(0)
            assert readings > 10
        finally:
            flood.kill()
            flood.wait()
        nic.stop()
        await stack
        assert nic.ledger().imbalance == 0
