"""The project as its users have it: `asyncnic` as a child process, and the law that must hold whatever is done to it.

The child inherits the test run's network namespace. Everything that waits is bounded by PATIENCE and polls; nothing
here knows how the service works inside.
"""

import base64
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.trust import account

ASYNCNIC = str(Path(sys.executable).parent / "asyncnic")
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine; what takes longer fails the test."""

MAC = "02:00:00:00:00:0a"
HOST, HOST6 = "192.0.2.2", "2001:db8::2"
"""The service's addresses."""
PEER, PEER6 = "192.0.2.1", "2001:db8::1"
"""The kernel's, on the other side of the TAP."""

T = TypeVar("T")


def program(*command: str, input: str | None = None, codes: Sequence[int] = (0,)) -> str:  # noqa: A002
    """Run somebody else's program to its end; its standard output. It fails the test with a code not in `codes`."""
    result = subprocess.run(command, input=input, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert result.returncode in codes, f"{command}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def wait_until(look: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Call `look` until it returns something true, which is returned.

    Raises:
        AssertionError: it never did.
    """
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.05)
    return found


def asyncnic(
    *arguments: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of asyncnic that ends by itself; `prefix` is a command that runs the command."""
    return subprocess.run(
        [*prefix, ASYNCNIC, *arguments],
        env=environment(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without settings of asyncnic, and `more`."""
    keep = "ASYNCNIC_HOT_PATH"  # no setting: which of the packet paths is under test
    plain = {name: value for name, value in os.environ.items() if name == keep or not name.startswith("ASYNCNIC_")}
    return plain | {"COLUMNS": "200"} | dict(more or {})


def wire_counters(tap: str) -> tuple[int, int]:
    """What the kernel says of a TAP: frames that its reader has read, and frames that its full queue dropped."""
    (link,) = json.loads(program("ip", "-s", "-j", "link", "show", "dev", tap))
    sent = link["stats64"]["tx"]
    return sent["packets"], sent["dropped"]


def ledger_of(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the statistics that is the ledger."""
    return {name: stats[name] for name in ("offered", "delivered", "filtered", "in_flight", "dropped")}


def imbalance(ledger: Mapping[str, Any]) -> int:
    """Frames that a ledger in its JSON form does not account for."""
    accounted = ledger["delivered"] + ledger["filtered"] + ledger["in_flight"] + sum(ledger["dropped"].values())
    unaccounted = int(ledger["offered"]) - int(accounted)
    account("the service", lambda: unaccounted)  # of several readings the last one counts
    return unaccounted


class Service:
    """A running `asyncnic run`. Made by `running`.

    Attributes:
        tap: the TAP it is on.
        process: the child.
        earlier: frames that the service was offered on TAPs of this name which are gone.
    """

    def __init__(self, tap: str, log: Path, command: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> None:
        self.tap = tap
        self.earlier = 0
        self._log = log
        present = subprocess.run(["ip", "link", "show", "dev", tap], capture_output=True, check=False).returncode == 0
        self._zero = sum(wire_counters(tap)) if present else 0
        self.url = ""
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._headers: dict[str, str] = {}
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr, env=environment(env), cwd=cwd)

    @property
    def control(self) -> str:
        """The path of its control socket."""
        return f"{os.environ['RUNTIME_DIRECTORY']}/{self.tap}.sock"

    @property
    def log(self) -> str:
        """Everything that the service has said so far."""
        return self._log.read_text()

    def wait_until_ready(self, serving: bool = True) -> None:
        """Wait until it serves, or, without `serving`, until it has said why it does not.

        Raises:
            AssertionError: it ended, or never did.
        """
        found = wait_until(self._address, "ready")
        self.url = found.rstrip("/")
        wait_until(lambda: re.search(r"\bready device=" if serving else r"\bnot ready yet", self.log), "ready, or not")

    def _address(self) -> str:
        assert self.process.poll() is None, f"exit code {self.process.returncode}: {self.log}"
        match = re.search(r"serving HTTP url=(\S+)", self.log)
        return match[1] if match else ""

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """One request: HTTP status and body."""
        request = urllib.request.Request(self.url + path, headers=self._headers, method=method)
        try:
            with self._opener.open(request, timeout=PATIENCE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def authenticate(self, user: str, password: str, certificate: Path) -> None:
        """Ask as `user` from now on, over TLS, trusting `certificate`."""
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certificate))
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
        self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def stats(self) -> dict[str, Any]:
        """/api/v1/stats."""
        status, body = self.ask("/api/v1/stats")
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def settled(self) -> dict[str, Any]:
        """The statistics once nothing moves any more, after checking them against the kernel's count.

        Raises:
            AssertionError: frames are unaccounted for, or were not offered by the TAP, or nothing settles.
        """
        stats, offered = wait_until(self._still, "nothing moves")
        assert imbalance(stats) == 0, ledger_of(stats)
        assert stats["offered"] == offered, ledger_of(stats)
        if stats["settings"]["stack"] == "inet":
            assert sum(sum(outcomes.values()) for outcomes in stats["stack"].values()) == stats["delivered"]
        return stats

    def _still(self) -> tuple[dict[str, Any], int] | None:
        """The statistics, and what the TAP offered, if both are of one moment and nothing is under way."""
        before = self.stats()
        offered = sum(wire_counters(self.tap)) - self._zero + self.earlier
        after = self.stats()
        assert imbalance(before) == 0, ledger_of(before)
        if ledger_of(before) == ledger_of(after) and not after["in_flight"]:
            return after, offered
        return None

    def tap_is_gone(self) -> None:
        """Note that the TAP was deleted: the next one of its name counts from 0."""
        self.earlier = self.stats()["offered"]
        self._zero = 0

    def terminate(self) -> dict[str, Any]:
        """SIGTERM; the final ledger, after checking it and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log
        assert "Traceback" not in self.log
        ledger: dict[str, Any] = json.loads(self.log.splitlines()[-1])
        assert imbalance(ledger) == 0, ledger
        return ledger

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


Run = Callable[..., AbstractContextManager[Service]]
"""`running` without the first two arguments: the fixture `run`."""


@contextmanager
def running(
    tap: str,
    log: Path,
    *flags: str,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    serving: bool = True,
) -> Iterator[Service]:
    """The service on `tap`, ready. On leaving it must balance, stop when told to, and balance still.

    Args:
        log: file for its standard error.
        flags: of `asyncnic run`, besides device, MAC, a port that is free.
        prefix: command that runs the command, for fewer privileges.
        env: variables to set.
        cwd: its current directory.
        serving: False: it is not ready, and has said so.
    """
    command = [*prefix, ASYNCNIC, "run", "--device", f"tap:{tap}", "--mac", MAC, "--listen", "127.0.0.1:0", *flags]
    service = Service(tap, log, command, env or {}, cwd)
    try:
        service.wait_until_ready(serving)
        yield service
        if service.process.returncode is None:
            service.settled()
            service.terminate()
    except BaseException:
        print(service.log)
        raise
    finally:
        service.kill()


def add_ipv6(tap: str) -> None:
    """Give the kernel's side its IPv6 address, and wait until the service has found that its own is unique."""
    program("ip", "addr", "add", f"{PEER6}/64", "dev", tap, "nodad")
    ping = ["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", HOST6]
    wait_until(lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0, f"{HOST6} answers")
