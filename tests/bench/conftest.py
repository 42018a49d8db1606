"""A TAP without any driver: what the load generator is measured against."""

import os
from collections.abc import Iterator

import pytest

from asyncnic.bench import wires
from asyncnic.linux import tun


class BareTap:
    """An open TAP with the experiments' addresses on its host side."""

    def __init__(self, name: str) -> None:
        self.name = name
        wires.make_tap(name)
        self.fd = tun.attach(name)
        wires.wait_until_up(name)

    def drain(self) -> list[bytes]:
        """Read every frame that waits."""
        frames = []
        try:
            while True:
                frames.append(os.read(self.fd, 2048))
        except BlockingIOError:
            return frames


@pytest.fixture
def bare_tap(tap_name: str) -> Iterator[BareTap]:
    tap = BareTap(tap_name)
    yield tap
    os.close(tap.fd)
