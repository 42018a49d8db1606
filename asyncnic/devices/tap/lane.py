"""One queue of a TAP with a chip of its own.

Frames are read straight into descriptor buffers, only as many as the chip has descriptors for. Which frames come into
which queue is not decided here (queues.py), and nobody here looks into one.
"""

import errno
import io
import select
import time

from asyncnic.devices.device import NEVER
from asyncnic.errors import DeviceLost
from asyncnic.lanes.depth import DepthControl
from asyncnic.lanes.steering import LaneSteering
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.settings.knobs import Knobs

PATIENCE = 16
"""How many polls in a row may trust the count of waiting frames, which saves a system call when it is 0. Then the
queue is asked itself: frames from before the count began would never be found otherwise."""


class TapLane:
    """See `asyncnic.devices.device.Lane`."""

    counts_filtered = True

    def __init__(self, name: str, memory: DmaMemory, mac: bytes, knobs: Knobs) -> None:
        self.name = name
        self.port = Am79C970A(memory, mac, self._send)
        self.doorbell = self.port.demand
        self._knobs = knobs
        self._file: io.FileIO | None = None
        self._reads = True
        self._steering: LaneSteering | None = None
        self._index = 0
        self._trust = 0
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
        self.port.link_up = True

    def count_with(self, steering: LaneSteering | None, index: int = 0) -> None:
        """From now on `steering` counts what waits in the queue, as that of its lane `index`, and is told what is
        read.
        """
        self._steering = steering
        self._index = index
        self._trust = 0
        self._depth = DepthControl()

    def unplug(self) -> None:
        """Disconnect the wire, and pull the chip's link."""
        self._steering = None
        self._file = self.port.wire_file = None
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
        file, steering = self._file, self._steering
        if file is None or not self._reads:
            return 0
        if self._trust and steering is not None and not steering.waiting(self._index):
            self._trust -= 1
            return 0
        try:
            if self._knobs.overload == "drain":
                taken = self.port.drain(file.readinto, limit)
            else:
                taken = self.port.fill(file.readinto, limit)
        except OSError as error:
            raise DeviceLost(_why(error)) from None
        if steering is not None:
            self._trust = PATIENCE
            if taken:
                steering.frames_read(self._index, taken)
            if self._depth.calm(self.port.silent):
                return taken
            overflowed, age = steering.overflowed(self._index), self._knobs.target_age
            if self._depth.observe(time.monotonic(), taken, self.port.silent, overflowed, age):
                steering.shorten(self._index, self._depth.depth)
        return taken

    def interrupt(self) -> None:
        """Reading the frames makes the descriptor unreadable; so the next poll does read."""
        self._trust = 0

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
