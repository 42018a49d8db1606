"""An aiohttp site for the tests, served as `tcp:tests.system.tcp_site:site:PORT`: octets out, octets in."""

import asyncio
import hashlib

from aiohttp import web

_BLOCK = bytes(range(256)) * 256


def octets(size: int) -> bytes:
    """What GET /octets/SIZE answers with."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    if request.method in ("PUT", "POST"):
        digest = hashlib.sha256()
        async for data in request.content.iter_any():
            digest.update(data)
        return web.Response(text=digest.hexdigest())
    return web.Response(body=octets(int(request.path.rpartition("/")[2] or 0)))


_servers: list[web.Server] = []


def site() -> asyncio.BaseProtocol:
    """A connection's protocol."""
    if not _servers:
        _servers.append(web.Server(_answer))
    protocol: asyncio.BaseProtocol = _servers[0]()
    return protocol
