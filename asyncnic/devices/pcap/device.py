"""A capture file as a device: its frames are the wire, and what is sent goes nowhere, counted.

The same file gives the same ledger each time. There is no loss and no return: a file that ends is done, and one that is
damaged ends there, with a line in the log.
"""

import logging
from collections.abc import Callable
from typing import BinaryIO

from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.pcap.capture_file import CaptureFile
from asyncnic.errors import DeviceError, WireEnded
from asyncnic.logs import fields
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A

MAC = b"\x02\x00\x00\x00\x00\x01"
"""The station address where none is given: what a capture was of is known to whoever took it."""

log = logging.getLogger(__name__)


class CaptureLane:
    """See `asyncnic.devices.device.Lane`.

    Attributes:
        handed: frames that the file has given so far.
    """

    counts_filtered = True

    def __init__(self, memory: DmaMemory, mac: bytes, capture: CaptureFile, options: DeviceOptions) -> None:
        self.name = "bulk"
        self.handed = 0
        self.port = Am79C970A(memory, mac, lambda frame: True)
        self.port.link_up = True
        self.doorbell = self.port.doorbell()
        self.queue = None
        self._frames = iter(capture)
        self._knobs = options.knobs
        self._ended = False

    @property
    def filtered(self) -> int:
        """Frames that the chip's filter rejected."""
        return self.port.counters.filtered

    def fileno(self) -> int | None:
        """None: there is nothing to wait for."""
        return None

    def readable(self) -> bool:
        """See `Lane.readable`: nobody waits for a file."""
        return False

    def poll(self, limit: int) -> int:
        """See `Lane.poll`.

        Raises:
            WireEnded: the file has no more frames.
        """
        take = self.port.drain if self._knobs.overload == "drain" else self.port.fill
        taken = 0 if self._ended else take(self._read, limit)
        if self._ended and not taken:
            raise WireEnded
        return taken

    def interrupt(self) -> None:
        """There is none."""

    def unmask(self) -> None:
        """Nothing is masked."""

    def _read(self, buffer: memoryview) -> int:
        """Copy the next frame into `buffer`, as much of it as fits; its octets there, 0 when there is none."""
        frame = b""
        while not frame and not self._ended:  # a packet of no octets is no frame
            try:
                frame = next(self._frames)
            except StopIteration:
                self._ended = True
        size = min(len(frame), len(buffer))
        buffer[:size] = frame[:size]
        self.handed += bool(frame)
        return size


class CaptureDevice:
    """See `asyncnic.devices.device.Device`. Made by `open_device`."""

    backend = "pcap"
    chip = "Am79C970A"

    def __init__(self, path: str, file: BinaryIO, capture: CaptureFile, options: DeviceOptions) -> None:
        self.name = f"pcap:{path}"
        self._file = file
        self._capture = capture
        self._lane = CaptureLane(DmaMemory.anonymous(options.memory_size), options.mac or MAC, capture, options)
        self.lanes = (self._lane,)

    def wire(self) -> WireCounters:
        """What the file has given; a file drops nothing."""
        return WireCounters(self._lane.handed, 0)

    def no_link(self) -> str:
        """See `Device.no_link`. A file always has what it has."""
        return ""

    def lose(self, came: Callable[[], int]) -> None:
        """Never called: a file is not lost."""

    async def apply_knobs(self) -> None:
        """Nothing to do: a file has no queue."""

    async def reattach(self) -> bool:
        """Never: a file is not lost."""
        return False

    async def close(self) -> None:
        """See `Device.close`. Says what was wrong with the file."""
        if self._file.closed:
            return
        if self._capture.damage or self._capture.passed_over:
            problem = self._capture.damage or "has packets of other links than Ethernet"
            log.warning(
                "the capture was not read whole",
                extra=fields(device=self.name, problem=problem, passed_over=self._capture.passed_over),
            )
        self._file.close()
        self._lane.port.memory.close()


async def open_device(path: str, options: DeviceOptions) -> CaptureDevice:
    """Open "pcap:PATH".

    Raises:
        DeviceError: the file cannot be read, or is no capture of Ethernet.
    """
    try:
        file = open(path, "rb")  # noqa: ASYNC230, SIM115 - before anything runs; the device closes it
    except OSError as error:
        raise DeviceError(f"pcap:{path}: {error.strerror}: name a capture that may be read") from None
    try:
        return CaptureDevice(path, file, CaptureFile(file), options)
    except (OSError, ValueError) as error:
        file.close()
        raise DeviceError(f"pcap:{path}: {error}") from None
