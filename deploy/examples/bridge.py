"""A bridge of two NICs: what comes in at one goes out at the other, both promiscuous, in bursts.

python bridge.py tap:left tap:right
"""

import asyncio
import sys

import asyncnic


async def copy(source: asyncnic.Nic, target: asyncnic.Nic) -> None:
    """Send what `source` receives out at `target`. A full ring drops, and `target` counts it."""
    async for burst in source:
        for frame in burst:
            target.send(frame)


async def bridge(left: str, right: str) -> None:
    """Run until a device is closed."""
    async with asyncnic.open_nic(left, promiscuous=True) as one, asyncnic.open_nic(right, promiscuous=True) as two:
        print("ready", flush=True)
        await asyncio.gather(copy(one, two), copy(two, one))


if __name__ == "__main__":
    asyncio.run(bridge(*sys.argv[1:]))
