"""The receive rings of a device on the event loop: what becomes of them burst by burst is added up here.

The bursts themselves are hot/wakeup.py's. It has no queue: what is not taken lies in the card's descriptors or on the
wire. It waits for nothing (waiting.py), sends nothing (transmit.py) and mends nothing (faults.py); what it does in
which state is in state.py. A delivery calls `next_burst`; nothing else does.
"""

import logging
from collections.abc import Sequence

from asyncnic import hot
from asyncnic.devices.device import Device
from asyncnic.hot.heads import HeadRing
from asyncnic.hot.wakeup import ServedLane, WakeUp
from asyncnic.lanes.turns import Turns
from asyncnic.logs import fields
from asyncnic.nic.budget import BudgetControl
from asyncnic.nic.burst import Clock, TakenError, frames_taken
from asyncnic.nic.histogram import BURST_FRAMES, SECONDS, Histogram
from asyncnic.nic.sources import Sources
from asyncnic.nic.state import Life, State
from asyncnic.pcnet32.driver.driver import Driver
from asyncnic.settings.knobs import Knobs, by_lane

log = logging.getLogger(__name__)

_ServedLane = hot.choose(ServedLane)
_WakeUp = hot.choose(WakeUp)


class Rings:
    """Bursts from the lanes of one device, the first lane that has frames before the others.

    Args:
        device: attached.
        drivers: one for each lane, in the same order; their chips are up.
        knobs: read at every burst.
        clock: monotonic seconds.
        life: the nic's state.
        sources: judges which frames are too many of their source; None: none are.
    """

    def __init__(
        self,
        device: Device,
        drivers: Sequence[Driver],
        knobs: Knobs,
        clock: Clock,
        life: Life,
        sources: Sources | None = None,
    ) -> None:
        self.device = device
        self.drivers = drivers
        self.knobs = knobs
        self.clock = clock
        self.burst_frames = Histogram(BURST_FRAMES)
        self.delivery_seconds = Histogram(SECONDS)
        self.room = max(driver.rx.size for driver in drivers)
        """Descriptors of the largest receive ring."""
        self.lanes = [_ServedLane(lane, driver, lane.queue) for lane, driver in zip(device.lanes, drivers, strict=True)]
        self._life = life
        self._budget = BudgetControl(self.room)
        names = [lane.name for lane in device.lanes]
        self.wakeup = _WakeUp(
            self.lanes,
            knobs,
            life,
            clock,
            drivers[0].tx.slots,
            lambda weights: Turns(names, by_lane(weights)),
            self._budget,
            self.burst_frames,
            self.delivery_seconds,
        )
        self.next_burst = self.wakeup.next_burst
        self.hand_back_burst = self.wakeup.hand_back_burst
        self.poll = self.wakeup.poll
        self.wakeup.sources = sources

    @property
    def heads(self) -> HeadRing | None:
        """Where the heads of the frames that were taken are kept; None: nowhere."""
        return self.wakeup.heads

    @heads.setter
    def heads(self, ring: HeadRing | None) -> None:
        self.wakeup.heads = ring

    @property
    def current(self) -> int:
        """The lane whose burst is in hand, or was last."""
        return self.wakeup.current

    @property
    def exhausted(self) -> bool:
        """True once the nic was stopped and no finished frame is left in any ring, or it was closed."""
        if not self._life.ending or self.wakeup.burst is not None:
            return False
        return self._life.state is State.CLOSED or not any(driver.rx.finished() for driver in self.drivers)

    def close(self) -> None:
        """Hand the burst in hand back as far as its stack has said that it took it."""
        try:
            self.hand_back_burst(unsaid_taken=False)
        except TakenError as error:
            log.error("the stack miscounted", extra=fields(problem=str(error)))

    def idle(self) -> None:
        """The loop is about to wait: what passes until the next burst is nobody's time."""
        self._budget.idle()

    def taken(self, lane: int) -> tuple[int, int]:
        """Frames and octets of lane number `lane` handed to delivery so far, those of the burst in hand included."""
        served, burst = self.lanes[lane], self.wakeup.burst
        if burst is None or lane != self.current:
            return served.frames, served.octets
        taken = frames_taken(burst, self.wakeup.count)
        return served.frames + taken, served.octets + sum(burst.lengths[:taken])

    def in_flight(self, lane: int, standing: int) -> int:
        """Of the `standing` finished frames in the lane's ring, those that were not handed to delivery."""
        burst = self.wakeup.burst
        if burst is None or lane != self.current:
            return standing
        return standing - frames_taken(burst, self.wakeup.count)
