"""The service: device, nic, stack and HTTP put together; signals, readiness, reload, drain.

It moves no frame and decides nothing about any. What it owns is the order of things: configuration is checked before
the device is opened, the device is open before HTTP says ready, and at the end the rings are delivered before anything
closes.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import uvloop

from asyncnic import logs
from asyncnic.devices.device import DeviceError
from asyncnic.errors import SettingsError
from asyncnic.histogram import Histogram
from asyncnic.logs import fields
from asyncnic.nic import Nic, open_nic
from asyncnic.notify import Notifier
from asyncnic.privileges import NET_ADMIN, has_capability
from asyncnic.settings import LIVE, Settings, changed
from asyncnic.stacks.choice import StackFactory, choose
from asyncnic.supervisor import Supervisor
from asyncnic.web.observed import Observed
from asyncnic.web.security import WebConfig, load_web_config
from asyncnic.web.server import WebServer

DRAIN_SECONDS = 5.0
"""How long a stack may take for what the rings hold when the service stops."""
TIMER = 0.01
"""Seconds: the timer whose lateness is the event loop's lag."""
LOOK = 0.5
"""Seconds between looks at whether readiness has changed."""

log = logging.getLogger(__name__)

Reload = Callable[[], Settings]
"""Reads the configuration again; raises SettingsError when it is bad."""


def run(settings: Settings, reload: Reload) -> int:
    """Run the service on the event loop that `settings` name, until it is told to stop; the exit code.

    Raises:
        SettingsError, DeviceError, Failed: it cannot start.
    """
    logs.configure(settings.log_format, settings.log_level)
    factory = uvloop.new_event_loop if settings.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(serve(settings, reload))


async def serve(settings: Settings, reload: Reload) -> int:
    """The same inside a running loop, which is the caller's."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        make_stack = choose(settings)
        config = load_web_config(settings.web_config, settings.origin("web_config"))
        async with _nic(settings) as nic:
            service = Service(settings, nic, make_stack, config, reload)
            loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
            return await service.run(stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


class Service:
    """A nic, its stack and its HTTP side, from ready to drained.

    Args:
        settings: as loaded.
        nic: open.
        make_stack: from `choose`.
        config: the web config.
        reload: reads the configuration again.
    """

    def __init__(
        self, settings: Settings, nic: Nic, make_stack: StackFactory, config: WebConfig, reload: Reload
    ) -> None:
        self._nic = nic
        self._read_again = reload
        stack = make_stack(nic)
        self.observed = Observed(nic, settings, time.monotonic(), stack.outcomes)
        self._supervisor = Supervisor(stack, self.observed, lambda: nic.counters.delivered_frames)
        self._web = WebServer(self.observed, config, self.reload)
        self._notifier = Notifier(os.environ)
        self._reloading: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set, then drain; the exit code.

        Raises:
            Failed, PrivilegeError, SettingsError: HTTP cannot be served.
        """
        addresses = await self._web.start()
        try:
            lag, manager = measure_lag(self.observed.loop_lag), self._tell_manager()
            async with _tasks(lag, manager, self._supervisor.run()) as (_, _, supervision):
                supervision.add_done_callback(lambda _: stop.set())
                self.observed.phase = "running"
                self._announce(addresses)
                await stop.wait()
                await self._drain(supervision)
        finally:
            await self._web.stop()
        print(json.dumps(self._nic.ledger().as_json()), file=sys.stderr, flush=True)
        return 0

    async def reload(self) -> None:
        """Read configuration and certificates again and apply the live settings; report the others.

        Raises:
            SettingsError: the configuration is bad; nothing has changed.
            DeviceError: the kernel refuses the new length of the TAP's queue, which alone stays as it was.
        """
        self._notifier.reloading()
        try:
            new = self._read_again()
            self._web.reload_certificates()
            await self._apply(new)
        finally:
            self._notifier.ready(self._status())

    async def _apply(self, new: Settings) -> None:
        old, knobs = self.observed.settings, self._nic.knobs
        for name in LIVE:
            setattr(knobs, name, getattr(new, name))
        try:
            await self._nic.device.apply_knobs()
        finally:
            self.observed.settings = old.model_copy(update={name: getattr(knobs, name) for name in LIVE})
            names = ",".join(sorted(changed(old, self.observed.settings)))
            log.info("reloaded", extra=fields(changed=names or "nothing"))
        if needs_restart := ",".join(sorted(changed(old, new) - LIVE)):
            log.warning(
                "changed settings need a restart and were left as they are", extra=fields(settings=needs_restart)
            )

    def reload_soon(self) -> None:
        """`reload` for SIGHUP: what is wrong becomes a line in the log."""
        self._reloading = asyncio.create_task(self._reload_and_log())

    async def _reload_and_log(self) -> None:
        try:
            await self.reload()
        except (SettingsError, DeviceError) as error:
            log.error("reload refused", extra=fields(problem=str(error)))

    def _announce(self, addresses: list[tuple[str, int]]) -> None:
        settings, nic = self.observed.settings, self._nic
        scheme = "https" if self._web.uses_tls else "http"
        for host, port in addresses:
            url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
            log.info("serving HTTP", extra=fields(url=url))
        log.info(
            "ready",
            extra=fields(
                device=nic.device.name, mac=self.observed.mac, stack=settings.stack, delivery=settings.delivery
            ),
        )
        if os.geteuid() == 0:
            log.warning(
                "running as root, which the open device does not need",
                extra=fields(fix="run as the owner of a TAP made beforehand: ip tuntap add NAME mode tap user USER"),
            )
        self._notifier.ready(self._status())

    async def _drain(self, supervision: asyncio.Task[None]) -> None:
        """Not ready; no more frames; what the rings hold is delivered, within DRAIN_SECONDS."""
        self.observed.phase = "stopping"
        self._notifier.stopping("delivering what the rings hold")
        log.info("stopping", extra=fields(device=self._nic.device.name))
        self._nic.stop()
        self._supervisor.finish()
        done, _ = await asyncio.wait({supervision}, timeout=DRAIN_SECONDS)
        if not done:
            log.warning("the stack did not take what the rings hold", extra=fields(seconds=DRAIN_SECONDS))
        else:
            supervision.result()

    async def _tell_manager(self) -> None:
        """Keep systemd told of readiness, and its watchdog quiet, for as long as the loop turns."""
        notifier, before = self._notifier, self.observed.not_ready
        interval = min(LOOK, notifier.watchdog / 2) if notifier.watchdog else LOOK
        while True:
            await asyncio.sleep(interval)
            notifier.alive()
            if self.observed.not_ready != before:
                before = self.observed.not_ready
                notifier.status(self._status())

    def _status(self) -> str:
        return self.observed.not_ready or f"serving {self._nic.device.name}"


async def measure_lag(histogram: Histogram) -> None:
    """Observe for ever how late a timer of 10 ms fires, in seconds."""
    while True:
        # Not the loop's own clock: uvloop's stands still within a turn and ticks in milliseconds.
        due = time.monotonic() + TIMER
        await asyncio.sleep(TIMER)
        histogram.observe(max(0.0, time.monotonic() - due))


@asynccontextmanager
async def _tasks(*coroutines: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run `coroutines` beside the body, which gets their tasks; they end with it."""
    running = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield running
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@asynccontextmanager
async def _nic(settings: Settings) -> AsyncIterator[Nic]:
    """The nic that `settings` describe."""
    host = settings.host_address
    if host is not None and not settings.given("host_address") and not has_capability(NET_ADMIN):
        host = None  # only a default, and an unprivileged run on a TAP made beforehand must not fail for it
    async with open_nic(
        settings.device,
        mac=bytes.fromhex(settings.mac.replace(":", "")) if settings.mac else None,
        mtu=settings.mtu,
        rx_ring=settings.rx_ring,
        tx_ring=settings.tx_ring,
        host_address=str(host or ""),
        knobs=settings.knobs(),
        delivery=settings.delivery,
    ) as nic:
        yield nic
