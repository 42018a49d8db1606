"""/api/v1/stats: the service's numbers as JSON, the ledger in the contract's form on top.

The same numbers as the metrics, named for people and scripts; `asyncnic stats`, `asyncnic top` and the live page read
nothing else. Values are read at one moment.
"""

import dataclasses

from asyncnic.nic.histogram import Histogram
from asyncnic.service.observed import Observed
from asyncnic.settings.model import LIVE
from asyncnic.settings.values import show_duration
from asyncnic.version import build_info
from asyncnic.web.collector import DROP_REASONS, RECEIVE_ERRORS


def stats(observed: Observed, now: float) -> dict[str, object]:
    """Everything, as JSON's types. `now` is monotonic, in seconds, on the scale of `observed.started`."""
    nic = observed.nic
    accounts = nic.accounts()
    ledger = accounts.total
    counters = nic.counters
    return {
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
        "device": {
            "name": nic.device.name,
            "backend": nic.device.backend,
            "chip": nic.chip,
            "mac": observed.mac,
            "up": nic.device_up,
            "resets": counters.resets,
        },
        "ready": not observed.not_ready,
        "not_ready": observed.not_ready,
        "uptime_seconds": round(now - observed.started, 3),
        "delivered_bytes": counters.delivered_bytes,
        "transmitted_frames": counters.transmitted_frames,
        "transmitted_bytes": counters.transmitted_bytes,
        "receive_errors": {**dict.fromkeys(RECEIVE_ERRORS, 0), **nic.receive_errors},
        "transmit_errors": dict(nic.transmit_errors),
        "interrupts": counters.interrupts,
        "bursts": counters.bursts,
        "budget_exhausted": {"frames": counters.budget_frames, "time": counters.budget_time},
        "rx_budget_in_force": nic.knobs.rx_budget,
        "ring_descriptors": {ring: dict(owners) for ring, owners in nic.ring_descriptors().items()},
        "ring_resyncs": nic.resyncs,
        "queue": {"frames": nic.queue_frames, "limit": observed.queue_limit},
        "stack": {protocol: dict(outcomes) for protocol, outcomes in observed.outcomes().items()},
        "stack_failures": observed.stack_failures,
        "workers": {"count": observed.workers, "restarts": observed.worker_restarts},
        "burst_frames": _histogram(nic.burst_frames),
        "delivery_seconds": _histogram(nic.delivery_seconds),
        "loop_lag_seconds": _histogram(observed.loop_lag),
        "settings": settings_as_they_stand(observed),
        "build": build_info(),
    }


def settings_as_they_stand(observed: Observed) -> dict[str, object]:
    """The settings, with the knobs as they have been turned since."""
    live: dict[str, object] = dataclasses.asdict(observed.nic.knobs)
    for name in ("rx_time_budget", "busy_poll", "target_lag", "target_age"):
        live[name] = show_duration(getattr(observed.nic.knobs, name))
    if live.pop("rx_budget_auto"):
        live["rx_budget"] = "auto"
    return {**observed.settings.model_dump(mode="json"), **live}


def live_settings(observed: Observed) -> dict[str, object]:
    """The settings that can be changed while frames flow, as they stand, in the form in which they can be put."""
    return {name: value for name, value in settings_as_they_stand(observed).items() if name in LIVE}


def _histogram(histogram: Histogram) -> dict[str, object]:
    """Bounds, counts a bucket (one more than bounds: the last is +Inf) and sum."""
    return {"bounds": list(histogram.bounds), "counts": list(histogram.counts), "sum": histogram.sum}
