"""The receive rings of a device on the event loop: bursts off them, and back.

It decides in which lane to look first and how much to take (budgets), never what a frame means, and it has no queue:
what it has not taken lies in the card's descriptors or on the wire. It waits for nothing (waiting.py), sends nothing
(transmit.py) and mends nothing (faults.py); what it does in which state is in state.py. A delivery calls `next_burst`;
nothing else does.
"""

import logging
import time
from collections.abc import Callable, Sequence

from asyncnic.devices.device import Device, Lane
from asyncnic.errors import DeviceLost, WireEnded
from asyncnic.hot.heads import HeadRing
from asyncnic.lanes.turns import Turns
from asyncnic.logs import fields
from asyncnic.nic.budget import BudgetControl
from asyncnic.nic.burst import Burst, Clock, TakenError, check_taken, frames_taken
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.state import Life, State
from asyncnic.pcnet32.driver.driver import Driver
from asyncnic.settings.knobs import Knobs, by_lane

log = logging.getLogger(__name__)


class ServedLane:
    """A lane with its driver, and what was handed to delivery of it: frames and octets."""

    __slots__ = ("driver", "frames", "lane", "octets")

    def __init__(self, lane: Lane, driver: Driver) -> None:
        self.lane = lane
        self.driver = driver
        self.frames = 0
        self.octets = 0


class Rings:
    """Bursts from the lanes of one device, the first lane that has frames before the others.

    Args:
        device: attached.
        drivers: one for each lane, in the same order; their chips are up.
        knobs: read at every burst.
        clock: monotonic seconds.
        life: the nic's state.
        kick: makes the card look at what was sent; called at the end of each burst.
    """

    def __init__(
        self,
        device: Device,
        drivers: Sequence[Driver],
        knobs: Knobs,
        clock: Clock,
        life: Life,
        kick: Callable[[], None],
    ) -> None:
        self.device = device
        self.drivers = drivers
        self.knobs = knobs
        self.clock = clock
        self.bursts = 0
        self.budget_frames = 0
        self.budget_time = 0
        self.burst_frames = Histogram(BURST_FRAMES)
        self.delivery_seconds = Histogram(SECONDS)
        self.lanes = [ServedLane(lane, driver) for lane, driver in zip(device.lanes, drivers, strict=True)]
        self.current = 0
        """The lane whose burst is in hand, or was last."""
        self.heads: HeadRing | None = None
        """Where the heads of the frames that were taken are kept; None: nowhere."""
        self._life = life
        self._kick = kick
        self._slots = drivers[0].tx.slots
        self._weights = knobs.lane_weight
        self._turns = self._new_turns()
        self._burst: Burst | None = None
        self._count = 0  # frames of the burst in hand, whatever became of its lists
        self._burst_start = 0.0
        self._budget = BudgetControl(max(driver.rx.size for driver in drivers))
        self._budget_start = 0.0

    @property
    def exhausted(self) -> bool:
        """True once the nic was stopped and no finished frame is left in any ring, or it was closed."""
        if not self._life.ending or self._burst is not None:
            return False
        return self._life.state is State.CLOSED or not any(driver.rx.finished() for driver in self.drivers)

    def next_burst(self) -> Burst | None:
        """Hand back the burst in hand and take the next one; None when there is nothing to take just now.

        Raises:
            TakenError: see `hand_back_burst`; no burst was taken.
        """
        if self._burst is not None or self._slots.unseen:
            self.hand_back_burst()
        life, knobs = self._life, self.knobs
        if life.state is State.CLOSED:
            return None
        budget = knobs.rx_budget
        drains = knobs.overload == "drain"
        # What is drained depends on the wire and not on the budget: then only the burst counts as the frames' cost.
        counted = self.clock() if knobs.rx_budget_auto and not drains else 0.0
        if knobs.lane_weight is not self._weights:
            self._weights = knobs.lane_weight
            self._turns = self._new_turns()
        # A wire that is found lost here ends no turn: what the other lanes' rings hold comes before anything else.
        for index in self._turns.order:
            served = self.lanes[index]
            driver = served.driver
            if drains and life.up:
                self.poll(served.lane, knobs.tap_queue)
            offsets, lengths = driver.collect(budget)
            if not offsets and life.up and self.poll(served.lane, budget):
                offsets, lengths = driver.collect(budget)
            if offsets:
                if self._turns.weighted:
                    self._turns.took(index)
                now = self.clock()
                self.current = index
                self._burst_start = now
                self._budget_start = counted or now
                self._count = len(offsets)
                octets = served.lane.port.memory.octets
                self._burst = burst = Burst(octets, offsets, lengths, now + knobs.rx_time_budget, self.clock)
                return burst
        return None

    def hand_back_burst(self, unsaid_taken: bool = True) -> None:
        """End the burst in hand: its frames' descriptors go back to the card in order, and the card is told to
        transmit.

        Args:
            unsaid_taken: whether a burst of which its stack has said nothing counts as taken whole.

        Raises:
            TakenError: the stack says of the burst what cannot be. It has been handed back whole.
        """
        burst = self._burst
        if burst is not None:
            self._burst = None
            count = self._count
            taken = frames_taken(burst, count, count if unsaid_taken else 0)
            served = self.lanes[self.current]
            if self.heads is not None and taken:
                self.heads.record(
                    burst.memory, burst.offsets, burst.lengths, taken, time.time_ns(), self.current, burst.ends
                )
            served.driver.rx.leave(taken)
            served.frames += taken
            served.octets += sum(burst.lengths[:taken])
            self.bursts += 1
            now = self.clock()
            if taken < count and now >= burst.deadline:
                self.budget_time += 1
            elif taken >= self.knobs.rx_budget:
                self.budget_frames += 1
            if self.knobs.rx_budget_auto and taken:
                self.knobs.rx_budget = self._budget.left(
                    self._budget_start + burst.paused, now, taken, self.knobs.target_lag
                )
            self.burst_frames.observe(taken)
            self.delivery_seconds.observe(now - self._burst_start)
        self._kick()
        if burst is not None:
            check_taken(burst, count)

    def close(self) -> None:
        """Hand the burst in hand back as far as its stack has said that it took it."""
        try:
            self.hand_back_burst(unsaid_taken=False)
        except TakenError as error:
            log.error("the stack miscounted", extra=fields(problem=str(error)))

    def stands(self) -> bool:
        """Whether the lane of the last burst has a frame at its ring's head still."""
        return self.lanes[self.current].driver.rx.stands()

    def idle(self) -> None:
        """The loop is about to wait: what passes until the next burst is nobody's time."""
        self._budget.idle()

    def taken(self, lane: int) -> tuple[int, int]:
        """Frames and octets of lane number `lane` handed to delivery so far, those of the burst in hand included."""
        served, burst = self.lanes[lane], self._burst
        if burst is None or lane != self.current:
            return served.frames, served.octets
        taken = frames_taken(burst, self._count)
        return served.frames + taken, served.octets + sum(burst.lengths[:taken])

    def in_flight(self, lane: int, standing: int) -> int:
        """Of the `standing` finished frames in the lane's ring, those that were not handed to delivery."""
        if self._burst is None or lane != self.current:
            return standing
        return standing - frames_taken(self._burst, self._count)

    def poll(self, lane: Lane, limit: int) -> bool:
        """Let the lane's chip take up to `limit` frames off its wire. True when a look at its ring may be worth it."""
        try:
            return lane.poll(limit) > 0
        except DeviceLost as error:
            self._life.lose(error)
        except WireEnded:
            self._life.stop()
        return True

    def _new_turns(self) -> Turns:
        return Turns([lane.name for lane in self.device.lanes], by_lane(self._weights))
