"""The alerts on a real Prometheus: they fire when the trouble starts and resolve when it ends."""

from pathlib import Path

import pytest

from tests.dashboards.prometheus import prometheus
from tests.system.flood import flood
from tests.system.service import HOST, MAC, PEER, program, running, wait_until

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]


def test_alerts_fire_when_the_flood_starts_and_resolve_when_it_ends(tmp_path: Path) -> None:
    expected = {"AsyncnicLosingFrames", "AsyncnicOverloaded"}
    flags = ("--host-address", f"{PEER}/24", "--stack", "tests.dashboards.slow:stack")
    with (
        running("tapalert", tmp_path / "service.log", *flags, env={"PYTHONPATH": str(ROOT)}) as service,
        prometheus(tmp_path, [service.url.removeprefix("http://")]) as server,
    ):
        wait_until(lambda: server.query("count_over_time(up[5s]) >= 4"), "some scrapes")
        assert server.firing() == set()
        program("ip", "neighbour", "add", HOST, "lladdr", MAC, "dev", "tapalert")
        with flood(20_000):
            wait_until(lambda: server.firing() >= expected, "alerts fire", patience=60)
            assert server.firing() <= expected | {"AsyncnicLoopLate"}
        wait_until(lambda: server.firing() == set(), "alerts resolve", patience=60)


def test_the_alert_for_a_service_that_is_gone_fires_and_resolves(tmp_path: Path) -> None:
    with running("tapgone", tmp_path / "first.log", "--host-address", f"{PEER}/24") as service:
        target = service.url.removeprefix("http://")
    with prometheus(tmp_path, [target]) as server:
        wait_until(lambda: server.firing() == {"AsyncnicDown"}, "the alert fires", patience=60)
        with running("tapgone", tmp_path / "second.log", "--host-address", f"{PEER}/24", "--listen", target):
            wait_until(lambda: server.firing() == set(), "the alert resolves", patience=60)
