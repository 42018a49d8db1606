"""What serves the frames, as the service sees it: in this process, or (workers/) in several.

The service around it owns signals, HTTP and the manager; an engine owns nic and stack. No frame passes here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from asyncnic.devices import Opener
from asyncnic.devices.device import PacketOptions
from asyncnic.devices.host import SharedHost
from asyncnic.linux.privileges import NET_ADMIN, has_capability
from asyncnic.nic.histogram import Histogram
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import open_nic
from asyncnic.nic.sources import parse_source_limit
from asyncnic.service import sandbox
from asyncnic.service.observed import Observed, Unwatchable
from asyncnic.service.stalls import StallWatch
from asyncnic.service.supervisor import Supervisor
from asyncnic.settings.model import Settings
from asyncnic.stacks.stack import Stack, StackFactory
from asyncnic.tasks import beside

DRAIN_SECONDS = 3.0
"""How long a stack may take for what the rings hold when the service stops."""
MOST_SOCKETS = 1000
"""How many are listed: making the list holds up the loop."""
TIMER = 0.01
"""Seconds: the timer whose lateness is the event loop's lag."""


class Engine(Protocol):
    """Frames from the wire to a stack, from open to drained."""

    @property
    def observed(self) -> Observed:
        """What there is to see of it; the engine keeps it true."""

    @property
    def patience(self) -> float:
        """Seconds that `run` may take after `finish`."""

    async def run(self) -> None:
        """Serve; returns once everything is delivered after `finish`."""

    def give_up_privileges(self, files: Sequence[Path]) -> None:
        """Everything is open: what was only needed for that, nobody should find here any more. `files` are those that a
        reload reads again.

        Raises:
            Failed: the kernel refuses.
        """

    def finish(self) -> None:
        """Take no more frames; deliver what the rings hold."""

    async def apply_knobs(self) -> None:
        """Bring everything to the knobs as they stand in `observed.nic.knobs`.

        Raises:
            DeviceError: the kernel refuses the new length of the TAP's queue, which alone stays as it was.
        """


class InProcess:
    """One nic and its stack on this very loop; see `Engine`.

    Args:
        settings: as loaded.
        nic: open.
        make_stack: from `stacks.choice.choose`.
    """

    patience = DRAIN_SECONDS

    def __init__(self, settings: Settings, nic: Nic, make_stack: StackFactory) -> None:
        self.nic = nic
        self.stack = make_stack(nic)
        self.observed = Observed(
            nic,
            settings,
            time.monotonic(),
            self.stack.outcomes,
            self.stack.events,
            self.stack.addresses,
            self.stack.trouble,
            sockets=lambda: self.stack.sockets(MOST_SOCKETS),
            tcp=self.stack.tcp,
            sinks=self.stack.sinks,
            sources=lambda: heaviest_sources(nic),
            exporters=lambda: followed_exporters(self.stack),
        )
        self._supervisor = Supervisor(
            self.stack, self.observed.stack, lambda: nic.counters.delivered_frames, nic.abandon_burst
        )
        nic.when_stopped(self._supervisor.finish)
        nic.when_stopped(self.stack.finish)

    async def run(self) -> None:
        """See `Engine.run`. Measures the loop's lag meanwhile."""
        with StallWatch(self.observed.settings.stall_timeout, self.observed.stack.stalled) as watch:
            async with beside(measure_lag(self.observed.loop_lag, watch)):
                await self._supervisor.run()

    def give_up_privileges(self, files: Sequence[Path]) -> None:
        """See `Engine.give_up_privileges`. Root stays root without them: its files are those of the settings, which a
        reload reads again."""
        self.observed.sandbox = sandbox.enter(self.observed.settings, files)

    def finish(self) -> None:
        """See `Engine.finish`."""
        self.nic.stop()

    async def apply_knobs(self) -> None:
        """See `Engine.apply_knobs`."""
        await self.nic.device.apply_knobs()


@asynccontextmanager
async def open_in_process(
    settings: Settings, make_stack: StackFactory, device: Opener | None = None
) -> AsyncIterator[InProcess]:
    """The engine on the nic that `settings` describe, or on `device`, whose host side is somebody else's.

    Raises:
        DeviceError: see `open_nic`.
    """
    async with open_nic(
        device or settings.device,
        mac=bytes.fromhex(settings.mac.replace(":", "")) if settings.mac else None,
        mtu=settings.mtu,
        rx_ring=settings.rx_ring,
        tx_ring=settings.tx_ring,
        host_address=host_address(settings) if device is None else "",
        knobs=settings.knobs(),
        delivery=settings.delivery,
        packet=packet_options(settings),
        faults=settings.fault,
        source_limit=parse_source_limit(settings.source_limit),
    ) as nic:
        engine = InProcess(settings, nic, make_stack)
        try:
            await engine.stack.set_up()
            yield engine
        finally:
            engine.stack.close()


def heaviest_sources(nic: Nic) -> list[dict[str, object]]:
    """Who sends the most.

    Raises:
        Unwatchable: nobody looks.
    """
    if nic.sources is None:
        raise Unwatchable("sources are looked at where each has a limit: start with --source-limit, like 1000000/s")
    return nic.sources.heaviest(time.monotonic())


def followed_exporters(stack: Stack) -> list[dict[str, object]]:
    """Whose numbers are followed, and what is missing of them.

    Raises:
        Unwatchable: nobody's.
    """
    found = stack.exporters()
    if found is None:
        raise Unwatchable("numbers are looked at on the ports that are named: start with --sequence-gaps, like 2055")
    return found


def host_address(settings: Settings) -> str:
    """The address to give to the host's side of the TAP; empty: none."""
    host = settings.host_address
    if host is not None and not settings.given("host_address") and not has_capability(NET_ADMIN):
        host = None  # only a default, and an unprivileged run on a TAP made beforehand must not fail for it
    return str(host or "")


def packet_options(settings: Settings) -> PacketOptions:
    """What a packet device is told; of interest to no other."""
    inet = settings.stack == "inet"
    return PacketOptions(
        ring=settings.packet_ring,
        qdisc_bypass=settings.packet_qdisc_bypass,
        addresses=settings.own_addresses if inet else (),
        prefixes=settings.prefixes if inet else (),
        host=SharedHost() if inet and settings.device.startswith("packet:") and not settings.address else None,
    )


async def measure_lag(histogram: Histogram, watch: StallWatch | None = None) -> None:
    """Observe for ever how late a timer of 10 ms fires, in seconds, and tell `watch` that the loop turns."""
    while True:
        # Not the loop's own clock: uvloop's stands still within a turn and ticks in milliseconds.
        due = time.monotonic() + TIMER
        await asyncio.sleep(TIMER)
        now = time.monotonic()
        histogram.observe(max(0.0, now - due))
        if watch is not None:
            watch.turned = now
