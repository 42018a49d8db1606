"""The service `http`: a small page, by aiohttp on the inet stack's TCP, that shows where every frame went.

It is there to be looked at from the wire's side; whoever operates the service has /metrics and the live page.
"""

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web

Numbers = Mapping[str, object]
_HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>asyncnic</title><h1>Where every frame went</h1>'


class LedgerPage:
    """Makes aiohttp's protocols. `numbers` is set once there is something to show.

    `GET /` answers with a page, `GET /ledger` with the same as JSON, anything else with 404.
    """

    def __init__(self) -> None:
        self.numbers: Callable[[], Numbers] = dict
        self._server: web.Server | None = None

    def __call__(self) -> asyncio.BaseProtocol:
        """One connection's protocol."""
        if self._server is None:
            self._server = web.Server(self._answer)
        protocol: asyncio.BaseProtocol = self._server()
        return protocol

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        if request.path == "/ledger":
            return web.json_response(self.numbers())
        if request.path != "/":
            return web.Response(status=404, text="not found\n")
        rows = "".join(f"<tr><td>{name}<td>{value}" for name, value in self.numbers().items())
        return web.Response(text=f"{_HEAD}<table>{rows}</table>\n", content_type="text/html")
