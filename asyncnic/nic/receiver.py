"""The receive side on the event loop: waits for interrupts, takes bursts off the rings, hands them back, mends the
chip.

It decides when to look, in which lane first and how much to take (budgets), never what a frame means, and it has no
queue: what it has not taken lies in the card's descriptors or on the wire. Delivery (direct.py, queue.py) calls
`next_burst`; nothing else does.
"""

import asyncio
import logging
import select
import time
from collections.abc import Sequence

from asyncnic.devices.device import NEVER, Device, Lane
from asyncnic.errors import DeviceLost
from asyncnic.lanes.turns import Turns
from asyncnic.nic.budget import BudgetControl
from asyncnic.nic.burst import Burst, Clock
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.pcnet32.driver.driver import ChipError, Driver
from asyncnic.settings.knobs import Knobs, by_lane

log = logging.getLogger(__name__)

POLL_INTERVAL = 0.001  # between looks at the ring of a device that has no interrupt
SAMPLE_INTERVAL = 0.05  # CSR112 wraps after 65,536 losses: good for 1.3 million losses a second
RETRY_INTERVAL = 0.5  # between attempts to bring a lost device back


class Served:
    """A lane with its driver, and what was handed to delivery of it: frames and octets."""

    __slots__ = ("driver", "frames", "lane", "octets")

    def __init__(self, lane: Lane, driver: Driver) -> None:
        self.lane = lane
        self.driver = driver
        self.frames = 0
        self.octets = 0


class Receiver:
    """Bursts from the lanes of one device, the first lane that has frames before the others.

    Args:
        device: attached; its lanes' chips need not be up.
        drivers: one for each lane, in the same order.
        knobs: read at every burst.
        clock: monotonic seconds.
    """

    def __init__(self, device: Device, drivers: Sequence[Driver], knobs: Knobs, clock: Clock = time.monotonic) -> None:
        self.device = device
        self.drivers = drivers
        self.knobs = knobs
        self.device_up = False
        self.bursts = 0
        self.interrupts = 0
        self.resets = 0
        self.budget_frames = 0
        self.budget_time = 0
        self.burst_frames = Histogram(BURST_FRAMES)
        self.delivery_seconds = Histogram(SECONDS)
        self.clock = clock
        self.current = 0
        """The lane whose burst is in hand, or was last."""
        self._lanes = [Served(lane, driver) for lane, driver in zip(device.lanes, drivers, strict=True)]
        self._weights = knobs.lane_weight
        self._turns = self._new_turns()
        self._burst: Burst | None = None
        self._burst_start = 0.0
        self._budget = BudgetControl(max(driver.rx.size for driver in drivers))
        self._budget_start = 0.0
        self._stopping = False
        self._lost: DeviceLost | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watched: set[int] = set()
        self._ready: set[int] = set()  # of those watched, the ones that were readable since we last waited
        self._sampler: asyncio.TimerHandle | None = None
        self._kick_due = False

    # -- Life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring the chips up and begin to sample what they missed.

        Raises:
            ChipError: a chip does not come up.
        """
        for driver in self.drivers:
            driver.bring_up()
        self.device_up = True
        self._sample()

    def stop(self) -> None:
        """Take no more frames off the wire. Bursts go on until the rings are empty, then `exhausted` is true."""
        self._stopping = True
        if self.device_up:
            for driver in self.drivers:
                driver.stop()
        self._wake()

    async def close(self) -> None:
        """Hand the burst back, stop the chips, and watch nothing any more."""
        self.leave()
        if self._sampler is not None:
            self._sampler.cancel()
            self._sampler = None
        self._unwatch_all()
        if self.device_up:
            for driver in self.drivers:
                driver.shut_down()
            self.device_up = False

    @property
    def exhausted(self) -> bool:
        """True once `stop` was called and no finished frame is left in any ring."""
        return self._stopping and self._burst is None and not any(driver.rx.finished() for driver in self.drivers)

    # -- Bursts -------------------------------------------------------------------------------------------------------

    def next_burst(self) -> Burst | None:
        """Leave the burst in hand and take the next one; None when there is nothing to take just now."""
        self.leave()
        knobs = self.knobs
        budget = knobs.rx_budget
        # What is drained depends on the wire and not on the budget: then only the burst counts as the frames' cost.
        counted = self.clock() if knobs.rx_budget_auto and knobs.overload != "drain" else 0.0
        if knobs.lane_weight is not self._weights:
            self._weights = knobs.lane_weight
            self._turns = self._new_turns()
        try:
            for index in self._turns.order:
                served = self._lanes[index]
                lane, driver = served.lane, served.driver
                if knobs.overload == "drain" and not self._stopping and self.device_up:
                    lane.poll(knobs.tap_queue)
                offsets, lengths = driver.collect(budget)
                if not offsets and not self._stopping and self.device_up and lane.poll(budget):
                    offsets, lengths = driver.collect(budget)
                if offsets:
                    if self._turns.weighted:
                        self._turns.took(index)
                    now = self.clock()
                    self.current = index
                    self._burst_start = now
                    self._budget_start = counted or now
                    burst = Burst(lane.port.memory.octets, offsets, lengths, now + knobs.rx_time_budget, self.clock)
                    self._burst = burst
                    return burst
        except DeviceLost as error:
            self._lose(error)
        return None

    def _new_turns(self) -> Turns:
        return Turns([lane.name for lane in self.device.lanes], by_lane(self._weights))

    def leave(self) -> None:
        """End the burst in hand: its frames' descriptors go back to the card in order, and the card is told to
        transmit.
        """
        burst = self._burst
        if burst is not None:
            self._burst = None
            count = len(burst.offsets)
            taken = burst.taken or count
            served = self._lanes[self.current]
            served.driver.rx.leave(taken)
            served.frames += taken
            served.octets += sum(burst.lengths) if taken == count else sum(burst.lengths[:taken])
            self.bursts += 1
            now = self.clock()
            if taken < count and now >= burst.deadline:
                self.budget_time += 1
            elif taken >= self.knobs.rx_budget:
                self.budget_frames += 1
            if self.knobs.rx_budget_auto:
                self.knobs.rx_budget = self._budget.left(self._budget_start, now, taken, self.knobs.target_lag)
            self.burst_frames.observe(taken)
            self.delivery_seconds.observe(now - self._burst_start)
        if self._kick_due:
            self._kick()

    def taken(self, lane: int) -> tuple[int, int]:
        """Frames and octets of lane number `lane` handed to delivery so far, those of the burst in hand included."""
        served, burst = self._lanes[lane], self._burst
        if burst is None or lane != self.current:
            return served.frames, served.octets
        return served.frames + burst.taken, served.octets + sum(burst.lengths[: burst.taken])

    def in_flight(self, lane: int) -> int:
        """Finished frames that stand in the lane's ring and were not handed to delivery."""
        standing = self.drivers[lane].rx.finished()
        return standing - (self._burst.taken if self._burst is not None and lane == self.current else 0)

    # -- Transmission -------------------------------------------------------------------------------------------------

    def send(self, frame: bytes | bytearray | memoryview) -> bool:
        """Put a frame on the first lane's transmit ring; the card is told once a burst, or once a turn of the loop.

        Returns False when there is no room or no device; counted in the ring's errors.
        """
        driver = self.drivers[0]
        if not self.device_up:
            driver.tx.errors["carrier"] += 1
            return False
        if not driver.tx.room:
            driver.kick()
        if not driver.transmit(frame):
            return False
        if not self._kick_due:
            self._kick_due = True
            asyncio.get_running_loop().call_soon(self._kick)
        return True

    async def writable(self) -> None:
        """Return when the transmit ring has room (or the device is lost, and waiting is of no use)."""
        ring = self.drivers[0].tx
        while self.device_up and not ring.room and not ring.reap():
            self.drivers[0].kick()
            await asyncio.sleep(0 if ring.reap() else POLL_INTERVAL)

    def _kick(self) -> None:
        if self._kick_due and self.device_up:
            self.drivers[0].kick()
        self._kick_due = False

    # -- Waiting ------------------------------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Return when there may be something to take: after an interrupt, a repair, or the stop.

        Leaves the burst in hand first. The CPU is idle meanwhile, but for `busy_poll`.
        """
        self.leave()
        self._budget.idle()
        if self._lost is not None:
            await self._reattach()
            return
        if any(driver.rx.resync() for driver in self.drivers) or self._mend() or self._stopping:
            return
        if self.knobs.busy_poll > 0.0 and await self._busy_poll():
            return
        for driver in self.drivers:
            driver.enable_interrupts()
        await self._interrupted()
        if not self.device_up or self._stopping:
            return
        try:
            for served in self._lanes:
                fd = served.lane.fileno()
                if fd is None or fd in self._ready or not self._ready:  # woken by hand: look everywhere
                    served.lane.interrupt()
                    served.driver.acknowledge()
                    served.lane.unmask()
        except DeviceLost as error:
            self._lose(error)

    async def _interrupted(self) -> None:
        """Wait until a lane's descriptor is readable, or for one poll interval where a lane has none."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        self._ready.clear()
        polled = False
        for lane in self.device.lanes:
            fd = lane.fileno()
            if fd is None:
                polled = True
            elif fd != NEVER and fd not in self._watched:
                loop.add_reader(fd, self._readable, fd)
                self._watched.add(fd)
        timer = loop.call_later(POLL_INTERVAL, self._wake) if polled else None
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        if not polled:
            self.interrupts += 1

    def _readable(self, fd: int) -> None:
        """An fd is readable. When nobody waits it would be so at every turn of the loop: then stop watching it."""
        if self._waiter is None:
            self._unwatch(fd)
        else:
            self._ready.add(fd)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _unwatch(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._watched.discard(fd)

    def _unwatch_all(self) -> None:
        for fd in tuple(self._watched):
            self._unwatch(fd)

    async def _busy_poll(self) -> bool:
        """Keep looking for `busy_poll` seconds, letting the loop breathe between looks. True when there is work."""
        end = self.clock() + self.knobs.busy_poll
        while self.clock() < end and not self._stopping:
            await asyncio.sleep(0)
            try:
                budget = self.knobs.rx_budget
                if any(served.lane.poll(budget) or served.driver.rx.finished() for served in self._lanes):
                    return True
            except DeviceLost as error:
                self._lose(error)
                return True
        return False

    # -- Faults -------------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        if self.device_up:
            for driver in self.drivers:
                driver.sample_missed()
                if driver.fault is not None:
                    self._wake()
        # A loop may drop a descriptor that reports only an error, and then never call us: a TAP that was deleted.
        if self._waiter is not None and any(map(_broken, self._watched)):
            self._wake()
        self._sampler = asyncio.get_running_loop().call_later(SAMPLE_INTERVAL, self._sample)

    def _mend(self) -> bool:
        """Bring a chip that reported a fault up again; its ring is empty by now. True when there was one."""
        faulty = [driver for driver in self.drivers if driver.fault is not None]
        for driver in faulty:
            log.warning("%s: %s; bringing it up again", self.device.name, driver.fault)
            try:
                driver.bring_up()
            except ChipError as error:
                self._lose(DeviceLost(str(error)))
                return True
            self.resets += 1
        return bool(faulty)

    def _lose(self, error: DeviceLost) -> None:
        if self._lost is None:
            log.error("%s: lost: %s; waiting for it to come back", self.device.name, error)
        self._lost = error
        self.device_up = False
        self._unwatch_all()

    async def _reattach(self) -> None:
        """Try to come back until it works or the receiver is stopped."""
        while not self._stopping:
            try:
                if await self.device.reattach():
                    for driver in self.drivers:
                        driver.bring_up()
                    break
            except (ChipError, DeviceLost) as error:
                log.debug("%s: not back yet: %s", self.device.name, error)
            await self._nap(RETRY_INTERVAL)
        else:
            return
        self._lost = None
        self.device_up = True
        self.resets += 1
        log.warning("%s: back", self.device.name)

    async def _nap(self, seconds: float) -> None:
        """Sleep, but wake for the stop."""
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            timer.cancel()


def _broken(fd: int) -> bool:
    """Whether nothing but an error can come of the descriptor any more."""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))
