"""The TAP device: a chip in software whose wire is a TAP of the kernel.

Frames are read straight into descriptor buffers, only as many as the chip has descriptors for; what is not read stays
in the kernel's TAP queue and is dropped there, which costs us nothing and which rtnetlink counts. This file holds the
wire and its counters; the chip is pcnet32/model.py, and nobody here looks into a frame.
"""

import errno
import hashlib
import io
import logging
import os
import socket

from asyncnic.devices import tun
from asyncnic.devices.device import DeviceError, DeviceLost, DeviceOptions, WireCounters
from asyncnic.devices.link import LinkCounters, LinkWanted, set_queue_length, set_up
from asyncnic.knobs import Knobs
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model import Am79C970A

log = logging.getLogger(__name__)


class TapLane:
    """One TAP queue with a chip of its own; see `asyncnic.devices.device.Lane`."""

    counts_filtered = True

    def __init__(self, name: str, memory: DmaMemory, mac: bytes, knobs: Knobs) -> None:
        self.name = name
        self.port = Am79C970A(memory, mac, self._send)
        self._knobs = knobs
        self._file: io.FileIO | None = None

    @property
    def filtered(self) -> int:
        """Frames that the chip's filter rejected."""
        return self.port.counters.filtered

    @property
    def read_frames(self) -> int:
        """Frames read off the wire so far, across re-attachments."""
        return self.port.counters.read

    def plug_in(self, fd: int) -> None:
        """Connect the wire: `fd` is attached to the TAP, and owned by the lane from now on."""
        self._file = io.FileIO(fd, "r+")
        self.port.link_up = True

    def unplug(self) -> None:
        """Close the wire, and pull the chip's link."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.port.link_up = False

    def fileno(self) -> int | None:
        """The TAP's descriptor: readable when a frame waits on the wire."""
        return self._file.fileno() if self._file is not None else None

    def poll(self, limit: int) -> int:
        """See `Lane.poll`. With overload "drain" the chip takes frames without a descriptor too, and counts MISS."""
        if self._file is None:
            return 0
        try:
            if self._knobs.overload == "drain":
                return self.port.drain(self._file.readinto, limit)
            return self.port.fill(self._file.readinto, limit)
        except OSError as error:
            raise DeviceLost(_why(error)) from None

    def interrupt(self) -> None:
        """Nothing to consume: reading the frames makes the descriptor unreadable."""

    def unmask(self) -> None:
        """Nothing is masked."""

    def _send(self, frame: memoryview) -> bool:
        if self._file is None:
            return False
        try:
            return self._file.write(frame) is not None
        except OSError:
            return False  # the TAP is down or deleted: no carrier, which the chip reports


class TapDevice:
    """A TAP with its chip; see `asyncnic.devices.device.Device`. Made by `open_device`."""

    backend = "tap"
    chip = "Am79C970A"

    def __init__(self, tap: str, lane: TapLane, options: DeviceOptions) -> None:
        self.name = f"tap:{tap}"
        self.lanes = (lane,)
        self._tap = tap
        self._lane = lane
        self._options = options
        self._queue_length = options.knobs.tap_queue
        self._link: LinkCounters | None = None
        # What the wire had offered before this attachment, and where its counters stood at it.
        self._before = WireCounters(0, 0)
        self._zero = (0, 0)
        self._read_before = 0
        self._dropped = 0

    async def attach(self) -> None:
        """Attach to the TAP, making it when there is none, and set its host side up.

        Raises:
            DeviceError, PrivilegeError: see `tun.attach` and `link.set_up`.
        """
        known = tun.exists(self._tap)
        zero = _read_counters(self._tap) if known else (0, 0)
        fd = tun.attach(self._tap)
        try:
            wanted = LinkWanted(self._options.mtu, self._options.knobs.tap_queue, self._options.host_address)
            await set_up(self._tap, wanted)
            self._link = LinkCounters(self._tap, socket.if_nametoindex(self._tap))
        except BaseException:
            os.close(fd)
            raise
        self._zero = zero
        self._dropped = 0
        self._read_before = self._lane.read_frames
        self._lane.plug_in(fd)

    def wire(self) -> WireCounters | None:
        """See `Device.wire`: tx_packets + tx_dropped of the TAP since it was attached to."""
        if self._link is None:
            return self._before
        packets, dropped = self._link.read()
        self._dropped = dropped - self._zero[1]
        offered = packets - self._zero[0] + self._dropped
        return WireCounters(self._before.offered + offered, self._before.dropped + self._dropped)

    async def reattach(self) -> bool:
        """See `Device.reattach`.

        A TAP that was deleted is waited for, not made again: whoever deleted it may mean it.
        """
        self._detach()
        if not tun.exists(self._tap):
            return False
        try:
            await self.attach()
        except DeviceError as error:
            log.debug("%s: %s", self.name, error)
            return False
        return True

    async def apply_knobs(self) -> None:
        """Bring the TAP's queue to the length that the knob asks for now.

        Raises:
            DeviceError, PrivilegeError: the kernel refuses; the knob is put back to what the queue has.
        """
        length = self._options.knobs.tap_queue
        if length == self._queue_length:
            return
        try:
            await set_queue_length(self._tap, length)
        except DeviceError:
            self._options.knobs.tap_queue = self._queue_length
            raise
        self._queue_length = length

    async def close(self) -> None:
        """See `Device.close`. A TAP that we made goes away with its descriptor; one made beforehand stays."""
        self._detach()
        self._lane.port.memory.close()

    def _detach(self) -> None:
        """Forget this attachment, keeping its counts. Its kernel counters may be gone with the TAP: then what counts
        is what was read, and the drops as last seen.
        """
        if self._link is None:
            return
        try:
            self._before = self.wire() or self._before
        except DeviceLost:
            read = self._lane.read_frames - self._read_before
            offered = self._before.offered + read + self._dropped
            self._before = WireCounters(offered, self._before.dropped + self._dropped)
        self._link.close()
        self._link = None
        self._lane.unplug()


async def open_device(name: str, options: DeviceOptions) -> TapDevice:
    """Open "tap:NAME": make the TAP or attach to one that is there, and put a chip on it.

    Raises:
        DeviceError, PrivilegeError: see `TapDevice.attach`.
    """
    mac = options.mac if options.mac is not None else station_address(name)
    memory = DmaMemory.anonymous(options.memory_size)
    device = TapDevice(name, TapLane(name, memory, mac, options.knobs), options)
    try:
        await device.attach()
    except BaseException:
        memory.close()
        raise
    return device


def station_address(name: str) -> bytes:
    """A locally administered address that stays the same for this host and TAP name, and differs between hosts."""
    digest = hashlib.sha256(f"{socket.gethostname()}/{name}".encode()).digest()
    return b"\x02" + digest[:5]


def _read_counters(tap: str) -> tuple[int, int]:
    counters = LinkCounters(tap, socket.if_nametoindex(tap))
    try:
        return counters.read()
    finally:
        counters.close()


def _why(error: OSError) -> str:
    if error.errno == errno.EBADFD:
        return "the TAP was deleted"
    return f"the TAP cannot be read: {error.strerror}"
