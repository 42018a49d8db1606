"""A real Prometheus, started for a test: scrapes, evaluates the repository's rules, answers queries."""

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.service import wait_until

RULES = Path(__file__).parents[2] / "dashboards" / "rules"
SCRAPE_SECONDS = 1
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """What a test asks a running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an API answer."""
        query = urllib.parse.urlencode(parameters)
        with _opener.open(f"{self._url}/api/v1/{path}?{query}", timeout=10) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def number(self, expression: str) -> float:
        """The value of the only series of an instant query."""
        (series,) = self.query(expression)
        return float(series["value"][1])

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"}

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            with _opener.open(f"{self._url}/-/ready", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False


def sooner(rules: str) -> str:
    """Rules with every duration cut to what a test can wait for: windows to 5 s, patience to 2 s."""
    return re.sub(r"for: \d+[sm]", "for: 2s", re.sub(r"\[\d+m\]", "[5s]", rules))


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Prometheus scraping `targets` (host:port) as job asyncnic every second, with the rules made sooner."""
    for rules in RULES.glob("*.rules.yaml"):
        (folder / rules.name).write_text(sooner(rules.read_text()))
    job = {"job_name": "asyncnic", "static_configs": [{"targets": list(targets)}]}
    pace = {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"}
    # JSON is YAML.
    config = {"global": pace, "rule_files": ["*.rules.yaml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
            ],
            stderr=log,
        )
    try:
        server = Prometheus(f"http://{address}")
        wait_until(server.ready, "Prometheus is ready")
        yield server
    finally:
        process.terminate()
        process.wait()
