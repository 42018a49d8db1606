"""What HTTP may see of the service: the nic as observers read it, and what the service says of itself.

Reading is all that is done through it (but for `watch`, which adds a reader). Everything here is plain values that
others own and keep; one look at them, on the loop's thread, is one moment.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asyncnic.errors import Failed
from asyncnic.hot.heads import HeadRing
from asyncnic.nic.burst import Burst
from asyncnic.nic.counters import Counters
from asyncnic.nic.histogram import SECONDS, Histogram
from asyncnic.nic.ledger import Accounts, Ledger
from asyncnic.service.sandbox import NONE, Sandbox
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.model import Settings
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.stacks.stack import Sockets, TcpStanding

Outcomes = Mapping[str, Mapping[str, int]]
"""What a stack did with its frames: protocol to outcome to packets."""


class DeviceView(Protocol):
    """The names of a device."""

    @property
    def name(self) -> str: ...
    @property
    def backend(self) -> str: ...


class NicView(Protocol):
    """The part of a nic that is observed."""

    @property
    def device(self) -> DeviceView: ...
    @property
    def device_up(self) -> bool: ...
    @property
    def no_link(self) -> str: ...
    @property
    def chip(self) -> str: ...
    @property
    def mac(self) -> bytes: ...
    @property
    def knobs(self) -> Knobs: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def receive_errors(self) -> Mapping[str, int]: ...
    @property
    def transmit_errors(self) -> Mapping[str, int]: ...
    @property
    def burst_frames(self) -> Histogram: ...
    @property
    def delivery_seconds(self) -> Histogram: ...
    @property
    def queue_frames(self) -> int: ...

    def ledger(self) -> Ledger:
        """Every term of the conservation law, read now."""

    def accounts(self) -> Accounts:
        """The same, lane by lane."""

    def ring_descriptors(self) -> Mapping[str, Mapping[str, int]]:
        """Descriptors by ring ("rx", "tx") and owner ("card", "host")."""

    def registers(self) -> Mapping[str, int]:
        """The chip's registers by name ("CSR0", "BCR20")."""

    def ring_words(self) -> Mapping[str, Sequence[Sequence[int]]]:
        """The words of each descriptor of the rings ("rx", "tx"): buffer address, status, count or errors."""

    def record_heads(self, heads: HeadRing | None) -> None:
        """Keep the heads of frames in `heads` from now on; None ends that.

        Raises:
            Unwatchable: the bursts are not in this process.
        """

    def watch(self, watcher: Callable[[Burst], None] | None) -> None:
        """Show each burst to `watcher` as the stack gets it; None ends that.

        Raises:
            Unwatchable: the bursts are not in this process.
        """


class Unwatchable(Failed):
    """The nic's bursts cannot be shown. The message says when they can."""


SNAPSHOTS = ("drops", "lag", "imbalance", "device", "signal", "request", "failed")
"""What snapshots were made for; failed: it could not be written."""


def _unknown_sources() -> Sequence[Mapping[str, object]]:
    raise Unwatchable("each worker counts its own sources: they are shown with --workers 1")


def _unknown_exporters() -> Sequence[Mapping[str, object]]:
    raise Unwatchable("each worker follows its own exporters: they are shown with --workers 1")


async def _fresh(rings: bool) -> None:
    """Numbers that are read where they are counted are always fresh."""


@dataclass(slots=True)
class StackHealth:
    """How the stack coroutine does. Whoever runs it owns this: the supervisor, or the workers' group."""

    down: str = ""
    """Why it does not run just now; empty: it does."""
    failures: int = 0
    """How often it ended without being asked to."""
    stalls: int = 0
    """How often it has held the event loop up for longer than --stall-timeout."""

    def stalled(self) -> None:
        """It holds the event loop up."""
        self.stalls += 1


@dataclass(slots=True)
class Workforce:
    """The processes that share the frames. The workers' group owns this."""

    count: int = 1
    restarts: int = 0
    """How often one of them ended without being asked to, and was started again."""


@dataclass(slots=True)
class Observed:
    """The service as HTTP sees it. "Is it well?" has one owner a part, and `not_ready` puts their answers together:

    phase           the service
    settings        the tuner
    nic.device_up   the nic
    stack           whoever runs the stack
    stack_trouble   the stack itself
    workforce       the workers' group
    """

    nic: NicView
    settings: Settings
    started: float
    """When the service began, in monotonic seconds."""
    outcomes: Callable[[], Outcomes] = dict
    events: Callable[[], Mapping[str, int]] = dict
    """What the stack counts that is not the end of a frame."""
    addresses: Callable[[], Mapping[str, str]] = dict
    """The stack's addresses, and whether they are "tentative", "preferred" or "duplicate"."""
    stack_trouble: Callable[[], str] = str
    """Why the stack does not serve all that it should; empty: it does."""
    stack: StackHealth = field(default_factory=StackHealth)
    workforce: Workforce = field(default_factory=Workforce)
    loop_lag: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    """How late a timer of 10 ms fires, in seconds."""
    refresh: Callable[[bool], Awaitable[None]] = _fresh
    """Await it before a look: brings the numbers of other processes here, with True descriptors, registers and
    sockets too."""
    sockets: Callable[[], Sockets] = Sockets
    """The stack's endpoints and connections; of other processes as `refresh` with True has brought them."""
    tcp: Callable[[], TcpStanding] = TcpStanding
    """How many connections the stack has, and what they cost."""
    snapshots: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SNAPSHOTS, 0))
    """How many the flight recorder has made, by cause; the recorder owns this."""
    sandbox: Sandbox = NONE
    """What the service has left itself. The engine owns this."""
    sinks: Callable[[], Mapping[str, SinkLedger]] = dict
    """Where the datagrams of the stack's sinks went, by the sink's name."""
    sources: Callable[[], Sequence[Mapping[str, object]]] = _unknown_sources
    """The heaviest sources of frames; raises `Unwatchable` where they are counted in other processes."""
    exporters: Callable[[], Sequence[Mapping[str, object]]] = _unknown_exporters
    """The exporters whose numbers are followed; raises `Unwatchable` where nobody does, or other processes do."""
    phase: str = "starting"
    """"starting", "running", "draining" or "stopping"."""

    @property
    def not_ready(self) -> str:
        """Why the service is not ready, in one line; empty: it is."""
        if self.phase != "running":
            return self.phase
        if self.nic.no_link:
            return f"device {self.nic.device.name}: {self.nic.no_link}"
        if not self.nic.device_up:
            return f"device {self.nic.device.name} is lost"
        return self.stack.down or self.stack_trouble()

    @property
    def draining(self) -> bool:
        """Whether the service was told to end: it serves on for a while, or delivers what it has."""
        return self.phase in ("draining", "stopping")

    @property
    def mac(self) -> str:
        """The station address as people write it."""
        return self.nic.mac.hex(":")

    @property
    def queue_limit(self) -> int:
        """Frames that may stand between rings and stack: 0 for direct delivery, which has no queue."""
        return self.nic.knobs.queue_limit if self.settings.delivery == "queue" else 0
