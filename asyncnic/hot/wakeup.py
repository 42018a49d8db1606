# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""A wake-up, from readiness to hand-back: off the wire, along the ring, into the stack, back to the card, out again.

One text, interpreted as it stands and compiled as `asyncnic.hot._wakeup`, with the C types of _wakeup.pxd: where the
chip is in this process nothing between the event loop and the application is interpreted. It takes bursts off the
lanes of one nic, and books them; it decides in which lane to look first and how much to take (budgets), never what a
frame means. It waits for nothing (nic/waiting.py) and mends nothing (nic/faults.py); what it does in which state is in
nic/state.py.
"""

import time
from collections.abc import Callable
from typing import Any

from asyncnic.errors import DeviceLost, WireEnded

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import seconds_now
else:
    from asyncnic.hot.burst import Burst, Clock, check_taken, frames_taken
    from asyncnic.hot.heads import HeadRing
    from asyncnic.hot.histogram import Histogram
    from asyncnic.hot.queue import QueueReader
    from asyncnic.hot.ring import ReceiveSlots
    from asyncnic.hot.transmit import TransmitSlots

_NOTHING: tuple[list[int], list[int]] = ([], [])


class ServedLane:
    """A lane with its driver, and what was handed to delivery of it: frames and octets.

    Args:
        lane, driver: see `asyncnic.devices.device.Lane` and `asyncnic.pcnet32.driver.driver.Driver`.
        queue: the lane's reader, where its chip is in this process.
    """

    def __init__(self, lane: Any, driver: Any, queue: "QueueReader | None") -> None:
        self.lane = lane
        self.driver = driver
        self.queue = queue
        self.slots: ReceiveSlots = driver.rx.slots
        self.frames = 0
        self.octets = 0


class WakeUp:
    """Bursts from the lanes of one device, the first lane that has frames before the others.

    Args:
        lanes: highest first; their chips are up.
        knobs: read at every burst.
        life: the nic's state.
        clock: monotonic seconds.
        transmit: descriptors of the first lane's transmit ring; the card is told of them at the end of each burst.
        turns: makes the lanes' order (`asyncnic.lanes.turns.Turns`) of the weights.
        budget: `asyncnic.nic.budget.BudgetControl`.
        burst_frames, delivery_seconds: frames in a burst; from its begin to its hand-back.

    Attributes:
        current: the lane whose burst is in hand, or was last.
        burst, count: the burst in hand, and its frames, whatever became of its lists.
        take: the stack, where it takes bursts right from the loop's readiness.
        show: sees each burst before `take`; None: nobody.
        sources: judges which frames of a burst their sources may send (`asyncnic.nic.sources.Sources`); None: all.
        heads: where the heads of the frames that were taken are kept; None: nowhere.
        waits: whether somebody waits for an interrupt, so that readiness may be answered here.
        otherwise: what to do with a descriptor's readiness that is not answered here.
        due: what to do with a tick that is not answered here.
        moderate: called after a wake-up where --rx-usecs says that it may be worth waiting before the next.
        found: frames that were taken since it was last asked, and reset.
        wait: seconds for which frames are left on the wire now, until a tick; 0: readiness tells of them.
        inside: whether every chip is in this process, so that a tick may be answered here.
        failed: told what `take` raised.
        bursts, budget_frames, budget_time, interrupts: see `asyncnic.nic.counters`.
    """

    def __init__(
        self,
        lanes: list[ServedLane],
        knobs: Any,
        life: Any,
        clock: "Clock",
        transmit: "TransmitSlots",
        turns: Callable[[Any], Any],
        budget: Any,
        burst_frames: "Histogram",
        delivery_seconds: "Histogram",
    ) -> None:
        self.lanes = lanes
        self.knobs = knobs
        self.clock = clock
        self.current = 0
        self.burst: Burst | None = None
        self.count = 0
        self.take: Callable[[Burst], None] | None = None
        self.show: Callable[[Burst], None] | None = None
        self.sources: Any = None
        self.heads: HeadRing | None = None
        self.waits = False
        self.otherwise: Callable[[int], None] = _nobody
        self.due: Callable[[], None] = _nothing
        self.moderate: Callable[[], object] = _nothing
        self.found = 0
        self.wait = 0.0
        self.inside = False
        self.failed: Callable[[BaseException], None] = _nobody
        self.bursts = self.budget_frames = self.budget_time = self.interrupts = 0
        self.burst_frames = burst_frames
        self.delivery_seconds = delivery_seconds
        self._life = life
        self._transmit = transmit
        self._new_turns = turns
        self._weights = knobs.lane_weight
        self._turns = turns(self._weights)
        self._budget = budget
        self._system_clock = clock is time.monotonic
        self._usual = False
        self._judged: tuple[list[int], list[int], list[int]] | None = (
            None  # what was collected, and what of it was kept
        )
        self._start = self._budget_start = 0.0
        self.watched: dict[int, ServedLane] = {}

    def __call__(self, fd: int) -> None:
        """A descriptor is readable: take one burst, and the rest of it behind the ring's end, while somebody waits for
        an interrupt. What is not answered so is for `otherwise`.
        """
        served = self.watched.get(fd) if self.waits and self.take is not None else None
        if served is None or self.knobs.busy_poll > 0.0 or not self._answered(served):
            self.otherwise(fd)

    def tick(self) -> None:
        """What was left on the wire is due: as readiness, but of all lanes, for which nobody will say it again."""
        if self.inside and self.waits and self.take is not None:
            try:
                for each in self.lanes:
                    self._ready(each)
                begun = before = self.found
                while self.serve() and self.found - begun < self.knobs.rx_budget:
                    before = self.found
                if begun < self.found == before:
                    self.interrupts += 1
                    self.moderate()
                    return
            except DeviceLost as error:
                self._life.lose(error)
                return
            except BaseException as error:
                self.failed(error)
                return
        self.due()

    def _answered(self, served: "ServedLane") -> bool:
        """Serve what `served` has interrupted for. False: that was not all, or nothing."""
        try:
            self._ready(served)
            if not self.serve():
                return False
            self.interrupts += 1
            # After a whole budget there is more, of which the loop will say so.
            if self.count < self.knobs.rx_budget and (self.knobs.rx_usecs > 0.0 or self.knobs.rx_usecs_auto):
                self.moderate()
        except DeviceLost as error:
            self._life.lose(error)
        except BaseException as error:  # the stack's, which is the waiter's
            self.failed(error)
        return True

    def _ready(self, served: "ServedLane") -> None:
        if served.queue is None:
            served.lane.interrupt()
        else:
            served.queue.trust = 0

    def serve(self) -> bool:
        """Where there is more on the wire the loop says so again, after whatever else is due. False: there was nothing,
        or not all of it was taken: frames that stand in a ring interrupt nobody.
        """
        frames = 0
        while True:
            burst = self.next_burst()
            if burst is None:
                return False
            frames += self.count
            self.hand(self.take, burst)
            self.hand_back_burst()
            budget = self.knobs.rx_budget
            if not self.lanes[self.current].slots.stands():
                if frames < budget and self.knobs.rx_budget_auto:
                    self._budget.idle()
                return True
            if self._now() >= burst.deadline or frames >= budget:
                return False

    def hand(self, take: Any, burst: "Burst") -> None:
        """Hand a burst to `take`, which sends without a kick of its own: one follows at the hand-back."""
        if self.show is not None:
            self.show(burst)
        self._transmit.follows = True
        try:
            take(burst)
        finally:
            self._transmit.follows = False

    def next_burst(self) -> "Burst | None":
        """Hand back the burst in hand and take the next one; None when there is nothing to take just now.

        Raises:
            TakenError: see `hand_back_burst`; no burst was taken.
        """
        if self.burst is not None or self._transmit.unseen:
            self.hand_back_burst()
        life, knobs = self._life, self.knobs
        if life.closed:
            return None
        budget = knobs.rx_budget
        drains = knobs.overload == "drain"
        # What is drained depends on the wire and not on the budget: then only the burst counts as the frames' cost.
        counted = self._now() if knobs.rx_budget_auto and not drains else 0.0
        if knobs.lane_weight is not self._weights:
            self._weights = knobs.lane_weight
            self._turns = self._new_turns(self._weights)
        # A wire that is found lost here ends no turn: what the other lanes' rings hold comes before anything else.
        for index in self._turns.order:
            served: ServedLane = self.lanes[index]
            if drains and life.up:
                self.poll(served, knobs.tap_queue)
            found = self._collect(served, budget)
            if not found[1] and life.up and self.poll(served, budget):
                found = self._collect(served, budget)
            offsets, lengths = found
            if lengths:
                if self._turns.weighted:
                    self._turns.took(index)
                now = self._now()
                self.current = index
                self._start = now
                self._budget_start = counted or now
                octets = served.lane.port.memory.octets
                if self.sources is not None:
                    offsets, lengths = self._admitted(octets, offsets, lengths, now)
                self.count = len(lengths)
                self.burst = Burst(octets, offsets, lengths, now + knobs.rx_time_budget, self.clock)
                return self.burst
        return None

    def hand_back_burst(self, unsaid_taken: bool = True) -> None:
        """End the burst in hand: its frames' descriptors go back to the card in order, and the card is told to
        transmit.

        Args:
            unsaid_taken: whether a burst of which its stack has said nothing counts as taken whole.

        Raises:
            TakenError: the stack says of the burst what cannot be. It has been handed back whole.
        """
        burst = self.burst
        if burst is not None:
            self.burst = None
            count, knobs = self.count, self.knobs
            taken = frames_taken(burst, count, count if unsaid_taken else 0)
            served: ServedLane = self.lanes[self.current]
            if self.heads is not None and taken:
                octets, offsets, ends = burst.memory, burst.offsets, burst.ends
                self.heads.record(octets, offsets, burst.lengths, taken, time.time_ns(), self.current, ends)
            units = taken
            if self._judged is not None:
                judged, self._judged = self._judged, None
                units = self._judged_until(judged, served, burst.memory, taken)
            if self._usual:
                served.slots.leave(units)
            else:
                served.driver.rx.leave(units)
            served.frames += taken
            self.found += taken
            lengths = burst.lengths
            served.octets += sum(lengths if taken == len(lengths) else lengths[:taken])
            self.bursts += 1
            now = self._now()
            if taken < count and now >= burst.deadline:
                self.budget_time += 1
            elif taken >= knobs.rx_budget:
                self.budget_frames += 1
            if knobs.rx_budget_auto and taken:
                knobs.rx_budget = self._budget.left(self._budget_start + burst.paused, now, taken, knobs.target_lag)
            self.burst_frames.observe(taken)
            self.delivery_seconds.observe(now - self._start)
        if self._transmit.unseen:
            self._transmit.kick()
        if burst is not None:
            check_taken(burst, count)

    def _admitted(
        self, octets: memoryview, offsets: list[int], lengths: list[int], now: float
    ) -> tuple[list[int], list[int]]:
        """Of a burst what its sources may send. That may be nothing: the loop turns, whatever a single one sends."""
        self.sources.look(octets, offsets, lengths, now)
        kept = self.sources.admitted(octets, offsets, lengths, now)
        if kept is None:
            return offsets, lengths
        self._judged = (offsets, lengths, kept)
        return [offsets[at] for at in kept], [lengths[at] for at in kept]

    def _judged_until(
        self, judged: tuple[list[int], list[int], list[int]], served: ServedLane, octets: memoryview, taken: int
    ) -> int:
        """Frames of the ring that end with the first `taken` of those admitted: what was dropped among them is counted,
        what comes again will be judged again.
        """
        offsets, lengths, kept = judged
        units: int = kept[taken] if taken < len(kept) else len(offsets)
        served.driver.rx.counters.source_limit += units - taken
        self.sources.take_back(octets, offsets, lengths, kept, units)
        return units

    def poll(self, served: ServedLane, limit: int) -> bool:
        """Let the lane's chip take up to `limit` frames off its wire. True when a look at its ring may be worth it."""
        try:
            if served.queue is not None:
                return served.queue.poll(limit) > 0
            taken: int = served.lane.poll(limit)
            return taken > 0
        except DeviceLost as error:
            self._life.lose(error)
        except WireEnded:
            self._life.stop()
        return True

    def _collect(self, served: ServedLane, limit: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths of up to `limit` frames at the head of the lane's ring."""
        if served.queue is not None:
            if not served.slots.stands():
                return _NOTHING
            found = served.slots.collect(limit)
            if served.slots.span:
                self._usual = True
                return found
        self._usual = False
        others: tuple[list[int], list[int]] = served.driver.collect(limit)
        return others

    def _now(self) -> float:
        if cython.compiled and self._system_clock:
            return float(seconds_now())
        return self.clock()


def _nobody(_: Any) -> None:
    pass


def _nothing() -> None:
    pass
