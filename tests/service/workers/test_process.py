"""The handle on one worker's process: what cannot be started, does not come up, or has died, says so."""

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asyncnic.errors import Failed
from asyncnic.service.workers import process
from asyncnic.service.workers.messages import Ask, Start
from asyncnic.service.workers.process import WorkerProcess
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load

PATIENCE = 30.0


def start(**flags: object) -> Start:
    settings = load({"device": "tap:none", "mac": "02:00:00:00:00:0a", "workers": "2", **flags}, {}, None)
    return Start(0, settings.model_dump(mode="json", exclude={"host_address"}), Knobs())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess(0, lambda sender, frame: None)
    yield worker
    worker.kill()
    await worker.wait()


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
@pytest.mark.parametrize("where", ["pair", "fork"])
async def test_what_cannot_be_started_says_why_and_leaks_nothing(
    worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch, code: int, where: str
) -> None:
    async def fork(*arguments: Any, **more: Any) -> None:
        raise OSError(code, os.strerror(code))

    def no_pair() -> None:
        raise OSError(code, os.strerror(code))

    if where == "pair":
        monkeypatch.setattr(process, "pair", no_pair)
    else:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", fork)
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(Failed, match=f"^worker 0: it cannot be started: {os.strerror(code)}$"):
            await worker.start(start(), [0])
        assert worker.absent
        assert not worker.running
        with pytest.raises(EOFError):
            await worker.ask(Ask(), 1.0)
    assert open_descriptors() == before


async def test_a_worker_that_fails_says_why_and_nothing_is_left_of_it(worker: WorkerProcess) -> None:
    with pytest.raises(Failed, match=r"^worker 0: .*cannot import absent.module"):
        await worker.start(start(stack="absent.module:stack"), [0])
    assert worker.absent
    assert worker.pid is None


async def test_a_worker_that_takes_too_long_is_ended(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_SECONDS", 0.01)
    with pytest.raises(Failed, match="not ready after"):
        await worker.start(start(), [0])
    assert worker.absent


async def test_a_worker_killed_while_it_starts_has_ended(worker: WorkerProcess) -> None:
    starting = asyncio.create_task(worker.start(start(), [0]))
    async with asyncio.timeout(PATIENCE):
        while worker.pid is None:
            await asyncio.sleep(0)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(Failed, match=r"^worker 0: it ended$"):
            await starting
    assert worker.absent
