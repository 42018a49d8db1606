"""What a user would pick instead: a UDP socket of the kernel's stack, read by an event loop or by a blocking loop.

The wire is a veth pair, the sender on the other side in a namespace of its own. Note whose CPU time is whose: here
the kernel's IP and UDP work on a frame runs on the sender's core, on a TAP the receiver pays for its own. Every
socket gets a receive buffer for a few thousand small datagrams, so that none loses for want of room that asyncnic has
in ring and TAP queue.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import uvloop

from asyncnic.bench import wires
from asyncnic.bench.bystander import Bystander
from asyncnic.bench.case import Case, Figures
from asyncnic.bench.trial import LOOK_SECONDS, QUIET_SECONDS, Trial, application, offer_of
from asyncnic.linux.thread import in_thread

NEAR, FAR = "bench0", "bench1"
PORT = 9
RECEIVE_BUFFER = 512 << 10
"""Octets asked for with SO_RCVBUF; the kernel doubles them, and counts some 800 for a small datagram."""


def uvloop_udp(case: Case) -> Figures:
    """uvloop's create_datagram_endpoint."""
    return _on_veth(case, lambda far: uvloop.run(_endpoint(case, far, None)))


def asyncio_udp(case: Case) -> Figures:
    """asyncio's create_datagram_endpoint as it comes: it allocates 256 KiB for every recvfrom."""
    return _on_veth(case, lambda far: asyncio.run(_endpoint(case, far, None)))


def asyncio_udp_2048(case: Case) -> Figures:
    """The same with the transport's max_size set to 2,048 octets."""
    return _on_veth(case, lambda far: asyncio.run(_endpoint(case, far, 2048)))


def recv(case: Case) -> Figures:
    """socket.recv in a loop."""
    return _on_veth(case, lambda far: _recv(case, far))


def recvfrom(case: Case) -> Figures:
    """socket.recvfrom in a loop, and socket.sendto for the answers."""
    return _on_veth(case, lambda far: _recvfrom(case, far))


def _on_veth(case: Case, play: Callable[[wires.FarSide], Figures]) -> Figures:
    with wires.FarSide(NEAR, FAR) as far:
        return play(far)


async def _endpoint(case: Case, far: wires.FarSide, max_size: int | None) -> Figures:
    app = application(case)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: app, sock=_socket())
    if max_size is not None:
        transport.max_size = max_size  # type: ignore[attr-defined]
    loss = await in_thread(Losses, far)
    trial = Trial(case, await in_thread(far.run, offer_of, case))
    bystander = await Bystander.start(trial) if case.bystander else None
    await trial.play(lambda: app.datagrams)
    report = await bystander.stop() if bystander is not None else None
    lost = await in_thread(loss.read)
    transport.close()
    return trial.outcome(app.datagrams, lost, app, bystander=report)


def _recv(case: Case, far: wires.FarSide) -> Figures:
    app, loss = application(case), Losses(far)
    trial = Trial(case, far.run(offer_of, case))
    with _socket() as sock:
        receive_timeout(sock, LOOK_SECONDS)
        receive, handle = sock.recv, app.datagram_received
        trial.go()
        silent = 0.0
        while silent < QUIET_SECONDS:
            try:
                while True:
                    handle(receive(2048), None)
                    silent = 0.0
            except BlockingIOError:
                if trial.over(app.datagrams):
                    silent += LOOK_SECONDS
    return trial.outcome(app.datagrams, loss.read(), app)


def _recvfrom(case: Case, far: wires.FarSide) -> Figures:
    app, loss = application(case), Losses(far)
    trial = Trial(case, far.run(offer_of, case))
    with _socket() as sock:
        receive_timeout(sock, LOOK_SECONDS)
        receive, handle = sock.recvfrom, app.datagram_received
        app.connection_made(_Socket(sock))
        trial.go()
        silent = 0.0
        while silent < QUIET_SECONDS:
            try:
                while True:
                    handle(*receive(2048))
                    silent = 0.0
            except BlockingIOError:
                if trial.over(app.datagrams):
                    silent += LOOK_SECONDS
    return trial.outcome(app.datagrams, loss.read(), app)


class _Socket(asyncio.DatagramTransport):
    """A socket as a transport, for a loop without asyncio."""

    def __init__(self, sock: socket.socket) -> None:
        self.sendto = sock.sendto  # type: ignore[method-assign, assignment]


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((wires.RECEIVER, PORT))
    return sock


def receive_timeout(sock: socket.socket, seconds: float) -> None:
    """Let a blocking receive end with BlockingIOError after `seconds` of silence, without a poll for every datagram."""
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1e6)))


class Losses:
    """Where frames on the veth pair got lost, as far as the kernel counts it: on the wire, or at the full socket."""

    def __init__(self, far: wires.FarSide) -> None:
        self._far = far
        self._before = self._now()

    def read(self) -> dict[str, int]:
        """Frames lost since this object was made."""
        return {name: count - self._before[name] for name, count in self._now().items()}

    def _now(self) -> dict[str, int]:
        near, far = wires.counters(NEAR), self._far.counters()
        wire = far.transmit_dropped + near.receive_dropped
        return {"wire": wire, "socket": udp_counters()["RcvbufErrors"]}


def udp_counters() -> dict[str, int]:
    """The namespace's UDP counters (RFC 4113 and the kernel's own), by name."""
    names, values = (
        line.split()[1:] for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Udp:")
    )
    return dict(zip(names, map(int, values), strict=True))
