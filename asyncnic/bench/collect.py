"""A client's other half: a process that takes the answers off the load generator's sockets, counts and times them.

It is forked from the generator, which goes on sending; the answers must begin with the generator's own stamp. It sends
nothing.
"""

import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence

from asyncnic.bench.ages import Ages
from asyncnic.bench.load import STAMP, Collected

ROOM = 4 << 20
"""Octets of receive buffer: nothing is lost because the collector had no CPU."""
SO_RCVBUFFORCE = 33
QUIET_SECONDS = 0.2
"""Nothing more comes when the load is over and the sockets were silent for so long."""
TURN = 256


def collect(sockets: Sequence[socket.socket]) -> Collected:
    """Begin to take what comes back on `sockets`; call the result once when the load is over."""
    for sock in sockets:
        _make_room(sock)
    load_over, parent = os.pipe()
    result, child = os.pipe()
    if os.fork() == 0:
        os.close(parent)
        os.close(result)
        status = 1
        try:
            os.write(child, json.dumps(_take(sockets, load_over)).encode())
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(load_over)
    os.close(child)

    def collected() -> tuple[int, dict[str, float | None]]:
        os.close(parent)
        with os.fdopen(result, "rb") as pipe:
            ages = json.load(pipe)
        os.wait()
        return ages.pop("count"), ages

    return collected


def _take(sockets: Sequence[socket.socket], load_over: int) -> dict[str, float | None]:
    """Take answers until the load is over and nothing comes any more."""
    ages, clock, unpack = Ages(), time.monotonic_ns, STAMP.unpack_from
    buffer = bytearray(2048)
    receivers = {sock.fileno(): sock.recv_into for sock in sockets}
    poller = select.poll()
    poller.register(load_over, select.POLLIN)
    for descriptor in receivers:
        poller.register(descriptor, select.POLLIN)
    over = False
    while (ready := poller.poll(QUIET_SECONDS * 1000)) or not over:
        for descriptor, _ in ready:
            if descriptor == load_over:
                over = True
                poller.unregister(load_over)
                continue
            try:
                for _ in range(TURN):
                    if receivers[descriptor](buffer, 0, socket.MSG_DONTWAIT) >= STAMP.size:
                        ages.add(clock() - unpack(buffer)[1])
            except OSError:
                continue  # no more for now, or word that nobody listened
    return ages.as_json()


def _make_room(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
