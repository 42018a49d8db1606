"""The client side of HTTP against the server side, and against things that are not asyncnic."""

import asyncio
import contextlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from asyncnic.cli import main
from asyncnic.client.client import ServiceAddress
from asyncnic.errors import Failed
from asyncnic.service.observed import Unwatchable
from asyncnic.web.capture import MOST_CAPTURES
from asyncnic.web.security import WebConfig
from tests.web.fakes import FakeNic, observe, serving
from tests.web.test_capture import burst_of, packets
from tests.web.test_security import hashed


async def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command that asks a service in this loop."""
    code = await asyncio.to_thread(main, arguments)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


async def test_the_observing_commands_show_what_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        code, text = await shown(capsys, "stats", "--url", url)
        assert code == 0
        assert text.startswith("tap:golden0: <UP,READY>")
        assert '"offered": 1000' in (await shown(capsys, "stats", "--json", "--url", url + "/"))[1]
        assert "CSR0    0x0073" in (await shown(capsys, "regs", "--url", url))[1]
        assert '"name": "CSR0"' in (await shown(capsys, "regs", "--json", "--url", url))[1]
        assert "rx ring: 2 descriptors" in (await shown(capsys, "ring", "--url", url))[1]
        assert '"owner": "card"' in (await shown(capsys, "ring", "--json", "--url", url))[1]


@pytest.mark.parametrize(
    ("flags", "often"), [(["--watch"], "tap:golden0: <UP,READY>"), (["--watch", "--json"], '"uptime_seconds"')]
)
async def test_watching_goes_on_until_it_is_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: list[str], often: str
) -> None:
    naps = iter([None, None])

    def nap(seconds: float) -> None:
        if next(naps, "enough") == "enough":
            raise KeyboardInterrupt

    async with serving(observe(FakeNic())) as url:
        monkeypatch.setattr("asyncnic.commands.stats.time.sleep", nap)
        code, text = await shown(capsys, "stats", "--url", url, *flags)
    assert code == 0
    assert text.count(often) == 3


async def test_a_capture_is_written_to_a_file_or_to_standard_output(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    nic, control = FakeNic(), str(tmp_path / "a.sock")
    async with serving(observe(nic, control=control)):
        for target in (str(tmp_path / "x.pcapng"), "-"):
            nic.watched.clear()
            command = ["capture", "--count", "1", "--control", control, target]
            capturing = asyncio.create_task(asyncio.to_thread(main, command))
            await nic.watched.wait()
            assert nic.watcher is not None
            nic.watcher(burst_of([b"a frame"]))
            assert await capturing == 0
            nic.watched.clear()
    shown = capsysbinary.readouterr()
    assert shown.err == f"1 frames in {tmp_path}/x.pcapng\n".encode()
    for stream in ((tmp_path / "x.pcapng").read_bytes(), shown.out):
        assert packets(stream) == [(b"a frame", 0)]


def unwatchable(watcher: object) -> None:
    raise Unwatchable("elsewhere")


@pytest.mark.parametrize("there", [b"yesterday's", None])
@pytest.mark.parametrize("why", ["nothing listens", "401", "403", "501", "503"])
async def test_a_file_is_left_alone_where_no_capture_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str, there: bytes | None
) -> None:
    file, nic = tmp_path / "x.pcapng", FakeNic()
    if there is not None:
        file.write_bytes(there)
    control = str(tmp_path / "a.sock")
    users = WebConfig(basic_auth_users={"alice": hashed("secret")})
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(observe(nic, control=control), users if why == "401" else None))
        where = ["--url", url] if why in ("401", "403") else ["--control", control]
        if why == "nothing listens":
            where = ["--url", "http://127.0.0.1:1"]
        elif why == "501":
            monkeypatch.setattr(nic, "watch", unwatchable)
        elif why == "503":
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.UnixConnector(control)))
            for _ in range(MOST_CAPTURES):
                stack.callback((await session.get("http://x/api/v1/capture")).close)
        assert await asyncio.to_thread(main, ["capture", "--count", "1", *where, str(file)]) == 1
    assert (file.read_bytes() if file.exists() else None) == there
    assert [name for name in os.listdir(tmp_path) if "pcapng" in name] == ([file.name] if there else [])


def test_a_capture_file_that_cannot_be_written_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["capture", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"asyncnic: {tmp_path}: Is a directory\n"


async def test_the_url_comes_from_the_variable_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(observe(FakeNic())) as url:
        monkeypatch.setenv("ASYNCNIC_URL", url)
        assert (await shown(capsys, "regs"))[0] == 0


async def test_user_and_password_are_taken_from_the_url() -> None:
    async with serving(observe(FakeNic()), WebConfig(basic_auth_users={"al ice": hashed("s:e@c/ret")})) as url:
        netloc = url.removeprefix("http://")
        with pytest.raises(Failed, match="asks for user and password"):
            await asyncio.to_thread(ServiceAddress(url).get_json, "/api/v1/stats")
        wrong = ServiceAddress(f"http://al%20ice:wrong@{netloc}")
        with pytest.raises(Failed, match=f"^--url {url}: ") as caught:
            await asyncio.to_thread(wrong.get_json, "/api/v1/stats")
        assert "wrong" not in str(caught.value)
        right = ServiceAddress(f"http://al%20ice:s%3Ae%40c%2Fret@{netloc}")
        assert (await asyncio.to_thread(right.get_json, "/api/v1/stats"))["offered"] == 1000


async def test_a_refusal_of_the_service_is_passed_on() -> None:
    async with serving(observe(FakeNic())) as url:
        with pytest.raises(Failed, match=f"^--url {url}: 404: Not Found$"):
            await asyncio.to_thread(ServiceAddress(url).get_json, "/nothing")


@contextmanager
def answering(reply: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The URL of a web server that is not asyncnic."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def says_hello(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<h1>hello, this is somebody else's web server</h1>")


def breaks_off(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def test_somebody_elses_server_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    with answering(says_hello) as url:
        for command in (["stats"], ["capture", f"{tmp_path}/x.pcapng"]):
            assert main([*command, "--url", url]) == 1
            assert capsys.readouterr().err == f"asyncnic: --url {url}: what answers there is not asyncnic\n"


def test_a_connection_that_breaks_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(breaks_off) as url:
        assert main(["stats", "--url", url]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9732", "ftp://x", "http://", "http://[::1", "http://me:secret@127.0.0.1:99999", "http://x:y"]
)
def test_a_bad_url_is_one_line(url: str) -> None:
    with pytest.raises(Failed, match=": must be http:// or https:// with a host") as caught:
        ServiceAddress(url).get_json("/api/v1/stats")
    assert "secret" not in str(caught.value)


def test_a_missing_certificate_names_its_flag(tmp_path: object) -> None:
    assert main(["stats", "--url", "https://127.0.0.1:1", "--cacert", f"{tmp_path}/no.pem"]) == 1
