"""A reload is all or nothing, for every file that there is: settings, users, headers, certificates, authorities."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from tests.process import service
from tests.service.test_service import serving
from tests.web.test_security import basic


def pair(folder: Path, name: str) -> None:
    """A self-signed certificate NAME.pem for 127.0.0.1, and NAME.key."""
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


WEB = """
tls_server_config: {{cert_file: cert.pem, key_file: cert.key, client_ca_file: ca.pem, client_auth_type: {clients}}}
basic_auth_users: {{{user}: '{hashed}'}}
http_server_config: {{headers: {{X-Version: '{version}'}}}}
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("old", "new", "ca1", "ca2"):
        pair(folder, name)
    return folder


@pytest.fixture
def files(pairs: Path, tmp_path: Path) -> "Files":
    return Files(shutil.copytree(pairs, tmp_path / "etc"))


class Files:
    """What a service with everything is configured by, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings, self.web = folder / "asyncnic.toml", folder / "web.yml"
        self.write("old", "ca1", "alice", 1)

    def remove(self) -> None:
        """Take away what `write` has written, or what became of it."""
        for path in (self.settings, self.web, *(self.folder / name for name in ("cert.pem", "cert.key", "ca.pem"))):
            path.unlink(missing_ok=True)

    def write(self, certificate: str, authority: str, user: str, version: int) -> None:
        """The whole configuration, of this certificate, client CA, user, and number."""
        for source, target in ((f"{certificate}.pem", "cert.pem"), (f"{certificate}.key", "cert.key")):
            (self.folder / target).write_bytes((self.folder / source).read_bytes())
        (self.folder / "ca.pem").write_bytes((self.folder / f"{authority}.pem").read_bytes())
        hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
        text = WEB.format(clients="VerifyClientCertIfGiven", user=user, hashed=hashed, version=version)
        self.web.write_text(text)
        self.settings.write_text(f"rx_budget = {version}\n")


async def standing(files: Files, url: str) -> tuple[str, str, list[str], str, int]:
    """Certificate served, header, who is let in, client CA accepted, budget."""
    trust = ssl.create_default_context(
        cadata=(files.folder / "old.pem").read_text() + (files.folder / "new.pem").read_text()
    )
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    subject = writer.get_extra_info("peercert")["subject"][0][0][1]
    writer.close()
    known, version, budget = [], "", 0
    async with aiohttp.ClientSession() as session:
        for user in ("alice", "bob"):
            headers = {"Authorization": basic(user, "secret")}
            async with session.get(url + "/api/v1/settings", ssl=trust, headers=headers) as response:
                version = response.headers["X-Version"]
                if response.status == 200:
                    known.append(user)
                    budget = (await response.json())["rx_budget"]
    accepted = []
    for authority in ("ca1", "ca2"):
        trust.load_cert_chain(files.folder / f"{authority}.pem", files.folder / f"{authority}.key")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            writer.write(b"GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            if b" 200 " in await reader.read():
                accepted.append(authority)
            writer.close()
        except (ssl.SSLError, ConnectionError):
            pass
    return subject, version, known, ",".join(accepted), budget


OLD, NEW = ("old", "1", ["alice"], "ca1", 1), ("new", "2", ["bob"], "ca2", 2)


def no(name: str) -> Callable[[Files], None]:
    return lambda files: (files.folder / name).unlink()


def text(name: str, content: str) -> Callable[[Files], None]:
    def write(files: Files) -> None:
        (files.folder / name).write_text(content)

    return write


def fifo(name: str) -> Callable[[Files], None]:
    def make(files: Files) -> None:
        (files.folder / name).unlink()
        os.mkfifo(files.folder / name)

    return make


def mismatched(files: Files) -> None:
    (files.folder / "cert.key").write_bytes((files.folder / "old.key").read_bytes())


def encrypted(files: Files) -> None:
    command = ["openssl", "ec", "-in", "new.key", "-aes128", "-passout", "pass:x", "-out", "cert.key"]
    subprocess.run(command, cwd=files.folder, check=True, capture_output=True)


BROKEN = {
    "settings wrong": text("asyncnic.toml", "rx_budget = 0\n"),
    "settings gone": no("asyncnic.toml"),
    "settings a pipe": fifo("asyncnic.toml"),
    "settings too deep": text("asyncnic.toml", "lane = " + "[" * 9999),
    "web config wrong": text("web.yml", "nonsense: 1\n"),
    "web config gone": no("web.yml"),
    "web config a pipe": fifo("web.yml"),
    "web config too deep": text("web.yml", "[" * 9999),
    "old key": mismatched,
    "key gone": no("cert.key"),
    "key a pipe": fifo("cert.key"),
    "key encrypted": encrypted,
    "certificate garbage": text("cert.pem", "x"),
    "authority garbage": text("ca.pem", "x"),
    "authority gone": no("ca.pem"),
    "authority a pipe": fifo("ca.pem"),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN)
async def test_a_refused_reload_changes_nothing_and_a_good_one_everything(
    tap_name: str, files: Files, caplog: pytest.LogCaptureFixture, spoil: Callable[[Files], None]
) -> None:
    caplog.set_level("INFO")
    async with serving(tap_name, files.settings, web_config=str(files.web)) as (url, _):
        assert await standing(files, url) == OLD
        files.write("new", "ca2", "bob", 2)
        spoil(files)
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(60):
            while "reload refused" not in caplog.text:
                await asyncio.sleep(0.01)
        assert await standing(files, url) == OLD
        files.remove()
        files.write("new", "ca2", "bob", 2)
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while "reloaded" not in caplog.messages:
                await asyncio.sleep(0.01)
        assert await standing(files, url) == NEW


async def test_what_a_reload_changed_is_named(tap_name: str, files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(tap_name, files.settings, web_config=str(files.web)) as (_, _task):
        files.write("new", "ca2", "bob", 2)
        files.settings.write_text("rx_budget = 2\nlisten = '127.0.0.1:1'\nrx_ring = 32\n")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while "reloaded" not in caplog.messages:
                await asyncio.sleep(0.01)
    said = {record.message: record.__dict__["fields"] for record in caplog.records if "fields" in record.__dict__}
    assert said["reloaded"] == {"changed": "rx_budget,basic_auth_users,http_server_config"}
    assert said["changed settings need a restart and were left as they are"] == {"settings": "rx_ring"}


def test_hangups_from_the_start_to_the_end_never_end_it(tap_name: str, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("")
    with service("--device", f"tap:{tap_name}", "--config", str(config)) as running:
        end = time.monotonic() + 20
        running.process.send_signal(signal.SIGTERM)
        while running.process.poll() is None and time.monotonic() < end:
            running.process.send_signal(signal.SIGHUP)
        assert running.process.wait(1) == 0


@pytest.mark.parametrize("program", [[sys.executable, "-m", "asyncnic"], [f"{Path(sys.executable).parent}/asyncnic"]])
def test_a_hangup_at_the_start_is_a_reload_when_it_is_up(tap_name: str, tmp_path: Path, program: list[str]) -> None:
    config = tmp_path / "asyncnic.toml"
    os.mkfifo(config)
    flags = ["--device", f"tap:{tap_name}", "--config", str(config), "--listen", "127.0.0.1:0"]
    with subprocess.Popen([*program, "run", *flags], stderr=subprocess.PIPE, text=True) as process:
        try:
            with config.open("w") as file:  # it has come to its configuration now, and nothing else is there yet
                process.send_signal(signal.SIGHUP)
                file.write("rx_budget = 32\n")
            assert process.stderr is not None
            said = next((line for line in process.stderr if "reload" in line), "")
            assert "reload refused" in said  # a pipe is read once
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
            assert process.wait(20) == 0
        finally:
            process.kill()
