"""The service on a real TAP: signals, readiness, reload, drain, exit codes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from asyncnic.lanes.steering import QUEUE_SLACK
from asyncnic.nic.histogram import SECONDS, Histogram
from asyncnic.service.engine import measure_lag
from asyncnic.service.service import serve
from asyncnic.settings.load import load
from asyncnic.settings.model import Settings
from tests.process import refusal, service
from tests.waiting import until

UNPRIVILEGED = ("unshare", "--user", "--map-user=1000")
"""A user namespace of its own: no capability in the network namespace of the test."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def send(datagrams: int, port: int = 7) -> None:
    """Offer the service so many UDP datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(datagrams):
            out.sendto(b"x" * 18, ("192.0.2.2", port))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@asynccontextmanager
async def serving(tap: str, config: Path | None = None, **flags: str) -> AsyncIterator[tuple[str, asyncio.Task[int]]]:
    """A service in this very loop that is ready: its URL and its task, which SIGTERM ends."""
    listen = f"127.0.0.1:{free_port()}"
    given = {"device": f"tap:{tap}", "listen": listen, "enable_lifecycle": "true", **flags}

    def read_again() -> Settings:
        return load(given, {}, config, again=True)

    task = asyncio.create_task(serve(load(given, {}, config), read_again))
    url = f"{'https' if 'web_config' in flags else 'http'}://{listen}"
    try:
        async with asyncio.timeout(10):
            while (await ask(url + "/-/ready"))[0] != 200:
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield url, task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def ask(url: str, method: str = "GET") -> tuple[int, str]:
    """Status and text; 0 while nobody listens."""
    with contextlib.suppress(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session, session.request(method, url, ssl=False) as response:
            return response.status, await response.text()
    return 0, ""


async def until_delivered(url: str, frames: int) -> dict[str, int]:
    """The stats once the stack has taken so many frames."""
    async with asyncio.timeout(10):
        while True:
            numbers: dict[str, int] = json.loads((await ask(url + "/api/v1/stats"))[1])
            if numbers["delivered"] >= frames:
                return numbers
            await asyncio.sleep(0.02)


def queue_length(tap: str) -> int:
    shown = subprocess.run(["ip", "-j", "link", "show", tap], capture_output=True, text=True, check=True).stdout
    return int(json.loads(shown)[0]["txqlen"])


def ledger_balances(line: str) -> bool:
    found = json.loads(line)
    accounted = found["delivered"] + found["filtered"] + found["in_flight"] + sum(found["dropped"].values())
    return bool(found["offered"] == accounted)


async def test_sigterm_drains_and_leaves_the_ledger(tap_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tap_name) as (url, task):
        await asyncio.to_thread(send, 20)
        await until_delivered(url, 20)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert json.loads(last)["delivered"] >= 20
    assert set(json.loads(last)) == {"offered", "delivered", "filtered", "in_flight", "dropped"}
    assert ledger_balances(last)


async def test_reload_applies_the_knobs_and_refuses_a_bad_file(tap_name: str, tmp_path: Path) -> None:
    config = tmp_path / "asyncnic.toml"
    config.write_text("rx_budget = 32\n")
    async with serving(tap_name, config) as (url, _):
        config.write_text("rx_budget = 16\ntap_queue = 3000\nrx_ring = 32\n")
        assert await ask(url + "/-/reload", "POST") == (200, "reloaded\n")
        settings = json.loads((await ask(url + "/api/v1/stats"))[1])["settings"]
        assert (settings["rx_budget"], settings["tap_queue"], settings["rx_ring"]) == (16, 3000, 256)
        assert queue_length(tap_name) == 3000 + QUEUE_SLACK
        config.write_text("rx_budget = 8\nmtu = 1\n")
        status, text = await ask(url + "/-/reload", "POST")
        assert (status, text) == (500, f"reload refused: mtu in {config}: must be a whole number from 68 to 1500\n")
        settings = json.loads((await ask(url + "/api/v1/stats"))[1])["settings"]
        assert settings["rx_budget"] == 16
        config.write_text("rx_budget = 4\n")
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while settings["rx_budget"] != 4:
                await asyncio.sleep(0.02)
                settings = json.loads((await ask(url + "/api/v1/stats"))[1])["settings"]


async def test_a_stack_of_ones_own_that_raises_is_started_again(
    tap_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "upset.py").write_text(
        "async def stack(nic):\n    async for frame in nic.frames():\n        raise ValueError('upset')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    async with serving(tap_name, stack="upset:stack") as (url, _):
        await asyncio.to_thread(send, 5)
        numbers = await until_delivered(url, 3)
        assert numbers["stack_failures"] >= 3
        assert ledger_balances(json.dumps(numbers))
        assert (await ask(url + "/-/healthy"))[0] == 200


async def test_a_lost_device_is_not_ready_until_it_is_back(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap")
    async with serving(tap_name, stack="sink") as (url, task):
        ip("link", "del", tap_name)
        async with asyncio.timeout(10):
            while (await ask(url + "/-/ready"))[0] != 503:
                await asyncio.sleep(0.02)
        assert f"tap:{tap_name} is lost" in (await ask(url + "/-/ready"))[1]
        assert f'asyncnic_device_up{{device="tap:{tap_name}"}} 0.0' in (await ask(url + "/metrics"))[1]
        ip("tuntap", "add", tap_name, "mode", "tap")
        async with asyncio.timeout(10):
            while (await ask(url + "/-/ready"))[0] != 200:
                await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0


async def test_a_device_that_is_set_down_is_not_ready_until_it_is_up(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap")
    async with serving(tap_name, stack="sink") as (url, task):
        ip("link", "set", tap_name, "down")
        async with asyncio.timeout(10):
            while (await ask(url + "/-/ready"))[0] != 503:
                await asyncio.sleep(0.02)
        assert f"tap:{tap_name}: the interface is down" in (await ask(url + "/-/ready"))[1]
        assert f'asyncnic_device_up{{device="tap:{tap_name}"}} 0.0' in (await ask(url + "/metrics"))[1]
        ip("link", "set", tap_name, "up")
        async with asyncio.timeout(10):
            while (await ask(url + "/-/ready"))[0] != 200:
                await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0


async def test_the_loop_lag_is_what_a_timer_is_late() -> None:
    histogram = Histogram(SECONDS)
    task = asyncio.create_task(measure_lag(histogram))
    await until(lambda: histogram.sum)
    before = histogram.sum
    time.sleep(0.1)  # the loop is held: that is what is measured
    await until(lambda: histogram.sum - before > 0.05)
    task.cancel()


def test_sigint_ends_it_as_well(tap_name: str) -> None:
    with service("--device", f"tap:{tap_name}", "--loop", "asyncio") as running:
        code, lines = running.finish(signal.SIGINT)
    assert code == 0
    assert ledger_balances(lines[-1])


def test_a_tap_of_ones_own_needs_no_capability(tap_name: str) -> None:
    ip("tuntap", "add", tap_name, "mode", "tap", "user", str(os.getuid()))
    ip("address", "add", "192.0.2.1/24", "dev", tap_name)
    ip("link", "set", tap_name, "up")
    with service("--device", f"tap:{tap_name}", prefix=UNPRIVILEGED) as running:
        subprocess.run(["ping", "-c", "1", "-W", "5", "192.0.2.2"], check=True, capture_output=True)
        with urllib.request.urlopen(running.url + "/-/ready", timeout=5) as response:
            assert response.status == 200
        code, lines = running.finish(signal.SIGTERM)
    assert code == 0
    assert ledger_balances(lines[-1])


def test_a_tap_that_may_not_be_made_is_3(tap_name: str) -> None:
    code, line = refusal("--device", f"tap:{tap_name}", prefix=UNPRIVILEGED)
    assert code == 3
    assert line.startswith(f"asyncnic: tap:{tap_name}: making it needs CAP_NET_ADMIN")


def test_an_interface_that_is_no_tap_is_4() -> None:
    code, line = refusal("--device", "tap:lo")
    assert code == 4
    assert line.startswith("asyncnic: tap:lo: ")


def test_a_busy_port_is_1(tap_name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        listen = f"127.0.0.1:{busy.getsockname()[1]}"
        code, line = refusal("--device", f"tap:{tap_name}", "--listen", listen)
    assert code == 1
    assert line == f"asyncnic: --listen {listen}: the port is in use: stop its owner or choose another --listen"


def test_the_manager_is_told(tap_name: str, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(10)
        environ = ("env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=200000")
        with service("--device", f"tap:{tap_name}", prefix=environ) as running:
            assert manager.recv(1000) == f"READY=1\nSTATUS=serving tap:{tap_name}".encode()
            assert manager.recv(1000) == b"WATCHDOG=1"
            running.process.send_signal(signal.SIGTERM)
            while (said := manager.recv(1000)) == b"WATCHDOG=1":
                pass
            assert said.startswith(b"STOPPING=1")


def test_python_m_is_the_same_program() -> None:
    shown = subprocess.run([sys.executable, "-m", "asyncnic", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("asyncnic 0.")
