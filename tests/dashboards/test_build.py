"""The committed dashboards and rules: fresh, well-formed, and true to what an operator is promised."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "dashboards"
RULES = DASHBOARDS / "rules"


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DASHBOARDS / "asyncnic-overview.json").read_text())
    return loaded


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_committed_json_is_what_the_source_makes() -> None:
    result = run(sys.executable, "dashboards/build.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The dashboards' source, and what the service says of its metrics, where they may be changed."""
    (tmp_path / "tests" / "web").mkdir(parents=True)
    (tmp_path / "tests" / "web" / "golden.prom").write_text((ROOT / "tests" / "web" / "golden.prom").read_text())
    (tmp_path / "dashboards").mkdir()
    for source in DASHBOARDS.glob("*.py"):
        (tmp_path / "dashboards" / source.name).write_text(source.read_text())
    return tmp_path / "dashboards"


def test_check_shows_the_difference_of_a_stale_file(copied: Path) -> None:
    stale = (DASHBOARDS / "asyncnic-overview.json").read_text().replace("asyncnic-overview", "other", 1)
    (copied / "asyncnic-overview.json").write_text(stale)
    result = run(sys.executable, str(copied / "build.py"), "--check")
    assert result.returncode == 1
    assert '-  "uid": "other"' in result.stdout
    assert "stale" in result.stderr
    assert run(sys.executable, str(copied / "build.py")).returncode == 0
    assert run(sys.executable, str(copied / "build.py"), "--check").returncode == 0


def test_a_panel_of_a_metric_that_the_service_does_not_have_does_not_build(copied: Path) -> None:
    source = copied / "overview.py"
    source.write_text(source.read_text().replace("asyncnic_device_resets_total", "asyncnic_device_restarts_total"))
    for arguments in ((), ("--check",)):
        result = run(sys.executable, str(copied / "build.py"), *arguments)
        assert result.returncode == 1
        assert result.stderr == ("asyncnic_device_restarts_total: the service has no such metric (see golden.prom)\n")


def test_panels_say_what_the_collector_says_of_their_metrics(board: dict[str, Any]) -> None:
    said = {panel["title"]: panel["description"] for panel in panels(board)}
    assert said["Resets"].endswith(
        "\n\nasyncnic_device_resets_total: Times that the chip was reset and initialised again."
    )
    for panel in panels(board):
        for target in panel["targets"]:
            for metric in re.findall(r"asyncnic_\w+?(?=_bucket\b|_sum\b|_count\b|\{)", target["expr"]):
                assert f"\n\n{metric}: " in panel["description"], panel["title"]


def test_rows_are_the_questions_in_order(board: dict[str, Any]) -> None:
    assert [panel["title"] for panel in board["panels"] if panel["type"] == "row"] == [
        "Is it up?",
        "Where did every frame go?",
        "Is it overloaded?",
        "Which knob would help?",
        "The stack",
        "The process",
    ]


def test_conventions_of_the_whole_board(board: dict[str, Any]) -> None:
    assert board["uid"] == "asyncnic-overview"
    assert board["graphTooltip"] == 1, "shared crosshair"
    assert {"datasource", "instance", "device"} <= {variable["name"] for variable in board["templating"]["list"]}


def test_every_panel_says_what_it_is_for_and_asks_the_chosen_source(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]


def test_rates_follow_the_scrape_interval_and_everything_the_chosen_device(board: dict[str, Any]) -> None:
    for expression in expressions(board):
        assert re.findall(r"rate\([^[]*\[([^]]*)\]", expression) in ([], ["$__rate_interval"], ["$__rate_interval"] * 2)
        for metric, matchers in re.findall(r"(asyncnic_\w+)\{([^}]*)\}", expression):
            wanted = "$instance" if metric == "asyncnic_build_info" else "$device"
            assert wanted in matchers, expression
        assert not re.search(r"asyncnic_\w+(?![\w{])", expression), f"without a selector: {expression}"


def test_panels_tile_the_grid(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        x, y = place.get("x", 0), place.get("y", 0)
        cells = {(column, row) for column in range(x, x + place["w"]) for row in range(y, y + place["h"])}
        assert x + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_ledger_is_stacked_in_its_order_and_transmit_is_below_zero(board: dict[str, Any]) -> None:
    ledger = next(panel for panel in panels(board) if panel["title"] == "Every frame")
    assert [target["legendFormat"] for target in ledger["targets"]] == [
        "delivered",
        "dropped: kernel",
        "dropped: card",
        "dropped: driver",
        "dropped: queue",
        "filtered",
        "offered",
        "transmitted",
    ]
    assert ledger["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    below = next(o for o in ledger["fieldConfig"]["overrides"] if o["matcher"]["options"] == "^transmit")
    assert {"id": "custom.transform", "value": "negative-Y"} in below["properties"]


def test_promtool_accepts_the_rules() -> None:
    result = run("promtool", "check", "rules", *map(str, RULES.glob("*.rules.yaml")))
    assert result.returncode == 0, result.stdout + result.stderr


def test_rules_give_what_their_cases_say() -> None:
    result = run("promtool", "test", "rules", *map(str, RULES.glob("*.test.yaml")))
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_must_not() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "alerts.rules.yaml").read_text())
    cases = (RULES / "alerts.test.yaml").read_text()
    assert len(alerts) >= 8
    for alert in alerts:
        assert re.search(rf"alertname: {alert}\n\s+exp_alerts:\n", cases), f"{alert} never fires in a case"
        assert re.search(rf"alertname: {alert}\n\s+exp_alerts: \[\]", cases), f"{alert} is never quiet in a case"
