"""What serves in experiment 1: the same few applications on asyncnic's TCP and on the kernel's. None knows which.

A stream is taken to its end and then closed, or `size` octets are sent and the stream is closed; once as a protocol,
once with readers and writers. The page is aiohttp's.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from asyncnic.bench.stream_peer import Pace

BLOCK = bytes(1 << 18)
_READ = 1 << 18


class Taker(asyncio.Protocol):
    """Takes a stream."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._pace.took(len(data))

    def eof_received(self) -> None:
        self._transport.close()


class Giver(asyncio.Protocol):
    """Sends `size` octets, no faster than they are taken, and closes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._paused = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.resume_writing()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._left and not self._paused:
            block = BLOCK if self._left >= len(BLOCK) else BLOCK[: self._left]
            self._left -= len(block)
            self._transport.write(block)
        if not self._left:
            self._transport.close()


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def taking(pace: Pace) -> Connected:
    """Takes a stream by `StreamReader.read`."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ):
            pace.took(len(data))
        writer.close()

    return connected


def giving(size: int) -> Connected:
    """Sends `size` octets by `StreamWriter.write` and `drain`, and closes."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = size
        while left:
            block = BLOCK if left >= len(BLOCK) else BLOCK[:left]
            left -= len(block)
            writer.write(block)
            await writer.drain()
        writer.close()

    return connected


def page() -> Callable[[], asyncio.BaseProtocol]:
    """aiohttp answering every request with 100 octets."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bytes(100))

    server: Callable[[], asyncio.BaseProtocol] = web.Server(answer)
    return server


def streams(connected: Connected) -> Callable[[], asyncio.BaseProtocol]:
    """A protocol factory for what `start_server` would be given."""

    def make() -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), connected)

    return make
