"""The image on the interface and address that its container has anyway: a bridge network of podman's, NET_RAW alone.

Clients and floods live in the network namespace of another container on the same bridge. The witness is a counter of
nft in the service's namespace, made from outside by root: the service knows nothing of it.
"""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dnslib  # type: ignore[import-untyped]
import pytest
import yaml

from tests.deploy.conftest import LIMITS, ROOT
from tests.deploy.test_container import LEAST, podman
from tests.system.service import imbalance, wait_until

pytestmark = pytest.mark.heavy

PYTHON = "/opt/asyncnic/bin/python"
PORT = 9732
RAW = (*LEAST, "--cap-add", "NET_RAW")
SLEEP = ("--entrypoint", json.dumps([PYTHON, "-c", "import signal; signal.sigwait({signal.SIGTERM})"]))
_numbers = itertools.count()


class Box:
    """A container on the network.

    Attributes:
        name: podman's name for it.
        address: its own, on the bridge.
    """

    def __init__(self, name: str, network: str) -> None:
        self.name = name
        (found,) = json.loads(podman("inspect", name))
        self.pid = str(found["State"]["Pid"])
        self.address = str(found["NetworkSettings"]["Networks"][network]["IPAddress"])

    def inside(self, *command: str) -> list[str]:
        """A program of the host's in the container's network namespace."""
        return ["nsenter", "--net", "--target", self.pid, *command]

    def run(self, *command: str, patience: float = 60.0) -> str:
        result = subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=patience, check=False)
        assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    @property
    def log(self) -> str:
        result = subprocess.run(["podman", "logs", self.name], capture_output=True, text=True, check=False)
        return result.stdout + result.stderr

    def status(self) -> dict[str, str]:
        """/proc/PID/status of the service's process."""
        text = Path("/proc", self.pid, "status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.fixture
def network() -> Iterator[str]:
    number = next(_numbers)
    name = f"asyncnic-test-{number}"
    podman("network", "create", "--subnet", f"10.89.{200 + number}.0/24", name)
    yield name
    podman("network", "rm", "--force", name)


@contextmanager
def box(image: str, network: str, flags: tuple[str, ...], *command: str) -> Iterator[Box]:
    name = f"{network}-{next(_numbers)}"
    podman("run", "--detach", "--name", name, "--network", network, *LIMITS, *flags, image, *command)
    made = None
    try:
        made = Box(name, network)
        yield made
    except BaseException:
        print(made.log if made else "")
        raise
    finally:
        podman("rm", "--force", "--time", "0", name)


def stats(client: Box, service: Box) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        client.run("curl", "-sf", "--noproxy", "*", f"http://{service.address}:{PORT}/api/v1/stats")
    )
    return found


def wait_until_ready(client: Box, service: Box) -> None:
    asked = client.inside("curl", "-sf", "--noproxy", "*", f"http://{service.address}:{PORT}/-/ready")
    wait_until(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0, "ready", 30)


def served(*more: str) -> tuple[str, ...]:
    return ("run", "--device", "packet:eth0", "--listen", f"0.0.0.0:{PORT}", *more)


def settled(client: Box, service: Box) -> dict[str, Any]:
    """The statistics once nothing moves."""

    def still() -> dict[str, Any] | None:
        before, after = stats(client, service), stats(client, service)
        same = before["offered"] == after["offered"] and not after["in_flight"]
        return after if same and before["delivered"] == after["delivered"] else None

    return wait_until(still, "nothing moves")


def flood(client: Box, service: Box, seconds: float, port: int) -> "subprocess.Popen[str]":
    """One datagram a system call: each is a frame of its own, to us and to the witness. It prints how many it sent."""
    code = (
        "import socket, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"s.connect(('{service.address}', {port}))\n"
        f"end, sent = time.monotonic() + {seconds}, 0\n"
        "while time.monotonic() < end:\n"
        "    for _ in range(200):\n"
        "        try: s.send(bytes(18)); sent += 1\n"
        "        except OSError: pass\n"
        "print(sent)\n"
    )
    return subprocess.Popen(client.inside("python3", "-c", code), stdout=subprocess.PIPE, text=True)


def witness(service: Box, *ports: int) -> None:
    """Count UDP datagrams to these ports as they come in, and keep them from the kernel's stack."""
    listed = ", ".join(map(str, ports))
    service.run("nft", "add table netdev witness")
    service.run("nft", "add chain netdev witness come { type filter hook ingress device eth0 priority 0; }")
    service.run("nft", f"add rule netdev witness come udp dport {{ {listed} }} counter drop")


def witnessed(service: Box) -> int:
    (packets,) = re.findall(r"counter packets (\d+)", service.run("nft", "list table netdev witness"))
    return int(packets)


def test_one_interface_carries_dns_echo_ping_and_the_scrape_under_a_flood(image: str, network: str) -> None:
    site, example = Path(dnslib.__file__).parent, ROOT / "deploy" / "examples" / "dns.py"
    mounts = ("--volume", f"{site}:/opt/more/dnslib:ro", "--volume", f"{example}:/opt/more/dns.py:ro")
    services = ("--service", "dns:Responder:5353", "--service", "udp-echo:7007", "--service", "udp-discard:9009")
    lanes = ("--lane", "control=udp:5353,udp:7007")
    with (
        box(image, network, (*RAW, *mounts, "--env", "PYTHONPATH=/opt/more"), *served(*services, *lanes)) as service,
        box(image, network, (*LEAST, *SLEEP)) as client,
    ):
        wait_until_ready(client, service)
        status = service.status()
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[capabilities], 16) == 0, capabilities
        assert (status["NoNewPrivs"], status["Uid"].split()[0]) == ("1", "65532")
        witness(service, 5353, 7007, 9009)
        zero = settled(client, service)["offered"]
        offering = flood(client, service, 4.0, 9009)
        wait_until(lambda: stats(client, service)["offered"] > zero + 1000, "the flood")
        ask = ("dig", "+short", "+tries=1", "+time=5", "-p", "5353", f"@{service.address}", "nic.example", "A")
        for number in range(20):
            assert client.run(*ask) == "192.0.2.2\n"
            echo = subprocess.run(
                client.inside("nc", "-u", "-w1", service.address, "7007"),
                input=str(number),
                capture_output=True,
                text=True,
                check=False,
            )
            assert echo.stdout == str(number)
            if offering.poll() is not None:
                break
        assert number >= 1
        pings = client.run("ping", "-n", "-q", "-c", "20", "-i", "0.05", "-W", "5", service.address)
        assert " 0% packet loss" in pings
        assert imbalance(stats(client, service)) == 0
        sent = int(offering.communicate(timeout=60)[0])
        found = settled(client, service)
        assert imbalance(found) == 0
        lanes_found = found["lanes"]
        assert sum(lanes_found["control"]["dropped"].values()) == 0
        assert lanes_found["control"]["delivered"] >= 2 * (number + 1)
        assert lanes_found["bulk"]["offered"] == sent
        assert found["offered"] - zero == witnessed(service)


def test_a_published_port_reaches_the_service(image: str, network: str) -> None:
    code = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5); "
        "s.sendto(b'echo', ('{}', 5353)); print(s.recv(9).decode())"
    )
    published = (*RAW, "--publish", "5353:5353/udp")
    with (
        box(image, network, published, *served("--service", "udp-echo:5353")) as service,
        box(image, network, (*LEAST, *SLEEP)) as client,
    ):
        wait_until_ready(client, service)
        gateway = service.address.rpartition(".")[0] + ".1"
        for target in (gateway, service.address):
            assert podman("exec", client.name, PYTHON, "-c", code.format(target)) == "echo"
        here = subprocess.run(["python3", "-c", code.format(gateway)], capture_output=True, text=True, check=True)
        assert here.stdout == "echo\n"
        assert imbalance(settled(client, service)) == 0


def test_without_the_capability_one_line_says_so(image: str, network: str) -> None:
    command = ("run", "--rm", "--network", network, *LIMITS, *LEAST, image, *served())
    result = subprocess.run(["podman", *command], capture_output=True, text=True, timeout=60, check=False)
    said = [line for line in result.stderr.splitlines() if line.startswith("asyncnic: ")]
    assert (result.returncode, len(said)) == (3, 1), result.stderr
    assert "--cap-add NET_RAW" in said[0]


def test_the_deployment_runs_as_podman_plays_it(image: str, network: str, tmp_path: Path) -> None:
    """What Kubernetes makes of the manifest, as far as podman knows it: user, capabilities, files, ports."""
    folder = ROOT / "deploy" / "kubernetes-service"
    deployment = yaml.safe_load((folder / "deployment.yaml").read_text())
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image
    settings = (folder / "asyncnic.toml").read_text()
    name = deployment["metadata"]["name"]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"asyncnic.toml": settings},
    }
    played, conf = tmp_path / "play.yaml", tmp_path / "containers.conf"
    played.write_text(yaml.safe_dump_all([config, deployment]))
    # The pause image is nowhere to be had without a registry: ours sleeps as well.
    pause = "localhost/asyncnic-pause:test"
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nENTRYPOINT {SLEEP[1]}\nCMD []\n")
    podman("build", *LIMITS, "--tag", pause, str(tmp_path), patience=120)
    conf.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        f'[engine]\nruntime = "runc"\ninfra_image = "{pause}"\n'
    )
    environment = ["env", f"CONTAINERS_CONF={conf}"]
    try:
        play = ["podman", "kube", "play", "--network", network, str(played)]
        subprocess.run([*environment, *play], capture_output=True, timeout=60, check=True)
        listed = podman("ps", "--format", "{{.Names}}", "--filter", f"network={network}").splitlines()
        (infra,) = [one for one in listed if one.endswith("-infra")]
        with box(image, network, (*LEAST, *SLEEP)) as client:
            service = Box(infra, network)
            wait_until_ready(client, service)
            sent = client.inside("nc", "-u", "-w1", service.address, "7007")
            echo = subprocess.run(sent, input="hello", capture_output=True, text=True, check=False)
            assert echo.stdout == "hello"
            shown = podman("exec", f"{name}-pod-0-asyncnic", "cat", "/proc/1/status")
            held = dict(line.split(":\t", 1) for line in shown.splitlines() if ":\t" in line)
            assert [int(held[one], 16) for one in ("CapEff", "CapPrm", "CapBnd")] == [0, 0, 1 << 13]
            assert "running as root" not in podman("logs", f"{name}-pod-0-asyncnic")
            assert imbalance(settled(client, service)) == 0
    finally:
        subprocess.run([*environment, "podman", "kube", "down", str(played)], capture_output=True, check=False)
        podman("volume", "rm", "--force", name)  # of the ConfigMap
