"""The macvtap device: a chip in software on the wire of a real interface, with a MAC address of its own there.

"macvtap:eth0" makes a macvtap on eth0 and deletes it again; "macvtap:NAME" of one that is there uses it, which needs no
privilege but that to open its node. The lane is the TAP's (tap_lane.py): this file adds what differs. A macvtap says
nothing to its reader when it is deleted, so the lane listens to the kernel; and its counters count at another place.
Nothing here looks into a frame. The host itself does not reach a macvtap over its parent: that is the kernel's rule.
"""

import logging
import os
import select
import socket

from pyroute2.netlink.rtnl import RTMGRP_LINK

from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.macvtap import link as macvtap_link
from asyncnic.devices.macvtap.link import KIND, Claim, Found
from asyncnic.devices.tap.device import station_address
from asyncnic.devices.tap.lane import TapLane
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import BULK
from asyncnic.linux.link import LinkCounters, LinkWanted, set_queue_length, set_up
from asyncnic.linux.thread import in_thread
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.settings.knobs import Knobs

log = logging.getLogger(__name__)

_SETTLING = 50
"""How often a macvtap that was up before us is emptied, until its counters stand still."""


class MacvtapLane(TapLane):
    """A `TapLane` that notices too when its interface is deleted: the descriptor itself stays silent then."""

    def __init__(self, memory: DmaMemory, mac: bytes, knobs: Knobs) -> None:
        super().__init__(BULK, memory, mac, knobs)
        self._ready: select.epoll | None = None
        self._changes: socket.socket | None = None
        self._queue = select.poll()
        self._link = 0

    def connect(self, fd: int, index: int) -> None:
        """`plug_in` the descriptor of the macvtap whose interface has this index."""
        self._changes = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._changes.bind((0, RTMGRP_LINK))
        self._ready = select.epoll()
        self._ready.register(fd, select.EPOLLIN)
        self._ready.register(self._changes, select.EPOLLIN)
        self._queue = select.poll()
        self._queue.register(fd, select.POLLIN)
        self._link = index
        self.plug_in(fd)

    def unplug(self) -> None:
        """See `TapLane.unplug`."""
        if self._ready is not None and self._changes is not None:
            self._ready.close()
            self._changes.close()
            self._ready = self._changes = None
        super().unplug()

    def fileno(self) -> int | None:
        """Readable when a frame waits, and when some interface has changed."""
        return None if self._ready is None else self._ready.fileno()

    def interrupt(self) -> None:
        """See `Lane.interrupt`.

        Raises:
            DeviceLost: the macvtap was deleted, itself or with its parent.
        """
        super().interrupt()
        if self._ready is None or self._changes is None:
            return
        if any(fd == self._changes.fileno() for fd, _ in self._ready.poll(0)):
            self._read_changes(self._changes)

    def frames_wait(self) -> bool:
        """Whether frames stand in the queue now."""
        return bool(self._queue.poll(0))

    def _read_changes(self, changes: socket.socket) -> None:
        """What changed is not of interest, only whether ours is still there."""
        try:
            while changes.recv(1):
                pass
        except BlockingIOError:
            pass
        except OSError:
            pass  # ENOBUFS: some were lost, and the look below needs none of them
        try:
            socket.if_indextoname(self._link)
        except OSError:
            raise DeviceLost("the macvtap was deleted, or its parent") from None


class MacvtapDevice:
    """A chip on a macvtap; see `asyncnic.devices.device.Device`. Made by `open_device`.

    What the wire offered is counted by the macvtap itself: rx_packets has every frame that reached it, also those that
    its full queue then dropped (rx_errors). A broadcast that the processor's backlog dropped is in rx_errors, not in
    rx_packets, and once more in rx_dropped, so that rx_dropped - rx_errors are those. Frames that wait are not offered
    yet, as with a TAP. Where the parent merges frames of a TCP stream (GRO), one counted frame is read as
    several: then what was read counts, and `ethtool -K PARENT gro off` has the kernel's own count back.
    """

    backend = "macvtap"
    chip = "Am79C970A"

    def __init__(self, name: str, options: DeviceOptions) -> None:
        self.name = f"macvtap:{name}"
        self.lanes: tuple[MacvtapLane, ...] = ()
        self._interface = name
        self._options = options
        self._mac = options.mac
        self._claim: Claim | None = None
        self._made: Found | None = None
        self._link: LinkCounters | None = None
        self._using = ""
        self._queue_length = options.knobs.tap_queue
        self._zero = (0, 0)
        self._past = WireCounters(0, 0)
        self._last = WireCounters(0, 0)
        self._read_before = 0

    async def attach(self) -> None:
        """Make the macvtap, or take the one that is there, and connect the chip.

        Raises:
            DeviceError, PrivilegeError: no such interface, or see `macvtap_link` and `link.set_up`.
        """
        found = await in_thread(macvtap_link.find, self._interface)
        if found is None:
            raise DeviceError(f"{self.name}: no such interface: name the one to be on, see: ip link")
        fd = -1
        try:
            link = await self._take(found)
            fd = await in_thread(macvtap_link.open_queue, link)
            await in_thread(macvtap_link.accept_multicast, link.name)
            if self._made is not None:
                await in_thread(macvtap_link.bring_up, link, found.name)
            await set_up(link.name, LinkWanted(self._options.mtu, self._options.knobs.tap_queue), self.backend)
            counters = LinkCounters(link.name, link.index)
            self._zero = (0, 0) if self._made is not None else _settled(fd, counters)
        except BaseException:
            if fd >= 0:
                os.close(fd)
            await self._let_go()
            raise
        if not self.lanes:
            memory = DmaMemory.anonymous(self._options.memory_size)
            self.lanes = (MacvtapLane(memory, link.mac, self._options.knobs),)
        self._mac = link.mac
        self._link, self._using = counters, link.name
        self._queue_length = self._options.knobs.tap_queue
        self._read_before = self.lanes[0].read_frames
        self._past = self._last
        self.lanes[0].connect(fd, link.index)

    async def _take(self, found: Found) -> Found:
        """The macvtap to use, claimed: `found` itself, or one made on it."""
        options = self._options
        name = found.name if found.kind == KIND else macvtap_link.new_name()
        try:
            self._claim = Claim(name)
        except OSError:
            raise DeviceError(
                f"{self.name}: another process is attached to it: stop that one, or make another"
            ) from None
        if found.kind == KIND:
            if self._mac not in (None, found.mac):
                fix = f"ip link set {name} address {self._mac.hex(':')}"
                raise DeviceError(
                    f"{self.name}: its MAC is {found.mac.hex(':')}: leave --mac out and restart, or {fix}"
                )
            return found
        mac = self._mac if self._mac is not None else station_address(self.name)
        self._made = await in_thread(macvtap_link.make, name, found, mac, options.mtu, options.knobs.tap_queue)
        return self._made

    def wire(self) -> WireCounters:
        """See `Device.wire`, and above for what is counted.

        Raises:
            DeviceLost: the macvtap is gone.
        """
        if self._link is None:
            return self._last
        counted, dropped = _arrivals(self._link)
        counted, dropped = counted - self._zero[0], dropped - self._zero[1]
        lane = self.lanes[0]
        taken = lane.read_frames - self._read_before + dropped
        offered = taken if lane.frames_wait() else max(counted, taken)
        self._last = WireCounters(max(self._last.offered, self._past.offered + offered), self._past.dropped + dropped)
        return self._last

    async def apply_knobs(self) -> None:
        """Bring the queue to the length that the knob asks for. It only grows: the kernel counts nowhere what a queue
        that shrinks loses.

        Raises:
            DeviceError, PrivilegeError: it cannot be; the knob is put back to what holds.
        """
        knobs = self._options.knobs
        if self._link is None or knobs.tap_queue == self._queue_length:
            return
        try:
            if knobs.tap_queue < self._queue_length:
                raise DeviceError(f"{self.name}: --tap-queue only grows while running: restart to make it shorter")
            await set_queue_length(self._using, knobs.tap_queue, self.backend)
        except DeviceError:
            knobs.tap_queue = self._queue_length
            raise
        self._queue_length = knobs.tap_queue

    async def reattach(self) -> bool:
        """See `Device.reattach`: a parent that is back gets a new macvtap; one made beforehand is waited for."""
        await self._detach()
        try:
            await self.attach()
        except DeviceError as error:
            log.debug("%s: %s", self.name, error)
            return False
        return True

    async def close(self) -> None:
        """See `Device.close`. A macvtap that we made is deleted; one made beforehand stays."""
        await self._detach()
        for lane in self.lanes:
            lane.port.memory.close()

    async def _detach(self) -> None:
        """Forget this attachment, keeping its counts: where they are gone, what was read and the drops as last seen."""
        if self._link is not None:
            try:
                self.wire()
            except DeviceLost:
                taken = self.lanes[0].read_frames - self._read_before + self._last.dropped - self._past.dropped
                self._last = WireCounters(max(self._last.offered, self._past.offered + taken), self._last.dropped)
            self._link.close()
            self._link = None
            self.lanes[0].unplug()
        await self._let_go()

    async def _let_go(self) -> None:
        if self._made is not None:
            await in_thread(macvtap_link.remove, self._made.index)
            self._made = None
        if self._claim is not None:
            self._claim.release()
            self._claim = None


async def open_device(name: str, options: DeviceOptions) -> MacvtapDevice:
    """Open "macvtap:NAME": NAME is the parent interface, or a macvtap.

    Raises:
        DeviceError, PrivilegeError: see `MacvtapDevice.attach`.
    """
    device = MacvtapDevice(name, options)
    try:
        await device.attach()
    except BaseException:
        await device.close()
        raise
    return device


def _arrivals(link: LinkCounters) -> tuple[int, int]:
    """Frames that have reached the macvtap, and those of them that were dropped."""
    stats = link.read_all()
    return stats["rx_packets"] + stats["rx_dropped"] - stats["rx_errors"], stats["rx_errors"]


def _settled(fd: int, link: LinkCounters) -> tuple[int, int]:
    """The counters of a macvtap at a moment when its queue is empty; what stood in it is thrown away.

    Frames from before the queue was opened are in the counters and not in the queue, so there must be such a moment; a
    wire that never falls silent does not give one, and then the first ledger can be wrong by what came meanwhile.
    """
    before = _arrivals(link)
    for _ in range(_SETTLING):
        while _discard(fd):
            pass
        now = _arrivals(link)
        if now == before:
            break
        before = now
    return before


def _discard(fd: int) -> bool:
    try:
        os.read(fd, 1)  # the rest of a frame goes with it
    except BlockingIOError:
        return False
    return True
