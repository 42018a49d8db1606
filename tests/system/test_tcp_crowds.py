"""Many who want something of TCP at once, on the TAP: a flood of SYNs, crowds that come and go, and crowds that stay.

The variable ASYNCNIC_TEST_CROWD multiplies how many: 10 makes 100,000 SYNs and 10,000 connections. What a transfer
loses of its rate in the flood is printed, not asserted.
"""

import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.system.service import HOST, MAC, PATIENCE, PEER, Run, Service, program, wait_until
from tests.system.tcp_site import octets
from tests.system.test_tcp import SERVICES, SITE, fetched, settled

CROWD = int(os.environ.get("ASYNCNIC_TEST_CROWD", "1"))
SYNS, COMERS, REQUESTS = 10_000 * CROWD, 1_000 * CROWD, 2_000 * CROWD
IDLE, BUSY = 1_000, 100
RATE = 10_000
"""SYNs a second."""
OFF_LINK = "203.0.113.9"
"""An address of the peer that is not on the link: in a flood the way to it must not be forgotten."""
BACKLOG = 512
"""Handshakes that are remembered; beyond it cookies are sent."""
MIB = 1 << 20

pytestmark = pytest.mark.usefixtures("many_descriptors")


def syn(source: IPv4Address, number: int, port: int) -> bytes:
    """A frame with the first segment of a connection from a port of its own."""
    own, peer = source.packed, IPv4Address(HOST).packed
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 1, 0, 64, 6, 0, own, peer)
    # MSS 1460; 0x6002: 24 octets of header, SYN
    ports = 1024 + number % 60_000, port
    segment = struct.pack("!HHIIHHHHHH", *ports, number, 0, 0x6002, 64_000, 0, 0, 0x0204, 1460)
    covered = own + peer + struct.pack("!HH", 6, len(segment)) + segment
    sums = [-sum(struct.unpack(f"!{len(part) // 2}H", part)) % 0xFFFF for part in (head, covered)]
    head = head[:10] + struct.pack("!H", sums[0]) + head[12:]
    segment = segment[:16] + struct.pack("!H", sums[1]) + segment[18:]
    target = bytes.fromhex(MAC.replace(":", ""))
    return target + bytes.fromhex("02000000aaaa") + b"\x08\x00" + head + segment


@contextmanager
def wire(tap: str) -> Iterator[socket.socket]:
    """The host's end of the TAP, for frames of our own."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((tap, 0))
        yield sock


def standing(service: Service) -> dict[str, int]:
    """Connections by state, of those states in which there are any."""
    return {state: count for state, count in service.stats()["tcp"]["connections"].items() if count}


def resident(service: Service) -> int:
    """Octets of memory that the service's process has."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    (found,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found) * 1024


def events(service: Service) -> dict[str, int]:
    found: dict[str, int] = service.stats()["stack_events"]
    return found


def transfer(address: str, sent: Path, said: Path) -> "subprocess.Popen[bytes]":
    """Send a file from `address`; what the site says of it comes to `said`."""
    command = ["curl", "-sf", "--interface", address, "-T", str(sent), "-o", str(said), f"http://{HOST}:8080/"]
    return subprocess.Popen(command)


def offer(sock: socket.socket, frames: list[bytes], begun: float) -> None:
    """Send frames, no faster than RATE since `begun`."""
    for number, frame in enumerate(frames):
        if number % 50 == 0:
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
        sock.send(frame)


@pytest.mark.parametrize("client", [PEER, OFF_LINK])
def test_a_flood_of_syns_costs_no_memory_and_ends_no_transfer(run: Run, tmp_path: Path, client: str) -> None:
    sent, said, size = tmp_path / "sent", tmp_path / "said", 40_000_000 * CROWD
    sent.write_bytes(octets(size))
    digest = hashlib.sha256(octets(size)).hexdigest()
    frames = [syn(IPv4Address("10.0.0.1") + number, number, 8080) for number in range(SYNS)]
    with run(*SITE) as service, wire(service.tap) as sock:
        program("ip", "address", "add", f"{OFF_LINK}/32", "dev", service.tap)
        begun = time.monotonic()
        assert transfer(client, sent, said).wait(PATIENCE * CROWD) == 0
        calm = time.monotonic() - begun
        offer(sock, frames[:BACKLOG], time.monotonic())  # the table is full before memory is looked at
        wait_until(lambda: standing(service).get("syn-received") == BACKLOG, "the backlog is full")
        before, events_before = resident(service), events(service)
        begun = time.monotonic()
        curl = transfer(client, sent, said)
        ended: list[float] = []

        def watch() -> None:
            curl.wait(PATIENCE * CROWD)
            ended.append(time.monotonic())

        watcher = threading.Thread(target=watch)
        watcher.start()
        offer(sock, frames[: SYNS // 2], begun)
        new = fetched(tmp_path / "new", "--max-time", "30", f"http://{HOST}:8080/octets/1000")
        offer(sock, frames[SYNS // 2 :], time.monotonic())
        watcher.join()
        assert curl.returncode == 0
        print(f"the transfer's rate in the flood: {calm / (ended[0] - begun):.2f} of that without")
        assert said.read_text() == digest
        assert new == octets(1000)
        assert resident(service) - before < 4 * MIB
        assert standing(service).get("syn-received", 0) <= BACKLOG
        found = events(service)
        assert found["tcp_cookies_sent"] > events_before["tcp_cookies_sent"]
        assert found["tcp_refused_half_open"] == found["tcp_cookies_sent"]
        assert found["tcp_resets_out"] == 0
        settled(service)


def test_a_crowd_that_comes_and_goes_leaves_nothing(run: Run) -> None:
    with run(*SERVICES) as service:
        for _ in range(COMERS):
            with socket.create_connection((HOST, 7), timeout=30) as comer:
                comer.sendall(b"there")
                assert comer.recv(9) == b"there"
        wait_until(lambda: not standing(service), "all are gone")
        assert events(service)["tcp_opened_passive"] == COMERS
        assert service.stats()["tcp"]["memory_bytes"] == 0
        assert listed_states(service) == {"listen"}
        settled(service)


def listed_states(service: Service) -> set[str]:
    """The states of all TCP sockets that are listed."""
    return {one["state"] for one in json.loads(service.ask("/api/v1/sockets")[1])["listed"]}


def _all_reset(service: Service, count: int) -> bool:
    return events(service)["tcp_resets_in"] == count


def test_half_opens_that_are_reset_leave_nothing(run: Run) -> None:
    """The SYNs are not the kernel's: it resets what is answered, as a health checker does."""
    with run(*SERVICES) as service, wire(service.tap) as sock:
        for begun in range(0, COMERS, 250):
            for number in range(begun, begun + 250):
                sock.send(syn(IPv4Address(PEER), number, 7))
            wait_until(partial(_all_reset, service, begun + 250), "all are reset")
            assert standing(service) == {}
        assert events(service)["tcp_cookies_sent"] == 0
        assert service.stats()["tcp"]["memory_bytes"] == 0
        settled(service)


def test_a_thousand_that_are_idle_and_a_hundred_that_are_not(run: Run) -> None:
    with run(*SERVICES, *SITE, "--tcp-connections-per-source", "2000") as service, ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection((HOST, 7), timeout=30)) for _ in range(IDLE)]
        said = program("ab", "-q", "-n", str(REQUESTS), "-c", str(BUSY), f"http://{HOST}:8080/octets/1000")
        assert re.search(rf"^Complete requests: +{REQUESTS}$", said, re.MULTILINE), said
        assert re.search(r"^Failed requests: +0$", said, re.MULTILINE), said
        assert service.stats()["tcp"]["connections"]["established"] == IDLE
        for number, one in enumerate(idle):
            one.sendall(b"%d" % number)
            assert one.recv(9) == b"%d" % number
        stack.close()
        wait_until(lambda: standing(service).keys() <= {"time-wait"}, "only those wait that were closed from here")
        settled(service)
