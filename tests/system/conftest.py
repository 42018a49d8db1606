"""Fixtures of the tests that run `asyncnic` as a child process against other people's programs."""

import itertools
import resource
from collections.abc import Iterator
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


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """As many as this process may have: a crowd needs thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
