"""Queue delivery: a reader with priority, a bounded queue, and a worker. The classic shape, kept for comparison.

The reader stands for the interrupt handler of an in-kernel driver: it empties the wire before the worker gets a turn,
copying each frame into the queue or throwing it away when the queue is full. Under a flood most of the CPU then goes
into frames that are thrown away; that is what direct delivery avoids. Policy "pause" stops reading instead, which
leaves the overload on the wire.

With several lanes there is a queue for each, and their limit is of all together: the worker empties them in the lanes'
order, and when they are full it is a frame of the last lane that has any which is dropped for one of a lane before it.

The queues are a slab of fixed slots: they grow with nothing.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from asyncnic.logs import fields
from asyncnic.nic.burst import Burst, TakenError, check_taken, frames_taken
from asyncnic.nic.rings import Rings
from asyncnic.nic.waiting import Waiting
from asyncnic.pcnet32.driver.receive_ring import BUFFER_SIZE
from asyncnic.tasks import Background

log = logging.getLogger(__name__)

SLOT = BUFFER_SIZE
"""Octets of a slot: those of a descriptor's buffer, and of no frame more (`--mtu` is at most 1500)."""
READER_BUDGET = 1000
"""Frames that the reader takes before it lets the worker run: as many as a TAP's queue holds. Without an end to its
turn, a flood faster than the reader would stop the event loop for good."""


class DeliveryQueue:
    """One lane's frames, oldest first, as (slot, length); and what became of those that are no longer here."""

    __slots__ = ("frames", "newest", "octets", "oldest", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[int, int]] = deque()
        self.frames = 0
        self.octets = 0
        self.newest = 0
        self.oldest = 0


class QueueDelivery:
    """A bounded queue between `rings` and the stack; limit and policy are read live from the knobs."""

    def __init__(self, rings: Rings, waiting: Waiting, tasks: Background) -> None:
        self._rings = rings
        self._waits = waiting
        self._slots = rings.knobs.queue_limit
        self._slab = memoryview(bytearray(SLOT * self._slots))
        self._free = list(range(self._slots))
        self._queues = [DeliveryQueue() for _ in rings.drivers]
        self._waiting = 0
        self._burst: Burst | None = None
        self._burst_lane = 0
        self._burst_frames: list[tuple[int, int]] = []  # as the queue had them, whatever becomes of the burst's lists
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._turn_due = False
        self._reader = tasks.run(self._read(), "asyncnic reads into the queue")
        self._reader.add_done_callback(lambda _: self._arrived.set())

    async def next_burst(self) -> Burst:
        """See `Delivery.next_burst`. All frames of a burst are of one lane."""
        self._hand_back_burst()
        if self._turn_due:
            self._turn_due = False
            await asyncio.sleep(0)
        while not self._waiting:
            if self._reader.done():
                if not self._reader.cancelled():
                    self._reader.result()
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._turn_due = True
        rings = self._rings
        knobs = rings.knobs
        lane = next(lane for lane, queue in enumerate(self._queues) if queue.waiting)
        queue = self._queues[lane].waiting
        taken = [queue.popleft() for _ in range(min(knobs.rx_budget, len(queue)))]
        self._waiting -= len(taken)
        self._burst_lane = lane
        self._burst_frames = taken
        deadline = rings.clock() + knobs.rx_time_budget
        offsets = [slot * SLOT for slot, _ in taken]
        self._burst = Burst(self._slab, offsets, [length for _, length in taken], deadline, rings.clock)
        return self._burst

    async def serve(self, take: Callable[[Burst], None]) -> None:
        """See `Delivery.serve`."""
        try:
            while True:
                burst = await self.next_burst()
                if (show := self._rings.wakeup.show) is not None:
                    show(burst)
                take(burst)
        except StopAsyncIteration:
            return

    def delivered(self, lane: int) -> tuple[int, int]:
        """Frames and octets taken by the stack out of the queue."""
        queue, burst = self._queues[lane], self._burst
        if burst is None or lane != self._burst_lane:
            return queue.frames, queue.octets
        taken = frames_taken(burst, len(self._burst_frames))
        return queue.frames + taken, queue.octets + sum(length for _, length in self._burst_frames[:taken])

    def in_flight(self, lane: int) -> int:
        """Frames in the queue, and those of the burst in hand that the stack has not taken."""
        waiting = len(self._queues[lane].waiting)
        if self._burst is None or lane != self._burst_lane:
            return waiting
        count = len(self._burst_frames)
        return waiting + count - frames_taken(self._burst, count)

    def dropped(self, lane: int) -> dict[str, int]:
        """Frames dropped at the full queue: the arriving ones ("newest") or the longest waiting ("oldest")."""
        queue = self._queues[lane]
        return {"newest": queue.newest, "oldest": queue.oldest}

    async def close(self) -> None:
        """End the reader. What it died of is the task group's to tell."""
        self.abandon_burst()
        self._reader.cancel()
        await asyncio.wait({self._reader})

    def abandon_burst(self) -> None:
        """See `Delivery.abandon_burst`."""
        try:
            self._hand_back_burst(unsaid_taken=False)
        except TakenError as error:
            log.error("the stack miscounted", extra=fields(problem=str(error)))

    def _hand_back_burst(self, unsaid_taken: bool = True) -> None:
        """Free the slots of the frames that the stack took; put the others back where they were, at the front.

        Raises:
            TakenError: the stack says of the burst what cannot be. It has been handed back whole.
        """
        burst = self._burst
        if burst is None:
            return
        self._burst = None
        count = len(self._burst_frames)
        taken = frames_taken(burst, count, count if unsaid_taken else 0)
        queue = self._queues[self._burst_lane]
        queue.frames += taken
        queue.octets += sum(length for _, length in self._burst_frames[:taken])
        self._free.extend(slot for slot, _ in self._burst_frames[:taken])
        queue.waiting.extendleft(reversed(self._burst_frames[taken:]))
        self._waiting += count - taken
        self._room.set()
        check_taken(burst, count)

    async def _read(self) -> None:
        """The reader: until the rings are exhausted, everything that the wire has, then one turn for the others."""
        rings = self._rings
        while True:
            turn = 0
            while turn < READER_BUDGET and self._may_read() and (burst := rings.next_burst()) is not None:
                turn += len(burst)
                self._enqueue(burst)
            rings.hand_back_burst()
            self._arrived.set()
            if not self._may_read():
                self._room.clear()
                await self._room.wait()
            elif turn:
                await asyncio.sleep(0)
            elif rings.exhausted:
                return
            else:
                await self._waits.wait()

    def _may_read(self) -> bool:
        """Whether the reader may take frames: always, but for policy "pause" and a full queue."""
        return self._rings.knobs.queue_policy != "pause" or self._slots_free() > 0

    def _slots_free(self) -> int:
        """Frames that may be added now. The limit may have been turned up, or down below what the queue holds."""
        limit = self._rings.knobs.queue_limit
        if limit > self._slots:
            self._grow(limit)
        return min(limit - self._waiting, len(self._free))

    def _grow(self, slots: int) -> None:
        """Move to a larger slab. A burst in hand keeps the old one, where its frames are."""
        slab = memoryview(bytearray(SLOT * slots))
        slab[: len(self._slab)] = self._slab
        self._slab = slab
        self._free.extend(range(self._slots, slots))
        self._slots = slots

    def _enqueue(self, burst: Burst) -> None:
        free = self._slots_free()  # first: it may move to another slab
        policy, slab, memory = self._rings.knobs.queue_policy, self._slab, burst.memory
        queue = self._queues[self._rings.current]
        burst.taken = 0
        for place, (offset, length) in enumerate(zip(burst.offsets, burst.lengths, strict=True)):
            if free > 0:
                free -= 1
                slot = self._free.pop()
            elif policy == "pause":
                return
            else:
                slot = self._dropped_for(queue, policy)
            burst.taken += 1
            if slot < 0:
                burst.ends[place] = "queue newest"
                continue
            start = slot * SLOT
            slab[start : start + length] = memory[offset : offset + length]
            queue.waiting.append((slot, length))
            self._waiting += 1

    def _dropped_for(self, mine: DeliveryQueue, policy: str) -> int:
        """The slot of a frame that is dropped for one of lane `mine`; -1 when it is the arriving one."""
        last = next(queue for queue in reversed(self._queues) if queue.waiting or queue is mine)
        if last is mine and (policy == "drop-newest" or not mine.waiting):
            mine.newest += 1
            return -1
        if policy == "drop-newest":
            slot, _ = last.waiting.pop()
            last.newest += 1
        else:
            slot, _ = last.waiting.popleft()
            last.oldest += 1
        self._waiting -= 1
        return slot
