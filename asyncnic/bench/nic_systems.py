"""asyncnic itself as a system to be measured: direct delivery, queue delivery with each policy, and the sink.

The loop is uvloop, the knobs are the defaults, but for what a case says.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import uvloop
from prometheus_client import Metric

from asyncnic.bench import wires
from asyncnic.bench.bystander import Bystander
from asyncnic.bench.case import Case, Outcome
from asyncnic.bench.offer import Offer
from asyncnic.bench.rig import open_rig
from asyncnic.bench.trial import Trial, application
from asyncnic.knobs import Knobs
from asyncnic.ledger import STAGES
from asyncnic.nic import Nic
from asyncnic.settings import load
from asyncnic.web.collector import NicCollector
from asyncnic.web.observed import Observed

TAP = "bench0"


def direct(case: Case) -> Outcome:
    """Bursts straight off the ring into the inet stack."""
    return uvloop.run(_play(case, "direct", "drop-newest"))


def queue_drop_newest(case: Case) -> Outcome:
    """Through the bounded queue; what finds it full is dropped."""
    return uvloop.run(_play(case, "queue", "drop-newest"))


def queue_drop_oldest(case: Case) -> Outcome:
    """Through the bounded queue; what has waited longest is dropped."""
    return uvloop.run(_play(case, "queue", "drop-oldest"))


def queue_pause(case: Case) -> Outcome:
    """Through the bounded queue; while it is full nothing is read."""
    return uvloop.run(_play(case, "queue", "pause"))


def sink(case: Case) -> Outcome:
    """Model, driver and nic, and a stack that only takes."""
    return uvloop.run(_play(case, "direct", "drop-newest", sink_only=True))


def _metrics(nic: Nic) -> Callable[[], Iterable[Metric]]:
    """What the service would answer a scrape with."""
    return NicCollector(Observed(nic, load({}, {}, None), time.monotonic())).collect


async def _play(case: Case, delivery: str, policy: str, sink_only: bool = False) -> Outcome:
    await asyncio.to_thread(wires.make_tap, TAP)
    app = None if sink_only else application(case)
    turned: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in case.knobs.items()
    }
    knobs = replace(Knobs(), queue_policy=policy, **turned)
    async with open_rig(TAP, app, knobs, rx_ring=case.rx_ring, delivery=delivery) as nic:
        trial = Trial(case, await asyncio.to_thread(Offer, [wires.RECEIVER, *case.load.arguments()]))
        bystander = await Bystander.start(trial, _metrics(nic)) if case.bystander else None
        await trial.play(lambda: app.datagrams if app is not None else nic.counters.delivered_frames)
        report = await bystander.stop() if bystander is not None else None
        ledger, counters = nic.ledger(), nic.counters
    delivered = app.datagrams if app is not None else ledger.delivered
    lost = {stage: ledger.dropped_at(stage) for stage in STAGES} | {
        "filtered": ledger.filtered,
        "stack": ledger.delivered - delivered,
    }
    balance = ledger.as_json() | {"imbalance": ledger.imbalance}
    extra = {"bursts": counters.bursts, "interrupts": counters.interrupts}
    return trial.outcome(delivered, lost, app, bystander=report, ledger=balance, extra=extra)
