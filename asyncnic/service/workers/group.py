"""The service's side of several workers: makes the TAP, starts and watches them, adds them up, drains them.

It moves no frame. It holds every queue of the TAP open, so that a worker's death costs the frames which that worker had
in hand and no other: those are booked as dropped{driver, reason="worker_lost"}, being what the TAP has handed out less
what everybody accounts for, while the living workers stand still for a moment. That is the one term of the ledger that
is inferred instead of counted where it happened, and it is inferred at no other time.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any

from asyncnic.devices.device import WireCounters
from asyncnic.devices.tap.device import station_address
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.errors import DeviceError, DeviceLost, Failed
from asyncnic.lanes.rules import parse_lanes
from asyncnic.linux.link import LinkWanted
from asyncnic.logs import fields
from asyncnic.nic.histogram import SECONDS, Histogram
from asyncnic.service.engine import DRAIN_SECONDS, host_address, measure_lag
from asyncnic.service.observed import Observed
from asyncnic.service.workers.child import HOLD_SECONDS
from asyncnic.service.workers.merged import DeviceNames, MergedNic
from asyncnic.service.workers.process import WorkerProcess
from asyncnic.service.workers.snapshot import Buckets, Counted, add
from asyncnic.settings.model import Settings
from asyncnic.tasks import beside

LOOK = 0.5
"""Seconds between looks at the workers and the TAP."""
ASK_SECONDS = 1.0
"""How long a worker may take to answer before its last numbers are shown instead."""
SILENT_SECONDS = 10.0
"""A worker that has said nothing for so long is ended, and started again."""
EXIT_SECONDS = 0.5
"""How long a drained worker may take to end by itself."""
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds before a worker that ended is started again: doubled each time, until one lasts for SILENT_SECONDS."""

log = logging.getLogger(__name__)


class WorkerGroup:
    """Several workers on one TAP as one engine; see `asyncnic.service.engine.Engine`.

    Args:
        settings: as loaded.
        tap: attached; each worker is one of its readers.
    """

    patience = DRAIN_SECONDS + 3.0

    def __init__(self, settings: Settings, tap: SharedTap) -> None:
        self._tap = tap
        self._nic = MergedNic(DeviceNames(tap.name, tap.backend), settings.knobs())
        self.observed = Observed(
            self._nic,
            settings,
            time.monotonic(),
            lambda: self._nic.counted.outcomes,
            lambda: self._nic.counted.events,
            self._nic.addresses,
        )
        self.observed.workers = settings.workers
        self.observed.refresh = self.refresh
        self._workers = [WorkerProcess(index, self._pass_on) for index in range(settings.workers)]
        self._finishing = asyncio.Event()
        self._buried = Counted()
        self._lost = 0
        self._unbooked = False
        self._lag = Histogram(SECONDS)
        self._rules = settings.knobs().lane
        self._mac = settings.mac or station_address(tap.name.partition(":")[2]).hex(":")

    @property
    def pids(self) -> list[int]:
        """The workers' processes, as far as there are any now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def start(self) -> None:
        """Start all workers, together.

        Raises:
            Failed: one of them does not come up.
        """
        await asyncio.gather(*(self._start(worker) for worker in self._workers))
        self._show()

    async def run(self) -> None:
        """See `Engine.run`."""
        keepers = [self._keep(worker) for worker in self._workers]
        async with beside(measure_lag(self._lag), self._watch(), *keepers):
            await self._finishing.wait()
        await asyncio.gather(*(self._stop(worker) for worker in self._workers))
        if self._unbooked:
            await self._book_losses()
        self._show()

    def finish(self) -> None:
        """See `Engine.finish`."""
        self._finishing.set()

    async def apply_knobs(self) -> None:
        """See `Engine.apply_knobs`."""
        knobs, tap = self._nic.knobs, self._tap
        try:
            if knobs.shed or knobs.lane_queue:
                raise DeviceError("--shed, --lane-queue: these need --workers 1")
            lanes = parse_lanes(knobs.lane)[-len(tap.lanes) :]
            if lanes != tap.lanes:
                tap.steer(lanes)
                self._rules = knobs.lane
            await tap.set_queue_length(knobs.tap_queue)
        except DeviceError:
            knobs.lane, knobs.tap_queue, knobs.shed, knobs.lane_queue = self._rules, tap.queue_length, (), ()
            raise
        finally:
            for worker in self._workers:
                worker.tell("knobs", asdict(knobs))

    async def refresh(self, rings: bool = False) -> None:
        """Ask all workers at once, and show what they say; of one that does not answer, what it said last."""
        asked = (worker.ask("ask", rings, ASK_SECONDS) for worker in self._workers if worker.running)
        await asyncio.gather(*asked, return_exceptions=True)
        self._show()

    async def close(self) -> None:
        """End whatever is left."""
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*(worker.wait() for worker in self._workers))
        self._tap.close()

    # -- One worker ---------------------------------------------------------------------------------------------------

    async def _start(self, worker: WorkerProcess) -> None:
        """Start the worker on its queue.

        Raises:
            Failed: it does not come up, or there is no TAP just now.
        """
        if not self._tap.queues:
            raise Failed(f"{self._tap.name}: lost, so there is no queue for worker {worker.index}")
        settings: dict[str, Any] = self.observed.settings.model_dump(mode="json", exclude={"host_address"})
        settings["mac"] = self._mac
        await worker.start(settings, self._tap.queues_of(worker.index))

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start the worker again whenever it has ended."""
        delay, started = FIRST_DELAY, time.monotonic()
        while True:
            code = await worker.wait()
            log.error("a worker ended", extra=fields(worker=worker.index, code=code, restarted=True))
            self.observed.worker_restarts += 1
            self._bury(worker)
            await self._book_losses()
            if time.monotonic() - started > SILENT_SECONDS:
                delay = FIRST_DELAY
            while not worker.running:
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                try:
                    await self._start(worker)
                except Failed as error:
                    log.error("a worker does not start", extra=fields(problem=str(error)))
            started = time.monotonic()
            self._show()

    def _bury(self, worker: WorkerProcess) -> None:
        """Keep what the worker had counted."""
        if worker.snapshot is not None:
            self._buried = add(self._buried, worker.snapshot.counted.closed())
            worker.snapshot = None
        self._unbooked = True

    async def _stop(self, worker: WorkerProcess) -> None:
        """Let the worker deliver what its ring holds, and end."""
        try:
            await worker.ask("stop", None, DRAIN_SECONDS + 1.0)
        except (EOFError, TimeoutError):
            log.error("a worker did not stop when told to", extra=fields(worker=worker.index))
            worker.kill()
            await worker.wait()
            self._bury(worker)
            return
        with suppress(TimeoutError):  # all is counted: what is left of it is ended with the service
            async with asyncio.timeout(EXIT_SECONDS):
                await worker.wait()

    def _pass_on(self, sender: WorkerProcess, frame: str) -> None:
        """Let every other worker's stack hear a frame that one of them got: an answer that another may wait for."""
        for worker in self._workers:
            if worker is not sender and worker.running:
                worker.tell("frame", frame)

    # -- All of them --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep the numbers fresh, the TAP attached, and end workers that are silent."""
        while True:
            await asyncio.sleep(LOOK)
            await self.refresh()
            if self._unbooked:
                await self._book_losses()
            if not self._tap.queues and await self._tap.reattach():
                log.warning("the TAP is back", extra=fields(device=self._tap.name))
                for worker in self._workers:
                    worker.tell("queues", None, self._tap.queues_of(worker.index))
            now = time.monotonic()
            for worker in self._workers:
                if worker.running and now - worker.heard > SILENT_SECONDS:
                    log.error("a worker is silent", extra=fields(worker=worker.index, seconds=SILENT_SECONDS))
                    worker.kill()

    def _show(self) -> None:
        """Add up what is known."""
        snapshots = [worker.snapshot for worker in self._workers if worker.snapshot is not None]
        self._nic.update(snapshots, self._buried, self._lost, self._wire(), bool(self._tap.queues))
        observed, counted = self.observed, self._nic.counted
        add(counted.loop_lag, Buckets.of(self._lag)).put_into(observed.loop_lag)
        observed.stack_failures = counted.stack_failures
        observed.stack_down = next((why for worker in self._workers if (why := _down(worker))), "")

    def _wire(self) -> WireCounters:
        """The TAP's own count; where it was deleted, the last one, and the workers wait for the next TAP."""
        try:
            return self._tap.wire()
        except DeviceLost as error:
            log.error("the TAP is lost; waiting for it to come back", extra=fields(problem=str(error)))
            self._tap.lose(self._accounted() + self._lost)
            return self._tap.wire()

    def _accounted(self) -> int:
        """Frames that the workers which are there have read, and those that came to an end in others before."""
        read = (worker.snapshot.counted.read for worker in self._workers if worker.snapshot is not None)
        return self._buried.read + sum(read)

    async def _book_losses(self) -> None:
        """Book what dead workers had read and not accounted for. What fails now is tried again at the next look."""
        living = [worker for worker in self._workers if worker.running]
        began = time.monotonic()
        try:
            answers = await asyncio.gather(
                *(worker.ask("hold", None, HOLD_SECONDS) for worker in living), return_exceptions=True
            )
            wire = self._wire()
            held = time.monotonic() - began < HOLD_SECONDS and all(
                worker in living or worker.absent for worker in self._workers
            )
        finally:
            for worker in living:
                worker.tell("resume")
        if held and not any(isinstance(answer, BaseException) for answer in answers):
            self._lost = max(self._lost, wire.offered - wire.dropped - self._accounted())
            self._unbooked = False
        self._show()


def _down(worker: WorkerProcess) -> str:
    """Why the worker does not work, in one line; empty: it does."""
    if worker.snapshot is None:
        return f"worker {worker.index} ended; starting it again"
    if worker.running and time.monotonic() - worker.heard > LOOK + ASK_SECONDS:
        return f"worker {worker.index} does not answer"
    return worker.snapshot.standing.stack_down


@asynccontextmanager
async def open_workers(settings: Settings) -> AsyncIterator[WorkerGroup]:
    """The engine that shares the frames of a TAP among `settings.workers` processes.

    Raises:
        DeviceError: the TAP cannot be had (`PrivilegeError`: for want of a privilege).
        Failed: a worker does not come up.
    """
    wanted = LinkWanted(settings.mtu, settings.knobs().tap_queue, host_address(settings))
    tap = SharedTap(settings.device.partition(":")[2], settings.workers, parse_lanes(settings.knobs().lane), wanted)
    await tap.attach()
    group = WorkerGroup(settings, tap)
    try:
        await group.start()
        yield group
    finally:
        await group.close()
