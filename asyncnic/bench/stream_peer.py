"""The other end of experiment 1: a plain blocking client on the kernel's TCP. Prints what it saw as one line of JSON.

It runs as a script in a process of its own, without the package around it. `Pace` is for both ends: whoever takes the
octets says how fast they came.
"""

import argparse
import json
import socket
import sys
import time

BLOCK = 1 << 20
SLOT = 0.1
PATIENCE = 60.0


class Pace:
    """Octets as they come, and the best tenth of a second of them: a whole second is more than most runs last."""

    def __init__(self) -> None:
        self.octets = 0
        self._best = 0
        self._slot = 0
        self._start = 0.0

    def took(self, size: int) -> None:
        """So many octets came now."""
        now = time.monotonic()
        if not self._start:
            self._start = now
        elif now - self._start >= SLOT:
            self._best = max(self._best, self._slot)
            self._slot, self._start = 0, now
        self._slot += size
        self.octets += size

    @property
    def best(self) -> float:
        """Octets a second in the best whole slot; 0: there was none."""
        return self._best / SLOT


def send(sock: socket.socket, octets: int) -> None:
    """Send so many, say so, and wait until the other side has read them all and closed."""
    view = memoryview(bytes(BLOCK))
    while octets > 0:
        octets -= sock.send(view[:octets])
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)


def take(sock: socket.socket, pace: Pace) -> None:
    """Read to the end."""
    buffer = bytearray(BLOCK)
    while size := sock.recv_into(buffer):
        pace.took(size)


def main() -> int:
    """Connect, move the octets, say how long it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--send", type=int, default=0, help="octets to send; 0: read to the end")
    given = parser.parse_args()
    pace = Pace()
    try:
        with socket.create_connection((given.host, given.port), PATIENCE) as sock:
            start = time.monotonic()
            if given.send:
                send(sock, given.send)
            else:
                take(sock, pace)
            seconds = time.monotonic() - start
    except OSError as error:
        print(f"the stream broke: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"octets": given.send or pace.octets, "seconds": seconds, "best": pace.best}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
