"""The name of the kernel's interface, which is deleted after each test."""

import subprocess
from collections.abc import Iterator

import pytest


@pytest.fixture
def interface(tap_name: str) -> Iterator[str]:
    name = f"k{tap_name}"
    yield name
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
