"""The lanes of one TAP: its two programs, its counters, and how rules change while frames come.

Not a device: it opens no queue and reads no frame. The TAP's owner opens one queue for each lane, in order, gives all
of them `QUEUE_SLACK` frames more room than the deepest lane (`tx_queue_len` holds for every queue of a TAP, and
shrinking it loses frames that no counter knows of), attaches, and says how many frames it has read of each lane.
Then, for each lane and at any moment:

    accepted by the kernel = read + waiting        offered = accepted + overflowed

where `accepted` and `overflowed` are counted by the program at the queue's door and `read` by the reader: two
witnesses.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from asyncnic.errors import DeviceError
from asyncnic.lanes.program import (
    ACCEPTED,
    COUNTER_OCTETS,
    DEPTH,
    LANE_WORDS,
    LEFT,
    OVERFLOWED,
    SHED_SLOTS,
    SHED_WORDS,
    filter_program,
    steering_program,
)
from asyncnic.lanes.rules import LaneRule, Rule
from asyncnic.linux.bpf import DETACHED, TUNSETFILTEREBPF, TUNSETSTEERINGEBPF, CounterMap, attach, load_program

QUEUE_SLACK = 64
"""A TAP's queue frees places in batches (a cache line pair of pointers: 16 on x86, 32 where lines are 128 octets), so
it can hold that many fewer frames than its length says."""


@dataclass(frozen=True, slots=True)
class LaneCount:
    """One lane since it was attached, in frames. `lost` were accepted and never came out: the kernel had no memory,
    or someone shrank the TAP's queue."""

    name: str
    accepted: int
    overflowed: int
    waiting: int
    lost: int


@dataclass(frozen=True, slots=True)
class SteeringCounts:
    """One reading. `shed` has a rule's text with its frames, for rules in force and for those still remembered;
    `shed_total` is the sum over all rules ever."""

    lanes: tuple[LaneCount, ...]
    shed: dict[str, int]
    shed_total: int


class ShedSlots:
    """Which counter belongs to which rule, across changes. Pure bookkeeping over the slots' numbers.

    A rule that goes keeps its slot, so that it counts on when it comes back. When slots run out, the rule that went
    longest ago is forgotten. There are twice as many slots as rules in force, so a slot that is given anew was out of
    use for at least one whole change: no processor still runs a program that counts in it.
    """

    __slots__ = ("_base", "_free", "_slots", "active", "forgotten")

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._slots: dict[str, int] = {}  # in the order of last use
        self._base: dict[str, int] = {}
        self.active: tuple[str, ...] = ()
        self.forgotten = 0
        """Frames of rules that are no longer remembered."""

    def assign(self, rules: Sequence[str], counters: Sequence[int]) -> list[int]:
        """Slots for the rules now in force; `counters` are the slots' values now."""
        for text in self.active:  # used until now: these were used last
            self._slots[text] = self._slots.pop(text)
        for text in rules:
            if text in self._slots:
                self._slots[text] = self._slots.pop(text)
        for text in rules:
            if text not in self._slots:
                slot = self._free.pop() if self._free else self._forget(counters)
                self._slots[text], self._base[text] = slot, counters[slot]
        self.active = tuple(rules)
        return [self._slots[text] for text in rules]

    def counts(self, counters: Sequence[int]) -> dict[str, int]:
        """Frames of each remembered rule."""
        return {text: counters[slot] - self._base[text] for text, slot in self._slots.items()}

    def _forget(self, counters: Sequence[int]) -> int:
        text = next(iter(self._slots))
        slot = self._slots.pop(text)
        self.forgotten += counters[slot] - self._base.pop(text)
        return slot


class LaneSteering:
    """Steering, shedding and counting on one TAP.

    Args:
        lanes: highest first; lane i is the TAP's i-th queue. Names and number stay for good, rules may change.
        shed: in order.
        depths: for each lane, how many frames may wait in its queue, at least 1.

    Raises:
        PrivilegeError: CAP_BPF is missing.
        DeviceError: the kernel cannot do it.
    """

    __slots__ = ("_counters", "_depths", "_lost", "_quiet", "_rules", "_slots", "_tap", "lanes")

    def __init__(self, lanes: Sequence[LaneRule], shed: Sequence[Rule], depths: Sequence[int]) -> None:
        self.lanes = tuple(lanes)
        self._rules = tuple(shed)
        self._lost = [0] * len(self.lanes)
        self._quiet: list[tuple[int, int] | None] = [None] * len(self.lanes)
        self._slots = ShedSlots(SHED_SLOTS)
        self._tap = -1
        self._counters = CounterMap(COUNTER_OCTETS)
        self._depths = list(depths)
        for lane, depth in enumerate(depths):
            self.set_depth(lane, depth)

    def attach(self, tap: int) -> None:
        """Put both programs on the TAP that `tap`, an open queue of it, belongs to. Best before the TAP is up.

        Raises:
            PrivilegeError, DeviceError: as above; the TAP is as it was.
        """
        self._tap = tap
        words = self._counters.words
        for lane in range(len(self.lanes)):  # what waited at a TAP that was lost is lost with it
            first = LANE_WORDS * lane
            self._lost[lane] += max(0, words[first + ACCEPTED] - words[first + LEFT])
            words[first + LEFT] = words[first + ACCEPTED]
        try:
            self._install(self.lanes, self._rules)
        except DeviceError:
            self.detach()
            raise

    def replace(self, lanes: Sequence[LaneRule], shed: Sequence[Rule]) -> None:
        """Change the rules while frames come. Each frame meets the old rules or the new ones; counts go on.

        Takes 1-3 ms for a few rules and about 12 ms for the most that there can be, in the caller's thread.

        Raises:
            ValueError: other names than before, or another number of lanes.
            PrivilegeError, DeviceError: the kernel refuses; the old rules stay in force.
        """
        if [lane.name for lane in lanes] != [lane.name for lane in self.lanes]:
            names = ", ".join(lane.name for lane in self.lanes)
            raise ValueError(f"lane: names and order are fixed while running ({names}); only rules change")
        self._install(lanes, shed)
        self.lanes, self._rules = tuple(lanes), tuple(shed)

    def set_depth(self, lane: int, frames: int) -> None:
        """How many frames may wait in the lane's queue from now on. Those that wait already stay.

        Raises:
            ValueError: not at least 1.
        """
        if frames < 1:
            raise ValueError(f"queue of lane {self.lanes[lane].name}: {frames} frames; at least 1")
        self._depths[lane] = frames
        self._counters.words[LANE_WORDS * lane + DEPTH] = frames

    def shorten(self, lane: int, frames: int | None) -> None:
        """For now let only `frames` (at least 1) wait in the lane's queue, where that is less than its depth; None:
        all.
        """
        depth = self._depths[lane]
        self._counters.words[LANE_WORDS * lane + DEPTH] = depth if frames is None else min(depth, frames)

    def words_of(self, lane: int) -> memoryview:
        """The lane's counters, 64 bits each: what came in is `ACCEPTED`, and who reads adds what left to `LEFT`, which
        makes the room.
        """
        return self._counters.words[LANE_WORDS * lane : LANE_WORDS * (lane + 1)]

    def waiting(self, lane: int) -> int:
        """Frames accepted into the lane's queue and not read yet. Less than 0 after frames from before `attach`."""
        words, first = self._counters.words, LANE_WORDS * lane
        return words[first + ACCEPTED] - words[first + LEFT]

    def overflowed(self, lane: int) -> int:
        """Frames that found the lane's queue full, ever."""
        return self._counters.words[LANE_WORDS * lane + OVERFLOWED]

    def settle(self, empty: Sequence[bool]) -> None:
        """Account for frames that were accepted and are not there. Called now and then, say with each scrape.

        Args:
            empty: for each lane, whether its queue had nothing to read just now.

        A lane that was empty at two calls, with nothing accepted or read between them, has nothing waiting: what the
        counts still say is waiting was lost, and its room is given back. (Fewer than none: frames from before
        `attach`.)
        """
        words = self._counters.words
        for lane, nothing in enumerate(empty):
            first = LANE_WORDS * lane
            reading = (words[first + ACCEPTED], words[first + LEFT])
            if nothing and reading == self._quiet[lane] and reading[0] != reading[1]:
                self._lost[lane] += max(0, reading[0] - reading[1])
                words[first + LEFT] = reading[0]
            self._quiet[lane] = reading if nothing else None

    def counts(self) -> SteeringCounts:
        """All counters now: some tens of memory reads, no system call."""
        words = self._counters.words
        lanes: list[LaneCount] = []
        for index, lane in enumerate(self.lanes):
            first = LANE_WORDS * index
            accepted, overflowed, left = words[first + ACCEPTED], words[first + OVERFLOWED], words[first + LEFT]
            lanes.append(LaneCount(lane.name, accepted, overflowed, max(0, accepted - left), self._lost[index]))
        shed = self._slots.counts(words[SHED_WORDS:])
        return SteeringCounts(tuple(lanes), shed, sum(shed.values()) + self._slots.forgotten)

    def verify(self) -> None:
        """Have the kernel verify both programs, and attach none.

        Raises:
            PrivilegeError, DeviceError: as above.
        """
        with contextlib.ExitStack() as descriptors:
            self._load(descriptors, self.lanes, [(rule, slot) for slot, rule in enumerate(self._rules)])

    def detach(self) -> None:
        """Take both programs off the TAP, as far as it is still there. Counts stay readable. Idempotent."""
        if self._tap >= 0:
            for place in (TUNSETFILTEREBPF, TUNSETSTEERINGEBPF):
                with contextlib.suppress(DeviceError):  # the TAP is gone, and its programs with it
                    attach(self._tap, place, DETACHED)
            self._tap = -1

    def close(self) -> None:
        """Detach and let go of the counters. Idempotent."""
        self.detach()
        self._counters.close()

    def _install(self, lanes: Sequence[LaneRule], shed: Sequence[Rule]) -> None:
        """Verify both programs before either is attached, so that a refusal changes nothing."""
        counters = self._counters.words[SHED_WORDS:]
        before = self._slots.active
        slots = self._slots.assign([rule.text for rule in shed], counters)
        pairs = list(zip(shed, slots, strict=True))
        try:
            with contextlib.ExitStack() as descriptors:
                steering, door = self._load(descriptors, lanes, pairs)
                attach(self._tap, TUNSETFILTEREBPF, door)
                attach(self._tap, TUNSETSTEERINGEBPF, steering)
        except DeviceError:
            self._slots.assign(before, counters)
            raise

    def _load(
        self, descriptors: contextlib.ExitStack, lanes: Sequence[LaneRule], shed: Sequence[tuple[Rule, int]]
    ) -> tuple[int, int]:
        """Descriptors of both programs, which `descriptors` closes."""
        steering = load_program(steering_program(lanes).encode(), "asyncnic_lanes")
        descriptors.callback(os.close, steering)
        door = load_program(filter_program(shed, self._counters.descriptor).encode(), "asyncnic_filter")
        descriptors.callback(os.close, door)
        return steering, door
