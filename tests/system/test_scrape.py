"""A real Prometheus scrapes the service while it is flooded; promtool reads what it is given."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asyncnic.bench.offer import Offer
from tests.system.service import HOST, Run, program, wait_until

LAW = " - ".join(
    f"sum by (device) ({series})"
    for series in (
        "asyncnic_offered_frames_total",
        "asyncnic_delivered_frames_total",
        "asyncnic_filtered_frames_total",
        "asyncnic_dropped_frames_total",
        'asyncnic_ring_descriptors{ring="rx",owner="host"}',
        "asyncnic_queue_frames",
    )
)
"""0 at every scrape, whatever the load: a scrape is one moment."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Prometheus:
    """A Prometheus that scrapes one target every second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        query = urllib.parse.urlencode({"query": expression})
        with _opener.open(f"{self.url}/api/v1/query?{query}", timeout=10) as response:
            found: list[dict[str, Any]] = json.load(response)["data"]["result"]
            return found

    def samples(self, expression: str) -> list[float]:
        """The values of the one series of a range query."""
        [series] = self.query(expression)
        return [float(value) for _, value in series["values"]]


@contextmanager
def scraping(target: str, folder: Path, port: int) -> Iterator[Prometheus]:
    """Prometheus, up and with a first scrape of `target` (host:port)."""
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: asyncnic, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(["prometheus", *flags], stderr=log) as process:
        try:
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            wait_until(lambda: _answers(prometheus), "Prometheus has scraped")
            yield prometheus
        finally:
            process.terminate()


def _answers(prometheus: Prometheus) -> bool:
    try:
        return any(sample["value"][1] == "1" for sample in prometheus.query("up"))
    except OSError:
        return False


def test_every_scrape_of_a_flood_succeeds_and_balances(run: Run, tmp_path: Path) -> None:
    flags = ("--address", f"{HOST}/24", "--service", "udp-discard:9")
    with run(*flags) as service, scraping(service.url.removeprefix("http://"), tmp_path, 9733) as prometheus:
        flood = Offer([HOST, "--port", "9", "--seconds", "6"])
        flood.go()
        program("promtool", "check", "metrics", input=service.ask("/metrics")[1])
        assert flood.result().datagrams > 100_000
        offered = service.settled()["offered"]
        wait_until(lambda: prometheus.query(f"asyncnic_offered_frames_total >= {offered}"), "a scrape after the flood")
        assert min(prometheus.samples("up[1m]")) == 1
        assert max(prometheus.samples("scrape_duration_seconds[1m]")) < 1
        imbalances = prometheus.samples(f"({LAW})[1m:1s]")
        assert set(imbalances) == {0.0}
        assert prometheus.query("rate(asyncnic_delivered_frames_total[1m]) > 0")


def test_the_golden_scrape_is_what_promtool_likes() -> None:
    golden = Path(__file__).parent.parent / "web" / "golden.prom"
    assert program("promtool", "check", "metrics", input=golden.read_text()) == ""
