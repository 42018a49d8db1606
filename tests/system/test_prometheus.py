"""A real Prometheus on a service under flood: every scrape succeeds, and PromQL finds every frame in every sample."""

import subprocess
import urllib.parse
from pathlib import Path

import pytest

from tests.dashboards.prometheus import Prometheus, prometheus
from tests.system.flood import flood
from tests.system.service import HOST, PATIENCE, Run, program, wait_until

LAW = (
    "asyncnic_offered_frames_total - sum without (lane) (asyncnic_delivered_frames_total)"
    " - asyncnic_filtered_frames_total - sum without (lane, stage, reason) (asyncnic_dropped_frames_total)"
    " - asyncnic_in_flight_frames"
)
SAMPLES = 4
"""That must have been taken while the flood lasted."""
ENDLESS = 10_000_000
"""Datagrams a second: more than any machine sends."""


def samples(monitor: Prometheus, metric: str) -> list[tuple[float, float]]:
    """Time and value of every sample of the last minutes, of all series together."""
    series = monitor.query(f"{metric}[5m]")
    return [(time, float(value)) for one in series for time, value in one["values"]]


@pytest.mark.parametrize(("loop", "delivery"), [("uvloop", "direct"), ("asyncio", "queue")])
def test_every_scrape_under_flood_succeeds_and_balances(run: Run, tmp_path: Path, loop: str, delivery: str) -> None:
    with run("--service", "udp-discard:9", "--loop", loop, "--delivery", delivery) as service:
        port = urllib.parse.urlsplit(service.url).port
        # Two names of one target, so that it is scraped at two moments of every second.
        with prometheus(tmp_path, [f"127.0.0.1:{port}", f"localhost:{port}"]) as monitor:
            wait_until(lambda: len(samples(monitor, "up")) >= 2, "the first scrapes")
            with flood(ENDLESS):
                before = len(samples(monitor, "up"))
                wait_until(lambda: len(samples(monitor, "up")) >= before + SAMPLES, "samples under flood")
            assert {value for _, value in samples(monitor, "up")} == {1.0}
            assert min(value for _, value in samples(monitor, "scrape_samples_scraped")) > 100
            moments = sorted({time for time, _ in samples(monitor, "asyncnic_offered_frames_total")})
            assert len(moments) > SAMPLES
            for moment in moments:
                result = monitor.get("query", query=LAW, time=repr(moment))["result"]
                assert {series["value"][1] for series in result} == {"0"}, (moment, result)
            assert monitor.query("sum by (instance) (asyncnic_dropped_frames_total) > 0"), "it was no flood"


def test_promtool_finds_nothing_to_complain_of(run: Run) -> None:
    with run() as service:
        program("ping", "-q", "-f", "-c", "100", HOST)
        status, text = service.ask("/metrics")
        assert status == 200
        assert text.count("\nasyncnic_") > 100
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
