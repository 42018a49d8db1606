"""What systemd is told: ready, status, watchdog, stopping, reloading (sd_notify(3)), by one datagram each.

Not a service manager's client: nothing is read back, and a manager that does not listen is no error.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends to the socket that the manager named, or nowhere.

    Args:
        environ: looked up for NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of Linux's abstract namespace.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog = _watchdog(environ) if path else None
        """Seconds within which the manager wants a sign of life; None: it wants none."""

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is over."""
        self._send("READY=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """One line for people who ask the manager."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """The event loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto("\n".join(assignments).encode(), self._address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
