"""Queue delivery: a reader with priority, a bounded queue, and a worker. The classic shape, kept for comparison.

The reader stands for the interrupt handler of an in-kernel driver: it empties the wire before the worker gets a turn,
copying each frame into the queue or throwing it away when the queue is full. Under a flood most of the CPU then goes
into frames that are thrown away; that is what direct delivery avoids. Policy "pause" stops reading instead, which
leaves the overload on the wire.

The queue is a slab of fixed slots: it grows with nothing.
"""

import asyncio
from collections import deque

from asyncnic.burst import Burst
from asyncnic.receiver import Receiver

SLOT = 2048
READER_TURN = 1000
"""Frames that the reader takes before it lets the worker run: as many as a TAP's queue holds. Without an end to its
turn, a flood faster than the reader would stop the event loop for good."""


class QueueDelivery:
    """A bounded queue between `receiver` and the stack; limit and policy are read live from the receiver's knobs."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._slots = receiver.knobs.queue_limit
        self._slab = memoryview(bytearray(SLOT * self._slots))
        self._free = list(range(self._slots))
        self._queue: deque[tuple[int, int]] = deque()  # (slot, length), oldest first
        self._burst: Burst | None = None
        self._burst_slots: list[int] = []
        self._newest = 0
        self._oldest = 0
        self._frames = 0
        self._octets = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name="asyncnic queue reader")

    async def next_burst(self) -> Burst:
        """See `Delivery.next_burst`."""
        self._leave()
        await asyncio.sleep(0)
        while not self._queue:
            if self._reader.done():
                self._reader.result()
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        knobs, receiver = self._receiver.knobs, self._receiver
        taken = [self._queue.popleft() for _ in range(min(knobs.rx_budget, len(self._queue)))]
        self._burst_slots = [slot for slot, _ in taken]
        deadline = receiver.clock() + knobs.rx_time_budget
        offsets = [slot * SLOT for slot in self._burst_slots]
        self._burst = Burst(self._slab, offsets, [length for _, length in taken], deadline, receiver.clock)
        return self._burst

    def delivered(self) -> tuple[int, int]:
        """Frames and octets taken by the stack out of the queue."""
        burst = self._burst
        if burst is None:
            return self._frames, self._octets
        return self._frames + burst.taken, self._octets + sum(burst.lengths[: burst.taken])

    def in_flight(self) -> int:
        """Frames in the queue, and those of the burst in hand that the stack has not taken."""
        burst = self._burst
        return len(self._queue) + (len(burst) - burst.taken if burst is not None else 0)

    def dropped(self) -> dict[str, int]:
        """Frames dropped at the full queue: the arriving ones ("newest") or the longest waiting ("oldest")."""
        return {"newest": self._newest, "oldest": self._oldest}

    async def close(self) -> None:
        """End the reader."""
        self._leave()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    def _leave(self) -> None:
        """Free the slots of the frames that the stack took; put the others back where they were, at the front."""
        burst = self._burst
        if burst is None:
            return
        self._burst = None
        taken = burst.taken or len(burst)
        self._frames += taken
        self._octets += sum(burst.lengths[:taken])
        self._free.extend(self._burst_slots[:taken])
        left = zip(self._burst_slots[taken:], burst.lengths[taken:], strict=True)
        self._queue.extendleft(reversed(list(left)))
        self._room.set()

    async def _read(self) -> None:
        """The reader: until the receiver is exhausted, everything that the wire has, then one turn for the others."""
        receiver = self._receiver
        while True:
            turn = 0
            while turn < READER_TURN and self._may_read() and (burst := receiver.next_burst()) is not None:
                turn += len(burst)
                self._enqueue(burst)
            receiver.leave()
            self._arrived.set()
            if not self._may_read():
                self._room.clear()
                await self._room.wait()
            elif turn:
                await asyncio.sleep(0)
            elif receiver.exhausted:
                return
            else:
                await receiver.wait()

    def _may_read(self) -> bool:
        """Whether the reader may take frames: always, but for policy "pause" and a full queue."""
        return self._receiver.knobs.queue_policy != "pause" or self._slots_free() > 0

    def _slots_free(self) -> int:
        """Frames that may be added now. The limit may have been turned up, or down below what the queue holds."""
        limit = self._receiver.knobs.queue_limit
        if limit > self._slots:
            self._grow(limit)
        return min(limit - len(self._queue), len(self._free))

    def _grow(self, slots: int) -> None:
        """Move to a larger slab. A burst in hand keeps the old one, where its frames are."""
        slab = memoryview(bytearray(SLOT * slots))
        slab[: len(self._slab)] = self._slab
        self._slab = slab
        self._free.extend(range(self._slots, slots))
        self._slots = slots

    def _enqueue(self, burst: Burst) -> None:
        policy, slab, memory, queue = self._receiver.knobs.queue_policy, self._slab, burst.memory, self._queue
        free = self._slots_free()
        for offset, length in zip(burst.offsets, burst.lengths, strict=True):
            if free > 0:
                free -= 1
                slot = self._free.pop()
            elif policy == "drop-oldest" and queue:
                slot, _ = queue.popleft()
                self._oldest += 1
            elif policy == "pause":
                return
            else:
                burst.taken += 1
                self._newest += 1
                continue
            burst.taken += 1
            start = slot * SLOT
            slab[start : start + length] = memory[offset : offset + length]
            queue.append((slot, length))
