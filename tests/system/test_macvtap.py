"""The service on a macvtap: a neighbour on the wire of its parent sees one more station there."""

import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.service import ASYNCNIC, HOST, PATIENCE, PEER, Service, asyncnic, imbalance, program, wait_until
from tests.wire import keep_quiet

_numbers = itertools.count()


@pytest.fixture
def parent() -> Iterator[str]:
    """One end of a virtual Ethernet; the other end is the neighbour, with the host's address."""
    number = next(_numbers)
    parent, neighbour = f"mvsp{number}", f"mvsn{number}"
    program("ip", "link", "add", parent, "type", "veth", "peer", "name", neighbour)
    for end in (parent, neighbour):
        keep_quiet(end)
        program("ip", "link", "set", end, "up")
    program("ip", "address", "add", f"{PEER}/24", "dev", neighbour)
    yield parent
    subprocess.run(["ip", "link", "del", parent], capture_output=True, check=False)


@pytest.fixture
def service(parent: str, tmp_path: Path) -> Iterator[Service]:
    command = [ASYNCNIC, "run", "--device", f"macvtap:{parent}", "--listen", "127.0.0.1:0"]
    service = Service(parent, tmp_path / "service.log", command, {}, None)
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


def test_the_service_is_a_station_on_the_parents_wire(parent: str, service: Service) -> None:
    said = program("ping", "-q", "-f", "-c", "1000", HOST)
    assert "1000 packets transmitted, 1000 received, 0% packet loss" in said
    program("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", "-s", "8000", HOST)
    (link,) = json.loads(program("ip", "-s", "-j", "link", "show", "type", "macvtap"))
    wait_until(lambda: not service.stats()["in_flight"], "nothing is in flight")
    stats = service.stats()
    assert imbalance(stats) == 0
    assert stats["offered"] == link["stats64"]["rx"]["packets"]
    assert stats["device"]["name"] == f"macvtap:{parent}"
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(PATIENCE) == 0
    assert imbalance(json.loads(service.log.splitlines()[-1])) == 0
    assert json.loads(program("ip", "-j", "link", "show", "type", "macvtap")) == []


def test_a_killed_service_starts_again(parent: str, service: Service, tmp_path: Path) -> None:
    service.kill()
    command = [ASYNCNIC, "run", "--device", f"macvtap:{parent}", "--listen", "127.0.0.1:0"]
    again = Service(parent, tmp_path / "again.log", command, {}, None)
    try:
        again.wait_until_ready()
        program("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", HOST)
    finally:
        again.kill()


def test_check_says_what_is_there(parent: str) -> None:
    assert f"ok       macvtap on {parent}: may be made" in asyncnic("check", "--device", f"macvtap:{parent}").stdout
    absent = asyncnic("check", "--device", "macvtap:nowhere0")
    assert absent.returncode == 4
    assert "missing  interface nowhere0" in absent.stdout
    started = asyncnic("run", "--device", "macvtap:nowhere0")
    assert (started.returncode, started.stderr.count("\n")) == (4, 1)
    program("ip", "link", "add", "link", parent, "name", "mvsmade", "type", "macvtap", "mode", "bridge")
    assert "of macvtap mvsmade: may be opened" in asyncnic("check", "--device", "macvtap:mvsmade").stdout
