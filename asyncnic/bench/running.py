"""`asyncnic run` as a child process, for experiments about the service as its users have it.

It inherits the network namespace. Nothing is measured here but the CPU time that the kernel says it has used.
"""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asyncnic.errors import Failed

END_SECONDS = 10.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class RunningService:
    """A service that is ready. Made by `running_service`.

    Attributes:
        code: how it ended; None: it runs.
    """

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self._process = process
        self._url = url
        self.code: int | None = None

    def stats(self) -> dict[str, Any]:
        """/api/v1/stats."""
        with _opener.open(self._url + "/api/v1/stats", timeout=END_SECONDS) as response:
            found: dict[str, Any] = json.load(response)
            return found

    def scrape(self) -> None:
        """Have it make its metrics."""
        _opener.open(self._url + "/metrics", timeout=END_SECONDS).read()

    def tune(self, knobs: Mapping[str, object]) -> None:
        """Turn knobs."""
        request = urllib.request.Request(
            self._url + "/api/v1/settings",
            json.dumps(knobs).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        _opener.open(request, timeout=END_SECONDS).close()

    def memory(self) -> int:
        """KiB that it holds in memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def descriptors(self) -> int:
        """Descriptors that it has open."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def reload(self) -> None:
        """Have it read its configuration again; it has when this returns."""
        _opener.open(urllib.request.Request(self._url + "/-/reload", method="POST"), timeout=END_SECONDS).close()

    def cpu_seconds(self) -> float:
        """CPU time that the service has used, user's and system's (proc(5), stat)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self) -> float:
        """Time that the service was ready to run and had no CPU (schedstat): others on the machine, or the flood."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def running_service(config: Path, *flags: str) -> Iterator[RunningService]:
    """Run the service with the settings of `config` and `flags`, until it is ready; it is told to stop when left.

    Raises:
        Failed: it does not start; the message is its own.
    """
    command = [sys.executable, "-m", "asyncnic", "run", "--config", str(config), "--listen", "127.0.0.1:0"]
    command += ["--log-format", "json", "--enable-lifecycle", *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCNIC_")}
    ended: list[RunningService] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            service = RunningService(process, _url_when_ready(process))
            # What else it says is read away: nobody's full pipe is to hold up, or to fill, what is measured.
            threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True).start()
            ended.append(service)
            yield service
        finally:
            process.terminate()
            try:
                process.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            for service in ended:
                service.code = process.wait()


def _url_when_ready(process: "subprocess.Popen[str]") -> str:
    url, line = "", ""
    assert process.stderr is not None
    for line in process.stderr:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        url = str(event.get("url", url))
        if event.get("event") == "ready":
            return url.rstrip("/")
    raise Failed(f"bench: the service did not start: {line.strip()}")
