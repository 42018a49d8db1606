"""One queue of a TAP with a chip of its own.

Frames are read straight into descriptor buffers, only as many as the chip has descriptors for. Which frames come into
which queue is not decided here (queues.py), and nobody here looks into one.
"""

import errno
import io
import select
import time

from asyncnic import hot
from asyncnic.devices.device import NEVER
from asyncnic.errors import DeviceLost
from asyncnic.hot.queue import QueueReader
from asyncnic.lanes.depth import DepthControl
from asyncnic.lanes.program import ACCEPTED, LEFT
from asyncnic.lanes.steering import LaneSteering
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.settings.knobs import Knobs

_QueueReader = hot.choose(QueueReader)


class TapLane:
    """See `asyncnic.devices.device.Lane`."""

    counts_filtered = True

    def __init__(self, name: str, memory: DmaMemory, mac: bytes, knobs: Knobs) -> None:
        self.name = name
        self.port = Am79C970A(memory, mac, self._send)
        self.doorbell = self.port.doorbell()
        self._knobs = knobs
        self._file: io.FileIO | None = None
        self._reads = True
        self._steering: LaneSteering | None = None
        self._index = 0
        self.queue = _QueueReader(self.port, knobs, self._observe, lambda error: DeviceLost(_why(error)))
        self._depth = DepthControl()

    @property
    def filtered(self) -> int:
        """Frames that the chip's filter rejected."""
        return self.port.counters.filtered

    @property
    def read_frames(self) -> int:
        """Frames read off the wire so far, across re-attachments."""
        return self.port.taken

    def plug_in(self, fd: int, *, reads: bool = True) -> None:
        """Connect the wire: `fd` is a queue of the TAP. It stays the caller's, who unplugs the lane before closing it.

        A lane that has no queue of its own can still send on another's: then it does not read.
        """
        self._file = self.port.wire_file = io.FileIO(fd, "r+", closefd=False)
        self._reads = reads
        self.queue.take = self._file.readinto if reads else None
        self.port.link_up = True

    def count_with(self, steering: LaneSteering | None, index: int = 0) -> None:
        """From now on `steering` counts what waits in the queue, as that of its lane `index`, and is told what is
        read.
        """
        self._steering = steering
        self._index = index
        self.queue.count_with(None if steering is None else steering.words_of(index), ACCEPTED, LEFT)
        self._depth = DepthControl()

    def unplug(self) -> None:
        """Disconnect the wire, and pull the chip's link."""
        self.count_with(None)
        self._file = self.port.wire_file = self.queue.take = None
        self.port.link_up = False

    def fileno(self) -> int | None:
        """The queue's descriptor: readable when a frame waits in it."""
        if self._file is None:
            return None
        return self._file.fileno() if self._reads else NEVER

    def readable(self) -> bool:
        """Whether a frame waits in the queue."""
        if self._file is None or not self._reads:
            return False
        poller = select.poll()
        poller.register(self._file.fileno(), select.POLLIN)
        return bool(poller.poll(0))

    def poll(self, limit: int) -> int:
        """See `Lane.poll`. With overload "drain" the chip takes frames without a descriptor too, and counts MISS."""
        return self.queue.poll(limit)

    def _observe(self, taken: int, silent: bool) -> bool:
        """Keep the queue's depth to what the load wants; see `QueueReader`."""
        steering, depth = self._steering, self._depth
        if steering is not None:
            overflowed, age = steering.overflowed(self._index), self._knobs.target_age
            if depth.observe(time.monotonic(), taken, silent, overflowed, age):
                steering.shorten(self._index, depth.depth)
        return depth.calm(True)

    def interrupt(self) -> None:
        """Reading the frames makes the descriptor unreadable; so the next poll does read."""
        self.queue.trust = 0

    def unmask(self) -> None:
        """Nothing is masked."""

    def _send(self, frame: memoryview) -> bool:
        if self._file is None:
            return False
        try:
            return self._file.write(frame) is not None
        except OSError:
            return False  # the TAP is down or deleted: no carrier, which the chip reports


def _why(error: OSError) -> str:
    if error.errno == errno.EBADFD:
        return "the TAP was deleted"
    return f"the TAP cannot be read: {error.strerror}"
