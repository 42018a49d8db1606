"""Whatever happens to a nic, in whatever order, the law holds both ways, and no frame comes twice, out of turn or not.

Frames, bursts left in every way, sending, a wire that jams, breaks and comes back, knobs turned, callers cancelled at
every await, the stop, the end; one lane or several, direct or queue delivery, on both event loops.
"""

import asyncio
from typing import Any, cast
from unittest.mock import patch

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncnic.devices.device import Device
from asyncnic.nic import faults
from asyncnic.nic.burst import Burst, TakenError
from asyncnic.nic.nic import Nic
from asyncnic.nic.opening import run_nic
from asyncnic.nic.state import State
from asyncnic.settings.knobs import Knobs
from tests.nic.rig import PlayedDevice
from tests.wire import MAC, frame, number_of

TURNS = 12
"""More turns of the loop than anything takes that need not wait."""
LIES = (-1, 10**30, 1_000, "many", None, 2.5)

DELIVERIES = st.sampled_from(["direct", "queue"])


class NicMachine(RuleBasedStateMachine):
    """One nic, its stack, its wires and all that may happen to them."""

    loop_factory: Any = asyncio.new_event_loop
    nic: Nic

    def __init__(self) -> None:
        super().__init__()
        self.loop = self.loop_factory()
        self.patched = patch.object(faults, "RETRY_INTERVAL", 0.0)
        self.patched.start()

    @initialize(lanes=st.integers(1, 3), delivery=DELIVERIES, ring=st.sampled_from([1, 4, 16]))
    def open(self, lanes: int, delivery: str, ring: int) -> None:
        self.knobs = Knobs(queue_limit=10, rx_budget=5, rx_time_budget=1e9)
        self.device = PlayedDevice(lanes, self.knobs, rx_ring=ring, tx_ring=4)
        opened = self.loop.create_future()
        self.closing = asyncio.Event()

        async def live() -> None:
            running = run_nic(
                cast(Device, self.device), self.knobs, mac=MAC, rx_ring=ring, tx_ring=4, delivery=delivery
            )
            async with running as nic:
                opened.set_result(nic)
                await self.closing.wait()

        self.life = self.loop.create_task(live())
        self.nic = self.loop.run_until_complete(opened)
        self.next_number = 0
        self.given = 0  # frames that `send` was given, or `try_send` took
        self.seen: set[int] = set()
        self.burst: Burst | None = None
        self.asked = 0
        self.delivered = 0

    def teardown(self) -> None:
        if hasattr(self, "nic"):
            self.end()
        self.patched.stop()
        self.loop.close()

    def breathe(self, turns: int = TURNS) -> None:
        async def idle() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(idle())

    @property
    def state(self) -> State:
        return self.nic._life.state

    # -- The wire -----------------------------------------------------------------------------------------------------

    @rule(lane=st.integers(0, 2), count=st.sampled_from([1, 60]))
    def frames_come(self, lane: int, count: int) -> None:
        place = self.device.lanes[lane % len(self.device.lanes)]
        if not place.broken:
            place.offer([frame(MAC, self.next_number + i) for i in range(count)])
            self.next_number += count

    @rule(jammed=st.booleans())
    def the_wire_jams(self, jammed: bool) -> None:
        self.device.lanes[0].jammed = jammed

    @precondition(lambda self: self.asked > 2 and self.state in (State.UP, State.STOPPING))
    @rule()
    def the_wire_breaks(self) -> None:
        self.device.cut()

    @rule()
    def the_wire_may_come_back(self) -> None:
        self.device.may_come_back = True

    # -- The stack ----------------------------------------------------------------------------------------------------

    @rule(
        lane=st.integers(0, 2),
        count=st.sampled_from([0, 3, 20, 60]),
        turns=st.sampled_from([*range(5), TURNS, TURNS, TURNS]),
        cancelled=st.sampled_from([False, False, True]),
        left=st.sampled_from(["whole", "whole", "in part", "in part", "not said", "none", "later", *LIES]),
    )
    def asks_for_a_burst(self, lane: int, count: int, turns: int, cancelled: bool, left: Any) -> None:
        """And gives up if it has none so many turns later, or is cancelled just then; else it leaves it somehow."""
        self.frames_come(lane, count)

        async def ask() -> Burst | None:
            task = asyncio.ensure_future(anext(self.nic))
            for _ in range(turns):
                await asyncio.sleep(0)
            if cancelled or not task.done():
                task.cancel()
            try:
                return await task
            except (asyncio.CancelledError, StopAsyncIteration):
                return None

        self.asked += 1
        if turns:  # else it gives up before it has begun
            self.hands_back(unsaid=True)
        try:
            burst = self.loop.run_until_complete(ask())
        except TakenError:
            burst = None
        if burst is None:
            return
        self.burst = burst
        if left in LIES:
            self.burst.taken = left
        elif left == "none":
            self.burst.taken = 0
        elif left in ("whole", "in part"):
            self.takes(len(self.burst) if left == "whole" else 1 + len(self.burst) // 2)

    def hands_back(self, unsaid: bool) -> None:
        """What the nic must count of the burst in hand: what was said, and all of it where the stack lied."""
        if self.burst is not None:
            taken: object = self.burst.taken
            if not self.burst.said:
                taken = len(self.burst) if unsaid else 0
            self.delivered += len(self.burst) if taken in LIES else cast(int, taken)
            self.burst = None

    @precondition(lambda self: self.burst is not None and self.burst.taken not in LIES)
    @rule(frames=st.integers(1, 20))
    def takes(self, frames: int) -> None:
        assert self.burst is not None
        for octets in self.burst:
            self.handle(octets)
            frames -= 1
            if not frames:
                break

    def handle(self, octets: memoryview) -> None:
        number = number_of(octets)
        assert number not in self.seen, "no frame comes twice"
        self.seen.add(number)

    @rule()
    def fails(self) -> None:
        self.nic.abandon_burst()
        self.hands_back(unsaid=False)

    @rule(count=st.integers(1, 12), again=st.booleans())
    def sends(self, count: int, again: bool) -> None:
        async def send() -> None:
            for number in range(count):
                if again:
                    self.given += self.nic.try_send(frame(MAC, number))
                else:
                    self.nic.send(frame(MAC, number))
                    self.given += 1

        self.loop.run_until_complete(send())

    @rule(turns=st.integers(0, TURNS))
    def waits_for_room(self, turns: int) -> None:
        async def wait() -> None:
            task = asyncio.ensure_future(self.nic.writable())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

        self.loop.run_until_complete(wait())

    # -- The service --------------------------------------------------------------------------------------------------

    @rule(
        budget=st.integers(1, 20),
        overload=st.sampled_from(["leave", "drain"]),
        policy=st.sampled_from(["drop-newest", "drop-oldest", "pause"]),
        limit=st.integers(1, 30),
        weight=st.integers(1, 3),
    )
    def is_tuned(self, budget: int, overload: str, policy: str, limit: int, weight: int) -> None:
        self.knobs.rx_budget = budget
        self.knobs.overload = overload
        self.knobs.queue_policy = policy
        self.knobs.queue_limit = limit
        self.knobs.lane_weight = (f"a={weight}",)

    @precondition(lambda self: self.asked > 4)
    @rule()
    def is_stopped(self) -> None:
        self.loop.run_until_complete(self._call(self.nic.stop))

    @rule()
    def time_passes(self) -> None:
        self.breathe(TURNS)

    @precondition(lambda self: self.state in (State.STOPPING, State.ORPHANED))
    @rule()
    def drains(self) -> None:
        """A stack that takes all there is comes to an end, and then nothing is in flight."""

        async def drain() -> None:
            async for octets in self.nic.frames():
                self.handle(octets)
                self.delivered += 1

        self.fails()
        self.loop.run_until_complete(asyncio.wait_for(drain(), 20))
        assert self.nic.ledger().in_flight == 0

    async def _call(self, function: Any) -> None:
        function()

    # -- The end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Whatever state it is in, it closes, and the accounts stay as they were: nothing pends, nothing is lost."""
        self.hands_back(unsaid=False)
        self.closing.set()
        self.loop.run_until_complete(self.life)
        assert self.state is State.CLOSED
        self.law_holds()
        self.what_was_taken_is_delivered()
        assert self.nic.ring_descriptors()["tx"]["card"] == 0

    @invariant()
    def law_holds(self) -> None:
        accounts = self.nic.accounts()
        for lane in self.device.lanes:
            ledger = accounts.lanes[lane.name].ledger
            assert ledger.imbalance == 0, (lane.name, ledger)
            assert ledger.offered == lane.read + lane.dropped
        assert accounts.total.imbalance == 0

    @invariant()
    def what_was_taken_is_delivered(self) -> None:
        in_hand: object = self.burst.taken if self.burst is not None else 0
        taken = len(self.burst or ()) if in_hand in LIES else cast(int, in_hand)
        assert self.nic.ledger().delivered == self.nic.counters.delivered_frames == self.delivered + taken

    @invariant()
    def nothing_dies_in_silence(self) -> None:
        assert not self.life.done(), self.life.exception()

    @invariant()
    def law_of_the_way_out_holds(self) -> None:
        sent = self.nic.counters.transmitted_frames
        pending = self.nic.ring_descriptors()["tx"]["card"]
        assert self.given == sent + sum(self.nic.transmit_errors.values()) + pending
        assert sent == sum(len(lane.sent) for lane in self.device.lanes)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_law_holds_whatever_happens(factory: Any) -> None:
    class Machine(NicMachine):
        loop_factory = staticmethod(factory)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
