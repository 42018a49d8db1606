"""Fixtures of the tests that run `asyncnic` as a child process against other people's programs."""

import itertools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.system.service import Run, Service, running


@pytest.fixture
def run(tap_name: str, tmp_path: Path) -> Run:
    """`running` on the test's TAP, with a log of its own each time."""
    numbers = itertools.count()

    def start(*flags: str, **options: Any) -> AbstractContextManager[Service]:
        return running(tap_name, tmp_path / f"service{next(numbers)}.log", *flags, **options)

    return start
