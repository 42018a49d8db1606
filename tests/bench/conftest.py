"""A TAP without any driver: what the load generator is measured against."""

import fcntl
import os
import struct
from collections.abc import Iterator

import pytest

from asyncnic.bench import wires

TUNSETIFF = 0x4004_54CA
IFF_TAP_NO_PI = 0x1002


class BareTap:
    """An open TAP with the experiments' addresses on its host side."""

    def __init__(self, name: str) -> None:
        self.name = name
        wires.make_tap(name)
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
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
