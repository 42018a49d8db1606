"""A TAP whose queues others read: it holds them open, sets the host side up, and counts what the wire offered.

No chip and no frame is here. Whoever holds a descriptor keeps its queue with all that waits in it; so a reader may die,
and the next one finds the frames where they were. The last lane has a queue for each reader, over which a program of
ours spreads its flows; the lanes before it have one queue each, the first reader's. Where programs are not allowed
there is the last lane alone, spread by the kernel.
"""

import contextlib
import logging
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment, WireCount
from asyncnic.devices.device import WireCounters
from asyncnic.devices.tap.reserve import reserve_tap
from asyncnic.errors import DeviceError
from asyncnic.lanes.program import spreading_program
from asyncnic.lanes.rules import LaneRule
from asyncnic.linux import bpf, tun
from asyncnic.linux.link import LinkCounters, LinkWanted, set_queue_length, set_up
from asyncnic.logs import fields

log = logging.getLogger(__name__)


class SharedTap:
    """The queues of the TAP `tap`.

    Args:
        tap: the interface's name.
        readers: how many there are.
        lanes: highest first. Their names stay.
        wanted: how its host side shall be.

    Attributes:
        lanes: those that there are, settled by the first `attach`.
        queues: a descriptor for each; none while there is no TAP.
    """

    backend = "tap"

    def __init__(self, tap: str, readers: int, lanes: Sequence[LaneRule], wanted: LinkWanted) -> None:
        self.name = f"tap:{tap}"
        self.lanes = lanes
        self.queues: Sequence[int] = ()
        self._tap = tap
        self._readers = readers
        self._wanted = wanted
        self._attachment = Attachment(self.name, self._acquire)
        self._count = WireCount()
        self._link: LinkCounters | None = None

    @property
    def queue_length(self) -> int:
        """Frames that each queue holds, at most."""
        return self._wanted.queue_length

    def queues_of(self, reader: int) -> Sequence[int]:
        """The descriptors that this reader reads, highest lane first; none while there is no TAP."""
        higher = len(self.lanes) - 1
        return self.queues[0 if reader == 0 else higher + reader : higher + reader + 1]

    async def attach(self) -> None:
        """Open the queues, making the TAP where there is none, and set its host side up.

        Raises:
            DeviceError, PrivilegeError: see `tun.attach` and `link.set_up`.
        """
        await self._attachment.attach()

    async def _acquire(self, held: AsyncExitStack) -> None:
        zero = await reserve_tap(self._tap, self._attachment, held)
        program = self._load()
        queues: list[int] = []
        try:
            while len(queues) < len(self.lanes) - 1 + self._readers:
                queues.append(tun.attach(self._tap, queues=True))
                held.callback(os.close, queues[-1])
            if program is not None:
                bpf.attach(queues[0], bpf.TUNSETSTEERINGEBPF, program)
                held.callback(self._take_program_off, queues[0])
        finally:
            if program is not None:
                os.close(program)
        await set_up(self._tap, self._wanted)
        link = LinkCounters(self._tap)
        held.callback(link.close)
        self._count.begin(*zero)
        self._link, self.queues = link, queues
        held.callback(self._forget)

    def _forget(self) -> None:
        self._count.end(self.wire)
        self.queues = ()

    def _take_program_off(self, queue: int) -> None:
        with contextlib.suppress(DeviceError):  # the TAP is gone, and its program with it
            bpf.attach(queue, bpf.TUNSETSTEERINGEBPF, bpf.DETACHED)

    def steer(self, lanes: Sequence[LaneRule]) -> None:
        """Change the lanes' rules while frames come; each frame meets the old rules or the new ones.

        Raises:
            DeviceError, PrivilegeError: other names than before, or the kernel refuses; the old rules stay.
        """
        names = [lane.name for lane in self.lanes]
        if [lane.name for lane in lanes] != names:
            raise DeviceError(f"--lane: names and order are fixed while running ({', '.join(names)}): restart")
        if len(lanes) > 1 and self.queues:
            program = bpf.load_program(spreading_program(lanes, self._readers).encode(), "asyncnic_spread")
            try:
                bpf.attach(self.queues[0], bpf.TUNSETSTEERINGEBPF, program)
            finally:
                os.close(program)
        self.lanes = lanes

    def _load(self) -> int | None:
        """The descriptor of the program that steers; None where there is nothing to steer, or it is not allowed."""
        if len(self.lanes) == 1:
            return None
        try:
            return bpf.load_program(spreading_program(self.lanes, self._readers).encode(), "asyncnic_spread")
        except DeviceError as error:
            if not self._attachment.returning:
                log.info("one lane", extra=fields(device=self.name, why=str(error)))
                self.lanes = self.lanes[-1:]
            return None

    def wire(self) -> WireCounters:
        """tx_packets + tx_dropped of the TAP since it was first attached to, across loss and re-attachment.

        Raises:
            DeviceLost: the TAP is gone. `lose` it.
        """
        if self._link is not None and self._count.counting:
            self._count.update(*self._link.read())
        return WireCounters(self._count.taken + self._count.dropped, self._count.dropped)

    def no_link(self) -> str:
        """See `Device.no_link`."""
        return self._link.no_link() if self._link is not None and self._count.counting else ""

    def lose(self, read: int) -> None:
        """Count no further on a TAP that is gone, its counters with it: what counts is what was read, and the drops as
        last seen. Its readers may say later how much that was: then lose it again.

        Args:
            read: frames that were read of all queues since the first attachment.
        """
        self.queues = ()
        self._count.end(self.wire, read)

    async def reattach(self) -> bool:
        """See `Device.reattach`."""
        return await self._attachment.reattach()

    async def set_queue_length(self, length: int) -> None:
        """Change how many frames each queue holds.

        Raises:
            DeviceError, PrivilegeError: the kernel refuses; it stays as it was.
        """
        if length != self.queue_length:
            await set_queue_length(self._tap, length)
            self._wanted = LinkWanted(self._wanted.mtu, length, self._wanted.address)

    async def close(self) -> None:
        """Close all descriptors; counts stay. A TAP that we made goes away when the last reader has closed its own, and
        one made beforehand is left without our program.
        """
        await self._attachment.detach()
