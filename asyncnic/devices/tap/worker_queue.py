"""A queue of somebody else's TAP as a device: its open descriptor is the wire, each with a chip of its own.

A worker has one of these. It neither makes nor sets up the TAP and cannot ask it anything: whoever owns the TAP hands
out the descriptors, keeps the TAP's counters, and brings new descriptors when the TAP was lost.
"""

import os
from collections.abc import Callable, Sequence

from asyncnic.devices.device import DeviceOptions, LaneCounters, WireCounters
from asyncnic.devices.tap.lane import TapLane
from asyncnic.lanes.rules import parse_lanes
from asyncnic.pcnet32.memory import DmaMemory


class WorkerTap:
    """Lanes on descriptors that were handed over; see `asyncnic.devices.device.Device`. Made by `open_queues`."""

    backend = "tap"
    chip = "Am79C970A"

    def __init__(self, tap: str, lanes: Sequence[TapLane]) -> None:
        self.name = f"tap:{tap}"
        self.lanes = lanes
        self._descriptors: Sequence[int] = ()
        self._fresh: Sequence[int] = ()

    def wire(self) -> WireCounters:
        """What was read off the queues; what they dropped is known to the TAP's owner alone."""
        read = [lane.read_frames for lane in self.lanes]
        return WireCounters(sum(read), 0, tuple(LaneCounters(frames, 0) for frames in read))

    def no_link(self) -> str:
        """See `Device.no_link`. The TAP's owner sees it."""
        return ""

    def replace(self, descriptors: Sequence[int]) -> None:
        """Take these descriptors, one a lane, at the next `reattach`; they are the device's from now on."""
        _close(self._fresh)
        self._fresh = descriptors

    async def apply_knobs(self) -> None:
        """Nothing to do: the queue's length is the TAP's owner's."""

    async def reattach(self) -> bool:
        """See `Device.reattach`. True once new descriptors were handed over."""
        self._unplug()
        self._descriptors, self._fresh = self._fresh, ()
        for lane, descriptor in zip(self.lanes, self._descriptors, strict=False):
            lane.plug_in(descriptor)
        return bool(self._descriptors)

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`. What was lost is known to the TAP's owner alone."""

    async def close(self) -> None:
        """See `Device.close`."""
        self._unplug()
        _close(self._fresh)
        self._fresh = ()
        for lane in self.lanes:
            lane.port.memory.close()

    def _unplug(self) -> None:
        for lane in self.lanes:
            lane.unplug()
        _close(self._descriptors)
        self._descriptors = ()


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


async def open_queues(tap: str, descriptors: Sequence[int], options: DeviceOptions) -> WorkerTap:
    """The queues with these descriptors, the device's from now on, of the TAP of that name.

    Raises:
        ValueError: there is no station address: the TAP's owner chooses it for all.
    """
    if options.mac is None:
        raise ValueError(f"tap:{tap}: its queues have no station address")
    names = [rule.name for rule in parse_lanes(options.knobs.lane)][-len(descriptors) :]
    lanes = []
    for lane_name in names:
        lane = TapLane(lane_name, DmaMemory.anonymous(options.memory_size), options.mac, options.knobs)
        lanes.append(lane)
    device = WorkerTap(tap, lanes)
    device.replace(descriptors)
    await device.reattach()
    return device
