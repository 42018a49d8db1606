"""How tests wait: for a condition, within a bound, or for the event loop to have done what it can. Never for a time."""

import asyncio
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds that a condition may take on a busy machine."""
_TURNS = 200


async def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Return when `holds()` does.

    Raises:
        TimeoutError: it does not within so many seconds.
    """
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.001)


async def turns() -> None:
    """Let every task go as far as it can by itself, and every descriptor that is ready be heard of: what has not
    happened then waits for something else.
    """
    for _ in range(_TURNS):
        await asyncio.sleep(0)
