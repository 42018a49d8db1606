"""HTTP: routes and what answers them. In the same event loop as the packets, so no handler may dwell.

What is said is made elsewhere (collector, stats, decode, capture, page), who may ask for it is the guard's to say, and
who is connected the listener's; whether the service is ready, and what a reload or a change does, is the service's.
"""

import errno
import gzip
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from asyncnic.errors import DeviceError, DeviceLost, Failed, PrivilegeError, SettingsError
from asyncnic.linux.thread import in_thread
from asyncnic.logs import fields
from asyncnic.service import control
from asyncnic.service.observed import Observed, Unwatchable
from asyncnic.settings.model import Settings
from asyncnic.settings.values import split_listen
from asyncnic.web import decode, guard, openapi
from asyncnic.web.capture import Captures
from asyncnic.web.collector import NicCollector
from asyncnic.web.exposition import render
from asyncnic.web.listener import Listener, bound_sockets, busy
from asyncnic.web.page import add_page_routes
from asyncnic.web.security import Access
from asyncnic.web.shared import Shared
from asyncnic.web.stats import knobs, stats_now

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LARGEST_REQUEST = 65536


class Lifecycle(Protocol):
    """What HTTP may ask the service to do."""

    async def reload(self) -> None:
        """Apply the configuration as it stands now; raises SettingsError or DeviceError when it cannot."""

    async def tune(self, changes: Mapping[str, object]) -> Mapping[str, Any]:
        """Change live settings, all or none; what has changed. Raises SettingsError or DeviceError."""

    async def snapshot(self) -> bytes:
        """What the flight recorder has, as a tar archive."""


class WebServer:
    """The service's HTTP side.

    Args:
        observed: what is shown.
        access: what the web config says of who may come in; `use` replaces it.
        lifecycle: the service.
    """

    def __init__(self, observed: Observed, access: Access, lifecycle: Lifecycle) -> None:
        self._observed = observed
        self._access = access
        self._lifecycle = lifecycle
        self._control: control.ControlSocket | None = None
        self._listeners: list[Listener] = []
        self._captures = Captures(observed.nic)
        self._shared: Shared[tuple[bytes, str]] = Shared()
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        app = web.Application(client_max_size=LARGEST_REQUEST, middlewares=[self._admit])
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/-/healthy", self._healthy),
                web.get("/-/ready", self._ready),
                web.post("/-/reload", self._reload_now),
                web.put("/-/reload", self._reload_now),
                web.get("/api/v1/stats", self._stats),
                web.get("/api/v1/settings", self._settings),
                web.put("/api/v1/settings", self._tune),
                web.get("/api/v1/knobs", self._knobs),
                web.get("/api/v1/openapi.json", self._openapi),
                web.get("/api/v1/ring", self._ring),
                web.get("/api/v1/regs", self._registers),
                web.get("/api/v1/sockets", self._sockets),
                web.get("/api/v1/sources", self._sources),
                web.get("/api/v1/exporters", self._exporters),
                web.get("/api/v1/snapshot", self._snapshot, allow_head=False),
                web.get("/api/v1/capture", self._capture, allow_head=False),
            ]
        )
        add_page_routes(app, observed)
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def uses_tls(self) -> bool:
        """Whether HTTP is HTTPS."""
        return self._access.tls is not None

    @property
    def access(self) -> Access:
        """What the web config in use says."""
        return self._access

    def use(self, access: Access) -> None:
        """Go by `access` from the next connection and the next request on. This cannot fail."""
        self._access = access

    async def start(self) -> list[tuple[str, int]]:
        """Listen; the addresses and ports that came of --listen.

        Raises:
            Failed: the port is busy, or the address is not this machine's; --control cannot be there.
            PrivilegeError: the port is one of the system's.
        """
        settings = self._observed.settings
        try:
            sockets = await in_thread(bound_sockets, *split_listen(settings.listen))
        except OSError as error:
            raise _listen_error(error, settings) from None
        await self._runner.setup()
        listener = self._listener(Listener(self._server, lambda: self._access.tls))
        for bound in sockets:
            listener.accept_on(bound)
        try:
            self._start_control(settings)
        except OSError as error:
            if settings.control != control.AUTO:
                await self.stop()
                raise Failed(f"{settings.origin('control')}: {error.strerror or error}: choose another path") from None
            log.warning("no control socket", extra=fields(problem=str(error), fix="choose a path: --control"))
        return [(str(host), int(port)) for host, port, *_ in (bound.getsockname() for bound in sockets)]

    @property
    def _server(self) -> web.Server:
        server = self._runner.server
        assert server is not None, "set up"
        return server

    def _listener(self, listener: Listener) -> Listener:
        self._listeners.append(listener)
        return listener

    def _start_control(self, settings: Settings) -> None:
        path = control.place(settings.control, settings.device, os.environ, os.geteuid())
        if path is not None:
            self._control = control.ControlSocket(path)
            # Places of its own: whatever holds those of --listen, its owner gets in.
            self._listener(Listener(self._server)).accept_on(self._control.socket)
            log.info("serving the control socket", extra=fields(path=str(path)))

    async def stop(self) -> None:
        """End captures, finish what is being answered, stop listening."""
        self._captures.close()
        for listener in self._listeners:
            await listener.close()
        await self._runner.cleanup()
        if self._control is not None:
            self._control.remove()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in whom the guard lets in; meanwhile the connection keeps its place."""
        with busy(request):
            answer = await guard.refused(request, self._access)
            return await handler(request) if answer is None else answer

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers of the web config to every response, streams and errors included."""
        response.headers.update(self._access.config.http_server_config.headers)

    async def _metrics(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        zipped = _takes_gzip(request.headers.get("Accept-Encoding", ""))
        key = choose_encoder(accept)[1], zipped
        body, content_type = await self._shared.get(key, lambda: self._render(accept, zipped))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        return web.Response(body=body, headers=headers | ({"Content-Encoding": "gzip"} if zipped else {}))

    async def _render(self, accept: str, zipped: bool) -> tuple[bytes, str]:
        await self._observed.refresh(False)
        families: list[Metric] = [*NicCollector(self._observed).collect(), *self._process.collect()]
        body, content_type = await render(families, accept)
        return gzip.compress(body, 1, mtime=0) if zipped else body, content_type

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response(text="asyncnic is healthy.\n")

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._observed.not_ready
        if reason:
            return _text(503, f"asyncnic is not ready: {reason}.")
        return web.Response(text="asyncnic is ready.\n")

    async def _reload_now(self, request: web.Request) -> web.Response:
        if why := guard.may_change(request, self._observed.settings, self._access):
            return _text(403, f"reload {why}")
        try:
            await self._lifecycle.reload()
        except (SettingsError, DeviceError) as error:
            return _text(500, f"reload refused: {error}")
        return _text(200, "reloaded")

    async def _settings(self, request: web.Request) -> web.Response:
        return _json(self._observed.nic.knobs.as_text())

    async def _openapi(self, request: web.Request) -> web.Response:
        return _json(openapi.description())

    async def _knobs(self, request: web.Request) -> web.Response:
        return _json(knobs(self._observed))

    async def _tune(self, request: web.Request) -> web.Response:
        if why := guard.may_change(request, self._observed.settings, self._access):
            return _text(403, f"tuning {why}")
        try:
            changes = json.loads(await request.read())
        except (ValueError, RecursionError):
            changes = None
        if not isinstance(changes, dict):
            return _text(400, 'the body must be a JSON object, like {"rx_budget": 32}')
        try:
            return _json(await self._lifecycle.tune(changes))
        except SettingsError as error:
            return _text(400, str(error))
        except DeviceError as error:
            return _text(500, str(error))

    async def _stats(self, request: web.Request) -> web.Response:
        body, content_type = await self._shared.get("stats", self._make_stats)
        return web.Response(body=body, content_type=content_type, headers={"Cache-Control": "no-store"})

    async def _make_stats(self) -> tuple[bytes, str]:
        await self._observed.refresh(False)
        return json.dumps(stats_now(self._observed)).encode(), "application/json"

    async def _capture(self, request: web.Request) -> web.StreamResponse:
        if why := guard.may_capture(request, self._observed.settings, self._access):
            return _text(403, f"capture {why}")
        return await self._captures.handle(request)

    async def _snapshot(self, request: web.Request) -> web.Response:
        if why := guard.may_capture(request, self._observed.settings, self._access):
            return _text(403, f"a snapshot {why}")
        body = await self._lifecycle.snapshot()
        return web.Response(body=body, content_type="application/x-tar", headers={"Cache-Control": "no-store"})

    async def _ring(self, request: web.Request) -> web.Response:
        await self._observed.refresh(True)
        return _json(decode.ring(self._observed.nic.ring_words()))

    async def _sockets(self, request: web.Request) -> web.Response:
        await self._observed.refresh(True)
        return _json(asdict(self._observed.sockets()))

    async def _sources(self, request: web.Request) -> web.Response:
        return _watched(self._observed.sources)

    async def _exporters(self, request: web.Request) -> web.Response:
        return _watched(self._observed.exporters)

    async def _registers(self, request: web.Request) -> web.Response:
        await self._observed.refresh(True)
        try:
            values = self._observed.nic.registers()
        except DeviceLost as error:
            return _text(503, str(error))
        return _json(decode.registers(values))


def _text(status: int, line: str) -> web.Response:
    """An answer of one line, which may quote anything that was sent, half a surrogate pair too."""
    return web.Response(status=status, body=f"{line}\n".encode("utf-8", "backslashreplace"), content_type="text/plain")


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header has gzip, and not as what is not acceptable (RFC 9110 12.5.3)."""
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return weight.replace(" ", "").removeprefix("q=") not in ("0", "0.0", "0.00", "0.000")
    return False


def _watched(look: Callable[[], object]) -> web.Response:
    """What `look` gives; 404 with its reason where nobody looks."""
    try:
        return _json(look())
    except Unwatchable as error:
        return _text(404, str(error))


def _json(value: object) -> web.Response:
    return web.json_response(value, headers={"Cache-Control": "no-store"}, dumps=json.dumps)


def _listen_error(error: OSError, settings: Settings) -> Exception:
    origin = settings.origin("listen")
    if error.errno == errno.EADDRINUSE:
        return Failed(f"{origin}: the port is in use: stop its owner or choose another --listen")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PrivilegeError(f"{origin}: ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one")
    return Failed(f"{origin}: {error.strerror or error}: choose another --listen")
