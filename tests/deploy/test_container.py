"""The image: built from the repository as committed, run as the README says, with real traffic and a real Prometheus.

The containers share the test run's network namespace ("the host" to them), so pings and floods come from outside.
"""

import functools
import json
import os
import re
import socket
import stat
import subprocess
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.prometheus import prometheus
from tests.deploy.conftest import LIMITS, ROOT
from tests.system.flood import flood
from tests.system.service import HOST, PEER, asyncnic, imbalance, ledger_of, program, wait_until

pytestmark = pytest.mark.heavy

USER = 65532
LEAST = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def podman(*arguments: str, codes: tuple[int, ...] = (0,), patience: float = 60) -> str:
    """Run podman to its end; its standard output. It fails the test with a code not in `codes`."""
    result = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=patience, check=False)
    assert result.returncode in codes, f"podman {arguments}: {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout.strip()


@pytest.fixture(scope="module")
def least(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Podman's flags for the least privilege, with /dev/net/tun as udev makes it, whatever it is here."""
    node = tmp_path_factory.mktemp("dev") / "tun"
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    node.chmod(0o666)
    return (*LEAST, "--device", f"{node}:/dev/net/tun")


class Container:
    """A container that runs the service. Made by `running`.

    Attributes:
        name: podman's name for it.
        url: where its HTTP is.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.listen = f"127.0.0.1:{port}"
        self.url = f"http://{self.listen}"

    def ask(self, path: str) -> tuple[int, str]:
        """One GET: HTTP status and body."""
        try:
            with _opener.open(self.url + path, timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stats(self) -> dict[str, Any]:
        """/api/v1/stats."""
        found: dict[str, Any] = json.loads(self.ask("/api/v1/stats")[1])
        return found

    @property
    def log(self) -> str:
        """What the service has said on standard error, over all of its starts."""
        result = subprocess.run(["podman", "logs", self.name], capture_output=True, text=True, check=False)
        return result.stderr

    def inspect(self, what: str) -> str:
        """A part of the container's state, as a Go template of podman names it."""
        return podman("inspect", "--format", f"{{{{{what}}}}}", self.name)

    def wait_until_ready(self) -> None:
        """Wait until /-/ready says so."""

        def ready() -> bool:
            assert self.inspect(".State.Running") == "true", self.log
            try:
                return self.ask("/-/ready")[0] == 200
            except OSError:
                return False

        wait_until(ready, "the container is ready", patience=30)

    def status(self) -> dict[str, str]:
        """/proc/PID/status of the service's process."""
        text = Path("/proc", self.inspect(".State.Pid"), "status").read_text()
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@contextmanager
def running(image: str, tap: str, podman_flags: tuple[str, ...], *flags: str) -> Iterator[Container]:
    """A container in this network namespace, ready; removed afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        container = Container(f"asyncnic-{tap}", free.getsockname()[1])
    service = ("run", "--device", f"tap:{tap}", "--listen", container.listen, "--service", "udp-discard:9", *flags)
    podman("run", "--detach", "--name", container.name, "--network", "host", *LIMITS, *podman_flags, image, *service)
    try:
        container.wait_until_ready()
        yield container
    except BaseException:
        print(container.log)
        raise
    finally:
        podman("rm", "--force", "--time", "0", container.name)


@contextmanager
def premade_tap(name: str, user: int) -> Iterator[str]:
    """A TAP as the README makes it: it belongs to `user`, and the host's side is configured."""
    program("ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(user))
    program("ip", "address", "add", f"{PEER}/24", "dev", name)
    program("ip", "link", "set", name, "up")
    yield name
    program("ip", "link", "del", name)


@pytest.fixture
def tap(tap_name: str) -> Iterator[str]:
    with premade_tap(tap_name, USER) as name:
        yield name


def ping(count: int = 3) -> None:
    program("ping", "-n", "-q", "-i", "0.2", "-c", str(count), "-W", "2", HOST)


def test_image_is_small_and_says_nothing_of_where_it_was_built(image: str) -> None:
    (info,) = json.loads(podman("image", "inspect", image))
    assert info["Size"] < 250e6
    assert info["Config"]["User"] == f"{USER}:{USER}"
    assert not [variable for variable in info["Config"]["Env"] if variable.startswith("PIP_")]
    assert info["Healthcheck"]["Test"][0] == "CMD"


def test_service_has_no_privilege_at_all_with_a_tap_made_beforehand(
    image: str, tap: str, least: tuple[str, ...]
) -> None:
    with running(image, tap, least) as container:
        status = container.status()
        assert status["Uid"].split() == [str(USER)] * 4
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[capabilities], 16) == 0, capabilities
        assert status["NoNewPrivs"] == "1"
        podman("exec", container.name, "touch", "/opt/asyncnic/new", codes=(1,))
        assert "warning" not in container.log
        assert "/run/asyncnic/" in podman("exec", container.name, "sh", "-c", "ls -d /run/asyncnic/*.sock")
        ping()


def test_service_makes_its_tap_with_net_admin_alone(image: str, tap_name: str, least: tuple[str, ...]) -> None:
    flags = (*least, "--cap-add", "NET_ADMIN")
    with running(image, tap_name, flags) as container:
        assert int(container.status()["CapEff"], 16) == 1 << 12
        ping()


def test_health_check_tells_a_live_service_from_a_dead_one(image: str, tap: str, least: tuple[str, ...]) -> None:
    check = ("/opt/asyncnic/bin/python", "/opt/asyncnic/healthcheck.py")
    with running(image, tap, least) as container:
        podman("exec", container.name, *check)
        podman("exec", container.name, *check, "/run/asyncnic/nobody.sock", codes=(1,))


def test_flooded_it_answers_is_scraped_without_a_failure_and_tuned_without_a_loss(
    image: str, tap: str, least: tuple[str, ...], tmp_path: Path
) -> None:
    scrapes = tmp_path / "prometheus"
    scrapes.mkdir()
    with (
        running(image, tap, least) as container,
        prometheus(scrapes, [container.listen]) as server,
    ):
        with flood(200_000):
            wait_until(lambda: server.query("rate(asyncnic_delivered_frames_total[5s]) > 1000"), "frames flow")
            for budget in (8, 128, 32):
                podman("exec", container.name, "asyncnic", "tune", f"rx_budget={budget}")
                tuned = f'asyncnic_setting{{name="rx_budget"}} == {budget}'
                wait_until(functools.partial(server.query, tuned), tuned)
                assert imbalance(container.stats()) == 0
            wait_until(lambda: server.query("count_over_time(up[10s]) >= 10"), "ten scrapes")
        ping()
        assert server.number("min_over_time(up[5m])") == 1
        wait_until(lambda: container.stats()["in_flight"] == 0, "nothing in flight")
        stats = container.stats()
        assert imbalance(stats) == 0, ledger_of(stats)
        (link,) = json.loads(program("ip", "-s", "-j", "link", "show", "dev", tap))
        sent = link["stats64"]["tx"]
        assert container.stats()["offered"] == sent["packets"] + sent["dropped"]


def test_a_storm_writes_itself_down_and_is_explained(
    image: str, tap: str, least: tuple[str, ...], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    os.chown(kept, USER, USER)
    program("ip", "link", "set", tap, "txqueuelen", "16")  # so that the kernel drops on any machine
    flags = (*least, "--volume", f"{kept}:/var/lib/asyncnic")
    with running(image, tap, flags, "--snapshot-dir", "/var/lib/asyncnic", "--tap-queue", "16") as container:
        # One is given once there are two readings: then the load before the storm is known.
        podman("exec", container.name, "asyncnic", "snapshot", "/run/asyncnic")
        with flood(5_000_000):
            path = wait_until(lambda: next(kept.glob("asyncnic-*"), None), "the storm is written down")
        explained = asyncnic("explain", str(path), "--plot", str(tmp_path / "storm.svg"))
        assert (explained.returncode, explained.stderr) == (0, "")
        lines = explained.stdout.splitlines()
        assert " dropped at stage " in lines[0]
        assert lines[1].endswith("every frame is accounted for")
        assert " offered rose from " in lines[2]
        assert container.stats()["snapshots"]["drops"] == 1


def test_stop_drains_and_ends_with_0_before_the_grace_of_two_seconds_is_over(
    image: str, tap: str, least: tuple[str, ...]
) -> None:
    with running(image, tap, least) as container:
        with flood(100_000):
            wait_until(lambda: container.stats()["delivered"] > 1000, "frames flow")
            podman("stop", "--time", "2", container.name)
        # After the grace podman kills, and the code would be 137.
        assert container.inspect(".State.ExitCode") == "0"
        ledger = json.loads(container.log.splitlines()[-1])
        assert imbalance(ledger) == 0
        assert ledger["in_flight"] == 0


def test_killed_and_started_again_it_works(image: str, tap: str, least: tuple[str, ...]) -> None:
    with running(image, tap, least) as container:
        ping()
        podman("kill", "--signal", "KILL", container.name)
        wait_until(lambda: container.inspect(".State.Running") == "false", "it is dead")
        assert container.inspect(".State.ExitCode") == "137"
        podman("start", container.name)
        container.wait_until_ready()
        ping()


def test_an_init_container_with_net_admin_makes_the_tap(image: str, tap_name: str, least: tuple[str, ...]) -> None:
    make = ("/opt/asyncnic/bin/python", "/opt/asyncnic/maketap.py")
    container = (*LIMITS, *least, "--rm", "--network", "host", "--entrypoint", json.dumps(make))
    arguments = (image, tap_name, "--owner", str(USER), "--host-address", f"{PEER}/24")
    # As in Kubernetes: root without any power but this one. Twice, since pods are restarted.
    for _ in range(2):
        podman("run", *container, "--user", "0", "--cap-add", "NET_ADMIN", *arguments)
    with running(image, tap_name, least):
        ping()


def test_one_container_keeps_the_namespace_that_the_service_joins(image: str, least: tuple[str, ...]) -> None:
    """As in compose: one container has the privilege and serves nothing, the other serves and has none."""
    wire, service = "asyncnic-wire", "asyncnic-joined"
    compose = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"]
    capabilities = [flag for name in compose["wire"]["cap_add"] for flag in ("--cap-add", name)]
    entrypoint = ("--entrypoint", json.dumps(compose["wire"]["entrypoint"]))
    holder = ("--detach", "--name", wire, "--network", "none", "--user", "0", *LIMITS, *least)
    echo = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5); "
        f"s.sendto(b'echo', ('{HOST}', 7)); print(s.recv(9))"
    )
    try:
        shared = ("--volume", "asyncnic-wire-test:/run/wire")
        podman("run", *holder, *shared, *capabilities, *entrypoint, image, *compose["wire"]["command"])
        check = compose["wire"]["healthcheck"]["test"][1:]
        wait_until(lambda: subprocess.run(["podman", "exec", wire, *check], check=False).returncode == 0, "the TAP")
        joined = ("--detach", "--name", service, "--network", f"container:{wire}", *shared, *LIMITS, *least)
        podman("run", *joined, image)
        python = ("/opt/asyncnic/bin/python",)
        alive = ["podman", "exec", service, *compose["asyncnic"]["healthcheck"]["test"][1:]]
        wait_until(lambda: subprocess.run(alive, capture_output=True, check=False).returncode == 0, "the service")
        assert podman("exec", wire, *python, "-c", echo) == "b'echo'"
        podman("restart", "--time", "5", wire)  # the namespace is another one now, and nobody reaches the service
        wait_until(lambda: subprocess.run(alive, capture_output=True, check=False).returncode == 1, "it says so")
        podman("stop", "--time", "5", service)
        podman("stop", "--time", "5", wire)
        for name in (service, wire):
            assert podman("inspect", "--format", "{{.State.ExitCode}}", name) == "0", name
    finally:
        for name in (service, wire):
            podman("rm", "--force", "--time", "0", "--ignore", name)
        podman("volume", "rm", "--force", "asyncnic-wire-test")


def test_what_is_missing_is_said_in_one_line(image: str, tap_name: str, least: tuple[str, ...]) -> None:
    container = ("run", "--rm", "--network", "host", *LIMITS, *least, image)
    result = subprocess.run(
        ["podman", *container, "run", "--device", f"tap:{tap_name}"], capture_output=True, text=True, check=False
    )
    said = [line for line in result.stderr.splitlines() if line.startswith("asyncnic: ")]
    assert result.returncode == 3, result.stderr
    assert len(said) == 1
    assert re.search(r"CAP_NET_ADMIN|cap-add|ip tuntap add", said[0])


def test_the_image_says_what_it_is(image: str, clone: Path) -> None:
    labels = json.loads(podman("image", "inspect", "--format", "{{json .Labels}}", image))
    found = {name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()}
    assert found["licenses"] == "Apache-2.0"
    assert found["version"] == tomllib.loads((clone / "pyproject.toml").read_text())["project"]["version"]
    assert found["revision"] == program("git", "-C", str(clone), "rev-parse", "HEAD").strip()
