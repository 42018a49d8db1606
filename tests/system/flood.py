"""A flood of datagrams from a process of its own, for as long as a test wants it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.system.service import HOST

LONGEST = 120
"""Seconds after which a flood ends by itself, whatever became of the test."""


@contextmanager
def flood(rate: int, host: str = HOST, port: int = 9) -> Iterator[None]:
    """Offer `rate` datagrams a second, or what the machine can, to udp-discard at `host` until the context is left."""
    command = [sys.executable, "-m", "asyncnic.bench.load", host, "--port", str(port)]
    sender = subprocess.Popen([*command, "--rate", str(rate), "--seconds", str(LONGEST)], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        sender.kill()
        sender.wait()
