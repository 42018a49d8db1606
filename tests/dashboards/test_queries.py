"""Every query of the dashboard on a real Prometheus that scrapes the real service under load."""

import json
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboards.prometheus import Prometheus, prometheus
from tests.sinks.brokers import serving
from tests.system.flood import flood
from tests.system.service import HOST, PEER, running, wait_until

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "dashboards" / "asyncnic-overview.json"
VARIABLES = {
    "$__rate_interval": "5s",
    "$__range": "30s",
    "$job": "asyncnic",
    "$instance": ".+",
    "$device": "tap:.+",
}
INET = ("--address", f"{HOST}/24", "--host-address", f"{PEER}/24", "--service", "udp-discard:9", "--sequence-gaps", "9")
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


@pytest.fixture(scope="module")
def under_load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a flooded service for a while, a knob having been turned in the middle of it."""
    folder = tmp_path_factory.mktemp("load")
    config = folder / "asyncnic.toml"
    config.write_text('rx_time_budget = "2ms"\n')
    flags = (*INET, "--delivery", "queue", "--config", str(config))
    with (
        serving("redis", folder) as broker,
        running("tapload", folder / "service.log", *flags, "--service", broker.service) as service,
        prometheus(folder, [service.url.removeprefix("http://")]) as server,
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


def test_the_law_holds_in_every_scrape_to_the_frame(under_load: Prometheus) -> None:
    unaccounted = "device:asyncnic_unaccounted_frames:difference"
    assert under_load.number(f"min_over_time({unaccounted}[1m])") == 0
    assert under_load.number(f"max_over_time({unaccounted}[1m])") == 0


def test_a_turned_knob_is_annotated(under_load: Prometheus) -> None:
    annotations: list[dict[str, Any]] = json.loads(BOARD.read_text())["annotations"]["list"]
    assert any("changes(asyncnic_setting" in annotation.get("expr", "") for annotation in annotations)
    assert under_load.number(KNOB_TURNED) == 1
