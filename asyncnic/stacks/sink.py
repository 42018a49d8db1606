"""The sink: takes every frame and does nothing with it. What is left when a stack costs nothing; it answers no one."""

from collections.abc import AsyncIterator
from typing import Protocol

from asyncnic.nic.burst import Burst


class Bursts(Protocol):
    """The part of a nic that the sink uses."""

    def __aiter__(self) -> AsyncIterator[Burst]: ...


async def sink(nic: Bursts) -> None:
    """Take all frames of all bursts, until the nic is stopped."""
    async for burst in nic:
        burst.taken = len(burst)
