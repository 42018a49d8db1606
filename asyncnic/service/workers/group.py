"""The service's side of several workers: makes the TAP, starts and watches them, adds them up, drains them.

It moves no frame. It holds every queue of the TAP open, so that a worker's death costs the frames which that worker had
in hand and no other: those are booked as dropped{driver, reason="worker_lost"}, being what the TAP has handed out less
what everybody accounts for, while the living workers stand still for a moment. How their counts and the TAP's become
one reading is in books.py.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from asyncnic.devices.device import WireCounters
from asyncnic.devices.station import station_address
from asyncnic.devices.tap.shared import SharedTap
from asyncnic.devices.tap.worker_queue import WorkerTap
from asyncnic.errors import DeviceError, DeviceLost, Failed
from asyncnic.lanes.rules import parse_lanes
from asyncnic.linux.link import LinkWanted
from asyncnic.logs import fields
from asyncnic.nic.histogram import SECONDS, Histogram
from asyncnic.service import sandbox
from asyncnic.service.engine import DRAIN_SECONDS, host_address, measure_lag
from asyncnic.service.observed import Observed, Workforce
from asyncnic.service.workers.books import Books
from asyncnic.service.workers.child import HOLD_SECONDS
from asyncnic.service.workers.merged import DeviceNames, MergedNic
from asyncnic.service.workers.messages import Ask, Frame, Hold, Queues, Resume, Start, Stop, Turn
from asyncnic.service.workers.process import WorkerProcess
from asyncnic.service.workers.snapshot import Buckets, Snapshot, add
from asyncnic.settings.model import Settings
from asyncnic.settings.sinks import WITH_SECRETS
from asyncnic.tasks import beside

MakeWorker = Callable[[int, Callable[[WorkerProcess, Frame], None]], WorkerProcess]

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
        make_worker: from a number and what hears the frames that it passes on.
    """

    patience = DRAIN_SECONDS + 3.0

    def __init__(self, settings: Settings, tap: SharedTap, make_worker: MakeWorker = WorkerProcess) -> None:
        self._tap = tap
        mac = settings.mac or station_address(tap.name.partition(":")[2]).hex(":")
        names = DeviceNames(tap.name, tap.backend, WorkerTap.chip, bytes.fromhex(mac.replace(":", "")))
        self._nic = MergedNic(names, settings.knobs())
        self.observed = Observed(
            self._nic,
            settings,
            time.monotonic(),
            lambda: self._nic.counted.outcomes,
            lambda: self._nic.counted.events,
            self._nic.addresses,
            workforce=Workforce(settings.workers),
            refresh=self.refresh,
            sockets=self._nic.sockets,
            tcp=self._nic.tcp,
            sinks=self._nic.sinks,
        )
        self._workers = [make_worker(index, self._pass_on) for index in range(settings.workers)]
        self._finishing = asyncio.Event()
        self._books = Books()
        self._lag = Histogram(SECONDS)
        self._rules = settings.knobs().lane

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
        await self.refresh()

    async def run(self) -> None:
        """See `Engine.run`."""
        keepers = [self._keep(worker) for worker in self._workers]
        async with beside(measure_lag(self._lag), self._watch(), *keepers):
            await self._finishing.wait()
        await asyncio.gather(*(self._stop(worker) for worker in self._workers))
        if self._books.unbooked:
            await self._book_losses()
        self._show(0, True)

    def give_up_privileges(self, files: Sequence[Path]) -> None:
        """See `Engine.give_up_privileges`. Workers see to themselves."""
        self.observed.sandbox = sandbox.enter(self.observed.settings, files)

    def finish(self) -> None:
        """See `Engine.finish`."""
        self._finishing.set()

    async def apply_knobs(self) -> None:
        """See `Engine.apply_knobs`."""
        knobs, tap = self._nic.knobs, self._tap
        length = tap.queue_length
        try:
            if knobs.shed or knobs.lane_queue:
                raise DeviceError("--shed, --lane-queue: these need --workers 1")
            lanes = parse_lanes(knobs.lane)[-len(tap.lanes) :]
            await tap.set_queue_length(knobs.tap_queue)
            if lanes != tap.lanes:
                tap.steer(lanes)
                self._rules = knobs.lane
        except DeviceError:
            with suppress(DeviceError):  # what was allowed a moment ago
                await tap.set_queue_length(length)
            knobs.lane, knobs.tap_queue, knobs.shed, knobs.lane_queue = self._rules, tap.queue_length, (), ()
            raise
        finally:
            for worker in self._workers:
                worker.tell(Turn(knobs))

    async def refresh(self, rings: bool = False) -> None:
        """Ask all workers at once, and show what they say; of one that does not answer, what it said last."""
        await self._cut(rings)

    async def close(self) -> None:
        """End whatever is left."""
        for worker in self._workers:
            worker.kill()
        await asyncio.gather(*(worker.wait() for worker in self._workers))
        await self._tap.close()

    # -- One worker ---------------------------------------------------------------------------------------------------

    async def _start(self, worker: WorkerProcess) -> None:
        """Start the worker on its queue.

        Raises:
            Failed: it does not come up, or there is no TAP just now.
        """
        if not self._tap.queues:
            raise Failed(f"{self._tap.name}: lost, so there is no queue for worker {worker.index}")
        settings: dict[str, Any] = self.observed.settings.model_dump(
            mode="json", exclude={"host_address"}, context=WITH_SECRETS
        )
        settings["mac"] = self._nic.mac.hex(":")
        start = Start(worker.index, settings, replace(self._nic.knobs))
        await worker.start(start, self._tap.queues_of(worker.index))

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start the worker again whenever it has ended."""
        delay, started = FIRST_DELAY, time.monotonic()
        while True:
            code = await worker.wait()
            why = worker.problem or "unknown"
            log.error("a worker ended", extra=fields(worker=worker.index, code=code, problem=why, restarted=True))
            self.observed.workforce.restarts += 1
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
                    self._bury(worker)  # it may have read frames before it failed
                    log.error("a worker does not start", extra=fields(problem=str(error)))
            started = time.monotonic()
            await self.refresh()

    def _bury(self, worker: WorkerProcess) -> None:
        """Keep what the worker had counted."""
        self._books.bury(worker.snapshot)
        worker.snapshot = None

    async def _stop(self, worker: WorkerProcess) -> None:
        """Let the worker deliver what its ring holds, and end."""
        try:
            await worker.ask(Stop(), DRAIN_SECONDS + 1.0)
        except (EOFError, TimeoutError):
            log.error("a worker did not stop when told to", extra=fields(worker=worker.index))
            worker.kill()
            await worker.wait()
            self._bury(worker)
            return
        with suppress(TimeoutError):  # all is counted: what is left of it is ended with the service
            async with asyncio.timeout(EXIT_SECONDS):
                await worker.wait()

    def _pass_on(self, sender: WorkerProcess, frame: Frame) -> None:
        """Let every other worker's stack hear a frame that one of them got: an answer that another may wait for."""
        for worker in self._workers:
            if worker is not sender and worker.running:
                worker.tell(frame)

    # -- All of them --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Keep the numbers fresh, the TAP attached, and end workers that are silent."""
        while True:
            await asyncio.sleep(LOOK)
            told = await self._cut()
            if self._books.unbooked:
                await self._book_losses()
            # What was read of a TAP that is gone is known once all have told; only then may they read another.
            if told and not self._tap.queues and await self._tap.reattach():
                log.warning("the TAP is back", extra=fields(device=self._tap.name))
                for worker in self._workers:
                    worker.tell(Queues(), self._tap.queues_of(worker.index))
            now = time.monotonic()
            for worker in self._workers:
                if worker.running and now - worker.heard > SILENT_SECONDS:
                    log.error("a worker is silent", extra=fields(worker=worker.index, seconds=SILENT_SECONDS))
                    worker.kill()

    async def _cut(self, rings: bool = False) -> bool:
        """Ask all workers at once, and show what they say. Whether all that may read frames have answered."""
        wire = self._wire()
        coming = any(not worker.running and not worker.absent for worker in self._workers)
        asked = (worker.ask(Ask(rings=rings), ASK_SECONDS) for worker in self._workers if worker.running)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        told = not coming and not any(isinstance(answer, BaseException) for answer in answers)
        self._show(wire.offered - wire.dropped, told)
        return told

    def _show(self, before: int, told: bool) -> None:
        """Show what is known; see `Books.cut`."""
        cut = self._books.cut(self._snapshots(), before, self._wire(), told)
        self._nic.show(cut, bool(self._tap.queues), self._no_link())
        observed, counted = self.observed, self._nic.counted
        add(counted.loop_lag, Buckets.of(self._lag)).put_into(observed.loop_lag)
        observed.stack.failures = counted.stack_failures
        observed.stack.stalls = counted.stack_stalls
        observed.stack.down = next((why for worker in self._workers if (why := _down(worker))), "")

    def _no_link(self) -> str:
        """Why the TAP carries nothing though it is there; that this has changed is logged."""
        missing = ""
        with suppress(DeviceLost):  # the next look at its counters finds that out
            missing = self._tap.no_link()
        if missing != self._nic.no_link and self._tap.queues:
            said = fields(device=self._tap.name, problem=missing) if missing else fields(device=self._tap.name)
            log.warning(
                "the TAP is there and carries nothing" if missing else "the TAP carries frames again", extra=said
            )
        return missing

    def _snapshots(self) -> list[Snapshot]:
        return [worker.snapshot for worker in self._workers if worker.snapshot is not None]

    def _wire(self) -> WireCounters:
        """The TAP's own count. Of one that was deleted: what the workers have read of it, all once all have told."""
        try:
            wire = self._tap.wire()
        except DeviceLost as error:
            log.error("the TAP is lost; waiting for it to come back", extra=fields(problem=str(error)))
        else:
            if self._tap.queues:
                return wire
        self._tap.lose(max(self._books.handed_out, self._books.accounted(self._snapshots())))
        return self._tap.wire()

    async def _book_losses(self) -> None:
        """Book what dead workers had read and not accounted for. What fails now is tried again at the next look."""
        living = [worker for worker in self._workers if worker.running]
        began = time.monotonic()
        try:
            asked = (worker.ask(Hold(), HOLD_SECONDS) for worker in living)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            wire = self._wire()
            held = time.monotonic() - began < HOLD_SECONDS and all(
                worker in living or worker.absent for worker in self._workers
            )
        finally:
            for worker in living:
                worker.tell(Resume())
        told = held and not any(isinstance(answer, BaseException) for answer in answers)
        if told:
            self._books.book(self._snapshots(), wire)
        self._show(0, told)


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
