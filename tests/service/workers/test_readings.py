"""Readings in the middle of floods, deaths and losses: each is one moment, to the frame, and offered never falls."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from asyncnic.nic.ledger import Ledger
from asyncnic.service.workers.group import WorkerGroup
from tests.service.workers.serving import PATIENCE, flood, make_shared_tap, until_delivered, until_restarted, workers
from tests.trust import account, recovering

READINGS = 300


class Reader:
    """Reads again and again, and holds each reading to the law."""

    def __init__(self, group: WorkerGroup) -> None:
        self._group = group
        self._offered = 0
        self.readings = 0
        self.ledger = Ledger(0, 0, 0, 0)

    async def read(self) -> None:
        await self._group.refresh()
        accounts = self._group.observed.nic.accounts()
        self.ledger = accounts.total
        account(self, lambda: self.ledger.imbalance)
        assert self.ledger.imbalance == 0, (self.readings, self.ledger)
        assert all(lane.ledger.imbalance == 0 for lane in accounts.lanes.values()), (self.readings, accounts)
        assert self.ledger.offered >= self._offered
        self._offered = self.ledger.offered
        self.readings += 1

    async def read_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await self.read()
                await asyncio.sleep(0)

    async def read_on(self, frames: int) -> None:
        """Read until so many frames more are delivered."""
        before = self.ledger.delivered
        await self.read_until(lambda: self.ledger.delivered > before + frames)


@asynccontextmanager
async def flooded(tap: str, count: int) -> AsyncIterator[tuple[WorkerGroup, Reader]]:
    """Workers under a flood that is more than they can take."""
    make_shared_tap(tap)
    async with workers(tap, workers=str(count)) as group:
        with flood(300_000):
            await until_delivered(group, 2000)
            yield group, Reader(group)


@pytest.mark.parametrize("count", [2, 3])
async def test_every_reading_under_a_flood_is_exact(tap_name: str, count: int) -> None:
    async with flooded(tap_name, count) as (_, reader):
        for _ in range(READINGS):
            await reader.read()
        assert reader.ledger.delivered > 2000


async def test_readings_at_once_are_exact_too(tap_name: str) -> None:
    async with flooded(tap_name, 2) as (group, _):
        readers = [Reader(group) for _ in range(8)]
        for _ in range(READINGS // 8):
            await asyncio.gather(*(reader.read() for reader in readers))


@pytest.mark.parametrize("victims", [1, 2])
async def test_a_death_under_a_flood_is_a_row_and_every_reading_is_exact(tap_name: str, victims: int) -> None:
    async with flooded(tap_name, 2) as (group, reader):
        for pid in group.pids[:victims]:
            os.kill(pid, signal.SIGKILL)
        with recovering():
            await reader.read_until(lambda: group.observed.workforce.restarts == victims)
            await reader.read_until(lambda: not group.observed.stack.down)
            await reader.read_on(2000)
        assert set(reader.ledger.dropped["driver"]) >= {"worker_lost"}


async def test_a_worker_that_stands_still_under_a_flood_has_its_frames_in_flight(tap_name: str) -> None:
    async with flooded(tap_name, 2) as (group, reader):
        victim = group.pids[1]
        os.kill(victim, signal.SIGSTOP)
        try:
            await reader.read()
            await reader.read()
        finally:
            os.kill(victim, signal.SIGCONT)
        with recovering():
            await reader.read()
        for _ in range(20):
            await reader.read()
        assert group.observed.workforce.restarts == 0


async def test_a_tap_deleted_under_a_flood_balances_after_the_loss_and_after_the_return(tap_name: str) -> None:
    async with flooded(tap_name, 2) as (group, reader):
        for _ in range(2):
            subprocess.run(["ip", "link", "del", tap_name], check=True)
            await reader.read_until(lambda: not group.observed.nic.device_up)
            for _ in range(20):
                await reader.read()
            make_shared_tap(tap_name)
            with recovering():
                await reader.read_until(lambda: group.observed.nic.device_up)
            with flood(300_000):
                await reader.read_on(2000)


async def test_a_death_while_the_tap_is_gone_balances(tap_name: str) -> None:
    async with flooded(tap_name, 2) as (group, reader):
        os.kill(group.pids[0], signal.SIGSTOP)
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        os.kill(group.pids[0], signal.SIGKILL)
        await reader.read_until(lambda: group.observed.workforce.restarts == 1)
        assert not group.observed.nic.device_up
        make_shared_tap(tap_name)
        await reader.read_until(lambda: group.observed.nic.device_up and not group.observed.stack.down)
        with flood(300_000):
            await reader.read_on(2000)


async def test_with_all_workers_dead_the_device_is_not_up(tap_name: str) -> None:
    make_shared_tap(tap_name)
    async with workers(tap_name) as group:
        assert group.observed.nic.device_up
        for pid in group.pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while group.observed.nic.device_up:
                await asyncio.sleep(0)
        assert "ended" in group.observed.stack.down
        with recovering():
            await until_restarted(group, 2)
        await group.refresh()
        account(group, lambda: group.observed.nic.accounts().total.imbalance)
        assert group.observed.nic.device_up
