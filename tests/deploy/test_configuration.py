"""deploy/: what can be checked without starting anything. Each file is put before the program that will read it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from asyncnic.service.service import QUIET_SECONDS, SPARE_SECONDS
from asyncnic.service.supervisor import PATIENCE
from asyncnic.service.workers.group import WorkerGroup
from asyncnic.settings import model as settings_model
from asyncnic.settings.load import load
from asyncnic.settings.sinks import is_sink, parse_sink
from asyncnic.settings.values import duration, split_listen

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNIT = DEPLOY / "systemd" / "asyncnic.service"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return loaded


class TestExampleToml:
    TEXT = (DEPLOY / "asyncnic.toml").read_text()

    def test_it_holds_every_setting_with_its_default(self) -> None:
        loaded = load({}, {}, DEPLOY / "asyncnic.toml")
        assert tomllib.loads(self.TEXT).keys() == settings_model.Settings.model_fields.keys()
        assert settings_model.changed(loaded, load({}, {}, None)) == set()

    def test_every_key_is_explained(self) -> None:
        for name in settings_model.Settings.model_fields:
            assert re.search(rf"^# .*\n{name} = ", self.TEXT, re.MULTILINE), name

    def test_exactly_the_live_keys_are_marked_live(self) -> None:
        marked = re.findall(r"^# Live[.,](?:.*\n#)*.*\n(\w+) = ", self.TEXT, re.MULTILINE)
        assert set(marked) == settings_model.LIVE


class TestSystemd:
    def test_the_unit_verifies(self, tmp_path: Path) -> None:
        (tmp_path / "asyncnic").write_text("#!/bin/sh\n")
        (tmp_path / "asyncnic").chmod(0o755)
        text = UNIT.read_text().replace("/opt/asyncnic/bin/asyncnic", str(tmp_path / "asyncnic"))
        unit = tmp_path / "asyncnic.service"
        unit.write_text(text)
        result = run("systemd-analyze", "verify", "--man=no", unit)
        assert (result.returncode, result.stderr) == (0, "")

    @pytest.mark.parametrize(("dropped_in", "worst"), [(False, 2.0), (True, 1.7)], ids=["unit", "premade tap"])
    def test_its_exposure_is_low(self, tmp_path: Path, dropped_in: bool, worst: float) -> None:
        text = UNIT.read_text()
        if dropped_in:
            text += (DEPLOY / "systemd" / "asyncnic.service.d" / "premade-tap.conf").read_text()
        unit = tmp_path / "asyncnic.service"
        unit.write_text(text)
        result = run("systemd-analyze", "security", "--offline=true", f"--threshold={int(worst * 10)}", unit)
        assert result.returncode == 0, result.stdout

    def test_it_is_told_of_readiness_and_watched(self) -> None:
        text = UNIT.read_text()
        assert "Type=notify\n" in text
        assert "WatchdogSec=" in text

    def test_every_process_metric_of_the_dashboard_is_there_in_the_proc_that_the_unit_gives(self) -> None:
        """proc(5) as systemd.exec(5) mounts it for ProtectProc= and ProcSubset=."""
        drawn = set(re.findall(r"\bprocess_\w+", (ROOT / "dashboards" / "asyncnic-overview.json").read_text()))
        assert drawn
        said = dict(re.findall(r"^(ProtectProc|ProcSubset)=(\w+)$", UNIT.read_text(), re.MULTILINE))
        options = {"ProtectProc": "hidepid", "ProcSubset": "subset"}
        mounted = ",".join(f"{options[name]}={value}" for name, value in said.items()) or "defaults"
        script = "from prometheus_client import generate_latest, REGISTRY; print(generate_latest(REGISTRY).decode())"
        inside = f'mount -t proc -o {mounted} proc /proc && exec "$@"'
        shown = run("unshare", "--mount", "--pid", "--fork", "sh", "-ec", inside, "sh", sys.executable, "-c", script)
        assert shown.returncode == 0, shown.stderr
        assert drawn <= set(re.findall(r"^process_\w+", shown.stdout, re.MULTILINE))

    def test_every_manager_drains_and_waits_longer_than_the_end_may_take(self) -> None:
        end = WorkerGroup.patience + PATIENCE + SPARE_SECONDS
        (unit,) = re.findall(r"^TimeoutStopSec=(\w+)$", UNIT.read_text(), re.MULTILINE)
        (drain,) = re.findall(r"^Environment=ASYNCNIC_DRAIN=(\w+)$", UNIT.read_text(), re.MULTILINE)
        pod = manifest("daemonset.yaml")["spec"]["template"]["spec"]
        compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]["asyncnic"]
        deployment = DEPLOY / "kubernetes-service" / "deployment.yaml"
        waits = {
            "systemd": (duration(drain), duration(unit)),
            "Kubernetes": (
                load({}, {}, KUBERNETES / "asyncnic.toml").drain,
                float(pod["terminationGracePeriodSeconds"]),
            ),
            "Kubernetes, pods behind a load balancer": (
                load({}, {}, DEPLOY / "kubernetes-service" / "asyncnic.toml").drain,
                float(
                    yaml.safe_load(deployment.read_text())["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
                ),
            ),
            "Compose": (duration(compose["environment"]["ASYNCNIC_DRAIN"]), duration(compose["stop_grace_period"])),
        }
        for name, (drains, waits_for) in waits.items():
            assert drains > QUIET_SECONDS, name
            assert waits_for > drains + end, (name, drains, waits_for, end)


class TestKubernetes:
    def test_kustomization_names_every_file_of_the_folder(self) -> None:
        kustomization = manifest("kustomization.yaml")
        generated = [name for generator in kustomization["configMapGenerator"] for name in generator["files"]]
        named = {"kustomization.yaml", *kustomization["resources"], *generated}
        assert named == {path.name for path in KUBERNETES.iterdir()}

    @pytest.mark.parametrize("name", ["namespace.yaml", "device-plugin.yaml", "daemonset.yaml", "network-policy.yaml"])
    @pytest.mark.parametrize("version", ["1.29", "1.37"])
    def test_manifests_are_of_their_schema(self, name: str, version: str) -> None:
        result = run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, KUBERNETES / name)
        assert result.returncode == 0, result.stdout + result.stderr

    def test_a_wrong_field_would_be_seen(self, tmp_path: Path) -> None:
        wrong = (KUBERNETES / "daemonset.yaml").read_text().replace("readOnlyRootFilesystem", "readOnlyRoot")
        (tmp_path / "daemonset.yaml").write_text(wrong)
        result = run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", "1.37", tmp_path / "daemonset.yaml")
        assert result.returncode != 0

    def test_what_serves_has_no_privilege(self) -> None:
        pod = manifest("daemonset.yaml")["spec"]["template"]["spec"]
        (service,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert service["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= service.keys()
        assert service["resources"]["limits"].keys() == {"cpu", "memory", "squat.ai/tun"}

    def test_names_agree_across_files(self) -> None:
        daemonset = manifest("daemonset.yaml")
        labels = daemonset["spec"]["template"]["metadata"]["labels"]
        (service,) = daemonset["spec"]["template"]["spec"]["containers"]
        (port,) = service["ports"]
        monitor, policy = manifest("pod-monitor.yaml"), manifest("network-policy.yaml")
        assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == [port["name"]]
        assert policy["spec"]["ingress"][0]["ports"][0]["port"] == port["name"]
        plugin = manifest("device-plugin.yaml")["spec"]["template"]["spec"]["containers"][0]
        assert '"name": "tun"' in plugin["args"][1]

    def test_its_configuration_is_accepted(self) -> None:
        loaded = load({}, {}, KUBERNETES / "asyncnic.toml")
        assert loaded.host_address is None
        assert split_listen(loaded.listen)[0] == "0.0.0.0"

    def test_no_service_of_the_namespace_puts_variables_into_the_pod(self) -> None:
        assert manifest("daemonset.yaml")["spec"]["template"]["spec"]["enableServiceLinks"] is False

    def test_nothing_in_the_image_beats_a_mounted_file(self) -> None:
        text = (DEPLOY / "container" / "Dockerfile").read_text()
        assert re.findall(r"\bASYNCNIC_\w+=", text) == []


class TestCompose:
    FOLDER = DEPLOY / "compose"

    def services(self) -> dict[str, dict[str, Any]]:
        loaded: dict[str, dict[str, Any]] = yaml.safe_load((self.FOLDER / "compose.yaml").read_text())["services"]
        return loaded

    def test_every_mounted_file_exists(self) -> None:
        mounts = [mount for service in self.services().values() for mount in service.get("volumes", [])]
        sources = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
        assert len(sources) >= 5
        for source in sources:
            assert (self.FOLDER / source).exists(), source

    def test_the_sinks_file_adds_to_what_is_there_and_its_sink_can_be_read(self) -> None:
        more = yaml.safe_load((self.FOLDER / "sinks.yaml").read_text())["services"]
        assert more.keys() & self.services().keys() == {"asyncnic"}
        loaded = load({}, {"ASYNCNIC_SERVICE": more["asyncnic"]["environment"]["ASYNCNIC_SERVICE"]}, None)
        (sink,) = [parse_sink(text) for text in loaded.service if is_sink(text)]
        assert sink.host in more
        assert more["consumer"]["command"] == [f"nats://{sink.host}:{sink.broker_port}", sink.target]
        (mount,) = more["consumer"]["volumes"]
        assert (self.FOLDER / mount.split(":")[0]).exists()
        for name in ("nats", "consumer"):
            assert (more[name]["cap_drop"], more[name]["read_only"]) == (["ALL"], True)

    def test_what_serves_has_no_privilege(self) -> None:
        service = self.services()["asyncnic"]
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert service["read_only"] is True

    def test_prometheus_scrapes_the_name_that_the_service_has(self) -> None:
        configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        (target,) = configuration["scrape_configs"][0]["static_configs"][0]["targets"]
        host, _, port = target.partition(":")
        wire = self.services()["wire"]
        assert host in wire["networks"]["default"]["aliases"]
        assert wire["ports"] == [f"127.0.0.1:{port}:{port}"]

    def test_promtool_accepts_the_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "rules").symlink_to(ROOT / "dashboards" / "rules")
        (tmp_path / "prometheus.yml").symlink_to(DEPLOY / "prometheus" / "prometheus.yml")
        result = run("promtool", "check", "config", tmp_path / "prometheus.yml")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "2 rule files found" in result.stdout

    def test_grafana_reads_the_dashboard_from_where_it_is_mounted(self) -> None:
        grafana = self.services()["grafana"]
        provider = yaml.safe_load((self.FOLDER / "grafana" / "dashboards.yaml").read_text())["providers"][0]
        home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
        assert home.parent == Path(provider["options"]["path"])
        assert any(mount.split(":")[1] == str(home) for mount in grafana["volumes"])
