"""A device's hold on its wire: attaching, loss, return, and what the wire has counted over all of that.

`Attachment` is the one way in which a device attaches: what is opened is registered for its release as it is opened, so
that an attempt which fails half-way leaves nothing behind, and whatever fails is a `DeviceError`. `WireCount` adds up a
wire's counters over attachments, and says when they may be read. Neither opens or counts anything itself, and neither
knows what a wire is made of: a device brings the function that attaches and those that read.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Protocol, TypeVar

from pyroute2.netlink.exceptions import NetlinkError

from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.logs import fields

log = logging.getLogger(__name__)


class WireCount:
    """Frames that a wire has handed out and those that it has dropped, since the first attachment; they only grow.

    Three kinds of counters are understood: those that go on (`begin`, then `update` with each reading), those that
    start over at each reading (`add`), and those that are gone with the wire (`end`, `settle`).

    Attributes:
        counting: an attachment has begun and not ended: its counters may be read.
        taken: frames that the wire has handed out.
        dropped: frames that the wire has dropped.
        lost: of those taken, frames that never came out of what took them: lost with the device.
    """

    __slots__ = ("_before", "_lost_before", "_zero", "counting", "dropped", "lost", "taken")

    def __init__(self) -> None:
        self.counting = False
        self.taken = 0
        self.dropped = 0
        self.lost = 0
        self._lost_before = 0
        self._before = (0, 0)
        self._zero = (0, 0)

    def begin(self, taken: int = 0, dropped: int = 0) -> None:
        """A new attachment; the wire's counters stand so at its beginning."""
        self._before = (self.taken, self.dropped)
        self._lost_before = self.lost
        self._zero = (taken, dropped)
        self.counting = True

    def update(self, taken: int, dropped: int) -> None:
        """The wire's counters stand so now."""
        self.taken = max(self.taken, self._before[0] + taken - self._zero[0])
        self.dropped = max(self.dropped, self._before[1] + dropped - self._zero[1])

    def add(self, taken: int, dropped: int) -> None:
        """So many more, from counters that start over at each reading."""
        self.taken += taken
        self.dropped += dropped

    def came(self, frames: int) -> None:
        """So many frames have come off the wire, all attachments together, whatever its counters say: as their reader
        has counted.
        """
        self.taken = max(self.taken, frames + self._lost_before)

    def end(self, read: Callable[[], object], came: int | None = None) -> None:
        """This attachment ends: its counters are read for the last time, as far as they are still there, and settled
        where it is known what `came`. May be called again before the next begins: they are read once.

        Args:
            read: asks the wire and calls `update`; it may raise `DeviceLost`.
            came: see `came`.
        """
        if self.counting:
            with suppress(DeviceLost):  # they are gone with the wire: what was last seen counts
                read()
            self.counting = False
        if came is not None:
            self.settle(came)

    def settle(self, came: int) -> None:
        """This attachment has ended, and its counters may have been read before its last frames. May be called again
        before the next begins, when more is known of what came.

        Args:
            came: see `came`.
        """
        self.came(came)
        self.lost = self.taken - came


class Attachment:
    """The hold on one wire.

    Args:
        name: of the device, as typed: "tap:asyncnic0".
        acquire: attaches. It registers the release of all that it opens, as it opens it, and leaves the rest to us. On
            a wire that was attached to before and is not there it raises `DeviceLost`.

    Attributes:
        returning: it has been attached before.
    """

    def __init__(self, name: str, acquire: Callable[[AsyncExitStack], Awaitable[None]]) -> None:
        self.name = name
        self.returning = False
        self._acquire = acquire
        self._held: AsyncExitStack | None = None
        self._told = ""

    @property
    def attached(self) -> bool:
        """Whether anything is held."""
        return self._held is not None

    async def attach(self) -> None:
        """Attach.

        Raises:
            DeviceError: it cannot be; nothing is held.
        """
        held = AsyncExitStack()
        try:
            await self._acquire(held)
        except BaseException as error:
            await self._release(held)
            if isinstance(error, OSError | NetlinkError):
                raise DeviceError(f"{self.name}: cannot be attached to: {_reason(error)}") from error
            raise
        self._held = held
        self.returning = True
        self._told = ""

    async def reattach(self) -> bool:
        """Let go, and try once to attach again: whether that worked. Why not is logged, once for each reason, unless
        the wire just is not there.
        """
        await self.detach()
        try:
            await self.attach()
        except DeviceError as error:
            if not isinstance(error, DeviceLost) and str(error) != self._told:
                self._told = str(error)
                log.warning("the device cannot be attached to yet", extra=fields(device=self.name, problem=str(error)))
            return False
        return True

    async def detach(self) -> None:
        """Release what is held, the last first. Idempotent."""
        held, self._held = self._held, None
        if held is not None:
            await self._release(held)

    async def _release(self, held: AsyncExitStack) -> None:
        try:
            await held.aclose()
        except (OSError, NetlinkError, DeviceError) as error:  # all of it is released nevertheless
            log.warning("letting go of the device", extra=fields(device=self.name, problem=_reason(error)))


class Attached(Protocol):
    """A device that has an `Attachment`."""

    attachment: Attachment

    async def close(self) -> None:
        """See `asyncnic.devices.device.Device.close`."""


_A = TypeVar("_A", bound=Attached)


async def opened(device: _A) -> _A:
    """Attach `device` for the first time; it is closed where that fails.

    Raises:
        DeviceError: it cannot be.
    """
    try:
        await device.attachment.attach()
    except BaseException:
        await device.close()
        raise
    return device


def _reason(error: Exception) -> str:
    number = error.code if isinstance(error, NetlinkError) else getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)
