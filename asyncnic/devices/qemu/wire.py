"""What QEMU's NIC is plugged into: a TAP.

QEMU reads its wire whenever there is something to read, and hands it to the chip at once. A chip that is stopped or
suspended discards it without a count (fact sheet 7.2), so a TAP's wire has a gate: while it is closed, a socket
filter makes the kernel drop what comes, and count it. Closing waits until QEMU has read what stood in the queue. Thus
every frame that the TAP counted as sent is in a descriptor or in CSR112. This starts no QEMU and reads no frame that
is meant for the chip.
"""

import ctypes
import fcntl
import os
import select
import struct
import time
from contextlib import AsyncExitStack, suppress
from typing import Protocol

from asyncnic.devices.attachment import Attachment, WireCount
from asyncnic.devices.device import DeviceOptions, WireCounters
from asyncnic.devices.tap.reserve import reserve_tap
from asyncnic.errors import DeviceError
from asyncnic.linux import tun
from asyncnic.linux.link import LinkCounters, LinkWanted, open_changes, set_queue_length, set_up

_BPF_RETURN = 0x06
_FROM_TAP = 65536
_ANNOUNCEMENT = 65536
_SETTLE_SECONDS = 1.0
_SETTLE_STEP = 0.001


class Wire(Protocol):
    """A wire for QEMU's NIC."""

    netdev: str
    """QEMU's back end for it, "{fd}" standing for the descriptor."""
    attachment: Attachment
    """The hold on it. When it is attached to, its gate is closed."""

    def fileno(self) -> int:
        """The descriptor that QEMU inherits."""

    def news(self) -> int:
        """A descriptor that is readable when the wire may have gone."""

    def gone(self) -> bool:
        """Whether the wire is gone; consumes the readiness of `news`."""

    def intact(self) -> bool:
        """Whether the wire is attached to, and there."""

    def open_gate(self) -> None:
        """Let frames through to the chip."""

    def close_gate(self, *, settled: bool = True) -> None:
        """Keep frames from the chip; with `settled` return when QEMU has read those that stood in the queue (a second
        at most).
        """

    def counters(self) -> WireCounters | None:
        """What the wire has counted since it was made; None where it cannot be asked.

        Raises:
            DeviceLost: the wire is gone.
        """

    def no_link(self) -> str:
        """See `asyncnic.devices.device.Device.no_link`."""

    def begin(self) -> None:
        """Begin to count: for a chip that has just started, the gate closed."""

    def settle(self, came: int) -> None:
        """Count for the last time, no QEMU reading any more: of what was handed out, so much `came` into the chip."""

    async def apply_knobs(self) -> None:
        """See `asyncnic.devices.device.Device.apply_knobs`."""

    def close(self) -> None:
        """Close what was there before it was attached to. Idempotent."""


class TapWire:
    """A TAP of this host, by its name. `attach` makes it when there is none, and sets its host side up."""

    netdev = "tap,fd={fd}"

    def __init__(self, name: str, options: DeviceOptions) -> None:
        self.name = name
        self.attachment = Attachment(f"qemu:{name}", self._acquire)
        self._options = options
        self._queue_length = options.knobs.tap_queue
        self._tap = -1
        self._link: LinkCounters | None = None
        self._count = WireCount()
        # The TAP itself would wake us for every frame; the kernel's announcements of changed links are rare.
        self._news = open_changes()
        self._drop_all = ctypes.create_string_buffer(struct.pack("=HBBI", _BPF_RETURN, 0, 0, 0))

    async def _acquire(self, held: AsyncExitStack) -> None:
        await reserve_tap(self.name, self.attachment, held)
        self._tap = tun.attach(self.name)
        held.callback(self._let_go)
        self._filter()
        knobs = self._options.knobs
        await set_up(self.name, LinkWanted(self._options.mtu, knobs.tap_queue, self._options.host_address))
        self._queue_length = knobs.tap_queue
        self._discard()  # these frames are older than the chip
        self._link = LinkCounters(self.name)

    def _let_go(self) -> None:
        self._count.end(self.counters)
        if self._link is not None:
            self._link.close()
            self._link = None
        os.close(self._tap)
        self._tap = -1

    def fileno(self) -> int:
        return self._tap

    def news(self) -> int:
        return self._news.fileno()

    def gone(self) -> bool:
        with suppress(OSError):  # nothing more to read, or more news than it could hold
            while True:
                self._news.recv(_ANNOUNCEMENT)
        return not self.intact()

    def intact(self) -> bool:
        if self._tap < 0:
            return False
        wire = select.poll()
        wire.register(self._tap, 0)
        return not wire.poll(0) and self._link is not None and tun.index(self.name) == self._link.index

    def _filter(self) -> None:
        """Have the kernel drop, and count as `tx_dropped`, every frame that is sent to the TAP."""
        fcntl.ioctl(self._tap, tun.TUNATTACHFILTER, struct.pack("@HP", 1, ctypes.addressof(self._drop_all)))

    def open_gate(self) -> None:
        with suppress(OSError):  # the TAP was deleted: `counters` and the lane say so
            fcntl.ioctl(self._tap, tun.TUNDETACHFILTER, bytes(16))

    def close_gate(self, *, settled: bool = True) -> None:
        with suppress(OSError):
            self._filter()
            if settled:
                settle(self._tap)

    def begin(self) -> None:
        link = self._link
        assert link is not None
        self._count.begin(*link.read())

    def settle(self, came: int) -> None:
        """What stands in the TAP's queue is read and thrown away: it was handed out, and lost like what QEMU had."""
        if self._tap >= 0:
            self._discard()
        self._count.end(self.counters, came)

    def _discard(self) -> None:
        with suppress(OSError):  # no more, or no TAP
            while True:
                os.read(self._tap, _FROM_TAP)

    def counters(self) -> WireCounters:
        count = self._count
        if count.counting and self._link is not None:
            count.update(*self._link.read())
        return WireCounters(count.taken + count.dropped, count.dropped, lost=count.lost)

    def no_link(self) -> str:
        return self._link.no_link() if self._link is not None else ""

    async def apply_knobs(self) -> None:
        knobs = self._options.knobs
        if knobs.tap_queue == self._queue_length:
            return
        try:
            await set_queue_length(self.name, knobs.tap_queue)
        except DeviceError:
            knobs.tap_queue = self._queue_length
            raise
        self._queue_length = knobs.tap_queue

    def close(self) -> None:
        self._news.close()


def settle(descriptor: int) -> None:
    """Wait until nothing has stood in the descriptor's queue at two looks in a row, a second at most.

    Two, since a sender on another processor may be past the filter and not yet in the queue.
    """
    queue = select.poll()
    queue.register(descriptor, select.POLLIN)
    empty = 0
    deadline = time.monotonic() + _SETTLE_SECONDS
    while empty < 2 and time.monotonic() < deadline:
        empty = 0 if any(events & select.POLLIN for _, events in queue.poll(0)) else empty + 1
        time.sleep(_SETTLE_STEP)
