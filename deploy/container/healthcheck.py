"""Container health: exit 0 when the service in this container answers /-/healthy, 1 otherwise.

It is asked at its control socket, which needs no port, scheme, password or certificate to be known, whatever flags,
variables and files say of them; it is the same event loop that serves --listen. Not a readiness probe (that is
/-/ready): a service that drains or waits for its device is alive. Standard library only, and nothing of asyncnic is
imported, so that a check costs little.

    healthcheck.py [--network FILE] [SOCKET]

Without SOCKET, the one in $RUNTIME_DIRECTORY is asked (`--control auto`). With --network FILE, written by maketap.py
--hold --tell FILE, a service whose network namespace is not the holder's any more is not healthy: nobody reaches it.
"""

import argparse
import http.client
import os
import socket
import sys
from pathlib import Path

PATIENCE = 2.0
"""Seconds."""
NETWORK = Path("/proc/self/ns/net")


class ControlConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def problem(path: Path | None, network: Path | None) -> str:
    """What is wrong; empty: nothing."""
    if network is not None and network.read_text().strip() != os.readlink(NETWORK):
        return "the container that keeps the network namespace has begun anew: restart this one"
    if path is None:
        folder = Path(os.environ.get("RUNTIME_DIRECTORY", "/run/asyncnic"))
        path = next(iter(sorted(folder.glob("*.sock"))), folder / "NAME.sock")
    connection = ControlConnection(path)
    try:
        connection.request("GET", "/-/healthy")
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if status == 200 else f"{path}: HTTP {status}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Whether the service in this container is alive.")
    parser.add_argument("--network", type=Path, metavar="FILE")
    parser.add_argument("socket", nargs="?", type=Path, metavar="SOCKET")
    options = parser.parse_args()
    try:
        found = problem(options.socket, options.network)
    except (OSError, http.client.HTTPException) as error:
        found = str(error) or type(error).__name__
    if found:
        print(found, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
