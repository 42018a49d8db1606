"""The sink: takes every frame and does nothing with it. What is left when a stack costs nothing; it answers no one."""

from collections.abc import Callable
from typing import Protocol

from asyncnic.nic.burst import Burst


class Bursts(Protocol):
    """The part of a nic that the sink uses."""

    async def serve(self, take: Callable[[Burst], None]) -> None: ...


async def sink(nic: Bursts) -> None:
    """Take all frames of all bursts, until the nic is stopped."""
    await nic.serve(_take)


def _take(burst: Burst) -> None:
    burst.taken = len(burst)
