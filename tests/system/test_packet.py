"""The service on an interface that has an address already: the kernel and it share that, and neither notices.

The interface is one end of a pair of virtual Ethernet ports; the other end, and everybody who asks, is in a network
namespace of its own.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.service import ASYNCNIC, PATIENCE, Service, asyncnic, imbalance, program, wait_until

HERE, HERE6 = "198.51.100.2", "2001:db8:51::2"
STATION = "198.51.100.3"
THERE, THERE6 = "198.51.100.1", "2001:db8:51::1"
MAC = "02:00:00:00:00:51"
_numbers = itertools.count()


class Neighbour:
    """Somebody on the other end of the interface `name`, in a network namespace of his own."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name, self.far = f"pks{number}", f"pkf{number}"
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "600"])
        try:
            self.plug()
        except BaseException:
            self.close()
            raise

    def plug(self) -> None:
        wait_until(self._apart, "the namespace")
        wire = ["ip", "link", "add", self.name, "address", MAC, "type", "veth", "peer", "name", self.far]
        program(*wire, "netns", str(self._holder.pid))
        program("sysctl", "-qw", f"net.ipv6.conf.{self.name}.accept_dad=0")
        for address in (f"{HERE}/24", f"{HERE6}/64"):
            program("ip", "address", "add", address, "dev", self.name)
        program("ip", "link", "set", self.name, "up")
        self.run("sysctl", "-qw", f"net.ipv6.conf.{self.far}.accept_dad=0")
        for address in (f"{THERE}/24", f"{THERE6}/64"):
            self.run("ip", "address", "add", address, "dev", self.far)
        self.run("ip", "link", "set", self.far, "up")
        self.run("ip", "link", "set", "lo", "up")
        wait_until(lambda: self.succeeds("ping", "-n", "-c", "1", "-W", "1", HERE), "the wire carries")

    def _apart(self) -> bool:
        return os.readlink(f"/proc/{self._holder.pid}/ns/net") != os.readlink("/proc/self/ns/net")

    @property
    def pid(self) -> str:
        """Of a process in his namespace."""
        return str(self._holder.pid)

    def command(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-n", *command]

    def run(self, *command: str) -> str:
        return program(*self.command(*command))

    def succeeds(self, *command: str) -> bool:
        return subprocess.run(self.command(*command), capture_output=True, check=False).returncode == 0

    def echo(self, text: str, host: str = HERE, port: int = 7) -> str:
        """What comes back from a UDP service; empty: nothing did."""
        command = self.command("nc", "-u", "-w1", host, str(port))
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False).stdout

    def flood(self, seconds: float, port: int = 7, host: str = HERE) -> "subprocess.Popen[bytes]":
        """Datagrams for so long, as fast as they go, through the kernel's segmentation."""
        code = (
            "import socket, time\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"s.connect(('{host}', {port})); s.setsockopt(17, 103, 18)\n"
            f"end, sent = time.monotonic() + {seconds}, 0\n"
            "while time.monotonic() < end:\n"
            "    try: s.send(bytes(18 * 60)); sent += 60\n"
            "    except OSError: pass\n"
            "print(sent)\n"
        )
        return subprocess.Popen(self.command("python3", "-c", code), stdout=subprocess.PIPE)

    def close(self) -> None:
        subprocess.run(["ip", "link", "del", self.name], capture_output=True, check=False)
        self._holder.kill()
        self._holder.wait()


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    neighbour = Neighbour()
    yield neighbour
    neighbour.close()


Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(neighbour: Neighbour, tmp_path: Path) -> Start:
    @contextmanager
    def start(*flags: str) -> Iterator[Service]:
        command = [ASYNCNIC, "run", "--device", f"packet:{neighbour.name}", "--listen", "127.0.0.1:0", *flags]
        service = Service(neighbour.name, tmp_path / "service.log", command, {}, None)
        try:
            service.wait_until_ready()
            yield service
            if service.process.returncode is None:
                assert imbalance(settled(service)) == 0
                service.terminate()
        except BaseException:
            print(service.log)
            raise
        finally:
            service.kill()

    return start


def settled(service: Service) -> dict[str, Any]:
    """The statistics once nothing moves."""

    def still() -> dict[str, Any] | None:
        before, after = service.stats(), service.stats()
        names = ("offered", "delivered", "in_flight")
        same = all(before[name] == after[name] for name in names) and not after["in_flight"]
        return after if same else None

    stats = wait_until(still, "nothing moves")
    assert imbalance(stats) == 0
    return stats


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_address_is_shared_with_the_kernel(neighbour: Neighbour, start: Start, loop: str) -> None:
    with start("--loop", loop) as service:
        assert neighbour.echo("hello") == "hello"
        assert neighbour.echo("hello", HERE6) == "hello"
        neighbour.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", HERE)
        neighbour.run("ping", "-6", "-n", "-c", "3", "-i", "0.01", "-W", "5", HERE6)
        stats = settled(service)
        assert stats["offered"] == stats["delivered"] == 2  # what the kernel answers is not ours to see
        neighbour.run("ip", "neigh", "flush", "all")
        assert neighbour.echo("again") == "again"
        assert "Connection refused" not in neighbour.echo("nobody", port=4321)


def test_the_kernel_is_silent_about_our_ports(neighbour: Neighbour, start: Start) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)\n"
        "s.connect(('{}', {}))\n"
        "try:\n"
        "    s.send(b'x'); s.recv(9)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    with start("--service", "udp-discard:9") as service:
        assert neighbour.run("python3", "-c", code.format(HERE, 9)) == "TimeoutError\n"
        assert neighbour.run("python3", "-c", code.format(HERE, 4321)) == "ConnectionRefusedError\n"
        assert service.stats()["stack"]["udp"]["delivered"] == 1


def test_a_port_that_somebody_has_is_told_in_one_line(neighbour: Neighbour, start: Start) -> None:
    device = f"packet:{neighbour.name}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HERE, 7))
        refused = asyncnic("run", "--device", device, "--service", "udp-echo:7", "--listen", "127.0.0.1:0")
        checked = asyncnic("check", "--device", device, "--service", "udp-echo:7")
    assert refused.returncode == checked.returncode == 2
    assert refused.stderr.splitlines() == [
        "asyncnic: --service udp-echo:7: another process has UDP port 7 (Address already in use): "
        "stop that one, or choose another port"
    ]
    assert "missing  UDP port 7: free" in checked.stdout
    with start():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other, pytest.raises(OSError, match="in use"):
            other.bind((HERE, 7))


def test_a_station_of_our_own_speaks_for_itself(neighbour: Neighbour, start: Start) -> None:
    with start("--address", f"{STATION}/24", "--address", "2001:db8:51::3/64") as service:
        neighbour.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", STATION)
        wait_until(lambda: neighbour.succeeds("ping", "-6", "-n", "-c", "1", "-W", "1", "2001:db8:51::3"), "IPv6")
        neighbour.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", "-s", "8000", STATION)
        assert neighbour.echo("hello", STATION) == "hello"
        assert neighbour.echo("hello", "2001:db8:51::3") == "hello"
        before = settled(service)["offered"]
        neighbour.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", HERE)  # the kernel's, as ever
        assert settled(service)["offered"] == before


def test_a_station_with_a_mac_address_of_its_own(neighbour: Neighbour, start: Start) -> None:
    mac = "02:00:00:00:00:99"
    with start("--address", f"{STATION}/24", "--mac", mac):
        neighbour.run("ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", STATION)
        assert mac in neighbour.run("ip", "neigh", "show", STATION)


@pytest.mark.parametrize("flooded", [False, True])
def test_a_change_of_address_is_followed(neighbour: Neighbour, start: Start, flooded: bool) -> None:
    with start() as service:
        flood = neighbour.flood(2.0, host=HERE) if flooded else None
        program("ip", "address", "add", "198.51.100.9/24", "dev", neighbour.name)
        told = "addresses=198.51.100.2/24,198.51.100.9/24"
        wait_until(lambda: told in service.log, "the address is noticed")
        assert neighbour.echo("new", "198.51.100.9") == "new"
        program("ip", "address", "del", "198.51.100.9/24", "dev", neighbour.name)
        wait_until(lambda: service.log.count("addresses=198.51.100.2/24,2001") == 1, "that it is gone is noticed")
        if flood is not None:
            flood.communicate(timeout=PATIENCE)
        assert not neighbour.echo("gone", "198.51.100.9")
        program("ip", "link", "set", neighbour.name, "mtu", "1300")
        wait_until(lambda: "mtu=1300" in service.log, "the MTU is noticed")
        neighbour.run("ip", "link", "set", neighbour.far, "mtu", "1300")
        wait_until(lambda: neighbour.echo("x" * 1400) == "x" * 1400, "fragments that the link carries")


def test_large_datagrams_come_and_go_in_fragments(neighbour: Neighbour, start: Start) -> None:
    code = (
        "import socket\n"
        "for family, host in ((socket.AF_INET, '{}'), (socket.AF_INET6, '{}')):\n"
        "    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(5)\n"
        "    s.sendto(b'z' * 5000, (host, 7)); print(len(s.recv(9000)))\n"
    )
    with start():
        assert neighbour.run("python3", "-c", code.format(HERE, HERE6)) == "5000\n5000\n"


@pytest.mark.parametrize("fault", ["down", "deleted", "renamed", "moved"])
def test_the_service_outlives_its_interface_under_a_flood(neighbour: Neighbour, start: Start, fault: str) -> None:
    with start("--service", "udp-echo:7", "--service", "udp-discard:9") as service:
        flood = neighbour.flood(1.5, 9)
        wait_until(lambda: service.stats()["offered"] > 1000, "the flood")
        if fault == "down":
            program("ip", "link", "set", neighbour.name, "down")
        elif fault == "deleted":
            program("ip", "link", "del", neighbour.name)
        elif fault == "moved":
            program("ip", "link", "set", neighbour.name, "netns", neighbour.pid)
        else:
            program("ip", "link", "set", neighbour.name, "down")
            program("ip", "link", "set", neighbour.name, "name", f"{neighbour.name}x")
        wait_until(lambda: not service.stats()["device"]["up"], "the loss is noticed")
        flood.communicate(timeout=PATIENCE)
        if fault == "down":
            program("ip", "link", "set", neighbour.name, "up")
        elif fault == "deleted":
            neighbour.plug()
        elif fault == "moved":
            neighbour.run("ip", "link", "set", neighbour.name, "netns", str(os.getpid()))
            program("ip", "link", "set", neighbour.name, "up")
        else:
            program("ip", "link", "set", f"{neighbour.name}x", "up")
        program("ip", "address", "replace", f"{HERE}/24", "dev", neighbour.name + ("x" if fault == "renamed" else ""))
        wait_until(lambda: service.stats()["device"]["up"], "it is back")
        wait_until(lambda: neighbour.echo("back") == "back", "it answers")
        settled(service)
        if fault == "renamed":
            program("ip", "link", "del", f"{neighbour.name}x")


def test_an_ordinary_user_is_told_what_is_missing(neighbour: Neighbour) -> None:
    nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]
    refused = asyncnic("run", "--device", f"packet:{neighbour.name}", "--listen", "127.0.0.1:0", prefix=nobody)
    assert refused.returncode == 3
    assert re.search(r"CAP_NET_RAW is missing: run as root, or give it", refused.stderr.splitlines()[-1])
    checked = asyncnic("check", "--device", f"packet:{neighbour.name}", prefix=nobody)
    assert checked.returncode == 3
    assert "missing  CAP_NET_RAW: packet sockets" in checked.stdout


def test_a_terminated_service_says_its_ledger(neighbour: Neighbour, start: Start) -> None:
    with start() as service:
        assert neighbour.echo("hello") == "hello"
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 0
        assert imbalance(json.loads(service.log.splitlines()[-1])) == 0


def test_capabilities_go_when_the_low_port_of_http_is_bound(neighbour: Neighbour, start: Start) -> None:
    with start("--listen", "127.0.0.1:80") as service:
        status = Path(f"/proc/{service.process.pid}/status").read_text()
        held = {
            line.partition(":")[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")
        }
        assert (held["CapEff"], held["CapPrm"]) == (0, 0)
        assert service.url.rstrip("/").endswith((":80", "127.0.0.1"))
