"""The unit as shipped, run by systemd itself, in a container whose only units are this one and the targets it names.

Nothing of the machine's is in that container but the network namespace of the test run and a node of /dev/net/tun: a
systemd that saw more would set it up, clean it up and mount it.
"""

import json
import os
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dashboards.prometheus import Prometheus, prometheus
from tests.dashboards.test_queries import queries
from tests.deploy.conftest import BUILD_SECONDS, LIMITS, ROOT
from tests.sinks.brokers import serving
from tests.system.flood import flood
from tests.system.service import HOST, imbalance, program, wait_until

pytestmark = pytest.mark.heavy

UNIT = ROOT / "deploy" / "systemd" / "asyncnic.service"
PREMADE = ROOT / "deploy" / "systemd" / "asyncnic.service.d" / "premade-tap.conf"
OUTSIDE = ("nsenter", f"--net=/proc/{os.getppid()}/ns/net")
"""Building needs the network, which the test run has left."""
BASE = "localhost/asyncnic-systemd:bookworm"
PACKAGES = "usr-is-merged,python3,libseccomp2,systemd,libnss-systemd,iproute2"
TARGETS = ("basic", "final", "multi-user", "network-pre", "shutdown", "sysinit", "umount")
# What systemd does to the unit's own mounts takes SYS_ADMIN; the sandbox of the service itself takes none.
POWERS = (
    "--cap-add",
    "SYS_ADMIN,NET_ADMIN,BPF",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "unmask=/proc/*",
)
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def root_image(image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with systemd, and the service where the package and the image have it."""
    have = subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0
    if not have:
        make = (
            f"mmdebstrap --quiet --variant=essential --include={PACKAGES}"
            " --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --aptopt='APT::Install-Recommends \"false\"'"
            f" bookworm - | podman import --quiet - {BASE}"
        )
        subprocess.run([*OUTSIDE, "sh", "-ec", make], timeout=BUILD_SECONDS, check=True)
    folder = tmp_path_factory.mktemp("systemd")
    (folder / "Containerfile").write_text(f"FROM {BASE}\nCOPY --from={image} /opt/asyncnic /opt/asyncnic\n")
    name = "localhost/asyncnic-systemd:test"
    subprocess.run(["podman", "build", "-q", *LIMITS, "-t", name, str(folder)], timeout=BUILD_SECONDS, check=True)
    return name


class Booted:
    """A systemd in a container. Made by `booted`."""

    def __init__(self, name: str, config: Path) -> None:
        self.name = name
        self.config = config
        self.url = "http://127.0.0.1:9732"

    def inside(self, *command: str) -> str:
        """Run a command in the container; what it printed."""
        return program("podman", "exec", self.name, *command)

    def shown(self, *properties: str) -> dict[str, str]:
        """Properties of the unit."""
        lines = self.inside("systemctl", "show", "-p", ",".join(properties), "asyncnic").splitlines()
        return dict(line.split("=", 1) for line in lines if line)

    def ask(self, path: str) -> str:
        """The body of an answer with status 200."""
        with _opener.open(self.url + path, timeout=10) as response:
            found: str = response.read().decode()
            return found

    def status(self) -> dict[str, str]:
        """/proc/PID/status of the service."""
        text = self.inside("cat", f"/proc/{self.shown('MainPID')['MainPID']}/status")
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def active(self) -> bool:
        """Whether the service is up, as it has told systemd."""
        found = subprocess.run(
            ["podman", "exec", self.name, "systemctl", "is-active", "asyncnic"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        assert found != "failed", self.inside("systemctl", "status", "--no-pager", "asyncnic")
        return found == "active"


@contextmanager
def booted(root_image: str, folder: Path, config: str, *drop_ins: Path) -> Iterator[Booted]:
    """The unit with this configuration, started by systemd and active."""
    units, etc, node = folder / "units", folder / "etc", folder / "tun"
    etc.mkdir()
    (units / "asyncnic.service.d").mkdir(parents=True)
    (units / "asyncnic.service").write_text(UNIT.read_text())
    for drop_in in drop_ins:
        (units / "asyncnic.service.d" / drop_in.name).write_text(drop_in.read_text())
    for target in TARGETS:
        (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (units / "default.target").write_text("[Unit]\nDefaultDependencies=no\nRequires=asyncnic.service\n")
    (etc / "asyncnic.toml").write_text(config)
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(10, 200))
    node.chmod(0o666)
    name = f"asyncnic-systemd-{os.getpid()}"
    mounts = ("--volume", f"{units}:/units:ro", "--volume", f"{etc}:/etc/asyncnic", "--device", f"{node}:/dev/net/tun")
    # Of all units that Debian has, systemd finds these alone.
    environment = ("--env", "SYSTEMD_UNIT_PATH=/units")
    command = ["podman", "run", "--rm", "--detach", "--name", name, *LIMITS, "--network", "host", "--systemd=always"]
    program(*command, *POWERS, *mounts, *environment, root_image, "/lib/systemd/systemd")
    try:
        machine = Booted(name, etc / "asyncnic.toml")
        wait_until(machine.active, "the service is active", patience=60)
        yield machine
    finally:
        subprocess.run(["podman", "rm", "--force", "--time", "0", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", "asyncnic0"], capture_output=True, check=False)


def serves_is_reloaded_and_stops(machine: Booted, config: str) -> None:
    program("ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", HOST)
    assert machine.shown("StatusText") == {"StatusText": "serving tap:asyncnic0"}
    machine.config.write_text(config + "rx_budget = 17\n")
    machine.inside("systemctl", "reload", "asyncnic")
    wait_until(lambda: json.loads(machine.ask("/api/v1/stats"))["settings"]["rx_budget"] == 17, "it is reloaded")
    told = machine.shown("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"]
    wait_until(lambda: machine.shown("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"] != told, "it is alive")
    assert imbalance(json.loads(machine.ask("/api/v1/stats"))) == 0
    machine.inside("systemctl", "stop", "asyncnic")
    assert machine.shown("Result", "ExecMainStatus", "NRestarts") == {
        "Result": "success",
        "ExecMainStatus": "0",
        "NRestarts": "0",
    }


@pytest.mark.parametrize(("drop_ins", "left"), [((), 1 << 12 | 1 << 39), ((PREMADE,), 0)], ids=["unit", "premade tap"])
def test_the_unit_as_shipped_runs(root_image: str, tmp_path: Path, drop_ins: tuple[Path, ...], left: int) -> None:
    config = (ROOT / "deploy" / "asyncnic.toml").read_text()
    with booted(root_image, tmp_path, config, *drop_ins) as machine:
        status = machine.status()
        assert int(status["Uid"].split()[0]) >= 61184, "a dynamic user's"
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[kind], 16) == left
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        sandbox = json.loads(machine.ask("/api/v1/stats"))["sandbox"]
        assert sandbox["capabilities"] == ("net_admin,bpf" if left else "none")
        assert sandbox["seccomp"]
        assert sandbox["landlock"] >= 1
        serves_is_reloaded_and_stops(machine, config.replace("rx_budget = 64\n", ""))


def watched_config(sink: str) -> str:
    """Settings of a service that has all that the dashboard draws, `sink` among it."""
    return f'service = ["udp-discard:9", "{sink}"]\nsequence_gaps = [9]\ndelivery = "queue"\n'


@pytest.fixture(scope="module")
def watched(root_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the unit's service under load for a while, a knob having been turned meanwhile."""
    folder = tmp_path_factory.mktemp("watched")
    with (
        serving("redis", folder) as broker,
        booted(root_image, folder, watched_config(broker.service)) as machine,
        prometheus(folder, ["127.0.0.1:9732"]) as server,
        flood(150_000),
    ):
        wait_until(lambda: server.query("rate(asyncnic_offered_frames_total[5s]) > 0"), "two scrapes")
        machine.config.write_text(watched_config(broker.service) + 'rx_time_budget = "1ms"\n')
        machine.inside("systemctl", "reload", "asyncnic")
        wait_until(lambda: server.query('asyncnic_setting{name="rx_time_budget"} == 0.001'), "the knob is turned")
        wait_until(lambda: server.query("count_over_time(up[10s]) >= 10"), "a window full of scrapes")
        yield server


@pytest.mark.parametrize(("what", "expression"), [pytest.param(*query, id=query[0]) for query in queries()])
def test_every_panel_has_data_of_the_unit_s_service(watched: Prometheus, what: str, expression: str) -> None:
    assert watched.query(expression), f"{what}: no data for {expression}"
