"""The same asyncio programs on the loop's own TCP and on ours, on both loops: they must see the same.

What uvloop's and CPython's own tests ask of transports, servers and streams, as one table of cases.
"""

import asyncio
import errno
import gc
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.inet.tcp.worlds import World, world_of


@pytest.fixture(params=["loop", "inet"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with world_of(request.param) as found:
        yield found
    gc.collect()


class Recorder(asyncio.Protocol):
    """Notes what it is told, in order, data joined."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self.eof = asyncio.Event()
        self.paused = asyncio.Event()
        self.resumed = asyncio.Event()
        self.keep_open = False

    def connection_made(self, transport: Any) -> None:
        self.told.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.told[-1] != "data":
            self.told.append("data")
        assert isinstance(data, bytes)
        assert data
        self.data += data

    def eof_received(self) -> bool:
        self.told.append("eof")
        self.eof.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.paused.set()

    def resume_writing(self) -> None:
        self.resumed.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.told.append("lost")
        self.lost.set_result(exc)

    async def has(self, size: int) -> None:
        while len(self.data) < size:
            assert not self.lost.done()
            await asyncio.sleep(0.001)


async def joined(world: World, make: Callable[[], Any] = Recorder) -> tuple[Any, Any, Any]:
    """A server, its protocol, and a client's protocol connected to it."""
    accepted: list[Any] = []

    def factory() -> Any:
        accepted.append(make())
        return accepted[-1]

    server = await world.create_server(factory, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    _, client = await world.create_connection(Recorder, world.host, port)
    while not accepted or not getattr(accepted[0], "transport", True):
        await asyncio.sleep(0.001)
    return server, accepted[0], client


async def finish(server: Any, *protocols: Any) -> None:
    for protocol in protocols:
        protocol.transport.abort()
    server.close()
    for protocol in protocols:
        await protocol.lost


async def test_streams_echo(world: World) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()
        await writer.wait_closed()

    server = await world.start_server(serve, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await world.open_connection(world.host, port)
    for word in (b"one\n", b"two\n"):
        writer.write(word)
        await writer.drain()
        assert await reader.readline() == word.upper()
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("size", [1, 1448, 100_000, 3_000_000])
async def test_octets_arrive_as_they_were_sent(world: World, size: int) -> None:
    server, accepted, client = await joined(world)
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    client.transport.write(data)
    accepted.transport.write(data[::-1])
    await accepted.has(size)
    await client.has(size)
    assert accepted.data == data
    assert client.data == data[::-1]
    await finish(server, accepted, client)


async def test_close_sends_what_was_written_and_then_the_end(world: World) -> None:
    server, accepted, client = await joined(world)
    client.transport.write(bytes(2_000_000))
    client.transport.close()
    assert client.transport.is_closing()
    client.transport.write(b"too late: ignored")
    assert await client.lost is None
    assert await accepted.lost is None
    assert len(accepted.data) == 2_000_000
    assert accepted.told == ["made", "data", "eof", "lost"]
    assert client.told == ["made", "lost"]
    server.close()
    await server.wait_closed()


async def test_half_closed_goes_on_the_other_way(world: World) -> None:
    server, accepted, client = await joined(world)
    accepted.keep_open = True
    assert client.transport.can_write_eof()
    client.transport.write(b"question")
    client.transport.write_eof()
    client.transport.write_eof()
    with pytest.raises(RuntimeError, match="write_eof"):
        client.transport.write(b"more")
    await accepted.eof.wait()
    assert accepted.data == b"question"
    assert not accepted.transport.is_closing()
    accepted.transport.write(b"answer" * 10_000)
    await client.has(60_000)
    accepted.transport.close()
    assert await client.lost is None
    assert await accepted.lost is None
    server.close()


async def test_abort_resets(world: World) -> None:
    server, accepted, client = await joined(world)
    accepted.transport.write(b"x" * 100)
    await client.has(100)
    if world.name == "loop":  # a socket that is closed with data unread is reset
        linger = client.transport.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.transport.abort()
    assert await client.lost is None
    assert isinstance(await accepted.lost, ConnectionResetError)
    server.close()


async def test_nobody_listens(world: World) -> None:
    with pytest.raises(ConnectionRefusedError) as caught:
        await world.create_connection(Recorder, world.host, 9)
    assert caught.value.errno == errno.ECONNREFUSED


async def test_a_port_is_taken_once(world: World) -> None:
    server = await world.create_server(Recorder, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match=r".") as caught:
        await world.create_server(Recorder, world.host, port)
    assert caught.value.errno == errno.EADDRINUSE
    server.close()
    await server.wait_closed()
    again = await world.create_server(Recorder, world.host, port)
    again.close()


async def test_not_our_address(world: World) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        await world.create_server(Recorder, "198.51.100.9", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"host": None, "port": None}, ValueError),
        ({"host": "127.0.0.1", "port": 1, "server_hostname": "x"}, ValueError),
        ({"host": "127.0.0.1", "port": 1, "ssl_handshake_timeout": 1}, ValueError),
    ],
)
async def test_wrong_arguments(world: World, arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        await world.create_connection(Recorder, **arguments)


async def test_a_server_without_place_and_with_true_for_a_context(world: World) -> None:
    with pytest.raises(ValueError, match="Neither host/port"):
        await world.create_server(Recorder)
    with pytest.raises(TypeError):
        await world.create_server(Recorder, world.host, 0, ssl=True)


async def test_writing_what_are_no_octets(world: World) -> None:
    server, accepted, client = await joined(world)
    for wrong in ("text", 5):
        with pytest.raises(TypeError):
            client.transport.write(wrong)
    client.transport.write(b"")
    client.transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
    mutable = bytearray(b"kept as it was")
    client.transport.write(mutable)
    mutable[:] = b"x" * len(mutable)
    await accepted.has(17)
    assert accepted.data == b"abckept as it was"
    await finish(server, accepted, client)


async def test_paused_reading_delivers_nothing_and_holds_the_sender_up(world: World) -> None:
    server, accepted, client = await joined(world)
    accepted.transport.pause_reading()
    assert not accepted.transport.is_reading()
    size = 20_000_000
    client.transport.write(bytes(size))
    await client.paused.wait()
    await asyncio.sleep(0.05)
    assert not accepted.data
    assert client.transport.get_write_buffer_size() > 0
    accepted.transport.resume_reading()
    assert accepted.transport.is_reading()
    await accepted.has(size)
    await client.resumed.wait()
    assert client.transport.get_write_buffer_size() == 0
    await finish(server, accepted, client)


async def test_the_end_waits_while_reading_is_paused(world: World) -> None:
    server, accepted, client = await joined(world)
    accepted.transport.pause_reading()
    client.transport.write(b"last words")
    client.transport.close()
    await client.lost
    await asyncio.sleep(0.02)
    assert accepted.told == ["made"]
    accepted.transport.resume_reading()
    assert await accepted.lost is None
    assert accepted.told == ["made", "data", "eof", "lost"]
    server.close()


async def test_write_buffer_limits(world: World) -> None:
    server, accepted, client = await joined(world)
    transport = client.transport
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    transport.set_write_buffer_limits(low=100)
    assert transport.get_write_buffer_limits() == (100, 400)
    with pytest.raises(ValueError, match="high"):
        transport.set_write_buffer_limits(high=1, low=2)
    await finish(server, accepted, client)


async def test_names(world: World) -> None:
    server, accepted, client = await joined(world)
    assert client.transport.get_extra_info("peername") == accepted.transport.get_extra_info("sockname")
    assert client.transport.get_extra_info("sockname") == accepted.transport.get_extra_info("peername")
    assert client.transport.get_extra_info("nothing", 5) == 5
    view = client.transport.get_extra_info("socket")
    assert view.getpeername() == client.transport.get_extra_info("peername")
    assert view.family == socket.AF_INET
    assert view.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    view.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    view.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    view.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    assert view.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert client.transport.get_protocol() is client
    await finish(server, accepted, client)


async def test_ipv6(world: World) -> None:
    server = await world.create_server(Recorder, world.host6, 0)
    port = server.sockets[0].getsockname()[1]
    transport, client = await world.create_connection(Recorder, world.host6, port)
    assert transport.get_extra_info("peername")[:2] == (world.host6, port)
    client.transport.abort()
    await client.lost
    server.close()


async def test_a_local_address(world: World) -> None:
    server, accepted, client = await joined(world)
    port = server.sockets[0].getsockname()[1]
    own = client.transport.get_extra_info("sockname")[0]
    transport, other = await world.create_connection(Recorder, world.host, port, local_addr=(own, 0))
    assert transport.get_extra_info("sockname")[0] == own
    other.transport.abort()
    await other.lost
    await finish(server, accepted, client)


class Filled(asyncio.BufferedProtocol):
    """Takes at most 1,000 octets at a time into a buffer of its own."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.eof = False
        self.transport: Any = None
        self.lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray(1000)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self._buffer[:nbytes]
        if len(self.data) % 7 == 0:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    def eof_received(self) -> None:
        self.eof = True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def test_a_buffered_protocol(world: World) -> None:
    server, accepted, client = await joined(world, Filled)
    data = bytes(range(256)) * 1000
    client.transport.write(data)
    client.transport.close()
    assert await accepted.lost is None
    assert accepted.data == data
    assert accepted.eof
    server.close()


async def test_another_protocol_takes_over(world: World) -> None:
    server, accepted, client = await joined(world)
    client.transport.write(b"first")
    await accepted.has(5)
    second = Recorder()
    second.told.append("given")
    accepted.transport.set_protocol(second)
    client.transport.write(b"second")
    await second.has(6)
    assert second.data == b"second"
    client.transport.close()
    assert await second.lost is None
    assert not accepted.lost.done()
    server.close()


class Raises(Recorder):
    """Raises where its name says."""

    where = ""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.where == "connection_made":
            raise ZeroDivisionError

    def data_received(self, data: bytes) -> None:
        if self.where == "data_received":
            raise ZeroDivisionError
        super().data_received(data)


async def test_a_protocol_that_raises_loses_its_connection_and_no_more(world: World) -> None:
    class InData(Raises):
        where = "data_received"

    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context))
    server, accepted, client = await joined(world, InData)
    client.transport.write(b"x")
    await accepted.lost
    await client.lost
    assert any(isinstance(context.get("exception"), ZeroDivisionError) for context in heard)
    port = server.sockets[0].getsockname()[1]
    _, again = await world.create_connection(Recorder, world.host, port)
    again.transport.abort()
    await again.lost
    server.close()


async def test_a_server_serves_until_it_is_closed(world: World) -> None:
    server = await world.create_server(Recorder, world.host, 0, start_serving=False)
    assert not server.is_serving()
    await server.start_serving()
    assert server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    forever = asyncio.create_task(server.serve_forever())
    await asyncio.sleep(0.01)
    forever.cancel()
    with pytest.raises(asyncio.CancelledError):
        await forever
    assert not server.is_serving()
    assert tuple(server.sockets) == ()


@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
async def test_a_server_ends_the_connections_of_its_clients(world: World, how: str) -> None:
    """As asyncio's does from Python 3.13 on: closed to the end of what was written, or reset."""
    if world.name != "inet" and sys.version_info < (3, 13):
        return
    server, accepted, client = await joined(world)
    accepted.transport.write(bytes(50_000))
    server.close()
    getattr(server, how)()
    ended = await client.lost
    if how == "close_clients":
        assert (ended, len(client.data)) == (None, 50_000)
    else:
        assert isinstance(ended, ConnectionResetError)
    await accepted.lost
    await server.wait_closed()


async def test_connecting_can_be_given_up(world: World) -> None:
    dark = "192.0.2.77" if world.name == "inet" else "127.0.0.1"
    connecting = asyncio.create_task(world.create_connection(Recorder, dark, 9))
    await asyncio.sleep(0)
    connecting.cancel()
    with pytest.raises((asyncio.CancelledError, ConnectionRefusedError)):
        await connecting


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("tls")
    key, found = directory / "key.pem", directory / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=host", "-addext", "subjectAltName=DNS:host", "-keyout", str(key), "-out", str(found)]
    subprocess.run([*command, *names], check=True, capture_output=True)
    return key, found


def contexts(certificate: tuple[Path, Path]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate[1], certificate[0])
    return server, ssl.create_default_context(cafile=str(certificate[1]))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_tls_from_the_start(world: World, certificate: tuple[Path, Path]) -> None:
    theirs, ours = contexts(certificate)
    server = await world.start_server(echo, world.host, 0, ssl=theirs)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await world.open_connection(world.host, port, ssl=ours, server_hostname="host")
    assert writer.get_extra_info("cipher")
    data = bytes(range(256)) * 2000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ssl.SSLError):
        await world.open_connection(world.host, port, ssl=True, server_hostname="host")
    server.close()


async def test_tls_later_in_both_roles(world: World, certificate: tuple[Path, Path]) -> None:
    theirs, ours = contexts(certificate)

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.drain()
        await _start_tls(world, writer, theirs, server_side=True)
        await echo(reader, writer)

    server = await world.start_server(upgrade, world.host, 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await world.open_connection(world.host, port)
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"go ahead\n"
    await _start_tls(world, writer, ours, server_side=False)
    writer.write(b"secret")
    assert await reader.readexactly(6) == b"secret"
    writer.close()
    server.close()


async def _start_tls(world: World, writer: asyncio.StreamWriter, context: ssl.SSLContext, server_side: bool) -> None:
    transport: Any = writer.transport
    protocol = transport.get_protocol()
    name = None if server_side else "host"
    secured = await world.start_tls(transport, protocol, context, server_side=server_side, server_hostname=name)
    writer._transport = secured  # type: ignore[attr-defined]  # as StreamWriter.start_tls of Python 3.11 does
    protocol._over_ssl = True


async def test_a_hundred_connections_at_once(world: World) -> None:
    server = await world.start_server(echo, world.host, 0)
    port = server.sockets[0].getsockname()[1]

    async def talk(number: int) -> None:
        reader, writer = await world.open_connection(world.host, port)
        data = number.to_bytes(2, "big") * 10_000
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(talk(number) for number in range(100)))
    server.close()
    await server.wait_closed()
