"""What comes before a TAP is attached to, whoever does it: that nobody else has it, and what it has counted by then."""

from contextlib import AsyncExitStack

from asyncnic.devices.attachment import Attachment
from asyncnic.errors import DeviceLost
from asyncnic.linux import tun
from asyncnic.linux.claim import claim
from asyncnic.linux.link import counts_of_unused_tap


async def reserve_tap(tap: str, attachment: Attachment, held: AsyncExitStack) -> tuple[int, int]:
    """Claim the TAP for as long as `held` holds. Returns `LinkCounters.read` of it; zeros where there is none yet.

    A TAP that was deleted is waited for, not made again: whoever deleted it may mean it.

    Raises:
        DeviceLost: it was attached to before, and is not there.
        DeviceError: somebody else is attached to it.
    """
    if attachment.returning and not tun.exists(tap):
        raise DeviceLost(f"{attachment.name}: no such interface")
    held.callback(claim(attachment.name, tap).release)
    return await counts_of_unused_tap(attachment.name, tap)
