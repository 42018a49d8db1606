"""Every query of the dashboard, and the alerts, on a real Prometheus that scrapes the real service under load."""

import json
import math
import os
import signal
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.prometheus import Prometheus, prometheus
from tests.system.flood import flood
from tests.system.service import HOST, Service, running, wait_until

BOARD = Path(__file__).parents[2] / "dashboards" / "asyncnic-overview.json"
VARIABLES = {
    "$__rate_interval": "5s",
    "$__range": "30s",
    "$job": "asyncnic",
    "$instance": ".+",
    "$device": "tap:.+",
}
INET = ("--address", f"{HOST}/24", "--host-address", "192.0.2.1/24", "--service", "udp-discard:9")
KNOB_TURNED = 'max_over_time((changes(asyncnic_setting{name="rx_time_budget"}[5s]) > bool 0)[30s:1s])'


def queries() -> list[tuple[str, str]]:
    """(panel and legend, PromQL) of every target, its variables filled in."""
    found = []
    for panel in json.loads(BOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            found.append((f"{panel['title']}: {target.get('legendFormat', '')}", expression))
    return found


def target_of(service: Service) -> str:
    return urllib.parse.urlsplit(service.url).netloc


@pytest.fixture(scope="module")
def under_load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a flooded service for a while, a knob having been turned in the middle of it."""
    folder = tmp_path_factory.mktemp("load")
    config = folder / "asyncnic.toml"
    config.write_text('rx_time_budget = "2ms"\n')
    flags = (*INET, "--delivery", "queue", "--config", str(config))
    with (
        running("tapload", folder / "service.log", *flags) as service,
        prometheus(folder, [target_of(service)]) as server,
        flood(150_000),
    ):
        wait_until(lambda: server.query("rate(asyncnic_offered_frames_total[5s]) > 0"), "two scrapes")
        config.write_text('rx_time_budget = "1ms"\n')
        os.kill(service.process.pid, signal.SIGHUP)
        wait_until(lambda: server.query('asyncnic_setting{name="rx_time_budget"} == 0.001'), "the knob is turned")
        wait_until(lambda: server.query("count_over_time(up[10s]) >= 10"), "a window full of scrapes")
        yield server


@pytest.mark.parametrize(("what", "expression"), [pytest.param(*query, id=query[0]) for query in queries()])
def test_every_query_of_every_panel_returns_data_under_load(under_load: Prometheus, what: str, expression: str) -> None:
    series = under_load.query(expression)
    assert series, f"{what}: no data for {expression}"
    values = [float(one["value"][1]) for one in series]
    assert not any(math.isnan(value) for value in values), f"{what}: {expression} gave {values}"


def test_no_scrape_failed_under_load(under_load: Prometheus) -> None:
    assert under_load.number("min_over_time(up[1m])") == 1
    assert under_load.number("max_over_time(scrape_duration_seconds[1m])") < 10


def test_the_law_holds_in_every_scrape_up_to_what_ring_and_queue_hold(under_load: Prometheus) -> None:
    unaccounted = "device:asyncnic_unaccounted_frames:difference"
    assert under_load.number(f"min_over_time({unaccounted}[1m])") >= 0
    assert under_load.number(f"max_over_time({unaccounted}[1m])") <= 256 + 1024


def test_a_turned_knob_is_annotated(under_load: Prometheus) -> None:
    annotations: list[dict[str, Any]] = json.loads(BOARD.read_text())["annotations"]["list"]
    assert any("changes(asyncnic_setting" in annotation.get("expr", "") for annotation in annotations)
    assert under_load.number(KNOB_TURNED) == 1


def test_alerts_fire_when_the_flood_starts_and_resolve_when_it_ends(tmp_path: Path) -> None:
    """A budget of four frames a burst makes any flood an overload."""
    expected = {"AsyncnicLosingFrames", "AsyncnicOverloaded"}
    flags = (*INET, "--rx-budget", "4")
    with (
        running("tapalert", tmp_path / "service.log", *flags) as service,
        prometheus(tmp_path, [target_of(service)]) as server,
    ):
        wait_until(lambda: server.query("count_over_time(up[5s]) >= 4"), "some scrapes")
        assert server.firing() == set()
        with flood(400_000):
            wait_until(lambda: server.firing() >= expected, "alerts fire", patience=60)
            assert server.firing() <= expected | {"AsyncnicLoopLate"}
        wait_until(lambda: server.firing() == set(), "alerts resolve", patience=60)


def test_the_alert_for_a_service_that_is_gone_fires_and_resolves(tmp_path: Path) -> None:
    with running("tapgone", tmp_path / "first.log", *INET) as service:
        target = target_of(service)
    with prometheus(tmp_path, [target]) as server:
        wait_until(lambda: server.firing() == {"AsyncnicDown"}, "the alert fires", patience=60)
        with running("tapgone", tmp_path / "second.log", *INET, "--listen", target):
            wait_until(lambda: server.firing() == set(), "the alert resolves", patience=60)
