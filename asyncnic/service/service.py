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
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import uvloop

from asyncnic import logs
from asyncnic.devices import BACKENDS
from asyncnic.errors import DeviceError, SettingsError
from asyncnic.linux.privileges import NET_RAW, bounded_to
from asyncnic.linux.thread import in_thread
from asyncnic.logs import describe, fields
from asyncnic.recorder.recorder import Recorder
from asyncnic.service import sandbox
from asyncnic.service.ending import Ending, heard
from asyncnic.service.engine import Engine, open_in_process
from asyncnic.service.notify import Notifier
from asyncnic.service.supervisor import PATIENCE
from asyncnic.service.tuning import Changes, Tuner
from asyncnic.settings.model import LIVE, Settings, changed
from asyncnic.stacks.choice import choose
from asyncnic.tasks import beside
from asyncnic.web.security import Access, load_access
from asyncnic.web.server import WebServer

UNREADY_SECONDS = 8.0
"""How long the end may take of a service that is not up yet."""
SPARE_SECONDS = 2.0
"""How long the rest of the end may take, when the engine and its stack have had their time."""
LOOK = 0.5
"""Seconds between looks at whether readiness has changed."""
QUIET_SECONDS = 1.0
"""A drain is over when no frame of ours has come for so long."""

log = logging.getLogger(__name__)

FIRST_TURNS = 20
"""Turns of the event loop in which a stack that cannot begin has said so: those of its first steps."""

Reload = Callable[[], Settings]
"""Reads the configuration again, and may block; raises SettingsError when it is bad."""


def run(settings: Settings, reload: Reload) -> int:
    """Run the service on the event loop that `settings` name, until it is told to stop; the exit code.

    Raises:
        SettingsError, DeviceError, Failed: it cannot start.
    """
    logs.configure(settings.log_format, settings.log_level)
    factory = uvloop.new_event_loop if settings.loop == "uvloop" else asyncio.new_event_loop
    ending = Ending(UNREADY_SECONDS)
    sandbox.prepare(settings)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            try:
                ending.code = runner.run(serve(settings, reload, ending))
            finally:
                # The loop's handlers go with the loop, and what comes after that must not kill what has ended well.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
                ending.begin()  # closing the loop waits for every task and thread that a stack has left
    finally:
        ending.over()
    return ending.code


async def serve(settings: Settings, reload: Reload, ending: Ending | None = None) -> int:
    """The same inside a running loop, which is the caller's and keeps the handler of SIGHUP. With `ending` the process
    is ours: its end is bounded, and it goes into its sandbox.
    """
    stop, reload_wanted = EndWish(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def obey() -> None:
        if ending is not None:
            ending.ask()
        loop.call_soon_threadsafe(stop.ask)

    if ending is not None and sys.version_info < (3, 12):
        # Else asyncio waits for each worker in a thread of its own, which no sandbox reaches any more.
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
    loop.add_signal_handler(signal.SIGHUP, reload_wanted.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # one that came at the start is heard now
    with heard(obey):
        access = load_access(settings.web_config, settings.origin("web_config"))
        async with _engine(settings) as engine:
            drained = ending.begin if ending is not None else lambda: None
            service = Service(engine, access, reload, drained, sandboxed=ending is not None)
            if ending is not None:
                ending.seconds = engine.patience + PATIENCE + SPARE_SECONDS
                ending.grace = settings.drain
                ending.last_words = service.last_words
            code = await service.run(stop, reload_wanted)
            if ending is not None:
                ending.last_words = None
            return code


class EndWish:
    """The wish that the service ends. Asked once, it drains before; asked again, or `at_once`, it does not."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self) -> None:
        """A signal came."""
        (self.now if self.asked.is_set() else self.asked).set()

    def at_once(self) -> None:
        """There is nothing left that could serve."""
        self.now.set()
        self.asked.set()


class Service:
    """An engine and its HTTP side, from ready to drained.

    Args:
        engine: open.
        access: what the web config says.
        reload: reads the configuration again.
        drained: called when it stops serving.
        sandboxed: whether the process is ours, to be put into its sandbox.
    """

    def __init__(
        self,
        engine: Engine,
        access: Access,
        reload: Reload,
        drained: Callable[[], None],
        *,
        sandboxed: bool = False,
    ) -> None:
        self._engine = engine
        self._sandboxed = sandboxed
        self._read_again = reload
        self._drained = drained
        self.observed = engine.observed
        self._tuner = Tuner(engine)
        self._recorder = Recorder(engine.observed)
        self._web = WebServer(self.observed, access, self)
        self._notifier = Notifier(os.environ)
        self._one_reload = asyncio.Lock()

    async def run(self, stop: EndWish, reload_wanted: asyncio.Event) -> int:
        """Serve until `stop` is asked, then drain; the exit code. Each time that `reload_wanted` is set, reload.

        Raises:
            Failed, PrivilegeError, SettingsError: HTTP cannot be served.
        """
        addresses = await self._web.start()
        if self._sandboxed:  # ports below 1024 are bound, and keys are read
            self._engine.give_up_privileges(self._files_of_reload())
            sandbox.report(self.observed.sandbox, self.observed.settings)
        self._log_addresses(addresses)
        try:
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGUSR2, self._recorder.ask, "signal", "SIGUSR2 was sent"
            )
            beside_it = self._tell_manager(stop.asked), self._reload_when(reload_wanted), self._recorder.run()
            async with beside(*beside_it, self._engine.run()) as (*_, supervision):
                supervision.add_done_callback(lambda _: stop.at_once())
                await stop.asked.wait()
                await self._drain(stop.now)
                await self._finish(supervision)
        finally:
            await self._web.stop()
        logs.say(self.last_words())
        return 0

    def last_words(self) -> str:
        """The ledger as it stands, in one line, with those of the sinks where there are any."""
        sinks = {name: sink.as_json() for name, sink in self.observed.sinks().items()}
        return json.dumps(self.observed.nic.ledger().as_json() | ({"sinks": sinks} if sinks else {}))

    async def reload(self) -> None:
        """Read configuration, web config and certificates again and apply what can be; report the rest.

        Raises:
            SettingsError: something of it is bad; nothing has changed.
            DeviceError: the kernel refuses one of the knobs; nothing has changed.
        """
        async with self._one_reload:
            if self.observed.draining:
                raise SettingsError("the service is stopping")
            if self.observed.phase == "running":
                self._notifier.reloading()
            try:
                new, access = await in_thread(self._read_all)
                changes = await self._tuner.adopt(new)
                names = [*changes, *self._web.access.differs(access)]
                self._web.use(access)
                log.info("reloaded", extra=fields(changed=",".join(names) or "nothing"))
                if needs_restart := ",".join(sorted(changed(self.observed.settings, new) - LIVE)):
                    log.warning(
                        "changed settings need a restart and were left as they are",
                        extra=fields(settings=needs_restart),
                    )
            finally:
                if self.observed.phase == "running":
                    self._notifier.ready(self._status())

    def _files_of_reload(self) -> list[Path]:
        file = self.observed.settings.file
        return [*([file] if file is not None else []), *self._web.access.files]

    def _read_all(self) -> tuple[Settings, Access]:
        """Everything that a reload reads, before any of it counts."""
        settings = self.observed.settings
        return self._read_again(), load_access(settings.web_config, settings.origin("web_config"), again=True)

    async def tune(self, changes: Mapping[str, object]) -> Changes:
        """See `Tuner.tune`."""
        return await self._tuner.tune(changes)

    async def snapshot(self) -> bytes:
        """See `Recorder.archive`."""
        return await self._recorder.archive()

    async def _reload_when(self, wanted: asyncio.Event) -> None:
        """`reload` for SIGHUP: what is wrong becomes a line in the log. Signals that come meanwhile are one more."""
        while True:
            await wanted.wait()
            wanted.clear()
            try:
                await self.reload()
            except (SettingsError, DeviceError) as error:
                log.error("reload refused", extra=fields(problem=str(error)))
            except Exception as error:
                log.error("reload failed", extra=fields(problem=describe(error)))

    def _log_addresses(self, addresses: list[tuple[str, int]]) -> None:
        scheme = "https" if self._web.uses_tls else "http"
        for host, port in addresses:
            url = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
            log.info("serving HTTP", extra=fields(url=url))

    def _announce(self) -> None:
        settings, nic = self.observed.settings, self.observed.nic
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
        if os.geteuid() == 0 and not bounded_to(NET_RAW):  # a pod's root has no more power than that
            log.warning(
                "running as root, which the open device does not need",
                extra=fields(fix=BACKENDS[nic.device.backend].rootless),
            )
        self._notifier.ready(self._status())

    async def _drain(self, now: asyncio.Event) -> None:
        """Not ready, and serving on: whoever sends us frames is to find out. Until `now` is set, no frame of ours has
        come for QUIET_SECONDS, or the time of --drain is over.
        """
        seconds, running = self.observed.settings.drain, self.observed.phase == "running"
        if not seconds or not running or now.is_set():
            return
        self.observed.phase = "draining"
        self._notifier.stopping("draining: serving until nothing comes")
        log.info("draining", extra=fields(device=self.observed.nic.device.name, seconds=seconds))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), beside(self._quiet(now)):
                await now.wait()
        log.info("drained", extra=fields(device=self.observed.nic.device.name))

    async def _quiet(self, now: asyncio.Event) -> None:
        """Set `now` when no frame of ours has come for QUIET_SECONDS, delivered or dropped."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            await self.observed.refresh(False)
            ledger = self.observed.nic.ledger()
            if (ours := ledger.offered - ledger.filtered) != seen:
                seen, since = ours, time.monotonic()
            await asyncio.sleep(QUIET_SECONDS / 10)
        now.set()

    async def _finish(self, supervision: asyncio.Task[None]) -> None:
        """No more frames; what the rings hold is delivered, within the engine's patience."""
        self._drained()
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

    async def _tell_manager(self, stop: asyncio.Event) -> None:
        """Announce the service when the stack has begun; from then on keep systemd told of readiness. Its watchdog is
        kept quiet for as long as the loop turns.
        """
        for _ in range(FIRST_TURNS):
            await asyncio.sleep(0)
        notifier, interval = self._notifier, LOOK
        if self._notifier.watchdog:
            interval = min(LOOK, self._notifier.watchdog / 2)
        if not stop.is_set():
            self.observed.phase = "running"
        announced, before = False, ""
        while True:
            standing = self.observed.not_ready
            if not announced and not standing:
                self._announce()
                announced = True
            elif standing != before:
                notifier.status(self._status())
                if not announced and not stop.is_set():
                    log.warning("not ready yet", extra=fields(problem=standing))
            before = standing
            await asyncio.sleep(interval)
            notifier.alive()

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
