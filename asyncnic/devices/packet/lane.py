"""One packet ring of the kernel with a chip of its own, and what the ring was offered.

Frames go from the kernel's slots into descriptor buffers, only as many as the chip has descriptors for: what the ring
has no room for meanwhile the kernel drops, and counts. Which frames come at all is filters.py's, and nobody here looks
into one.
"""

import errno
import os
import socket
import time

from asyncnic import hot
from asyncnic.devices.attachment import WireCount
from asyncnic.devices.device import NEVER, LaneCounters
from asyncnic.devices.host import UNKNOWN_MAC, SharedHost
from asyncnic.devices.packet.ring import PacketRing
from asyncnic.errors import DeviceLost
from asyncnic.hot.queue import QueueReader
from asyncnic.linux.packet import EVERYTHING, SLOT_SIZE, RingSocket, attach_filter, bind_sender
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.settings.knobs import Knobs

OVERHEAD = 18
"""Octets of a frame around its payload: header and tag."""
_SETTLING = 0.0005
"""Seconds that a frame which the kernel has counted may take to stand in its slot."""

_PacketRing = hot.choose(PacketRing, "packet")
_QueueReader = hot.choose(QueueReader)


class PacketLane:
    """See `asyncnic.devices.device.Lane`.

    Args:
        name: of the lane.
        memory, mac: of the chip.
        knobs: `overload` is read.
        mtu: octets of payload in a frame that the chip takes whole; longer ones are cut.
        host: who routes packets whose next hop is not known here; None: nobody.
        receiver, sender: the wire, on no interface yet; the lane's from now on.
    """

    counts_filtered = True

    def __init__(
        self,
        name: str,
        memory: DmaMemory,
        mac: bytes,
        knobs: Knobs,
        mtu: int,
        host: SharedHost | None,
        receiver: RingSocket,
        sender: socket.socket,
    ) -> None:
        self.name = name
        self.port = Am79C970A(memory, mac, self._send)
        self.port.link_up = False
        self.doorbell = self.port.doorbell()
        self._host = host
        self._receiver: RingSocket | None = receiver
        self._sender = sender
        self._ring = _PacketRing(receiver.map, SLOT_SIZE, receiver.slots, receiver.socket.fileno(), mtu + OVERHEAD)
        self.queue = _QueueReader(self.port, knobs)
        self.queue.take = self._ring.readinto
        self._count = WireCount()  # pieces beyond the first of frames that were cut are added once the ring is gone

    @property
    def filtered(self) -> int:
        """Frames that the chip's filter rejected."""
        return self.port.counters.filtered

    def bind(self, index: int, *, promiscuous: bool, all_multicast: bool) -> None:
        """Plug into the interface with this index. Frames of the one before that stand in the ring are still there.

        Raises:
            OSError: it is down or gone.
        """
        if self._receiver is not None:
            self._receiver.bind(index, promiscuous=promiscuous, all_multicast=all_multicast)
            bind_sender(self._sender, index)
            self.port.wire_file = self._sender
            self.port.link_up = True

    def unplug(self) -> None:
        """The interface is gone: pull the chip's link."""
        self.port.link_up = False
        self.port.wire_file = None

    def let_in(self, program: bytes | None) -> None:
        """Change what may come; None: everything."""
        if self._receiver is not None:
            attach_filter(self._receiver.socket, EVERYTHING if program is None else program)

    def close(self) -> None:
        """Close the wire. Frames that stand in the ring are lost with it. Idempotent."""
        self.unplug()
        if self._receiver is None:
            return
        self._ask(self._receiver)
        self._count.add(self._ring.extra + self._ring.cutting, 0)
        self._count.settle(self.port.taken)
        self.queue.take = None
        self._ring.close()
        self._receiver.close()
        self._sender.close()
        self._receiver = None
        self.port.memory.close()

    def counts(self) -> LaneCounters:
        """What the ring was offered since it was opened, on whatever interface: PACKET_STATISTICS, which the kernel
        sets to 0 at every reading.

        A frame that was cut counts as its pieces once they are read: one on the wire, several in the descriptors. What
        stands in the ring is not offered yet; as long as anything does, what was read and what was dropped count.
        """
        count = self._count
        if self._receiver is None:  # what stood in the ring then was dropped with it
            return LaneCounters(count.taken + count.dropped, count.dropped + count.lost, 0)
        self._ask(self._receiver)
        read = self.port.taken
        waiting = self._ring.waiting()
        taken = count.taken + self._ring.extra
        if not waiting and taken != read:
            end = time.monotonic() + _SETTLING
            while not waiting and time.monotonic() < end:
                waiting = self._ring.waiting()
        if waiting:
            taken = read
        return LaneCounters(taken + count.dropped, count.dropped, waiting)

    def _ask(self, ring: RingSocket) -> None:
        counted = ring.statistics()
        self._count.add(counted.frames - counted.dropped, counted.dropped)

    # -- Lane ---------------------------------------------------------------------------------------------------------

    def fileno(self) -> int | None:
        """The receiving socket: readable when a frame stands in the ring."""
        return NEVER if self._receiver is None else self._receiver.socket.fileno()

    def readable(self) -> bool:
        """Whether a frame stands in the ring."""
        return self._receiver is not None and bool(self._ring.waiting())

    def poll(self, limit: int) -> int:
        """See `Lane.poll`. With overload "drain" the chip takes frames without a descriptor too, and counts MISS."""
        return self.queue.poll(limit)

    def interrupt(self) -> None:
        """Reading the frames makes the socket unreadable; what is left to ask is what became of the interface.

        Raises:
            DeviceLost: it is down, was deleted or has moved to another network namespace.
        """
        if self._receiver is not None and (problem := self._receiver.error()):
            raise DeviceLost(_why(problem))

    def unmask(self) -> None:
        """Nothing is masked."""

    def _send(self, frame: memoryview) -> bool:
        if self._host is not None and frame[:6] == UNKNOWN_MAC:
            return self._host.route(frame)
        try:
            self._sender.send(frame)
        except OSError:
            return (
                False  # the interface is down or gone, or its queue full: the chip reports that it did not get through
            )
        return True


def _why(problem: int) -> str:
    if problem == errno.ENETDOWN:
        return "the interface is down, or was deleted or moved"
    return f"the interface cannot be read: {os.strerror(problem)}"
