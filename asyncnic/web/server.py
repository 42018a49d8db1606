"""HTTP: routes, who may come in, and the sockets. In the same event loop as the packets, so no handler may dwell.

What is said is made elsewhere (collector, stats, decode, capture, page); whether the service is ready, and what a
reload or a change does, is the service's to tell. On the control socket everybody who can connect may change things.
"""

import errno
import json
import logging
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from asyncnic.errors import DeviceError, DeviceLost, Failed, PrivilegeError, SettingsError
from asyncnic.logs import fields
from asyncnic.service import control
from asyncnic.service.observed import Observed
from asyncnic.settings.model import Settings
from asyncnic.settings.values import split_listen
from asyncnic.web import decode
from asyncnic.web.capture import Captures
from asyncnic.web.collector import NicCollector
from asyncnic.web.exposition import render
from asyncnic.web.page import add_page_routes
from asyncnic.web.security import BasicAuth, WebConfig, load_certificates, tls_context
from asyncnic.web.stats import knobs, stats

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LARGEST_REQUEST = 65536


class Lifecycle(Protocol):
    """What HTTP may ask the service to do."""

    async def reload(self) -> None:
        """Apply the configuration as it stands now; raises SettingsError or DeviceError when it cannot."""

    async def tune(self, changes: Mapping[str, object]) -> Mapping[str, Any]:
        """Change live settings, all or none; what has changed. Raises SettingsError or DeviceError."""


class WebServer:
    """The service's HTTP side.

    Args:
        observed: what is shown.
        config: the loaded web config.
        lifecycle: the service.
    """

    def __init__(self, observed: Observed, config: WebConfig, lifecycle: Lifecycle) -> None:
        self._observed = observed
        self._config = config
        self._lifecycle = lifecycle
        self._control: control.ControlSocket | None = None
        self._captures = Captures(observed.nic)
        self._auth = BasicAuth(config.basic_auth_users)
        self._tls: ssl.SSLContext | None = None
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
                web.get("/api/v1/ring", self._ring),
                web.get("/api/v1/regs", self._registers),
                web.get("/api/v1/capture", self._captures.handle),
            ]
        )
        add_page_routes(app, observed)
        app.on_response_prepare.append(self._add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def uses_tls(self) -> bool:
        """Whether HTTP is HTTPS."""
        return self._config.tls_server_config is not None

    async def start(self) -> list[tuple[str, int]]:
        """Listen; the addresses and ports that came of --listen.

        Raises:
            Failed: the port is busy, or the address is not this machine's; --control cannot be there.
            PrivilegeError: the port is one of the system's.
            SettingsError: the certificates of the web config cannot be used.
        """
        settings = self._observed.settings
        tls = self._config.tls_server_config
        if tls is not None:
            self._tls = tls_context(tls, settings.web_config, settings.origin("web_config"))
        host, port = split_listen(settings.listen)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _listen_error(error, settings) from None
        addresses = [(str(address[0]), int(address[1])) for address in self._runner.addresses]
        try:
            await self._start_control(settings)
        except OSError as error:
            if settings.control != control.AUTO:
                await self._runner.cleanup()
                raise Failed(f"{settings.origin('control')}: {error.strerror or error}: choose another path") from None
            log.warning("no control socket", extra=fields(problem=str(error), fix="choose a path: --control"))
        return addresses

    async def _start_control(self, settings: Settings) -> None:
        path = control.place(settings.control, settings.device, os.environ, os.geteuid())
        if path is not None:
            self._control = control.ControlSocket(path)
            await web.SockSite(self._runner, self._control.socket).start()
            log.info("serving the control socket", extra=fields(path=str(path)))

    async def stop(self) -> None:
        """End captures, finish what is being answered, stop listening."""
        self._captures.close()
        await self._runner.cleanup()
        if self._control is not None:
            self._control.remove()

    def reload_certificates(self) -> None:
        """Read certificates and keys again.

        Raises:
            SettingsError: they cannot be used; those in use stay.
        """
        settings, tls = self._observed.settings, self._config.tls_server_config
        if self._tls is not None and tls is not None:
            load_certificates(self._tls, tls, settings.web_config, settings.origin("web_config"))

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in whom the web config lets in, and everybody at the control socket: its mode has decided already."""
        if not _at_control(request) and not await self._auth.allows(request.headers.get("Authorization")):
            challenge = {"WWW-Authenticate": 'Basic realm="asyncnic"'}
            return web.Response(status=401, text="user and password needed\n", headers=challenge)
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add the headers of the web config to every response, streams and errors included."""
        response.headers.update(self._config.http_server_config.headers)

    async def _metrics(self, request: web.Request) -> web.Response:
        await self._observed.refresh(False)
        families: list[Metric] = [*NicCollector(self._observed).collect(), *self._process.collect()]
        body, content_type = await render(families, request.headers.get("Accept", ""))
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response(text="asyncnic is healthy.\n")

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._observed.not_ready
        if reason:
            return web.Response(status=503, text=f"asyncnic is not ready: {reason}.\n")
        return web.Response(text="asyncnic is ready.\n")

    async def _reload_now(self, request: web.Request) -> web.Response:
        if not self._may_change(request):
            return web.Response(status=403, text="reload over HTTP is off: start with --enable-lifecycle\n")
        try:
            await self._lifecycle.reload()
        except (SettingsError, DeviceError) as error:
            return web.Response(status=500, text=f"reload refused: {error}\n")
        return web.Response(text="reloaded\n")

    async def _settings(self, request: web.Request) -> web.Response:
        return _json(self._observed.nic.knobs.as_text())

    async def _knobs(self, request: web.Request) -> web.Response:
        return _json(knobs(self._observed))

    async def _tune(self, request: web.Request) -> web.Response:
        if not self._may_change(request):
            text = "tuning over HTTP is off: start with --enable-lifecycle, or use the control socket\n"
            return web.Response(status=403, text=text)
        try:
            changes = json.loads(await request.read())
        except (ValueError, RecursionError):
            changes = None
        if not isinstance(changes, dict):
            return web.Response(status=400, text='the body must be a JSON object, like {"rx_budget": 32}\n')
        try:
            return _json(await self._lifecycle.tune(changes))
        except SettingsError as error:
            return web.Response(status=400, text=f"{error}\n")
        except DeviceError as error:
            return web.Response(status=500, text=f"{error}\n")

    def _may_change(self, request: web.Request) -> bool:
        return self._observed.settings.enable_lifecycle or _at_control(request)

    async def _stats(self, request: web.Request) -> web.Response:
        await self._observed.refresh(False)
        return _json(stats(self._observed, time.monotonic()))

    async def _ring(self, request: web.Request) -> web.Response:
        await self._observed.refresh(True)
        return _json(decode.ring(self._observed.nic.ring_words()))

    async def _registers(self, request: web.Request) -> web.Response:
        await self._observed.refresh(True)
        try:
            values = self._observed.nic.registers()
        except DeviceLost as error:
            return web.Response(status=503, text=f"{error}\n")
        return _json(decode.registers(values))


def _at_control(request: web.Request) -> bool:
    """Whether the request came in by the control socket."""
    connection = request.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


def _json(value: object) -> web.Response:
    return web.json_response(value, headers={"Cache-Control": "no-store"}, dumps=json.dumps)


def _listen_error(error: OSError, settings: Settings) -> Exception:
    origin = settings.origin("listen")
    if error.errno == errno.EADDRINUSE:
        return Failed(f"{origin}: the port is in use: stop its owner or choose another --listen")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PrivilegeError(f"{origin}: ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one")
    return Failed(f"{origin}: {error.strerror or error}: choose another --listen")
