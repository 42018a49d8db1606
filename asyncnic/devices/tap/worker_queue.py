"""A queue of somebody else's TAP as a device: its open descriptor is the wire, each with a chip of its own.

A worker has one of these. It neither makes nor sets up the TAP and cannot ask it anything: whoever owns the TAP hands
out the descriptors, keeps the TAP's counters, and brings new descriptors when the TAP was lost.
"""

from collections.abc import Sequence

from asyncnic.devices.device import DeviceOptions, LaneCounters, WireCounters
from asyncnic.devices.tap.lane import TapLane
from asyncnic.lanes.rules import parse_lanes
from asyncnic.pcnet32.memory import DmaMemory


class QueueDevice:
    """Lanes on descriptors that were handed over; see `asyncnic.devices.device.Device`. Made by `open_device`."""

    backend = "tap"
    chip = "Am79C970A"

    def __init__(self, tap: str, lanes: Sequence[TapLane]) -> None:
        self.name = f"tap:{tap}"
        self.lanes = lanes
        self._fresh: Sequence[int] = ()

    def wire(self) -> WireCounters:
        """What was read off the queues; what they dropped is known to the TAP's owner alone."""
        read = [lane.read_frames for lane in self.lanes]
        return WireCounters(sum(read), 0, tuple(LaneCounters(frames, 0) for frames in read))

    def replace(self, descriptors: Sequence[int]) -> None:
        """Take these descriptors, one a lane, at the next `reattach`; they are the device's from now on."""
        self._fresh = descriptors

    async def apply_knobs(self) -> None:
        """Nothing to do: the queue's length is the TAP's owner's."""

    async def reattach(self) -> bool:
        """See `Device.reattach`. True once new descriptors were handed over."""
        fresh, self._fresh = self._fresh, ()
        for lane in self.lanes:
            lane.unplug()
        for lane, descriptor in zip(self.lanes, fresh, strict=False):
            lane.plug_in(descriptor)
        return bool(fresh)

    async def close(self) -> None:
        """See `Device.close`."""
        for lane in self.lanes:
            lane.unplug()
            lane.port.memory.close()


async def open_device(name: str, options: DeviceOptions) -> QueueDevice:
    """Open "NAME:FD[,FD...]": the queues with these descriptors, of the TAP of that name.

    Raises:
        ValueError: `name` is not of that form, or there is no station address: the TAP's owner chooses it for all.
    """
    tap, _, numbers = name.partition(":")
    if options.mac is None:
        raise ValueError(f"tap:{tap}: its queues have no station address")
    descriptors = [int(number) for number in numbers.split(",")]
    names = [rule.name for rule in parse_lanes(options.knobs.lane)][-len(descriptors) :]
    lanes = []
    for lane_name, descriptor in zip(names, descriptors, strict=True):
        lane = TapLane(lane_name, DmaMemory.anonymous(options.memory_size), options.mac, options.knobs)
        lane.plug_in(descriptor)
        lanes.append(lane)
    return QueueDevice(tap, lanes)
