"""A service in a process of its own, for tests of signals and exit codes."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE = 20.0
"""Seconds after which a service that does not end is a failure."""


@dataclass
class Running:
    """A service that is ready."""

    process: subprocess.Popen[str]
    url: str

    def finish(self, number: int) -> tuple[int, list[str]]:
        """Send signal `number`; exit code and what is left on stderr."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err.splitlines()

    def event(self, name: str) -> dict[str, Any]:
        """The next event `name` of the log."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found: dict[str, Any] = json.loads(line)
            if found.get("event") == name:
                return found
        raise AssertionError(f"the service ended before {name!r}")


@contextmanager
def service(*flags: str, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """`asyncnic run` with `flags`, on a port of the kernel's choice, until it is ready; killed when left."""
    command = [
        *prefix,
        sys.executable,
        "-m",
        "asyncnic",
        "run",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        *flags,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            running = Running(process, "")
            running.url = str(running.event("serving HTTP")["url"]).rstrip("/")
            running.event("ready")
            yield running
        finally:
            process.kill()


def refusal(*flags: str, prefix: Sequence[str] = ()) -> tuple[int, str]:
    """Exit code and the one line of a `run` that does not start."""
    command = [*prefix, sys.executable, "-m", "asyncnic", "run", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    [line] = ended.stderr.splitlines()
    return ended.returncode, line
