"""Connections: bounded in number and in time, and whoever asks gets through."""

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncnic.web import listener
from asyncnic.web.security import TlsConfig, WebConfig, access
from tests.waiting import until
from tests.web.fakes import FakeNic, get, observe, serving
from tests.web.test_security import certificate

__all__ = ["certificate"]


@asynccontextmanager
async def silent(url: str, count: int) -> AsyncIterator[None]:
    """So many connections on which nothing is said."""
    host, _, port = url.partition("://")[2].rpartition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(await asyncio.to_thread(socket.create_connection, (host, int(port)), 10))
        yield


async def test_probes_get_through_1100_connections_that_say_nothing() -> None:
    async with serving(observe(FakeNic())) as url, silent(url, 1100):
        for _ in range(3):
            async with asyncio.timeout(10):
                assert (await get(url + "/-/healthy"))[0] == 200


async def test_connections_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(listener, "MOST", 5)
    seen: list[listener.Listener] = []
    monkeypatch.setattr(listener.Listener, "close", _noted(seen))
    path = str(tmp_path / "a.sock")
    async with serving(observe(FakeNic(), control=path)) as url, silent(url, 20):
        async with asyncio.timeout(10):
            assert (await get(url + "/-/healthy"))[0] == 200
        reader, writer = await asyncio.open_unix_connection(path)  # has places of its own
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 OK" in await reader.read()
        writer.close()
    assert all(each.connections <= 5 for each in seen)


def _noted(seen: list[listener.Listener]) -> object:
    close = listener.Listener.close

    async def noted(self: listener.Listener) -> None:
        seen.append(self)
        await close(self)

    return noted


@pytest.mark.parametrize(
    "said", [b"", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_a_connection_that_asks_nothing_more_is_ended(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(listener, "SILENCE", 0.2)
    async with serving(observe(FakeNic())) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()


async def test_who_has_asked_and_is_not_read_yet_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """More ask than there are places, all before the loop gets to the first of them."""
    monkeypatch.setattr(listener, "GRACE", 0.0)
    async with serving(observe(FakeNic())) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        with contextlib.ExitStack() as stack:
            asking = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(400)]
            for one in asking:
                one.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers = await asyncio.to_thread(lambda: [one.recv(100) for one in asking])
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_who_is_ended_before_it_has_begun_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place taken back at once: nothing of it stays open (an unclosed socket is an error here)."""
    monkeypatch.setattr(listener, "MOST", 1)
    monkeypatch.setattr(listener, "GRACE", 0.0)
    async with serving(observe(FakeNic())) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        with contextlib.ExitStack() as stack:
            quiet = [stack.enter_context(socket.create_connection((host, int(port)), 10)) for _ in range(5)]
            for one in quiet[:-1]:  # the last has nobody to give way to
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.to_thread(one.recv, 1) == b""


async def test_a_stream_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MOST", 2)
    monkeypatch.setattr(listener, "SILENCE", 0.2)
    async with serving(observe(FakeNic())) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"event: history")
        async with silent(url, 10):
            async with asyncio.timeout(10):
                assert (await get(url + "/-/healthy"))[0] == 200
                await reader.readuntil(b"event: message")
                await reader.readuntil(b"event: message")
        writer.close()


async def test_silence_in_place_of_tls_is_ended(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE", 0.2)
    config = WebConfig(tls_server_config=TlsConfig(cert_file=Path("cert.pem"), key_file=Path("key.pem")))
    entry = access(config, str(certificate / "web.yml"), "")
    async with serving(observe(FakeNic()), entry) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        async with silent(url, listener.MOST_TLS + 5):
            trust = ssl.create_default_context(cafile=certificate / "cert.pem")
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_connection(host, int(port), ssl=trust)
                writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b" 200 OK" in await reader.read()
                writer.close()


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "a part", "no TLS"])
@pytest.mark.parametrize(("handshake", "places"), [(0.2, 64), (60.0, 1)], ids=["after its time", "for its place"])
async def test_of_who_is_ended_in_the_handshake_nothing_waits_for_the_garbage_collector(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, said: bytes, handshake: float, places: int
) -> None:
    """A crowd of them would fill the memory before it comes: with TLS each has buffers of its own."""
    monkeypatch.setattr(listener, "HANDSHAKE", handshake)
    monkeypatch.setattr(listener, "HELLO", 0.2)
    monkeypatch.setattr(listener, "MOST_TLS", places)
    config = WebConfig(tls_server_config=TlsConfig(cert_file=Path("cert.pem"), key_file=Path("key.pem")))
    async with serving(observe(FakeNic()), access(config, str(certificate / "web.yml"), "")) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        with contextlib.ExitStack() as stack:
            gc.collect()
            gc.disable()
            stack.callback(gc.enable)
            first = stack.enter_context(socket.create_connection((host, int(port)), 10))
            await until(_handshakes)
            (seen,) = {id(each) for each in _handshakes()}
            first.sendall(said)
            await until(lambda: seen not in {id(each) for each in _handshakes()})


def _handshakes() -> list[object]:
    """What either loop keeps of a connection with TLS."""
    return [each for each in gc.get_objects() if type(each).__name__ == "SSLProtocol"]


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/capture"])
async def test_head_of_a_stream_is_refused_and_the_connection_stays_in_step(path: str) -> None:
    async with serving(observe(FakeNic(), enable_lifecycle="true")) as url:
        host, _, port = url.partition("://")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 405 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"asyncnic is healthy.\n")
        writer.close()
