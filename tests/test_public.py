"""The public names of the package, and what importing it costs."""

import subprocess
import sys

import pytest

import asyncnic

PUBLIC = ["Burst", "DeviceError", "DeviceLost", "Knobs", "Ledger", "Nic", "PrivilegeError", "open_nic"]
"""What users may rely on: a name leaves this list with a major version only."""
HEAVY = ("asyncio", "pydantic", "pyroute2", "aiohttp", "uvloop", "prometheus_client", "rich")


def imported(program: str) -> set[str]:
    """The modules that a fresh interpreter has after `program`."""
    found = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(found.stdout.split())


def test_the_public_names_are_these() -> None:
    assert sorted(asyncnic.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(asyncnic))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_comes_from_its_home_at_its_first_use(name: str) -> None:
    assert asyncnic._HOMES[name] in imported(f"from asyncnic import {name}")


def test_there_is_no_other() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'open_nci'"):
        asyncnic.__getattr__("open_nci")


@pytest.mark.parametrize(
    "program",
    [
        "import asyncnic",
        "from asyncnic.cli import main; main(['--version'])",
        "from asyncnic.cli import main; main(['--help'])",
    ],
)
def test_what_needs_no_event_loop_imports_none(program: str) -> None:
    assert not set(HEAVY) & imported(program)
