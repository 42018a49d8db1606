"""The manuals that are made of the code: none is stale, and each says all there is to say."""

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from asyncnic.cli import COMMANDS
from asyncnic.settings.model import Settings
from tests.deploy.conftest import ROOT

SCRIPT = ROOT / "deploy/docs/manuals.py"


@pytest.fixture(scope="module")
def manuals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manuals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_committed_is_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_is_in_the_reference(manuals: ModuleType) -> None:
    text = manuals.settings()
    assert [line[4:-1] for line in text.splitlines() if line.startswith("## ")] == list(Settings.model_fields)


def test_every_metric_of_the_scrape_is_in_the_dictionary(manuals: ModuleType) -> None:
    families = {
        line.split()[2]
        for line in (ROOT / "tests/web/golden.prom").read_text().splitlines()
        if line.startswith("# TYPE")
    }
    text = manuals.metrics()
    assert families
    assert all(f"| `{family}` |" in text for family in families)


def test_events_have_their_fields(manuals: ModuleType) -> None:
    assert "| ready | info | device, mac, stack, delivery, lanes | `asyncnic.service.service` |" in manuals.events()


def test_every_command_has_a_man_page_that_roff_takes(manuals: ModuleType) -> None:
    pages = dict(manuals.man_pages())
    assert {"asyncnic", *(f"asyncnic-{name}" for name in COMMANDS)} <= pages.keys()
    for name, text in pages.items():
        done = subprocess.run(["groff", "-man", "-ww", "-z"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
