"""/: the live page, and /api/v1/events, which it listens to.

The page is static files (web/static): nothing is rendered here, nothing is fetched from elsewhere. Events are the very
numbers of /api/v1/stats, once a second, made once for all listeners; when nobody listens, only the ledger is noted, so
that a page opened in the middle of an incident shows the minutes before. There is no other store of history.
"""

import asyncio
import json
import time
from collections import deque
from importlib import resources

from aiohttp import web

from asyncnic.nic.ledger import STAGES
from asyncnic.service.observed import Observed
from asyncnic.web.stats import stats_now

PERIOD = 1.0
"""Seconds between events."""
REMEMBERED = 300
"""How many seconds of the ledger are kept."""
MOST_LISTENERS = 16
"""Pages open at a time; the next one is refused."""

_END = b""
"""The event after the last one."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def add_page_routes(app: web.Application, observed: Observed) -> None:
    """Add the page, its files and its events to `app`, which starts and stops them with itself."""
    page = LivePage(observed)
    app.add_routes(
        [
            web.get("/", page.index),
            web.get("/static/{name}", page.static),
            web.get("/api/v1/events", page.events, allow_head=False),
        ]
    )
    app.on_startup.append(page.start)
    app.on_shutdown.append(page.stop)


class LivePage:
    """The page's files, its memory and its listeners.

    Args:
        observed: what is shown.
    """

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._files = {
            file.name: file.read_bytes() for file in resources.files("asyncnic.web").joinpath("static").iterdir()
        }
        self._history: deque[tuple[float, dict[str, int]]] = deque(maxlen=REMEMBERED)
        self._listeners = 0
        self._next: asyncio.Future[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, app: web.Application) -> None:
        """Begin to take notes."""
        self._next = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._take_notes(self._next))

    async def stop(self, app: web.Application) -> None:
        """End the notes and every listener's stream."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._next is not None:
            self._next.set_result(_END)

    async def index(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: first the history, then the numbers as they are, then again every second.

        A listener that reads slowly misses events; it holds up nobody and nothing is kept for it.
        """
        if self._next is None or self._listeners >= MOST_LISTENERS:
            return web.Response(status=503, text=f"{MOST_LISTENERS} pages are open already: close one\n")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._listeners += 1
        try:
            await response.prepare(request)
            await response.write(_event(list(self._history), "history"))
            await self._observed.refresh(False)
            await response.write(self._now())
            # Shielded: a page that is closed takes its own waiting away, not that of all the others.
            while event := await asyncio.shield(self._next):
                await response.write(event)
        except ConnectionError:
            pass  # The page was closed.
        finally:
            self._listeners -= 1
        return response

    def _file(self, name: str) -> web.Response:
        content_type = _TYPES.get(name[name.rfind(".") :])
        if content_type is None or name not in self._files:
            raise web.HTTPNotFound
        return web.Response(body=self._files[name], content_type=content_type, charset="utf-8", headers=_HEADERS)

    def _now(self) -> bytes:
        return _event(stats_now(self._observed))

    async def _take_notes(self, upcoming: asyncio.Future[bytes]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PERIOD)
            observed = self._observed
            await observed.refresh(False)
            ledger = observed.nic.ledger()
            counts: dict[str, int] = {
                "offered": ledger.offered,
                "delivered": ledger.delivered,
                "filtered": ledger.filtered,
                "transmitted": observed.nic.counters.transmitted_frames,
                **{stage: ledger.dropped_at(stage) for stage in STAGES},
            }
            self._history.append((round(time.monotonic() - observed.started, 3), counts))
            if self._listeners:
                upcoming.set_result(self._now())
                self._next = upcoming = loop.create_future()


def _event(value: object, name: str = "message") -> bytes:
    """One server-sent event with JSON as its data."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
