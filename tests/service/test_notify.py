"""What arrives at a manager's socket, on a path and in the abstract namespace."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnic.service.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """NOTIFY_SOCKET and the manager's end of it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@asyncnic-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(5)
        yield name, listening


def test_every_message(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("serving tap:x")
    assert listening.recv(1000) == b"READY=1\nSTATUS=serving tap:x"
    notifier.status("lost")
    assert listening.recv(1000) == b"STATUS=lost"
    notifier.reloading()
    assert listening.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    notifier.alive()
    assert listening.recv(1000) == b"WATCHDOG=1"
    notifier.stopping("bye")
    assert listening.recv(1000) == b"STOPPING=1\nSTATUS=bye"


def test_a_manager_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    Notifier({}).ready("x")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_us_or_not(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/nobody", **environ}).watchdog == seconds


def test_without_a_manager_there_is_no_watchdog() -> None:
    assert Notifier({"WATCHDOG_USEC": "3000000"}).watchdog is None
