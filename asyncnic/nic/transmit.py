"""The way out on the event loop: frames into the first lane's transmit ring, one kick a burst or a turn of the loop.

It has no queue: what finds no room is the caller's again, who may wait for some. What a frame holds is not its
business, and what it does in which state is in state.py.
"""

import asyncio

from asyncnic.hot.transmit import BUFFER_SIZE
from asyncnic.nic.state import Life, State
from asyncnic.pcnet32.driver.driver import Driver

POLL_INTERVAL = 0.001
"""Seconds between looks at a transmit ring that is full."""
LAST_LOOKS = 20
"""Looks at the ring when closing, an interval apart, until the card has sent what it was given."""


class Transmit:
    """Sends on one lane.

    Args:
        driver: the lane's.
        life: the nic's state.

    The law of the way out, at every moment: frames that `send` or `try_send` took, and those that `send` refused, are
    the frames sent, the ring's errors and what the ring holds.
    """

    def __init__(self, driver: Driver, life: Life) -> None:
        self._driver = driver
        self._life = life
        self._loop = asyncio.get_running_loop()
        self.slots = driver.tx.slots
        """For stacks that write into descriptors themselves: what is put there is sent and counted as by `try_send`."""
        self.kick = self.slots.kick
        """Makes the card look at the ring, where something was sent since it last did."""
        self.slots.on_first = self._kick_soon
        life.tell(self._changed)
        self._changed()

    def send(self, frame: bytes | bytearray | memoryview) -> bool:
        """Put a frame (from 14 octets on, without FCS) on the ring. False: it was dropped, and counted in the ring's
        errors.
        """
        errors = self._driver.tx.errors
        if not self._life.present:
            errors["carrier"] += 1
        elif self._put(frame):
            return True
        elif len(frame) <= BUFFER_SIZE:
            errors["ring_full"] += 1
        return False

    def try_send(self, frame: bytes | bytearray | memoryview) -> bool:
        """The same for whoever waits for room and tries again. False: it is still the caller's, and nothing is counted.

        A frame that no descriptor holds is taken, and counted as oversize.
        """
        return self._life.present and (self._put(frame) or len(frame) > BUFFER_SIZE)

    def _put(self, frame: bytes | bytearray | memoryview) -> bool:
        driver = self._driver
        if not driver.tx.room:
            driver.kick()
        return driver.transmit(frame)

    async def writable(self) -> None:
        """Suspend, then return when the ring has room; while the device is lost, when it is back.

        After the nic has been stopped without a device, or closed, it returns at the next poll interval.
        """
        life, ring = self._life, self._driver.tx
        await asyncio.sleep(0)
        while life.state is not State.CLOSED and life.state is not State.ORPHANED:
            if not life.present:
                await life.change()
            elif ring.room or ring.reap():
                return
            else:
                self._driver.kick()
                await asyncio.sleep(0 if ring.reap() else POLL_INTERVAL)
        await asyncio.sleep(POLL_INTERVAL)

    def _kick_soon(self) -> None:
        """A frame was put; those that follow in this turn of the loop go with it."""
        self._loop.call_soon(self.kick)

    def _changed(self) -> None:
        self.slots.open = self._life.present

    async def drain(self) -> None:
        """Give the card time to send what it was given, some 20 ms at most."""
        self.kick()
        ring = self._driver.tx
        for _ in range(LAST_LOOKS):
            ring.reap()
            if not ring.pending or not self._life.present:
                return
            await asyncio.sleep(POLL_INTERVAL)
