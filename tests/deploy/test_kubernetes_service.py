"""deploy/kubernetes-service: held to Kubernetes' schemas, to what it promises, and to the rest of the repository."""

import re
import sys
from typing import Any

import pytest
import yaml

from asyncnic.service.service import SPARE_SECONDS
from asyncnic.service.supervisor import PATIENCE
from asyncnic.settings.load import load
from asyncnic.settings.values import split_listen
from asyncnic.stacks.choice import choose
from tests.deploy.conftest import ROOT
from tests.deploy.test_configuration import run

FOLDER = ROOT / "deploy" / "kubernetes-service"
MANIFESTS = (
    "namespace.yaml",
    "deployment.yaml",
    "service.yaml",
    "disruption-budget.yaml",
    "autoscaler.yaml",
    "network-policy.yaml",
)


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return loaded


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = manifest("deployment.yaml")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_manifests_are_of_their_schema(name: str, version: str) -> None:
    result = run(sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, FOLDER / name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_kustomization_names_every_file_of_the_folder() -> None:
    kustomization = manifest("kustomization.yaml")
    generated = [name for generator in kustomization["configMapGenerator"] for name in generator["files"]]
    assert {"kustomization.yaml", *kustomization["resources"], *generated} == {one.name for one in FOLDER.iterdir()}
    assert set(MANIFESTS) | {"pod-monitor.yaml"} == set(kustomization["resources"])


def test_nothing_of_the_node_is_asked_for() -> None:
    spec = pod()
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    (service,) = spec["containers"]
    assert service["resources"]["limits"].keys() == {"cpu", "memory"}
    assert not [port for port in service["ports"] if "hostPort" in port]


def test_one_capability_is_all_that_it_has() -> None:
    (service,) = pod()["containers"]
    assert service["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
    }
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= service.keys()


def test_names_and_ports_agree_across_files() -> None:
    deployment = manifest("deployment.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"]: port for port in pod()["containers"][0]["ports"]}
    service, policy, monitor = manifest("service.yaml"), manifest("network-policy.yaml"), manifest("pod-monitor.yaml")
    budget, scaler = manifest("disruption-budget.yaml"), manifest("autoscaler.yaml")
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [monitor["spec"]["selector"]["matchLabels"], policy["spec"]["podSelector"]["matchLabels"]]
    selectors += [budget["spec"]["selector"]["matchLabels"]]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (echo,) = service["spec"]["ports"]
    assert ports[echo["targetPort"]]["protocol"] == echo["protocol"] == "UDP"
    allowed = {port["port"]: port["protocol"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == {name: port.get("protocol", "TCP") for name, port in ports.items()}
    assert [endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["metrics"]


def test_its_configuration_is_accepted_and_has_the_ports_that_are_named() -> None:
    loaded = load({}, {}, FOLDER / "asyncnic.toml")
    assert loaded.device == "packet:eth0"
    assert not loaded.address  # the pod's own
    choose(loaded)  # raises where a service is none
    ports = {port["name"]: port["containerPort"] for port in pod()["containers"][0]["ports"]}
    assert split_listen(loaded.listen) == ("0.0.0.0", ports["metrics"])
    assert [str(service).rpartition(":")[2] for service in loaded.service] == [str(ports["echo"])]
    assert min(ports.values()) > 1023, "below, one more capability is needed"


def test_pods_are_added_by_a_metric_that_there_is() -> None:
    scaler = manifest("autoscaler.yaml")["spec"]
    (rule,) = manifest("adapter-rules.yaml")["rules"]
    asked = [metric["pods"]["metric"]["name"] for metric in scaler["metrics"] if metric["type"] == "Pods"]
    assert asked == [rule["name"]["as"]]
    series, labels = re.fullmatch(r"(\w+)\{(.*)\}", rule["seriesQuery"]).groups()  # type: ignore[union-attr]
    golden = (ROOT / "tests" / "web" / "golden.prom").read_text()
    assert re.search(rf"^{series}\{{.*{re.escape(labels.split(',')[0])}.*\}} ", golden, re.MULTILINE)
    assert scaler["minReplicas"] > manifest("disruption-budget.yaml")["spec"]["maxUnavailable"]
    assert "cpu" in pod()["containers"][0]["resources"]["requests"], "what a utilization is of"


def test_the_pod_may_end_for_as_long_as_that_may_take() -> None:
    assert pod()["terminationGracePeriodSeconds"] > 3.0 + PATIENCE + SPARE_SECONDS
