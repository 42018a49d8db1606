"""A nic that does nothing, with known numbers in every place that observers read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from asyncnic.hot.heads import HeadRing
from asyncnic.nic.burst import Burst
from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.ledger import Accounts, LaneAccount, Ledger
from asyncnic.pcnet32.descriptors import ENP, ONES, OWN, STP
from asyncnic.service.observed import Observed, Outcomes
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.stacks.stack import TcpStanding
from asyncnic.web.security import Access, WebConfig, access
from asyncnic.web.server import WebServer

COUNTED = Counters(
    delivered_frames=900,
    delivered_bytes=54000,
    transmitted_frames=70,
    transmitted_bytes=4200,
    interrupts=400,
    lost_interrupts=6,
    bursts=450,
    budget_frames=3,
    budget_time=2,
    resets=1,
    resyncs=4,
)
SINK = SinkLedger(
    received=50,
    acknowledged=40,
    in_flight=4,
    failed={"refused": 1, "given_up": 2, "worker_lost": 3},
    down=1,
    waits=6,
    waited=1.5,
    republished=7,
)


@dataclass
class FakeDevice:
    """Names only."""

    name: str = "tap:golden0"
    backend: str = "tap"


@dataclass
class FakeNic:
    """See `asyncnic.service.observed.NicView`."""

    device: FakeDevice = field(default_factory=FakeDevice)
    device_up: bool = True
    no_link: str = ""
    chip: str = "Am79C970A"
    mac: bytes = bytes.fromhex("02005e100001")
    knobs: Knobs = field(default_factory=Knobs)
    counters: Counters = COUNTED
    receive_errors: dict[str, int] = field(default_factory=lambda: {"crc": 5, "framing": 1})
    transmit_errors: dict[str, int] = field(default_factory=lambda: {"carrier": 0, "ring_full": 6})
    burst_frames: Histogram = field(default_factory=lambda: Histogram(BURST_FRAMES))
    delivery_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    queue_frames: int = 0
    heads: HeadRing | None = None
    watcher: Callable[[Burst], None] | None = None
    watched: asyncio.Event = field(default_factory=asyncio.Event)

    def ledger(self) -> Ledger:
        return self.accounts().total

    def accounts(self) -> Accounts:
        bulk = {
            "kernel": {"tap_queue_full": 53},
            "card": {"miss": 20},
            "driver": {"error_descriptor": 5, "buffer": 1},
            "queue": {},
        }
        lanes = {
            "control": LaneAccount(Ledger(104, 100, 4, 0, {"kernel": {"tap_queue_full": 0}}), 6000, 0),
            "bulk": LaneAccount(Ledger(889, 800, 8, 2, bulk), 48000, 3),
        }
        return Accounts(1000, lanes, {"src:198.51.100.0/24": 7, "udp:19": 0}, 7)

    def ring_descriptors(self) -> dict[str, dict[str, int]]:
        return {"rx": {"card": 254, "host": 2}, "tx": {"card": 1, "host": 63}}

    def registers(self) -> dict[str, int]:
        return {"CSR0": 0x0073, "CSR112": 20}

    def ring_words(self) -> dict[str, list[tuple[int, int, int]]]:
        free, full = (0x1000, OWN | ONES | 0x800, 0), (0x2000, STP | ENP | ONES | 0x800, 64)
        return {"rx": [free, full], "tx": [(0x3000, ONES | 0x800, 0)]}

    def record_heads(self, heads: HeadRing | None) -> None:
        self.heads = heads

    def watch(self, watcher: Callable[[Burst], None] | None) -> None:
        self.watcher = watcher
        self.watched.set()


def outcomes() -> Outcomes:
    """Packets of a stack with two protocols."""
    return {"arp": {"request": 1, "ignored": 0}, "udp": {"delivered": 899}}


def observe(nic: FakeNic, **flags: object) -> Observed:
    """A running service on `nic`, of known numbers."""
    nic.burst_frames.observe(1)
    nic.burst_frames.observe(64)
    nic.delivery_seconds.observe(0.00015)
    observed = Observed(
        nic,
        load(flags, {}, None),
        started=100.0,
        outcomes=outcomes,
        events=lambda: {"unresolved": 8, "errors_limited": 0, "tcp_retransmitted": 3, "numbers_ipfix_missing": 5},
        tcp=lambda: TcpStanding({"syn-received": 2, "established": 7, "time-wait": 0}, 91_000),
        addresses=lambda: {"192.0.2.2": "preferred", "2001:db8::2": "tentative"},
        sinks=lambda: {"514=nats://127.0.0.1:4222/syslog": SINK},
    )
    observed.loop_lag.observe(0.0003)
    observed.phase = "running"
    return observed


class Reloads:
    """Stands for the service that HTTP may reload and tune: counts, remembers, and fails when told to."""

    def __init__(self) -> None:
        self.count = 0
        self.tuned: list[Mapping[str, object]] = []
        self.error: Exception | None = None

    async def reload(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error

    async def snapshot(self) -> bytes:
        return b"a snapshot"

    async def tune(self, changes: Mapping[str, object]) -> dict[str, object]:
        self.tuned.append(changes)
        if self.error is not None:
            raise self.error
        return {name: {"old": 64, "new": value} for name, value in changes.items()}


@asynccontextmanager
async def serving(
    observed: Observed, config: WebConfig | Access | None = None, reloads: Reloads | None = None
) -> AsyncIterator[str]:
    """The URL of a server for `observed` on a port of the kernel's choice."""
    observed.settings = settings = observed.settings.model_copy(update={"listen": "127.0.0.1:0"})
    entry = config if isinstance(config, Access) else access(config or WebConfig(), settings.web_config, "--web-config")
    server = WebServer(observed, entry, reloads or Reloads())
    [(host, port)] = await server.start()
    try:
        yield f"{'https' if server.uses_tls else 'http'}://{host}:{port}"
    finally:
        await server.stop()


async def get(url: str, **headers: str) -> tuple[int, str]:
    """Status and text at `url`."""
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text()
