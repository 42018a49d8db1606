"""Which form of the hot path runs."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnic import hot
from asyncnic.hot import flows

TEXTS = sorted(path.stem[1:] for path in Path(hot.__file__).parent.glob("_*.pxd"))


def test_the_variable_chooses_the_plain_twin() -> None:
    code = "from asyncnic import hot; print(hot.IMPLEMENTATION)"
    for variable, expected in (("", "compiled"), ("plain", "plain")):
        environment = os.environ | {hot.VARIABLE: variable}
        shown = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == expected


@pytest.mark.parametrize("name", TEXTS)
def test_each_text_is_compiled_and_runs_interpreted_too(name: str) -> None:
    text, built = importlib.import_module(f"asyncnic.hot.{name}"), importlib.import_module(f"asyncnic.hot._{name}")
    assert (text.__file__ or "").endswith(".py")
    assert not (built.__file__ or "").endswith(".py")
    classes = {found for found, thing in vars(text).items() if getattr(thing, "__module__", "") == text.__name__}
    assert {found for found in classes if found[0] != "_"} <= set(vars(built))


def test_the_choice_reaches_the_stack() -> None:
    built = importlib.import_module("asyncnic.hot._flows").udp_burst
    assert hot.choose(flows.udp_burst) is (built if hot.IMPLEMENTATION == "compiled" else flows.udp_burst)
