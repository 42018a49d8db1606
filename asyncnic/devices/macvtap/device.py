"""The macvtap device: a chip in software on the wire of a real interface, with a MAC address of its own there.

"macvtap:eth0" makes a macvtap on eth0 and deletes it again; "macvtap:NAME" of one that is there uses it, which needs no
privilege but that to open its node. The lane is the TAP's (../tap/lane.py): this file adds what differs. A macvtap says
nothing to its reader when it is deleted, so the lane listens to the kernel; and its counters count at another place.
Nothing here looks into a frame. The host itself does not reach a macvtap over its parent: that is the kernel's rule.
"""

import os
import select
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment, WireCount, opened
from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.macvtap import link as macvtap_link
from asyncnic.devices.macvtap.link import KIND, Found
from asyncnic.devices.station import station_address
from asyncnic.devices.tap.lane import TapLane
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.lanes.rules import BULK
from asyncnic.linux.claim import claim
from asyncnic.linux.link import LinkCounters, LinkWanted, open_changes, set_queue_length, set_up
from asyncnic.linux.thread import in_thread
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.settings.knobs import Knobs

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
        """`plug_in` the descriptor of the macvtap whose interface has this index.

        Raises:
            OSError: there are no descriptors left; `unplug` it.
        """
        self._changes = open_changes()
        self._ready = select.epoll()
        self._ready.register(fd, select.EPOLLIN)
        self._ready.register(self._changes, select.EPOLLIN)
        self._queue = select.poll()
        self._queue.register(fd, select.POLLIN)
        self._link = index
        self.plug_in(fd)

    def unplug(self) -> None:
        """See `TapLane.unplug`."""
        for opened_here in (self._ready, self._changes):
            if opened_here is not None:
                opened_here.close()
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
            raise DeviceLost("the macvtap was deleted or moved away, or its parent") from None


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
        self.attachment = Attachment(self.name, self._acquire)
        self._interface = name
        self._options = options
        self._mac = options.mac
        self._link: LinkCounters | None = None
        self._using = ""
        self._queue_length = options.knobs.tap_queue
        self._count = WireCount()

    async def _acquire(self, held: AsyncExitStack) -> None:
        """Make the macvtap, or take the one that is there, and connect the chip. A parent that is back gets a new one;
        one made beforehand is waited for.
        """
        options, length = self._options, self._options.knobs.tap_queue
        found = await in_thread(macvtap_link.find, self._interface)
        if found is None:
            raise (DeviceLost if self.attachment.returning else DeviceError)(
                f"{self.name}: no such interface: name the one to be on, see: ip link"
            )
        made = found.kind != KIND
        link = await self._make(found, held) if made else self._take(found, held)
        fd = await in_thread(macvtap_link.open_queue, link)
        held.callback(os.close, fd)
        await in_thread(macvtap_link.accept_multicast, link.name)
        if made:
            await in_thread(macvtap_link.bring_up, link, found.name)
        await set_up(link.name, LinkWanted(options.mtu, length), self.backend)
        counters = LinkCounters(link.name)
        held.callback(counters.close)
        arrived, dropped = (0, 0) if made else _settled(fd, counters)
        if not self.lanes:
            memory = DmaMemory.anonymous(options.memory_size)
            self.lanes = (MacvtapLane(memory, link.mac, options.knobs),)
        self._mac = link.mac
        self._count.begin(arrived - dropped, dropped)
        held.callback(self._unplug)
        self._link, self._using, self._queue_length = counters, link.name, length
        self.lanes[0].connect(fd, link.index)

    def _take(self, found: Found, held: AsyncExitStack) -> Found:
        """A macvtap that is there, claimed."""
        held.callback(claim(self.name, found.name).release)
        if self._mac not in (None, found.mac):
            fix = f"ip link set {found.name} address {self._mac.hex(':')}"
            raise DeviceError(f"{self.name}: its MAC is {found.mac.hex(':')}: leave --mac out and restart, or {fix}")
        return found

    async def _make(self, parent: Found, held: AsyncExitStack) -> Found:
        """A new macvtap on `parent`, claimed, since a name that nobody claims is swept away."""
        options, name = self._options, macvtap_link.new_name()
        held.callback(claim(self.name, name).release)
        mac = self._mac if self._mac is not None else station_address(self.name, parent.mac)
        made = await in_thread(macvtap_link.make, name, parent, mac, options.mtu, options.knobs.tap_queue)
        held.push_async_callback(in_thread, macvtap_link.remove, made.index)
        return made

    def wire(self) -> WireCounters:
        """See `Device.wire`, and above for what is counted.

        Raises:
            DeviceLost: the macvtap is gone.
        """
        count = self._count
        if self._link is not None and count.counting:
            arrived, dropped = _arrivals(self._link)
            waits = self.lanes[0].frames_wait()  # what waits has arrived and is not offered yet
            count.update(0 if waits else arrived - dropped, dropped)
            count.came(self.lanes[0].read_frames)
        return WireCounters(count.taken + count.dropped, count.dropped, lost=count.lost)

    def no_link(self) -> str:
        """See `Device.no_link`."""
        return self._link.no_link() if self._link is not None and self._count.counting else ""

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`: what counts then is what was read, and the drops as last seen."""
        self._count.end(self.wire, self.lanes[0].read_frames)

    def _unplug(self) -> None:
        self._count.end(self.wire, self.lanes[0].read_frames)
        self.lanes[0].unplug()

    async def apply_knobs(self) -> None:
        """Bring the queue to the length that the knob asks for. It only grows: the kernel counts nowhere what a queue
        that shrinks loses.

        Raises:
            DeviceError, PrivilegeError: it cannot be; the knob is put back to what holds.
        """
        knobs = self._options.knobs
        if not self._count.counting or knobs.tap_queue == self._queue_length:
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
        """See `Device.reattach`."""
        return await self.attachment.reattach()

    async def close(self) -> None:
        """See `Device.close`. A macvtap that we made is deleted; one made beforehand stays."""
        await self.attachment.detach()
        for lane in self.lanes:
            lane.port.memory.close()


async def open_device(name: str, options: DeviceOptions) -> MacvtapDevice:
    """Open "macvtap:NAME": NAME is the parent interface, or a macvtap.

    Raises:
        DeviceError, PrivilegeError: it cannot be had; the message says what to do.
    """
    return await opened(MacvtapDevice(name, options))


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
