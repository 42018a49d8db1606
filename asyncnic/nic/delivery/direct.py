"""Direct delivery: nothing. The stack is handed bursts straight off the ring, and what it does not take the card drops.

It is the absence of a queue with a name: one yield to the event loop a burst, so that timers, scrapes and
applications run.
"""

import asyncio

from asyncnic.nic.burst import Burst
from asyncnic.nic.receiver import Receiver


class DirectDelivery:
    """Bursts from `receiver`, as they are."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def next_burst(self) -> Burst:
        """See `Delivery.next_burst`."""
        receiver = self._receiver
        # Hand back before the yield: while others run, the card has its descriptors.
        receiver.leave()
        await asyncio.sleep(0)
        while (burst := receiver.next_burst()) is None:
            if receiver.exhausted:
                raise StopAsyncIteration
            await receiver.wait()
        return burst

    def delivered(self, lane: int) -> tuple[int, int]:
        """Frames and octets taken by the stack."""
        return self._receiver.taken(lane)

    def in_flight(self, lane: int) -> int:
        """Always 0: there is no place to wait in."""
        return 0

    def dropped(self, lane: int) -> dict[str, int]:
        """Always empty: there is no place to be dropped from."""
        return {}

    async def close(self) -> None:
        """Nothing to end."""
