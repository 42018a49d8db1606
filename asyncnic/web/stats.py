"""/api/v1/stats: the service's numbers as JSON, the ledger in the contract's form on top.

The same numbers as the metrics, named for people and scripts; `asyncnic stats`, `asyncnic top` and the live page read
nothing else. Values are read at one moment.
"""

import asyncio
import time
from typing import Any

from asyncnic.nic.histogram import Histogram
from asyncnic.service.observed import Observed
from asyncnic.settings.knobs import KNOBS
from asyncnic.settings.values import show_duration
from asyncnic.version import build_info
from asyncnic.web.collector import DROP_REASONS, RECEIVE_ERRORS


def stats(observed: Observed, now: float) -> dict[str, object]:
    """Everything, as JSON's types. `now` is monotonic, in seconds, on the scale of `observed.started`."""
    nic = observed.nic
    accounts = nic.accounts()
    ledger = accounts.total
    counters = nic.counters
    tcp = observed.tcp()
    shown: dict[str, object] = {
        **ledger.as_json(),
        "dropped_by_reason": {
            stage: {**dict.fromkeys(reasons, 0), **ledger.dropped.get(stage, {})}
            for stage, reasons in DROP_REASONS.items()
        },
        "lanes": {
            name: {**lane.ledger.as_json(), "delivered_bytes": lane.delivered_bytes, "waiting": lane.waiting}
            for name, lane in accounts.lanes.items()
        },
        "shed": dict(accounts.shed),
        "faults_injected": dict(accounts.injected),
        "device": {
            "name": nic.device.name,
            "backend": nic.device.backend,
            "chip": nic.chip,
            "mac": observed.mac,
            "up": nic.device_up,
        },
        "ready": not observed.not_ready,
        "not_ready": observed.not_ready,
        "draining": observed.draining,
        "uptime_seconds": round(now - observed.started, 3),
        "delivered_bytes": counters.delivered_bytes,
        "receive_errors": {**dict.fromkeys(RECEIVE_ERRORS, 0), **nic.receive_errors},
        "transmit_errors": dict(nic.transmit_errors),
        "rx_budget_in_force": nic.knobs.rx_budget,
        "rx_usecs_in_force": show_duration(nic.knobs.rx_usecs),
        "ring_descriptors": {ring: dict(owners) for ring, owners in nic.ring_descriptors().items()},
        "queue": {"frames": nic.queue_frames, "limit": observed.queue_limit},
        "stack": {protocol: dict(outcomes) for protocol, outcomes in observed.outcomes().items()},
        "stack_events": dict(observed.events()),
        "tcp": {"connections": dict(tcp.connections), "memory_bytes": tcp.memory},
        "addresses": dict(observed.addresses()),
        "sinks": {name: sink.as_json() for name, sink in observed.sinks().items()},
        "stack_failures": observed.stack.failures,
        "snapshots": dict(observed.snapshots),
        "sandbox": observed.sandbox.as_json(),
        "stack_stalls": observed.stack.stalls,
        "workers": {"count": observed.workforce.count, "restarts": observed.workforce.restarts},
        "burst_frames": _histogram(nic.burst_frames),
        "delivery_seconds": _histogram(nic.delivery_seconds),
        "loop_lag_seconds": _histogram(observed.loop_lag),
        "settings": settings_as_they_stand(observed),
        "build": build_info(),
    }
    for metric, value in counters.shown():
        place: dict[str, Any] = shown
        for key in metric.path[:-1]:
            place = place.setdefault(key, {})
        place[metric.path[-1]] = value
    return shown


def stats_now(observed: Observed) -> dict[str, object]:
    """`stats` at this moment, and how many tasks the running loop has."""
    return stats(observed, time.monotonic()) | {"tasks": len(asyncio.all_tasks())}


def settings_as_they_stand(observed: Observed) -> dict[str, object]:
    """The settings, with the knobs as they have been turned since."""
    return {**observed.settings.model_dump(mode="json"), **observed.nic.knobs.as_text()}


def knobs(observed: Observed) -> list[dict[str, object]]:
    """The knobs that fields turn, in their order: name, value as it stands, hint, and choices where it has some."""
    standing = observed.nic.knobs.as_text()
    return [
        {"name": name, "value": standing[name], "hint": knob.hint, "choices": knob.choices}
        for name, knob in KNOBS.items()
        if knob.hint
    ]


def _histogram(histogram: Histogram) -> dict[str, object]:
    """Bounds, counts a bucket (one more than bounds: the last is +Inf) and sum."""
    return {"bounds": list(histogram.bounds), "counts": list(histogram.counts), "sum": histogram.sum}
