"""What stands between a TAP and nothing: loops that only read, the ceiling for everything else; and the design to
avoid.

None of these parses a frame; they say what a frame costs before anybody looks at it.
"""

import asyncio
import io
import os
import select
from collections.abc import Callable

import uvloop

from asyncnic.bench import wires
from asyncnic.bench.bystander import Bystander
from asyncnic.bench.case import Case, Figures
from asyncnic.bench.load import HEADERS
from asyncnic.bench.trial import LOOK_SECONDS, QUIET_SECONDS, Trial, application, offer_of
from asyncnic.linux import tun
from asyncnic.linux.thread import in_thread

NAME = "bench0"
QUEUE_LIMIT = 1000


class BareTap:
    """A TAP with nothing on it: a descriptor that reads frames, and the interface's counters.

    Raises:
        DeviceError: it cannot be made, or no traffic passes.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        wires.make_tap(name)
        self.fd = tun.attach(name)
        wires.wait_until_up(name)
        self._before = wires.counters(name)

    def close(self) -> None:
        """Let go of it; it stays in its namespace."""
        os.close(self.fd)

    def dropped(self) -> int:
        """Frames that its queue had no room for."""
        return (wires.counters(self.name) - self._before).transmit_dropped


def readv(case: Case) -> Figures:
    """os.readv into one buffer, over and over."""
    tap = BareTap(NAME)
    fd, buffers, read = tap.fd, [bytearray(2048)], os.readv

    def drain() -> int:
        frames = 0
        try:
            while True:
                read(fd, buffers)
                frames += 1
        except BlockingIOError:
            return frames

    return _blocking(case, tap, drain)


def readinto(case: Case) -> Figures:
    """FileIO.readinto into one buffer, over and over."""
    tap = BareTap(NAME)
    buffer = bytearray(2048)
    read = io.FileIO(tap.fd, "rb", closefd=False).readinto

    def drain() -> int:
        frames = 0
        while read(buffer) is not None:
            frames += 1
        return frames

    return _blocking(case, tap, drain)


def _blocking(case: Case, tap: BareTap, drain: Callable[[], int]) -> Figures:
    """Play `case` on a loop that calls `drain` whenever there is something to read."""
    trial = Trial(case, offer_of(case))
    poller = select.poll()
    poller.register(tap.fd, select.POLLIN)
    frames = 0
    trial.go()
    while not (trial.over(frames) and not poller.poll(QUIET_SECONDS * 1000)):
        poller.poll(LOOK_SECONDS * 1000)
        frames += drain()
    outcome = trial.outcome(frames, {"kernel": tap.dropped()}, None)
    tap.close()
    return outcome


def drain_queue(case: Case) -> Figures:
    """A reader without a budget before a bounded queue: the in-kernel driver's shape, and receive livelock.

    Whenever the TAP is readable it is read until it is empty; frames that the queue of 1,000 has no room for are
    thrown away. A worker task takes them from there to the application: `asyncio.Queue` as everybody uses it.
    """
    return uvloop.run(_drain_queue(case))


async def _drain_queue(case: Case) -> Figures:
    tap = await in_thread(BareTap, NAME)
    offer = await in_thread(offer_of, case)
    trial, app = Trial(case, offer), application(case)
    header = HEADERS[4]
    queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_LIMIT)
    dropped = 0

    def readable() -> None:
        nonlocal dropped
        fd, read = tap.fd, os.read
        try:
            while True:
                frame = read(fd, 2048)
                if queue.full():
                    dropped += 1
                else:
                    queue.put_nowait(frame)
        except BlockingIOError:
            return

    async def work() -> None:
        while True:
            frame = await queue.get()
            app.datagram_received(frame[header:], None)

    worker = asyncio.create_task(work())
    asyncio.get_running_loop().add_reader(tap.fd, readable)
    bystander = await Bystander.start(trial) if case.bystander else None
    await trial.play(lambda: app.datagrams)
    report = await bystander.stop() if bystander is not None else None
    asyncio.get_running_loop().remove_reader(tap.fd)
    worker.cancel()
    lost = {"kernel": await in_thread(tap.dropped), "queue": dropped}
    outcome = trial.outcome(app.datagrams, lost, app, bystander=report)
    tap.close()
    return outcome
