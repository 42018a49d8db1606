"""The service: an engine (device, nic and stack) and HTTP put together; signals, readiness, reload, drain.

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
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

import uvloop

from asyncnic import logs
from asyncnic.errors import DeviceError, SettingsError
from asyncnic.logs import fields
from asyncnic.service.ending import Ending, heard
from asyncnic.service.engine import Engine, open_in_process
from asyncnic.service.notify import Notifier
from asyncnic.service.supervisor import PATIENCE
from asyncnic.service.tuning import Changes, Tuner
from asyncnic.settings.model import LIVE, Settings, changed
from asyncnic.stacks.choice import choose
from asyncnic.tasks import beside
from asyncnic.web.security import WebConfig, load_web_config
from asyncnic.web.server import WebServer

UNREADY_SECONDS = 8.0
"""How long the end may take of a service that is not up yet."""
SPARE_SECONDS = 2.0
"""How long the rest of the end may take, when the engine and its stack have had their time."""
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
    ending = Ending(UNREADY_SECONDS)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            try:
                ending.code = runner.run(serve(settings, reload, ending))
            finally:
                ending.begin()  # closing the loop waits for every task and thread that a stack has left
    finally:
        ending.over()
    return ending.code


async def serve(settings: Settings, reload: Reload, ending: Ending | None = None) -> int:
    """The same inside a running loop, which is the caller's; with `ending` its end is bounded."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def obey() -> None:
        if ending is not None:
            ending.begin()
        loop.call_soon_threadsafe(stop.set)

    with heard(obey):
        try:
            config = load_web_config(settings.web_config, settings.origin("web_config"))
            async with _engine(settings) as engine:
                service = Service(engine, config, reload)
                loop.add_signal_handler(signal.SIGHUP, service.reload_soon)
                if ending is not None:
                    ending.seconds = engine.patience + PATIENCE + SPARE_SECONDS
                    ending.last_words = service.last_words
                code = await service.run(stop)
                if ending is not None:
                    ending.last_words = None
                return code
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


class Service:
    """An engine and its HTTP side, from ready to drained.

    Args:
        engine: open.
        config: the web config.
        reload: reads the configuration again.
    """

    def __init__(self, engine: Engine, config: WebConfig, reload: Reload) -> None:
        self._engine = engine
        self._read_again = reload
        self.observed = engine.observed
        self._tuner = Tuner(engine)
        self._web = WebServer(self.observed, config, self)
        self._notifier = Notifier(os.environ)
        self._reloading: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set, then drain; the exit code.

        Raises:
            Failed, PrivilegeError, SettingsError: HTTP cannot be served.
        """
        addresses = await self._web.start()
        try:
            async with beside(self._tell_manager(), self._engine.run()) as (_, supervision):
                supervision.add_done_callback(lambda _: stop.set())
                self.observed.phase = "running"
                self._announce(addresses)
                await stop.wait()
                await self._drain(supervision)
        finally:
            await self._web.stop()
        print(self.last_words(), file=sys.stderr, flush=True)
        return 0

    def last_words(self) -> str:
        """The ledger as it stands, in one line."""
        return json.dumps(self.observed.nic.ledger().as_json())

    async def reload(self) -> None:
        """Read configuration and certificates again and apply the live settings; report the others.

        Raises:
            SettingsError: the configuration is bad; nothing has changed.
            DeviceError: the kernel refuses the new length of the TAP's queue; no setting has changed.
        """
        self._notifier.reloading()
        try:
            new = self._read_again()
            self._web.reload_certificates()
            changes = await self._tuner.adopt(new)
            log.info("reloaded", extra=fields(changed=",".join(changes) or "nothing"))
            if needs_restart := ",".join(sorted(changed(self.observed.settings, new) - LIVE)):
                log.warning(
                    "changed settings need a restart and were left as they are", extra=fields(settings=needs_restart)
                )
        finally:
            self._notifier.ready(self._status())

    async def tune(self, changes: Mapping[str, object]) -> Changes:
        """See `Tuner.tune`."""
        return await self._tuner.tune(changes)

    def reload_soon(self) -> None:
        """`reload` for SIGHUP: what is wrong becomes a line in the log."""
        self._reloading = asyncio.create_task(self._reload_and_log())

    async def _reload_and_log(self) -> None:
        try:
            await self.reload()
        except (SettingsError, DeviceError) as error:
            log.error("reload refused", extra=fields(problem=str(error)))

    def _announce(self, addresses: list[tuple[str, int]]) -> None:
        settings, nic = self.observed.settings, self.observed.nic
        scheme = "https" if self._web.uses_tls else "http"
        for host, port in addresses:
            url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
            log.info("serving HTTP", extra=fields(url=url))
        log.info(
            "ready",
            extra=fields(
                device=nic.device.name,
                mac=self.observed.mac,
                stack=settings.stack,
                delivery=settings.delivery,
                lanes=",".join(nic.accounts().lanes),
            ),
        )
        if os.geteuid() == 0:
            log.warning(
                "running as root, which the open device does not need",
                extra=fields(fix="run as the owner of a TAP made beforehand: ip tuntap add NAME mode tap user USER"),
            )
        self._notifier.ready(self._status())

    async def _drain(self, supervision: asyncio.Task[None]) -> None:
        """Not ready; no more frames; what the rings hold is delivered, within the engine's patience."""
        self.observed.phase = "stopping"
        self._notifier.stopping("delivering what the rings hold")
        log.info("stopping", extra=fields(device=self.observed.nic.device.name))
        self._engine.finish()
        patience = self._engine.patience
        done, _ = await asyncio.wait({supervision}, timeout=patience)
        if not done:
            log.warning("the stack did not take what the rings hold", extra=fields(seconds=patience))
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
        return self.observed.not_ready or f"serving {self.observed.nic.device.name}"


def _engine(settings: Settings) -> AbstractAsyncContextManager[Engine]:
    """The engine that `settings` describe.

    Raises:
        SettingsError: there is no such stack.
    """
    make_stack = choose(settings)
    if settings.workers == 1:
        return open_in_process(settings, make_stack)
    from asyncnic.service.workers.group import open_workers

    return open_workers(settings)
