"""asyncnic itself as a system to be measured: direct delivery, queue delivery with each policy, the sink, and workers;
on a TAP, and direct delivery on a packet ring too, on the very veth pair and address that its peers have.

The loop is uvloop, the knobs are the defaults, but for what a case says.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import uvloop
from prometheus_client import Metric

from asyncnic.bench import wires
from asyncnic.bench.bystander import Bystander
from asyncnic.bench.case import Case, Figures
from asyncnic.bench.kernel_udp import FAR, NEAR
from asyncnic.bench.offer import Offer
from asyncnic.bench.receiver import Busy
from asyncnic.bench.rig import PORT, open_rig
from asyncnic.bench.trial import Trial, application, offer_of
from asyncnic.linux.thread import in_thread
from asyncnic.nic.ledger import STAGES, Ledger
from asyncnic.nic.nic import Nic
from asyncnic.recorder.recorder import Recorder
from asyncnic.service.observed import Observed
from asyncnic.service.workers.group import open_workers
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load
from asyncnic.tasks import beside
from asyncnic.web.collector import NicCollector

TAP = "bench0"
_WORK = "BENCH_WORK"
"""Variable with the seconds of work a datagram, for the applications in workers."""


def direct(case: Case) -> Figures:
    """Bursts straight off the ring into the inet stack."""
    return uvloop.run(_play(case, "direct", "drop-newest"))


def recorded(case: Case) -> Figures:
    """The same with the flight recorder, as every service has it."""
    return uvloop.run(_play(case, "direct", "drop-newest", records=True))


def packet(case: Case) -> Figures:
    """The same off the kernel's packet ring, beside a kernel that keeps the address."""
    with wires.FarSide(NEAR, FAR) as far:
        return uvloop.run(_measure(case, f"packet:{NEAR}", partial(far.run, offer_of), "direct", "drop-newest"))


def queue_drop_newest(case: Case) -> Figures:
    """Through the bounded queue; what finds it full is dropped."""
    return uvloop.run(_play(case, "queue", "drop-newest"))


def queue_drop_oldest(case: Case) -> Figures:
    """Through the bounded queue; what has waited longest is dropped."""
    return uvloop.run(_play(case, "queue", "drop-oldest"))


def queue_pause(case: Case) -> Figures:
    """Through the bounded queue; while it is full nothing is read."""
    return uvloop.run(_play(case, "queue", "pause"))


def sink(case: Case) -> Figures:
    """Model, driver and nic, and a stack that only takes."""
    return uvloop.run(_play(case, "direct", "drop-newest", sink_only=True))


def workers(case: Case) -> Figures:
    """Processes that share the TAP, as `--workers` makes them; the application only counts and works."""
    return uvloop.run(_share(case))


def busy() -> Busy:
    """The application in a worker, which knows nothing of the case but what the environment says."""
    return Busy(float(os.environ[_WORK]))


def _metrics(nic: Nic) -> Callable[[], Iterable[Metric]]:
    """What the service would answer a scrape with."""
    return NicCollector(Observed(nic, load({}, {}, None), time.monotonic())).collect


@asynccontextmanager
async def _recorder(nic: Nic, records: bool) -> AsyncIterator[None]:
    """A flight recorder beside the body, if it `records`."""
    recorders = [Recorder(Observed(nic, load({}, {}, None), time.monotonic())).run()] if records else []
    async with beside(*recorders):
        yield


async def _play(case: Case, delivery: str, policy: str, sink_only: bool = False, records: bool = False) -> Figures:
    await in_thread(wires.make_tap, TAP)
    return await _measure(case, f"tap:{TAP}", offer_of, delivery, policy, sink_only, records)


async def _measure(
    case: Case,
    device: str,
    start: Callable[[Case], Offer],
    delivery: str,
    policy: str,
    sink_only: bool = False,
    records: bool = False,
) -> Figures:
    app = None if sink_only else application(case)
    turned: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in case.knobs.items()
    }
    knobs = replace(Knobs(), queue_policy=policy, **turned)
    rig = open_rig(device, app, knobs, rx_ring=case.rx_ring, delivery=delivery)
    async with rig as nic, _recorder(nic, records):
        trial = Trial(case, await in_thread(start, case))
        bystander = await Bystander.start(trial, _metrics(nic)) if case.bystander else None
        await trial.play(lambda: app.datagrams if app is not None else nic.counters.delivered_frames)
        report = await bystander.stop() if bystander is not None else None
        ledger, counters = nic.ledger(), nic.counters
    delivered = app.datagrams if app is not None else ledger.delivered
    extra = {"bursts": counters.bursts, "interrupts": counters.interrupts}
    return trial.outcome(
        delivered, _lost(ledger, delivered), app, bystander=report, ledger=_balance(ledger), extra=extra
    )


async def _share(case: Case) -> Figures:
    await in_thread(wires.make_tap, TAP)
    os.environ[_WORK] = str(case.work)
    given = {
        "device": f"tap:{TAP}",
        "mac": wires.RECEIVER_MAC,
        "address": (f"{wires.RECEIVER}/{wires.PREFIX}",),
        "service": (f"{__name__}:busy:{PORT}",),
        "rx_ring": str(case.rx_ring),
        "workers": str(case.workers),
        "log_level": "error",
    }
    async with open_workers(load(given, {}, None)) as group:
        nic, running = group.observed.nic, asyncio.create_task(group.run())
        clocks = [processor_clock(pid) for pid in group.pids]
        await in_thread(wires.wait_until_up, TAP)
        offer = await in_thread(offer_of, case)
        trial = Trial(case, offer, lambda: sum(time.clock_gettime(clock) for clock in clocks))
        await trial.play(lambda: nic.counters.delivered_frames, group.refresh)
        group.finish()
        await running
        ledger = nic.ledger()
        delivered = group.observed.outcomes()["udp"]["delivered"]
    return trial.outcome(delivered, _lost(ledger, delivered), None, ledger=_balance(ledger))


def processor_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it."""
    return ~pid << 3 | 2


def _lost(ledger: Ledger, delivered: int) -> dict[str, int]:
    """Where frames went that no application got."""
    return {stage: ledger.dropped_at(stage) for stage in STAGES} | {
        "filtered": ledger.filtered,
        "stack": ledger.delivered - delivered,
    }


def _balance(ledger: Ledger) -> dict[str, Any]:
    return ledger.as_json() | {"imbalance": ledger.imbalance}
