"""Three nodes behind a router that spreads flows over them by ECMP, each in a network namespace of its own.

A node is a service on a TAP, a real ExaBGP and `asyncnic announce`; the router is a real BIRD in the test's namespace,
on a bridge to all of them. Both run deploy/anycast's configurations, with other paths and each node's own address. The
service's address is routed over every node's link to its TAP, where nothing else is sent: what a node was offered is
what the router has sent it.
"""

import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from asyncnic.client.client import ServiceAddress
from asyncnic.errors import Failed
from tests.deploy.conftest import ROOT
from tests.system.service import ASYNCNIC, environment, imbalance, program, wait_until
from tests.system.test_announce import EXABGP

ANYCAST = ROOT / "deploy" / "anycast"
SERVED, PORT = "198.51.100.1", 9
ROUTER = "192.0.2.1"
MAC = "02:00:00:00:00:0a"
QUEUE = 30_000
"""Frames that a TAP keeps for a service that the machine does not let run: nothing is to be lost to the machine."""
FLOWS = 96

COUNTER = '''
import asyncio, mmap, os, struct

class Counter(asyncio.DatagramProtocol):
    """Counts datagrams where a death of the process takes nothing away."""

    def connection_made(self, transport):
        self.octets = mmap.mmap(os.open(os.environ["COUNTED"], os.O_RDWR), 8)
        self.count = struct.unpack("=Q", self.octets[:8])[0]

    def datagram_received(self, data, addr):
        self.count += 1
        self.octets[:8] = struct.pack("=Q", self.count)
'''


class Node:
    """One node.

    Args:
        number: 1 to 3.
        folder: for its files.

    Attributes:
        service: the child that serves now.
        ended: the final ledgers of those before it.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder, self.address = number, folder, f"192.0.2.{10 + number}"
        self.control, self._counted = folder / f"{number}.sock", folder / f"{number}.count"
        self._counted.write_bytes(bytes(8))
        self._logs = (folder / f"{number}.service.{run}" for run in itertools.count())
        self.ended: list[dict[str, Any]] = []
        self._space = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self._space.pid}/ns/net") != own, "a namespace")
        space, port = str(self._space.pid), f"node{number}"
        program("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        program("ip", "link", "set", port, "master", "nodes", "up")
        quiet = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_forward=1")
        self._inside("sysctl", "-q", "-w", *quiet)
        for command in (
            f"addr add {self.address}/24 dev eth0",
            "link set eth0 up",
            "link set lo up",
            "tuntap add asyncnic0 mode tap",
            f"link set asyncnic0 txqueuelen {QUEUE} up",
            f"route add {SERVED} dev asyncnic0",
            f"neigh add {SERVED} lladdr {MAC} dev asyncnic0 nud permanent",
        ):
            self._inside("ip", *command.split())
        self.start()
        self._bgp = self._speak()

    def _inside(self, *command: str) -> str:
        return program("nsenter", "-t", str(self._space.pid), "-n", *command)

    def _spawn(self, command: list[str], log: Path, **more: str) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            inside = ["nsenter", "-t", str(self._space.pid), "-n", *command]
            return subprocess.Popen(inside, stdout=out, stderr=out, env=environment(more), cwd=self.folder)

    def start(self) -> None:
        """Begin a service, after the last one has ended."""
        self.log = next(self._logs)
        flags = f"--device tap:asyncnic0 --mac {MAC} --address {SERVED}/32 --tap-queue {QUEUE} --drain 60s"
        command = [ASYNCNIC, "run", *flags.split(), "--host-address", "", "--listen", "127.0.0.1:9732"]
        more = ["--control", str(self.control), "--service", f"counter:Counter:{PORT}"]
        self.service = self._spawn([*command, *more], self.log, COUNTED=str(self._counted))

    def keep(self, frames: int) -> None:
        """Have the TAP keep so many frames from now on."""
        self._inside("ip", "link", "set", "asyncnic0", "txqueuelen", str(frames))

    def _speak(self) -> subprocess.Popen[bytes]:
        """ExaBGP with the configuration that is shipped."""
        text = (ANYCAST / "exabgp.conf").read_text().replace("192.0.2.11", self.address)
        text = text.replace("/opt/asyncnic/bin/asyncnic", ASYNCNIC).replace(
            "/run/asyncnic/asyncnic0.sock", str(self.control)
        )
        path = self.folder / f"{self.number}.exabgp"
        path.write_text(text)
        calm = {"exabgp.daemon.drop": "false", "exabgp.daemon.user": "root", "exabgp.api.cli": "false"}
        return self._spawn([EXABGP, "server", str(path)], self.folder / f"{self.number}.bgp", **calm)

    def restart(self) -> None:
        """As a package's upgrade does it: SIGTERM, the end, a new one."""
        self.service.send_signal(signal.SIGTERM)
        assert self.service.wait(90) == 0, self.log.read_text()
        final = json.loads(self.log.read_text().splitlines()[-1])
        assert imbalance(final) == 0, final
        self.ended.append(final)
        self.start()

    def received(self) -> int:
        """Datagrams that the application has counted, of all that have served here."""
        found: int = struct.unpack("=Q", self._counted.read_bytes())[0]
        return found

    def ledger(self) -> dict[str, Any]:
        """The ledger of the one that serves."""
        stats: dict[str, Any] = ServiceAddress("http://asyncnic", control=self.control).get_json("/api/v1/stats")
        assert imbalance(stats) == 0, stats
        return stats

    def offered(self) -> int:
        """What the ledgers of all that ended as they should, and of the one that serves, say was offered here."""
        return int(sum(one["offered"] for one in [*self.ended, self.ledger()]))

    def end(self) -> None:
        """Whatever of it still runs ends."""
        for child in (self._bgp, self.service, self._space):
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.wait()


def ways() -> set[int]:
    """The nodes that the kernel has routes over."""
    shown = program("ip", "route", "show", SERVED)
    return {number for number in (1, 2, 3) if re.search(rf"via 192\.0\.2\.1{number}\b", shown)}


def routed() -> list[int]:
    """Datagrams that the router has sent to each node so far."""
    shown = json.loads(program("nft", "-j", "list", "counters", "table", "ip", "fleet"))
    counts = {one["counter"]["name"]: one["counter"]["packets"] for one in shown["nftables"] if "counter" in one}
    return [counts[f"node{number}"] for number in (1, 2, 3)]


class Traffic:
    """Datagrams from FLOWS ports while the context is open.

    Args:
        rate: how many a second.

    Attributes:
        sent: how many the router's kernel took so far.
        refused: how many it had no route for.
    """

    def __init__(self, rate: int) -> None:
        self.sent = self.refused = 0
        self._rate = rate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        with ExitStack() as stack:
            outs = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(FLOWS)]
            for out in outs:
                out.bind((ROUTER, 0))
            turn, begun, offered = itertools.cycle(outs), time.monotonic(), 0
            while not self._over.wait(0.001):
                due = min(int((time.monotonic() - begun) * self._rate), offered + 200)
                for _ in range(due - offered):
                    try:
                        next(turn).sendto(b"datagram", (SERVED, PORT))
                        self.sent += 1
                    except OSError:
                        self.refused += 1
                offered = due


@contextmanager
def fleet(folder: Path) -> Iterator[list[Node]]:
    """The nodes, once the router has equal routes over all three."""
    (folder / "counter.py").write_text(COUNTER)
    program("ip", "link", "add", "nodes", "type", "bridge")
    program("ip", "addr", "add", f"{ROUTER}/24", "dev", "nodes")
    program("ip", "link", "set", "nodes", "up")
    program("sysctl", "-q", "-w", "net.ipv4.fib_multipath_hash_policy=1")
    counters = "".join(f"counter node{number} {{ }}\n" for number in (1, 2, 3))
    rules = "".join(
        f"udp dport {PORT} rt nexthop 192.0.2.1{number} counter name node{number}\n" for number in (1, 2, 3)
    )
    chain = f"chain out {{ type filter hook postrouting priority 0;\n{rules}}}\n"
    program("nft", "-f", "-", input=f"table ip fleet {{\n{counters}{chain}}}\n")
    with ExitStack() as stack:
        stack.callback(program, "ip", "link", "del", "nodes")
        stack.callback(program, "nft", "delete", "table", "ip", "fleet")
        bird = ["bird", "-f", "-c", str(ANYCAST / "bird.conf"), "-s", str(folder / "ctl"), "-P", str(folder / "pid")]
        with (folder / "bird.log").open("wb") as out:
            router = subprocess.Popen(bird, stdout=out, stderr=out)
        stack.callback(router.wait)
        stack.callback(router.terminate)
        nodes = []
        for number in (1, 2, 3):
            nodes.append(Node(number, folder))
            stack.callback(nodes[-1].end)
        wait_until(lambda: ways() == {1, 2, 3}, "routes over all nodes")
        yield nodes


def at_rest(nodes: list[Node]) -> list[int]:
    """What the ledgers say each node was offered, once no frame is under way anywhere.

    Raises:
        AssertionError: something still moves.
    """

    def look() -> list[int] | None:
        before = routed()
        with suppress(Failed):
            ledgers = [node.ledger() for node in nodes]
            offered = [node.offered() for node in nodes]
            received = [node.received() for node in nodes]
            again = [node.received() for node in nodes]
            idle = all(ledger["in_flight"] == 0 for ledger in ledgers) and received == again and routed() == before
            if idle and offered == [node.offered() for node in nodes]:
                return offered
        return None

    return wait_until(look, "nothing moves")
