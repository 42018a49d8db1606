"""How a nic waits: for the chips' interrupts, for a device that is lost, or, busily, for the next frame.

It takes no frame and counts only interrupts. What is wrong with a chip or a wire is faults.py's to answer.
"""

import asyncio

from asyncnic.devices.device import NEVER
from asyncnic.errors import DeviceLost
from asyncnic.nic.faults import Faults
from asyncnic.nic.moderation import Moderation
from asyncnic.nic.rings import Rings
from asyncnic.nic.state import Life, State

POLL_INTERVAL = 0.001
"""Seconds between looks at the ring of a device that has no interrupt."""


class Waiting:
    """Waits for `rings` to have something to take.

    Args:
        rings: whose lanes interrupt.
        faults: mends what is found wrong.
        life: the nic's state.
    """

    def __init__(self, rings: Rings, faults: Faults, life: Life) -> None:
        self.lost_interrupts = 0
        self._rings = rings
        self._wakeup = rings.wakeup
        self._wakeup.otherwise = self._readable
        self._wakeup.due = self._due
        self._wakeup.failed = self._failed
        self._faults = faults
        self._life = life
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._watched: set[int] = set()
        self._repaired = False
        self._polled = False  # a lane has no descriptor: waiting is no interrupt
        self._asleep: tuple[object, int, int] | None = None  # how we waited at the last look, with work there
        self._ready: set[int] = set()  # of those watched, the ones that were readable since we last waited
        self._moderation = Moderation(rings, self._watch, self._unwatch_all)
        self._poll_timer: asyncio.TimerHandle | None = None
        life.tell(self._changed)

    async def wait(self) -> None:
        """Hand the burst in hand back, suspend, and return when there may be something to take: after an interrupt, a
        repair, or the stop.

        The CPU is idle meanwhile, but for `busy_poll`. Call it when the rings are empty: a lost device comes back with
        its rings armed anew.
        """
        rings, life = self._rings, self._life
        rings.hand_back_burst()
        rings.idle()
        if life.state is State.LOST:
            self._faults.reattach()
            await life.change()
            return
        # Before it is known whether it is over: what a chip has jumped may be all that the rings still hold.
        followed = [driver.rx.resync() for driver in rings.drivers]
        if life.ending or any(followed) or self._faults.mend():
            await asyncio.sleep(0)
            return
        if rings.knobs.busy_poll > 0.0 and await self._busy_poll():
            return
        if not life.up:
            return
        await self._interrupted()
        if not life.up:
            return
        try:
            for served in rings.lanes:
                fd = served.lane.fileno()
                if fd is None or fd in self._ready or not self._ready:  # woken by hand: look everywhere
                    served.lane.interrupt()
                    served.driver.acknowledge()
                    served.lane.unmask()
        except DeviceLost as error:
            life.lose(error)

    def wake(self) -> None:
        """Let `wait` return from where it waits for an interrupt."""
        self._wakeup.waits = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def look(self) -> None:
        """Wake whoever has waited since the last look though there was work all the time: an interrupt was lost.

        To be called from time to time, seldom enough that an interrupt would have come meanwhile.
        """
        lanes = self._rings.lanes
        # Frames that --rx-usecs leaves on the wire wait for a tick, which no chip can lose.
        if self._waiter is None or self._waiter.done() or not self._life.up or self._wakeup.wait > 0.0:
            self._asleep = None
            return
        if not any(served.slots.stands() or served.lane.readable() for served in lanes):
            self._asleep = None
            return
        now = (self._waiter, self._wakeup.interrupts, self._wakeup.bursts)  # these grow where nobody needs to be woken
        if now == self._asleep:
            self.lost_interrupts += 1
            self._repaired = True
            self.wake()
        self._asleep = now

    def _changed(self) -> None:
        """What is not up interrupts no more; and before a descriptor is closed it must not be watched."""
        if not self._life.up:
            self._unwatch_all()
            self._moderation.end()
        if self._life.closed:
            self._moderation.close()
        self.wake()

    async def _interrupted(self) -> None:
        """Wait until a lane's descriptor is readable, or for one poll interval where a lane has none; until frames that
        are left on the wire for a while are due.
        """
        self._waiter = self._loop.create_future()
        self._ready.clear()
        self._polled = False
        if not self._moderation.settle():
            self._watch()
        self._wakeup.waits = not self._waiter.done()
        try:
            await self._waiter
        finally:
            self._wakeup.waits = False
            self._waiter = None
            if self._poll_timer is not None:
                self._poll_timer.cancel()
                self._poll_timer = None
        if not self._polled and not self._repaired:
            self._wakeup.interrupts += 1
        self._repaired = False

    def _watch(self) -> None:
        """Be told of the next frame that comes, on any lane."""
        for driver in self._rings.drivers:
            driver.enable_interrupts()
        for served in self._rings.lanes:
            fd = served.lane.fileno()
            if fd is None:
                self._polled = True
            elif fd != NEVER and fd not in self._watched:
                inside = served.lane.doorbell is not None  # a chip that needs no acknowledgement
                self._loop.add_reader(fd, self._wakeup if inside else self._readable, fd)
                self._watched.add(fd)
                if inside:
                    self._wakeup.watched[fd] = served
        if self._polled and self._poll_timer is None:
            self._poll_timer = self._loop.call_later(POLL_INTERVAL, self.wake)

    def _unwatch_all(self) -> None:
        for fd in tuple(self._watched):
            self._unwatch(fd)

    def _due(self) -> None:
        """What was left on the wire is due, and whoever waits takes it. Nothing was: watch the wire again."""
        if self._waiter is None:
            self._moderation.end()  # whoever takes frames is at it
            return
        if self._wakeup.found or any(served.slots.stands() or served.lane.readable() for served in self._rings.lanes):
            self.wake()
        else:
            self._moderation.settle()

    def _failed(self, error: BaseException) -> None:
        """The stack has failed in a burst that it took right from readiness: that is the waiter's."""
        self._wakeup.waits = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _readable(self, fd: int) -> None:
        """An fd is readable. When nobody waits it would be so at every turn of the loop: then stop watching it."""
        if self._waiter is None:
            self._unwatch(fd)
            return
        if fd not in self._watched:
            return  # a loop that still tells of it
        self._ready.add(fd)
        self.wake()

    def _unwatch(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        self._watched.discard(fd)
        self._wakeup.watched.pop(fd, None)

    async def _busy_poll(self) -> bool:
        """Keep looking for `busy_poll` seconds, letting the loop breathe between looks. True when there is work."""
        rings, life = self._rings, self._life
        end = rings.clock() + rings.knobs.busy_poll
        while True:
            await asyncio.sleep(0)
            if not life.up or rings.clock() >= end:
                return False
            budget = rings.knobs.rx_budget
            if any(rings.poll(served, budget) or served.driver.rx.finished() for served in rings.lanes):
                return True
