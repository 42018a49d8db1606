"""--drain: told to end, the service says so and serves on until its senders have turned elsewhere."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from asyncnic.service.service import QUIET_SECONDS
from tests.system.service import HOST, Run, Service, asyncnic, imbalance, wait_until

PORT = 7


def echo(number: int, patience: float = 2.0) -> bool:
    """Whether the service's echo answers a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(patience)
        try:
            out.connect((HOST, PORT))
            out.send(b"%d" % number)
            return out.recv(100) == b"%d" % number
        except OSError:
            return False


@contextmanager
def traffic() -> Iterator[None]:
    """A datagram every few milliseconds while the body runs: without an end of its own, a drain would go on."""
    over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not over.wait(0.02):
                with suppress(OSError):
                    out.sendto(b"x", (HOST, PORT))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def draining(service: Service) -> bool:
    return service.ask("/-/ready") == (503, "asyncnic is not ready: draining.\n")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("delivery", ["direct", "queue"])
def test_it_serves_on_and_ends_when_nothing_comes(run: Run, tmp_path: Path, workers: str, delivery: str) -> None:
    told = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(told)
        manager.settimeout(10)
        flags = ("--drain", "60s", "--workers", workers, "--delivery", delivery)
        with run(*flags, env={"NOTIFY_SOCKET": told}) as service:
            assert re.search(r"asyncnic_draining\{.*\} 0\.0", service.ask("/metrics")[1])
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: draining(service), "it says that it is not ready")
            assert re.search(r"asyncnic_draining\{.*\} 1\.0", service.ask("/metrics")[1])
            assert service.stats()["draining"] is True
            while not manager.recv(1000).startswith(b"STOPPING=1\n"):
                pass
            answered, end = 0, time.monotonic() + 2 * QUIET_SECONDS
            while time.monotonic() < end:  # longer than it would wait in quiet
                assert echo(answered), f"number {answered} was lost: {service.log}"
                answered += 1
            assert draining(service)
            assert service.process.wait(30) == 0, service.log
            ledger = json.loads(service.log.splitlines()[-1])
            assert imbalance(ledger) == 0
            assert ledger["delivered"] >= answered
            assert sum(ledger["dropped"].values()) == 0
            assert " drained " in service.log


def test_a_second_sigterm_ends_it(run: Run) -> None:
    with run("--drain", "300s") as service, traffic():
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: draining(service), "it drains")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(15) == 0, service.log
        assert imbalance(json.loads(service.log.splitlines()[-1])) == 0


def test_its_time_ends_it_while_frames_still_come(run: Run) -> None:
    with run("--drain", "2s") as service:
        service.process.send_signal(signal.SIGTERM)
        answered = 0
        while service.process.poll() is None:
            answered += echo(answered, 0.1)
            assert answered < 1_000_000
        assert service.process.returncode == 0, service.log
        assert answered > 0
        assert imbalance(json.loads(service.log.splitlines()[-1])) == 0


def test_a_stack_that_holds_up_the_end(run: Run, tmp_path: Path) -> None:
    text = (
        "async def stuck(nic):\n    import asyncio\n    async for burst in nic:\n        await asyncio.Event().wait()\n"
    )
    (tmp_path / "mine.py").write_text(text)
    with run("--drain", "2s", "--stack", "mine:stuck", cwd=tmp_path) as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0, service.log


def test_without_it_the_end_is_at_once(run: Run) -> None:
    with run() as service:
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(15) == 0
        assert "drain" not in service.log


@pytest.mark.parametrize("time_", ["300.1s", "3600s", "5m", "-1s", "20"])
def test_more_than_five_minutes_is_refused(time_: str) -> None:
    refused = asyncnic("run", "--drain", time_)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"asyncnic: --drain {time_}: must be a time")
    assert refused.stderr.count("\n") == 1


def test_a_reload_while_it_drains_is_refused(run: Run) -> None:
    with run("--drain", "300s", "--enable-lifecycle") as service, traffic():
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: draining(service), "it drains")
        assert service.ask("/-/reload", "POST") == (500, "reload refused: the service is stopping\n")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(15) == 0
