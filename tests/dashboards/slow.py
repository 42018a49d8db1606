"""A stack whose handler takes a millisecond a frame: a thousand frames a second are its limit, on any machine."""

import time

from asyncnic.nic.nic import Nic

HANDLER_SECONDS = 0.001


async def stack(nic: Nic) -> None:
    """Take every frame, slowly; answer none."""
    async for burst in nic:
        for _ in burst:
            time.sleep(HANDLER_SECONDS)
