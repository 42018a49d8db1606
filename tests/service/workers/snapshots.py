"""Workers that never were, with known numbers."""

from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.ledger import Ledger
from asyncnic.service.workers.snapshot import Buckets, Counted, LaneCounted, Snapshot, Standing


def counted(read: int, delivered: int, filtered: int = 0, missed: int = 0) -> Counted:
    """A worker that has read, delivered, filtered and missed so many frames of the lane "bulk"."""
    bursts, lag = Histogram(BURST_FRAMES), Histogram(SECONDS)
    bursts.observe(delivered)
    lag.observe(0.001)
    ledger = Ledger(read, delivered, filtered, 0, {"card": {"miss": missed}})
    return Counted(
        lanes={"bulk": LaneCounted(ledger, 60 * delivered)},
        counters=Counters(
            delivered_frames=delivered,
            delivered_bytes=60 * delivered,
            transmitted_frames=2,
            transmitted_bytes=120,
            interrupts=3,
            bursts=4,
            budget_frames=5,
            budget_time=6,
        ),
        receive_errors={"crc": 1},
        transmit_errors={"ring_full": 2},
        stack_failures=1,
        outcomes={"udp": {"delivered": delivered}},
        burst_frames=Buckets.of(bursts),
        delivery_seconds=Buckets.of(lag),
        loop_lag=Buckets.of(lag),
    )


def snapshot(read: int, delivered: int, in_flight: int = 0, filtered: int = 0, up: bool = True) -> Snapshot:
    """The same at one moment, with frames in flight."""
    standing = Standing(
        device_up=up,
        in_flight={"bulk": in_flight},
        queue_frames=0,
        stack_down="",
        ring_descriptors={"rx": {"card": 250, "host": 6}, "tx": {"card": 0, "host": 64}},
    )
    return Snapshot(counted(read, delivered, filtered), standing)
