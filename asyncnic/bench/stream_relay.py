"""Frames from one TAP to another, both ways, as lean as a loop can be: what brings the kernel's own TCP behind a TAP.

A process of its own, which prints "ready" and runs until it is ended. Its CPU time is part of what that way costs.
"""

import os
import select
import sys

from asyncnic.linux import tun

ROOM = 9000


def main(one: str, other: str) -> int:
    """Relay until ended."""
    fds = tun.attach(one), tun.attach(other)
    across = {fds[0]: fds[1], fds[1]: fds[0]}
    poll = select.epoll()
    for fd in fds:
        poll.register(fd, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            target = across[fd]
            try:
                while True:
                    os.write(target, os.read(fd, ROOM))
            except BlockingIOError:
                pass


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
