"""The TAP device: chips in software whose wire is a TAP of the kernel, one for each lane.

Frames are read straight into descriptor buffers, only as many as the chips have descriptors for; what is not read stays
in the kernel's TAP queues and is dropped there, which costs us nothing and which is counted. This file holds the
wire and its counters; a lane is in tap_lane.py, the chip is pcnet32/model.py, and nobody here looks into a frame.
"""

import hashlib
import logging
import os
import socket

from asyncnic.devices.device import DeviceOptions, LaneCounters, WireCounters
from asyncnic.devices.tap.counters import TapCounters
from asyncnic.devices.tap.lane import TapLane
from asyncnic.devices.tap.queues import TapQueues
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.steering import SteeringCounts
from asyncnic.linux import tun
from asyncnic.linux.link import LinkCounters, LinkWanted, counts_of_unused_tap, set_up
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
        self._tap = tap
        self._options = options
        self._queues = TapQueues(tap, options.knobs)
        self._counters = TapCounters()
        self._link: LinkCounters | None = None
        self._read_before = 0

    async def attach(self) -> None:
        """Attach to the TAP, making it when there is none, and set its host side up.

        Raises:
            DeviceError, PrivilegeError: see `tun.attach` and `link.set_up`.
        """
        zero = await counts_of_unused_tap(self._tap)
        queues = self._queues.open()
        try:
            wanted = LinkWanted(self._options.mtu, self._queues.length, self._options.host_address)
            await set_up(self._tap, wanted)
            self._link = LinkCounters(self._tap, socket.if_nametoindex(self._tap))
        except BaseException:
            self._queues.detach()
            for queue in queues:
                os.close(queue)
            raise
        if not self.lanes:
            self.lanes = self._make_lanes()
        self._counters.attached(*zero, _dropped(self._queues.counts()))
        self._read_before = self._read_frames()
        without = len(self.lanes) - len(queues)
        for lane in self.lanes[:without]:
            lane.plug_in(os.dup(queues[0]), reads=False)
        for lane, queue in zip(self.lanes[without:], queues, strict=True):
            lane.plug_in(queue)
        self._count()
        self._queues.tell()

    def _make_lanes(self) -> tuple[TapLane, ...]:
        options = self._options
        mac = options.mac if options.mac is not None else station_address(self._tap)
        return tuple(
            TapLane(rule.name, DmaMemory.anonymous(options.memory_size), mac, options.knobs)
            for rule in self._queues.lanes
        )

    def wire(self) -> WireCounters | None:
        """See `Device.wire`: tx_packets + tx_dropped of the TAP since it was attached to, and the programs' counts."""
        counters, queues = self._counters, self._queues
        if self._link is not None:
            queues.settle()
            packets, dropped = self._link.read()
            counters.update(packets, dropped, _dropped(queues.counts()))
        counts = queues.counts()
        overflowed = [lane.overflowed for lane in counts.lanes] or [0] * len(self.lanes)
        waiting = [lane.waiting for lane in counts.lanes] if queues.steered else [None] * len(self.lanes)
        overflowed[-1] += counters.dropped_beside  # the last lane takes what no rule is for
        dropped = sum(overflowed) + counts.shed_total
        return WireCounters(
            offered=counters.packets + dropped,
            dropped=dropped,
            lanes=tuple(
                LaneCounters(lane.read_frames + over, over, wait)
                for lane, over, wait in zip(self.lanes, overflowed, waiting, strict=True)
            ),
            shed=counts.shed,
            shed_total=counts.shed_total,
        )

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
        try:
            await self.apply_knobs()  # what was turned meanwhile
        except DeviceError as error:
            log.error("%s", error)
        return True

    async def apply_knobs(self) -> None:
        """Bring the TAP's queues and the lanes' rules to what the knobs ask for now.

        Raises:
            DeviceError, PrivilegeError: it cannot be; the knobs are put back to what holds.
        """
        if self._link is None:
            return  # they count from the next attachment on
        before = self._queues.steering
        await self._queues.apply_knobs()
        if self._queues.steering is not before:
            self._count()

    async def close(self) -> None:
        """See `Device.close`. A TAP that we made goes away with its descriptors; one made beforehand stays."""
        self._detach()
        self._queues.close()
        for lane in self.lanes:
            lane.port.memory.close()

    def _count(self) -> None:
        for index, lane in enumerate(self.lanes):
            lane.count_with(self._queues.steering, index)

    def _read_frames(self) -> int:
        return sum(lane.read_frames for lane in self.lanes)

    def _detach(self) -> None:
        """Forget this attachment, keeping its counts. Its kernel counters may be gone with the TAP: then what counts
        is what was read, and the drops as last seen.
        """
        if self._link is None:
            return
        try:
            self.wire()
        except DeviceLost:
            self._counters.lost(self._read_frames() - self._read_before)
        self._link.close()
        self._link = None
        self._queues.detach()
        for lane in self.lanes:
            lane.unplug()


async def open_device(name: str, options: DeviceOptions) -> TapDevice:
    """Open "tap:NAME": make the TAP or attach to one that is there, and put a chip on each of its lanes.

    Raises:
        DeviceError, PrivilegeError: see `TapDevice.attach`.
    """
    device = TapDevice(name, options)
    try:
        await device.attach()
    except BaseException:
        await device.close()
        raise
    return device


def station_address(name: str) -> bytes:
    """A locally administered address that stays the same for this host and TAP name, and differs between hosts."""
    digest = hashlib.sha256(f"{socket.gethostname()}/{name}".encode()).digest()
    return b"\x02" + digest[:5]


def _dropped(counts: SteeringCounts) -> int:
    """Frames that the lanes' programs have dropped, for whatever reason."""
    return counts.shed_total + sum(lane.overflowed for lane in counts.lanes)
