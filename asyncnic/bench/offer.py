"""The receiving side's handle on a load generator process: start it, let it go, take its count.

Nothing here blocks for long or needs an event loop: ask `finished` from time to time.
"""

import json
import select
import subprocess
import sys
from collections.abc import Sequence

from asyncnic.bench import load
from asyncnic.bench.load import LoadError, Offered


class Offer:
    """A load generator in a process of its own, ready to go. It runs as a script, without the package around it.

    Args:
        arguments: those of ``python -m asyncnic.bench.load``, the target first.
        script: the generator.

    Raises:
        LoadError: it did not come up; the message is its own.
    """

    def __init__(self, arguments: Sequence[str], script: str = load.__file__) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", script, *arguments, "--wait"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            _, errors = self._process.communicate()
            raise LoadError(errors.strip())

    def go(self) -> None:
        """Start the load."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    @property
    def finished(self) -> bool:
        """Whether the load is over, and its result there. Never blocks."""
        assert self._process.stdout is not None
        return self._process.stdout.closed or bool(select.select([self._process.stdout], [], [], 0)[0])

    def result(self) -> Offered:
        """What was offered; waits for the end of the load.

        Raises:
            LoadError: the generator failed; the message is its own.
        """
        output, errors = self._process.communicate()
        if self._process.returncode != 0:
            raise LoadError(errors.strip() or f"load generator: exit code {self._process.returncode}")
        return Offered(**json.loads(output))

    def stop(self) -> None:
        """End the load now, whatever it has offered. Idempotent."""
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self._process.kill()
            self._process.communicate()
