"""Direct delivery: nothing. The stack is handed bursts straight off the ring, and what it does not take the card drops.

It is the absence of a queue with a name: one yield to the event loop a burst, so that timers, scrapes and
applications run.
"""

import asyncio
from collections.abc import Callable

from asyncnic.nic.burst import Burst
from asyncnic.nic.rings import Rings
from asyncnic.nic.waiting import Waiting
from asyncnic.tasks import Background


class DirectDelivery:
    """Bursts from `rings`, as they are."""

    def __init__(self, rings: Rings, waiting: Waiting, tasks: Background) -> None:
        self._rings = rings
        self._waiting = waiting
        self._turn_due = False

    async def next_burst(self) -> Burst:
        """See `Delivery.next_burst`."""
        rings = self._rings
        # Hand back before the yield: while others run, the card has its descriptors.
        rings.hand_back_burst()
        if self._turn_due:
            # Once: whoever gives up within this turn, and comes again, has let the loop breathe.
            self._turn_due = False
            await asyncio.sleep(0)
        while (burst := rings.next_burst()) is None:
            if rings.exhausted:
                raise StopAsyncIteration
            await self._waiting.wait()
        self._turn_due = True
        return burst

    async def serve(self, take: Callable[[Burst], None]) -> None:
        """See `Delivery.serve`. From a chip in this process a burst is taken in the very callback that says there is
        something to read: one turn of the loop, and no task is woken.
        """
        wakeup = self._rings.wakeup
        wakeup.take = take
        try:
            while True:
                wakeup.hand(take, await self.next_burst())
        except StopAsyncIteration:
            return
        finally:
            wakeup.take = None

    def delivered(self, lane: int) -> tuple[int, int]:
        """Frames and octets taken by the stack."""
        return self._rings.taken(lane)

    def in_flight(self, lane: int) -> int:
        """Always 0: there is no place to wait in."""
        return 0

    def dropped(self, lane: int) -> dict[str, int]:
        """Always empty: there is no place to be dropped from."""
        return {}

    def abandon_burst(self) -> None:
        """See `Delivery.abandon_burst`."""
        self._rings.close()

    async def close(self) -> None:
        """Nothing to end."""
