"""The recorder of a running service: reads all numbers ten times a second, and writes a snapshot when there is cause.

It runs on the service's loop and only reads. What a snapshot looks like is snapshot.py's, when there is a storm is
storm.py's; files are made and written in a thread, since the disk may be slow and frames must not wait for it.
"""

import asyncio
import logging
import sys
import time
import traceback
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from asyncnic.errors import DeviceLost
from asyncnic.hot import choose
from asyncnic.hot.heads import HeadRing
from asyncnic.linux.thread import in_thread
from asyncnic.logs import describe, fields
from asyncnic.nic.ledger import STAGES
from asyncnic.recorder import storm
from asyncnic.recorder.snapshot import Recording, packed, save
from asyncnic.recorder.storm import Reading, StormWatch
from asyncnic.recorder.timeline import Timeline, flatten
from asyncnic.service.observed import Observed, Unwatchable
from asyncnic.tasks import beside
from asyncnic.web import decode
from asyncnic.web.stats import settings_as_they_stand, stats

log = logging.getLogger(__name__)

INTERVAL = 0.1
"""Seconds between two readings."""
ROWS = 1800
"""Readings that are kept: three minutes of them."""
AFTERMATH = 1.0
"""Seconds between the beginning of a storm and its snapshot, so that some of the storm is in it."""
SIGNAL_PAUSE = 1.0
STORM_PAUSE = 60.0
"""Seconds between two snapshots of one cause, at least."""
MOST_TASKS = 200
"""Tasks whose stacks are told."""

_HeadRing = choose(HeadRing)


class Recorder:
    """Records what `observed` shows.

    Args:
        observed: the running service.
        clock: monotonic seconds.
    """

    def __init__(self, observed: Observed, clock: Callable[[], float] = time.monotonic) -> None:
        settings = observed.settings
        self._observed = observed
        self._clock = clock
        self._timeline = Timeline(ROWS)
        self._storm = StormWatch(settings.storm_drops / 100, settings.storm_lag)
        self._heads: HeadRing | None = _HeadRing(settings.recorder_frames) if settings.recorder_frames else None
        self._wanted: dict[str, str] = {}
        self._asked = asyncio.Event()
        self._enough = asyncio.Event()  # there is a row before the last one, without which nothing can be explained
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Record for ever, and write what there is cause for."""
        if self._heads is not None:
            try:
                self._observed.nic.record_heads(self._heads)
            except Unwatchable:
                self._heads = None
        async with beside(self._write_when_asked()):
            due = self._clock()
            while True:
                now = self._clock()
                await self._read(now, max(0.0, now - due))
                due = max(due + INTERVAL, now)
                await asyncio.sleep(due - self._clock())

    def ask(self, cause: str, why: str) -> None:
        """Have a snapshot written soon; one cause has its pauses."""
        now = self._clock()
        if now < self._not_before.get(cause, now):
            return
        self._not_before[cause] = now + (STORM_PAUSE if cause in storm.CAUSES else SIGNAL_PAUSE)
        if self._observed.settings.snapshot_dir:
            self._wanted.setdefault(cause, why)
            self._asked.set()
        elif cause not in storm.CAUSES:
            log.warning("no snapshot", extra=fields(why=why, fix="say where: --snapshot-dir DIR"))

    async def archive(self) -> bytes:
        """A snapshot now, as a tar archive."""
        archive = await in_thread(packed, await self._recording("request", "asked for"))
        self._observed.snapshots["request"] += 1
        return archive

    async def _read(self, now: float, lag: float) -> None:
        """Keep a row of everything, and see whether a storm begins."""
        observed = self._observed
        await observed.refresh(False)
        shown: dict[str, Any] = stats(observed, now)
        del shown["settings"]  # what of them may change are the knobs
        numbers = dict(flatten(shown))
        dropped = {stage: numbers[f"dropped.{stage}"] for stage in STAGES}
        ended = numbers["delivered"] + numbers["filtered"] + numbers["in_flight"] + sum(dropped.values())
        imbalance = numbers["offered"] - ended
        numbers |= {"lag": lag, "imbalance": imbalance, **dict(flatten(observed.nic.knobs.as_numbers(), "knobs."))}
        if self._timeline.columns:
            self._enough.set()
        self._timeline.add(time.time_ns(), numbers)
        begun = self._storm.judge(now, Reading(numbers["offered"], dropped, imbalance, lag, observed.nic.device_up))
        if begun is not None and observed.phase == "running":
            self.ask(*begun)

    async def _write_when_asked(self) -> None:
        """Write a snapshot of what causes there are. That it cannot be written is told, and counted."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if any(cause in storm.CAUSES for cause in self._wanted):
                await asyncio.sleep(AFTERMATH)
            wanted, self._wanted = self._wanted, {}
            cause, why = next(iter(wanted)), "; ".join(wanted.values())
            directory = self._observed.settings.snapshot_dir
            try:
                path = await in_thread(save, await self._recording(cause, why), Path(directory))
            except OSError as error:
                self._observed.snapshots["failed"] += 1
                fix = f"make {directory} writable, or name another --snapshot-dir"
                log.error("no snapshot", extra=fields(why=why, problem=describe(error), fix=fix))
            else:
                self._observed.snapshots[cause] += 1
                log.warning("wrote a snapshot", extra=fields(why=why, path=str(path)))

    async def _recording(self, cause: str, why: str) -> Recording:
        """What there is now, copied where it goes on being written."""
        observed = self._observed
        nic = observed.nic
        await self._enough.wait()
        await observed.refresh(True)
        try:
            registers: object = decode.registers(nic.registers())
        except DeviceLost as error:
            registers = str(error)
        facts = {
            "stats": stats(observed, self._clock()),
            "settings": settings_as_they_stand(observed),
            "ring": decode.ring(nic.ring_words()),
            "registers": registers,
        }
        return Recording(
            cause,
            why,
            time.time_ns(),
            nic.device.name,
            facts,
            self._timeline.columns,
            self._timeline.rows(),
            self._heads.copy() if self._heads is not None else None,
            tuple(nic.accounts().lanes),
            stacks(),
        )


def stacks() -> str:
    """Where every thread and every task of the running loop stands."""
    out = StringIO()
    for number, frame in sys._current_frames().items():
        out.write(f"thread {number}\n{''.join(traceback.format_stack(frame))}\n")
    tasks = list(asyncio.all_tasks())
    for task in tasks[:MOST_TASKS]:
        task.print_stack(limit=20, file=out)
        out.write("\n")
    if len(tasks) > MOST_TASKS:
        out.write(f"{len(tasks) - MOST_TASKS} more tasks\n")
    return out.getvalue()
