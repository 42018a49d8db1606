"""What is promised stays: each name of stable.toml, which users may rely on, is there and is of the same kind."""

import re
import tomllib
from typing import Any

import pytest

import asyncnic
from asyncnic import cli
from asyncnic.nic.ledger import Ledger
from asyncnic.settings.model import Settings
from tests.deploy.conftest import ROOT

STABLE: dict[str, Any] = tomllib.loads((ROOT / "tests" / "deploy" / "stable.toml").read_text())
SERVED = "".join((ROOT / "asyncnic" / "web" / name).read_text() for name in ("server.py", "page.py"))
PROMISES = (ROOT / "deploy" / "docs" / "pages" / "promises.md").read_text()


def scraped() -> dict[str, list[str]]:
    """Type and labels of each metric of the scrape that a test holds the collector to."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "tests" / "web" / "golden.prom").read_text().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found[name] = [kind]
        elif not line.startswith("#"):
            sample, _, labels = line.partition("{")
            family = found[sample if sample in found else sample.rsplit("_", 1)[0]]
            family += [label for label in re.findall(r'(\w+)="', labels) if label not in family]
    return found


@pytest.mark.parametrize(
    ("what", "there"),
    [
        ("commands", set(cli.COMMANDS)),
        ("settings", set(Settings.model_fields)),
        ("paths", set(re.findall(r'web\.(?:get|post|put)\("([^"]+)"', SERVED))),
        ("public", set(asyncnic.__all__)),
        ("stats", set(Ledger.__dataclass_fields__)),
    ],
)
def test_every_name_that_is_promised_is_there(what: str, there: set[str]) -> None:
    assert len(STABLE[what]) == len(set(STABLE[what]))
    assert set(STABLE[what]) - there == set(), "leaves with a major version, after a warning (promises.md)"


def test_every_metric_that_is_promised_has_its_type_and_labels() -> None:
    now = scraped()
    assert len(STABLE["metrics"]) > 30
    for name, (kind, *labels) in STABLE["metrics"].items():
        assert name in now, name
        assert now[name][0] == kind, name
        assert set(labels) <= set(now[name][1:]), name


def test_the_exit_codes_are_what_they_were() -> None:
    assert STABLE["exit_codes"] == {
        "done": cli.DONE,
        "failed": cli.FAILED,
        "usage": cli.USAGE,
        "privilege": cli.PRIVILEGE,
        "device": cli.DEVICE,
    }


@pytest.mark.parametrize("section", ["What is stable", "Versions", "Security", "Changes", "Upgrading"])
def test_the_promises_have_a_section_for_each_question(section: str) -> None:
    assert re.search(rf"^##+ {section}$", PROMISES, re.MULTILINE)


def test_every_supported_python_is_one_that_wheels_are_made_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (oldest, newest) = re.findall(r"Python (3\.\d+) to (3\.\d+)", PROMISES)[0]
    built = [f"3.{build[3:5]}" for build in project["tool"]["cibuildwheel"]["build"]]
    assert (built[0], built[-1]) == (oldest, newest)
    assert project["project"]["requires-python"] == f">={oldest}"
