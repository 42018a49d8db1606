"""One stream, or one crowd, on a receiver that is ready: starts the client, waits, and takes its word and the CPU time.

The client is stream_peer.py, or wrk where a page is asked for.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from asyncnic.bench import stream_apps, stream_peer, wires
from asyncnic.bench.stream import StreamCase, StreamRun
from asyncnic.bench.stream_peer import Pace
from asyncnic.errors import Failed
from asyncnic.linux.thread import in_thread

PORT = 5001
Start = Callable[[list[str]], "subprocess.Popen[str]"]


def popen(command: list[str]) -> "subprocess.Popen[str]":
    """A client in this namespace."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class StreamTrial:
    """What a case's client does, and what its application is.

    Args:
        case: what is measured.
        start: starts the client where it belongs.
        cpu: CPU seconds that the system has used.
    """

    def __init__(self, case: StreamCase, start: Start = popen, cpu: Callable[[], float] = time.process_time) -> None:
        self.case = case
        self.pace = Pace()
        self._start = start
        self._processor_time = cpu

    def application(self, streams: bool) -> Callable[[], asyncio.BaseProtocol]:
        """The protocol factory of the case."""
        case, pace = self.case, self.pace
        if case.direction == "http":
            return stream_apps.page()
        if case.direction == "in":
            return stream_apps.streams(stream_apps.taking(pace)) if streams else lambda: stream_apps.Taker(pace)
        if streams:
            return stream_apps.streams(stream_apps.giving(case.octets))
        return lambda: stream_apps.Giver(case.octets)

    async def play(self) -> StreamRun:
        """Run the client to its end beside whatever the loop runs.

        Raises:
            Failed: the stream broke, or wrk is not there.
        """
        case = self.case
        cpu = self._processor_time()
        try:
            process = await in_thread(self._start, self._command())
        except FileNotFoundError as error:
            raise Failed(f"{error.filename} is not installed (Debian: wrk)") from None
        out, errors = await in_thread(process.communicate)
        used = self._processor_time() - cpu
        if process.returncode:
            raise Failed(errors.strip() or f"the client ended with {process.returncode}")
        if case.direction == "http":
            return StreamRun(asdict(case), *read_wrk(out, used))
        said: dict[str, Any] = json.loads(out)
        came = self.pace.octets if case.direction == "in" else said["octets"]
        if came != case.octets:
            raise Failed(f"{came} octets crossed, of {case.octets}")
        best = self.pace.best if case.direction == "in" else said["best"]
        return StreamRun(asdict(case), case.octets, said["seconds"], used, best or case.octets / said["seconds"])

    def _command(self) -> list[str]:
        case = self.case
        if case.direction == "http":
            crowd = ["-t", "1", "-c", str(case.connections), "-d", f"{max(1, round(case.seconds))}s"]
            return ["wrk", *crowd, f"http://{wires.RECEIVER}:{PORT}/"]
        sent = ["--send", str(case.octets)] if case.direction == "in" else []
        return [sys.executable, "-I", stream_peer.__file__, wires.RECEIVER, str(PORT), *sent]


def read_wrk(said: str, used: float) -> tuple[int, float, float, float, int]:
    """What wrk reports, as a `StreamRun` has it: requests, seconds, CPU seconds `used`, no best, requests that failed.

    Raises:
        Failed: it reports something else.
    """
    found = re.search(r"(\d+) requests in ([0-9.]+)s", said)
    if found is None:
        raise Failed(f"wrk does not say how many requests: {said.strip()[-100:]}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    failed = (sum(map(int, errors.groups())) if errors else 0) + (int(refused[1]) if refused else 0)
    return int(found[1]), float(found[2]), used, 0.0, failed
