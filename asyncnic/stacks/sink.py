"""The sink: takes every frame and does nothing with it. What is left when a stack costs nothing; it answers no one."""

from collections.abc import Callable
from typing import Protocol

from asyncnic.nic.burst import Burst
from asyncnic.stacks.stack import Stack, StackSpec


class Bursts(Protocol):
    """The part of a nic that the sink uses."""

    async def serve(self, take: Callable[[Burst], None]) -> None: ...


class Sink(Stack):
    """Takes all frames of all bursts, until the nic is stopped."""

    def __init__(self, nic: Bursts) -> None:
        self._nic = nic

    async def run(self) -> None:
        """See `Stack.run`."""
        await self._nic.serve(_take)


def _take(burst: Burst) -> None:
    burst.taken = len(burst)


SPEC = StackSpec(name="sink", help="nobody: taken and forgotten", make=lambda settings: Sink)
