"""The TAP device: chips in software whose wire is a TAP of the kernel, one for each lane.

Frames are read straight into descriptor buffers, only as many as the chips have descriptors for; what is not read stays
in the kernel's TAP queues and is dropped there, which costs us nothing and which is counted. This file holds the
wire and its counters; a lane is in lane.py, the chip is pcnet32/model, and nobody here looks into a frame.

What a TAP was offered has two witnesses. The interface counts what its reader has read (tx_packets) and what was
dropped on the way to it (tx_dropped). The lanes' programs say lane by lane, and rule by rule, what they have dropped,
which is in tx_dropped too; what they do not know of was dropped by the kernel itself.
"""

import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment, WireCount, opened
from asyncnic.devices.device import DeviceOptions, LaneCounters, WireCounters
from asyncnic.devices.station import station_address
from asyncnic.devices.tap.lane import TapLane
from asyncnic.devices.tap.queues import TapQueues
from asyncnic.devices.tap.reserve import reserve_tap
from asyncnic.errors import DeviceError
from asyncnic.lanes.steering import SteeringCounts
from asyncnic.linux.link import LinkCounters, LinkWanted, set_up
from asyncnic.logs import fields
from asyncnic.pcnet32.memory import DmaMemory

log = logging.getLogger(__name__)


class TapDevice:
    """A TAP with its chips; see `asyncnic.devices.device.Device`. Made by `open_device`.

    Attributes:
        lanes: there from the first attachment on.
    """

    backend = "tap"
    chip = "Am79C970A"

    def __init__(self, tap: str, options: DeviceOptions) -> None:
        self.name = f"tap:{tap}"
        self.lanes: tuple[TapLane, ...] = ()
        self.attachment = Attachment(self.name, self._acquire)
        self._tap = tap
        self._options = options
        self._queues = TapQueues(tap, options.knobs)
        self._count = WireCount()
        self._link: LinkCounters | None = None

    async def _acquire(self, held: AsyncExitStack) -> None:
        """Attach to the TAP, making it when there is none, and set its host side up."""
        zero = await reserve_tap(self._tap, self.attachment, held)
        queues = self._queues.open()
        for queue in queues:
            held.callback(os.close, queue)
        held.callback(self._queues.detach)
        await set_up(self._tap, LinkWanted(self._options.mtu, self._queues.length, self._options.host_address))
        link = LinkCounters(self._tap)
        held.callback(link.close)
        if not self.lanes:
            self.lanes = self._make_lanes()
        self._count.begin(zero[0], zero[1] - _dropped(self._queues.counts()))
        self._link = link
        held.callback(self._unplug)
        without = len(self.lanes) - len(queues)
        for number, lane in enumerate(self.lanes):  # one without a queue of its own still sends, on another's
            lane.plug_in(queues[max(0, number - without)], reads=number >= without)
        self._count_lanes()
        self._queues.tell()

    def _unplug(self) -> None:
        self._count.end(self.wire, sum(lane.read_frames for lane in self.lanes))
        for lane in self.lanes:
            lane.unplug()

    def _make_lanes(self) -> tuple[TapLane, ...]:
        options = self._options
        mac = options.mac if options.mac is not None else station_address(self._tap)
        return tuple(
            TapLane(rule.name, DmaMemory.anonymous(options.memory_size), mac, options.knobs)
            for rule in self._queues.lanes
        )

    def wire(self) -> WireCounters:
        """See `Device.wire`: tx_packets + tx_dropped of the TAP since it was attached to, and the programs' counts."""
        count, queues = self._count, self._queues
        if self._link is not None and count.counting:
            queues.settle()
            packets, dropped = self._link.read()
            # The programs are read last: they may have drops that `dropped` has not yet, and never the other way round.
            count.update(packets, dropped - _dropped(queues.counts()))
        counts = queues.counts()
        overflowed = [lane.overflowed for lane in counts.lanes] or [0] * len(self.lanes)
        waiting = [lane.waiting for lane in counts.lanes] if queues.steered else [None] * len(self.lanes)
        overflowed[-1] += count.dropped  # what no program dropped the kernel did; the last lane takes the rest
        dropped = sum(overflowed) + counts.shed_total
        return WireCounters(
            offered=count.taken + dropped,
            dropped=dropped,
            lanes=tuple(
                LaneCounters(lane.read_frames + over, over, wait)
                for lane, over, wait in zip(self.lanes, overflowed, waiting, strict=True)
            ),
            shed=counts.shed,
            shed_total=counts.shed_total,
        )

    def no_link(self) -> str:
        """See `Device.no_link`."""
        return self._link.no_link() if self._link is not None and self._count.counting else ""

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`: what counts then is what was read, and the drops as last seen."""
        self._count.end(self.wire, sum(lane.read_frames for lane in self.lanes))

    async def reattach(self) -> bool:
        """See `Device.reattach`."""
        if not await self.attachment.reattach():
            return False
        try:
            await self.apply_knobs()  # what was turned meanwhile
        except DeviceError as error:
            log.error("knobs of a device that is back", extra=fields(device=self.name, problem=str(error)))
        return True

    async def apply_knobs(self) -> None:
        """Bring the TAP's queues and the lanes' rules to what the knobs ask for now.

        Raises:
            DeviceError, PrivilegeError: it cannot be; the knobs are put back to what holds.
        """
        if not self._count.counting:
            return  # they count from the next attachment on
        before = self._queues.steering
        await self._queues.apply_knobs()
        if self._queues.steering is not before:
            self._count_lanes()

    async def close(self) -> None:
        """See `Device.close`. A TAP that we made goes away with its descriptors; one made beforehand stays."""
        await self.attachment.detach()
        self._queues.close()
        for lane in self.lanes:
            lane.port.memory.close()

    def _count_lanes(self) -> None:
        for index, lane in enumerate(self.lanes):
            lane.count_with(self._queues.steering, index)


async def open_device(name: str, options: DeviceOptions) -> TapDevice:
    """Open "tap:NAME": make the TAP or attach to one that is there, and put a chip on each of its lanes.

    Raises:
        DeviceError, PrivilegeError: it cannot be had; the message says what to do.
    """
    return await opened(TapDevice(name, options))


def _dropped(counts: SteeringCounts) -> int:
    """Frames that the lanes' programs have dropped, for whatever reason."""
    return counts.shed_total + sum(lane.overflowed for lane in counts.lanes)
