"""A device played in memory: the real chip model and driver on wires that a test fills, breaks and mends.

Each wire is a bounded queue as a TAP's is: what finds no room in it was offered and is dropped there. What waits on a
wire when it breaks is gone with it and was never offered.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from asyncnic.devices.device import LaneCounters, WireCounters
from asyncnic.errors import DeviceLost
from asyncnic.pcnet32.driver.driver import Layout
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.port import Port
from asyncnic.settings.knobs import Knobs
from tests.wire import MAC

QUEUE = 40
"""Frames that a wire holds."""


class PlayedLane:
    """See `asyncnic.devices.device.Lane`."""

    counts_filtered = True

    def __init__(self, name: str, memory_size: int, knobs: Knobs) -> None:
        self.name = name
        self.chip = Am79C970A(DmaMemory.anonymous(memory_size), MAC, self._send)
        self.port: Port = self.chip
        self.doorbell = self.chip.doorbell()
        self.queue = None
        self.waiting: deque[bytes] = deque()
        self.read = 0
        self.dropped = 0
        self.sent: list[bytes] = []
        self.jammed = False
        self.broken = False
        self._knobs = knobs
        self._ready = os.eventfd(0, os.EFD_NONBLOCK)

    def offer(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if len(self.waiting) < QUEUE:
                self.waiting.append(frame)
            else:
                self.dropped += 1
        os.eventfd_write(self._ready, 1)

    @property
    def filtered(self) -> int:
        return self.chip.counters.filtered

    def fileno(self) -> int | None:
        return None if self.broken else self._ready

    def readable(self) -> bool:
        return bool(self.waiting)

    def poll(self, limit: int) -> int:
        if self.broken:
            raise DeviceLost("the wire was cut")
        if self._knobs.overload == "drain":
            return self.chip.drain(self._take, limit)
        return self.chip.fill(self._take, limit)

    def interrupt(self) -> None:
        """As a TAP's: readable until it was read empty."""
        if self.broken:
            raise DeviceLost("the wire was cut")

    def unmask(self) -> None:
        if not self.waiting:
            self._consume()

    def close(self) -> None:
        os.close(self._ready)

    def _consume(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._ready)

    def _take(self, buffer: memoryview) -> int | None:
        if not self.waiting:
            self._consume()
            return None
        frame = self.waiting.popleft()
        buffer[: len(frame)] = frame
        self.read += 1
        return len(frame)

    def _send(self, frame: memoryview) -> bool:
        if self.jammed or self.broken:
            return False
        self.sent.append(bytes(frame))
        return True


class PlayedDevice:
    """See `asyncnic.devices.device.Device`; the lanes are called "a", "b" and so on."""

    backend = "played"
    chip = "Am79C970A"

    def __init__(self, lanes: int, knobs: Knobs, *, rx_ring: int, tx_ring: int) -> None:
        size = Layout.of(rx_ring, tx_ring).size
        self.name = "played:0"
        self.lanes = tuple(PlayedLane("abc"[number], size, knobs) for number in range(lanes))
        self.may_come_back = False
        self.attempts = 0
        self.missing = ""
        """What `no_link` says."""
        self.error: Exception | None = None
        """What an attempt to come back raises."""

    def cut(self) -> None:
        for lane in self.lanes:
            lane.broken = True
            lane.chip.link_up = False
            lane.waiting.clear()

    def wire(self) -> WireCounters | None:
        lanes = tuple(LaneCounters(lane.read + lane.dropped, lane.dropped) for lane in self.lanes)
        return WireCounters(sum(lane.offered for lane in lanes), sum(lane.dropped for lane in lanes), lanes)

    def no_link(self) -> str:
        return self.missing

    def lose(self, came: Callable[[], int]) -> None:
        """Its counters are its lanes' own: there is nothing to settle."""

    async def apply_knobs(self) -> None:
        """There are no others."""

    async def reattach(self) -> bool:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        if not self.may_come_back:
            return False
        self.may_come_back = False
        for lane in self.lanes:
            lane.broken = False
            lane.chip.link_up = True
        return True

    async def close(self) -> None:
        for lane in self.lanes:
            lane.close()
