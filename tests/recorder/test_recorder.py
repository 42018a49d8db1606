"""The recorder beside a service whose numbers a test turns: what it keeps, when it writes, and what it says."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncnic.recorder import recorder as module
from asyncnic.recorder.recorder import Recorder, stacks
from asyncnic.recorder.snapshot import unpack
from asyncnic.service.observed import Observed, Unwatchable
from asyncnic.tasks import beside
from tests.waiting import until
from tests.web.fakes import FakeNic, observe

PATIENCE = 20.0
"""Seconds that a snapshot may take."""


@asynccontextmanager
async def recording(observed: Observed) -> AsyncIterator[Recorder]:
    recorder = Recorder(observed)
    async with beside(recorder.run()):
        yield recorder


def only(directory: Path) -> Path:
    (path,) = directory.glob("asyncnic-*")
    return path


async def test_an_archive_has_the_numbers_knobs_rings_and_registers(tmp_path: Path) -> None:
    observed = observe(FakeNic())
    async with recording(observed) as recorder:
        path = unpack(await recorder.archive(), tmp_path)
    facts: dict[str, Any] = json.loads((path / "snapshot.json").read_bytes())
    assert facts["stats"]["offered"] == 1000
    assert facts["settings"]["rx_budget"] == 64
    assert facts["registers"]
    assert facts["ring"]
    heading, *rows = (path / "counters.csv").read_text().splitlines()
    assert {"offered", "dropped_by_reason.kernel.tap_queue_full", "knobs.rx_budget"} <= set(heading.split(","))
    assert len(rows) >= 2
    assert observed.snapshots["request"] == 1


async def test_a_device_that_goes_down_is_written_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AFTERMATH", 0.0)
    nic = FakeNic()
    observed = observe(nic, snapshot_dir=str(tmp_path), storm_drops=0)
    async with recording(observed):
        await until(lambda: nic.heads is not None, PATIENCE)
        await asyncio.sleep(2 * module.INTERVAL)
        nic.device_up = False
        await until(lambda: observed.snapshots["device"], PATIENCE)
    assert json.loads((only(tmp_path) / "snapshot.json").read_bytes())["cause"] == "device"


async def test_what_comes_while_one_is_written_is_one_more_and_a_cause_has_its_pause(tmp_path: Path) -> None:
    now = 1000.0
    observed = observe(FakeNic(), snapshot_dir=str(tmp_path))
    recorder = Recorder(observed, lambda: now)
    for _ in range(3):
        recorder.ask("drops", "frames were dropped")
    recorder.ask("lag", "late")
    assert recorder._wanted == {"drops": "frames were dropped", "lag": "late"}
    recorder._wanted.clear()
    now += module.STORM_PAUSE - 1.0
    recorder.ask("drops", "again")
    assert recorder._wanted == {}
    now += 1.0
    recorder.ask("drops", "again")
    assert recorder._wanted == {"drops": "again"}


async def test_without_a_directory_only_who_asked_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(observe(FakeNic()))
    recorder.ask("drops", "frames were dropped")
    assert caplog.records == []
    recorder.ask("signal", "SIGUSR2 was sent")
    assert [record.message for record in caplog.records] == ["no snapshot"]


async def test_what_cannot_be_written_is_told_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    observed = observe(FakeNic(), snapshot_dir=str(tmp_path / "file"))
    async with recording(observed) as recorder:
        recorder.ask("signal", "SIGUSR2 was sent")
        await until(lambda: observed.snapshots["failed"], PATIENCE)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["no snapshot"]


async def test_frames_that_are_not_in_this_process_are_not_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: FakeNic, heads: object) -> None:
        raise Unwatchable("elsewhere")

    monkeypatch.setattr(FakeNic, "record_heads", refuse)
    async with recording(observe(FakeNic())) as recorder:
        path = unpack(await recorder.archive(), tmp_path)
    assert json.loads((path / "snapshot.json").read_bytes())["heads"]["kept"] == 0


async def test_stacks_tell_where_every_task_stands_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TASKS", 5)
    gate = asyncio.Event()

    async def waits_for_the_gate() -> None:
        await gate.wait()

    tasks = [asyncio.create_task(waits_for_the_gate()) for _ in range(9)]
    await asyncio.sleep(0)
    said = stacks()
    gate.set()
    await asyncio.gather(*tasks)
    assert "thread " in said
    assert "waits_for_the_gate" in said
    assert said.endswith("5 more tasks\n")
