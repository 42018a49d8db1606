"""The HTTP side as a trial: octets on a connection of its own to a running server.

Each input is one connection's. The server may refuse it, close it, or wait for more; it may not fail.
"""

import asyncio
from contextlib import AsyncExitStack, suppress

from tests.web.fakes import FakeNic, observe, serving

_PATIENCE = 0.02
"""Seconds that the server may keep silent: then it waits for the rest of the request."""
_PATHS = (
    "/metrics",
    "/-/healthy",
    "/-/ready",
    "/api/v1/stats",
    "/api/v1/settings",
    "/api/v1/knobs",
    "/api/v1/ring",
    "/",
)


class Server:
    """One server for all trials: what breaks it once stays broken, and shows."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.raised: list[object] = []
        self.loop.set_exception_handler(lambda loop, context: self.raised.append(context))
        observed = observe(FakeNic(), enable_lifecycle=True, control="")
        url = self.loop.run_until_complete(self.stack.enter_async_context(serving(observed)))
        self.host, self.port = "127.0.0.1", int(url.rpartition(":")[2])

    async def ask(self, data: bytes) -> bytes:
        """What comes back, as far as it comes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            writer.write(data)
            async with asyncio.timeout(_PATIENCE):
                while piece := await reader.read(65536):
                    answer += piece
                    if len(answer) > 1 << 20:
                        break
        writer.transport.abort()
        return answer


_servers: list[Server] = []


def http(data: bytes) -> None:
    """Octets of a client."""
    if not _servers:
        _servers.append(Server())
    server = _servers[0]
    answer = server.loop.run_until_complete(server.ask(data))
    assert not server.raised, server.raised
    if answer:
        assert answer.startswith(b"HTTP/"), answer[:80]
        assert answer[9:12] < b"500" or answer[9:12] == b"503", answer[:200]


def http_seeds() -> list[bytes]:
    """A request of each kind."""
    host = b"Host: 127.0.0.1\r\n"
    put = b'{"rx_budget": 8}'
    length = b"Content-Length: %d\r\n" % len(put)
    return [
        *(b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), host) for path in _PATHS),
        b"PUT /api/v1/settings HTTP/1.1\r\n" + host + length + b"Content-Type: application/json\r\n\r\n" + put,
        b"POST /-/reload HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n"
        + host
        + b"Accept: application/openmetrics-text;q=0.5\r\nAccept-Encoding: gzip\r\n\r\n",
        b"PUT /api/v1/settings HTTP/1.1\r\n" + host + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n0\r\n\r\n',
    ]
