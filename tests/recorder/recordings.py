"""Recordings of known contents, for tests of what is made of them."""

from array import array
from typing import Any

from asyncnic.hot.heads import HeadRing
from asyncnic.recorder.snapshot import Recording
from asyncnic.recorder.timeline import Row

START = 1_795_988_000 * 10**9
"""A time in nanoseconds: 2026-11-29T21:33:20Z."""
COLUMNS = (
    *("offered", "delivered", "dropped.kernel", "dropped.card", "dropped.driver", "dropped.queue"),
    *("dropped_by_reason.kernel.tap_queue_full", "bursts", "budget_exhausted.frames", "budget_exhausted.time"),
    *("lag", "imbalance", "device.up", "device.resets", "knobs.rx_budget", "receive_errors.crc"),
)
FACTS: dict[str, Any] = {
    "stats": {
        "device": {"name": "tap:test0", "chip": "Am79C970A", "backend": "tap"},
        "build": {"version": "1.0"},
        "dropped": {"kernel": 0, "card": 0, "driver": 0, "queue": 0},
    },
    "settings": {"stack": "inet", "delivery": "direct"},
}


def frame(last: int, port: int = 7) -> bytes:
    """A UDP datagram from 192.0.2.`last`."""
    ip = bytes.fromhex("4500002e000000004011") + bytes(2) + bytes([192, 0, 2, last, 192, 0, 2, 2])
    return bytes(6) + bytes([2, 0, 0, 0, 0, last]) + b"\x08\x00" + ip + bytes([0, 9, 0, port]) + bytes(22)


def rows(calm: int, storm: int, **turned: float) -> list[Row]:
    """`calm` rows of 100 ms at 2,000 frames/s, then `storm` at 100,000, of which the kernel drops 60 %; `turned` names
    columns that have another value in the last row.
    """
    found: list[Row] = []
    now = dict.fromkeys(COLUMNS, 0.0) | {"device.up": 1.0, "knobs.rx_budget": 64.0, "lag": 0.002}
    for at in range(calm + storm):
        offered, dropped = (200.0, 0.0) if at < calm else (10_000.0, 6_000.0)
        now["offered"] += offered
        now["delivered"] += offered - dropped
        now["dropped.kernel"] += dropped
        now["dropped_by_reason.kernel.tap_queue_full"] += dropped
        now["bursts"] += 100.0
        now["budget_exhausted.time"] += 90.0 if dropped else 0.0
        if at == calm + storm - 1:
            now |= turned
        found.append((START + at * 100_000_000, array("d", [now[name] for name in COLUMNS])))
    return found


def recording(calm: int = 50, storm: int = 10, time_ns: int = START + 6 * 10**9, **turned: float) -> Recording:
    """A storm of the last second, with the heads of three frames."""
    heads = HeadRing(16)
    octets = memoryview(b"".join(frame(last) for last in (1, 1, 9)))
    size = len(frame(1))
    heads.record(octets, [0, size, 2 * size], [size] * 3, 3, START + 5_950_000_000, 0, {2: "udp no_listener"})
    return Recording(
        "drops",
        "frames dropped",
        time_ns,
        "tap:test0",
        FACTS,
        COLUMNS,
        rows(calm, storm, **{name.replace("__", "."): value for name, value in turned.items()}),
        heads,
        ("bulk",),
        "thread 1\n",
    )
