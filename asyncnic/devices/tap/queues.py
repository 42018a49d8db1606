"""The queues of a TAP: as many as there are lanes where the kernel lets us, else one; their depths and their rules.

It opens descriptors and hands them out; frames are read elsewhere (lane.py), and what was offered is added up
elsewhere (device.py).
"""

import logging
import os
import select
from collections.abc import Iterator, Sequence
from contextlib import suppress

from asyncnic.errors import DeviceError
from asyncnic.lanes.rules import DEFAULT_LANES, LaneRule, parse_lanes, parse_shed
from asyncnic.lanes.steering import QUEUE_SLACK, LaneSteering, SteeringCounts
from asyncnic.linux import tun
from asyncnic.linux.link import set_queue_length
from asyncnic.logs import fields
from asyncnic.settings.knobs import Knobs, by_lane

log = logging.getLogger(__name__)

_KNOBS = ("lane", "shed", "tap_queue", "lane_queue")


class TapQueues:
    """The queues of the TAP `tap`, as `knobs` want them.

    Attributes:
        lanes: those that there are. They are settled when the queues are first opened and stay for good.
        steered: whether the lanes' programs are in force now.
    """

    def __init__(self, tap: str, knobs: Knobs) -> None:
        self._tap = tap
        self._knobs = knobs
        self._in_force = _values(knobs)
        self._opened = False
        self._one_because = self._untold = ""
        self._length = 0
        self._queues: list[int] = []
        self._steering: LaneSteering | None = None
        self._last = SteeringCounts((), {}, 0)
        self.lanes: Sequence[LaneRule] = parse_lanes(knobs.lane)
        self.steered = False

    @property
    def steering(self) -> LaneSteering | None:
        """The lanes' programs and counts; None where they are not in force."""
        return self._steering if self.steered else None

    # -- Opening and closing ------------------------------------------------------------------------------------------

    def open(self) -> list[int]:
        """Attach to the TAP: a descriptor for each lane, the caller's from now on; or just one, the last lane's, when a
        TAP comes back with fewer queues than it had. Where there can be rules, they are in force.

        Raises:
            DeviceError, PrivilegeError: see `tun.attach`. That there can be only one lane is no error: see `tell`.
        """
        reason = ""
        for lanes, steered in self._attempts():
            try:
                queues = self._attach(lanes, steered)
            except DeviceError as error:
                failure, reason = error, reason or str(error)
                continue
            break
        else:
            raise failure
        if not self._opened:
            self.lanes, self._one_because, self._opened = lanes, reason, True
        self.steered, self._queues, self._untold = steered, queues, reason
        self._length = self.length
        return queues

    def tell(self) -> None:
        """Log once why there is one lane where more were wanted. Not before the TAP is ready: an error that keeps it
        from that must be the only line.
        """
        if self._untold:
            asked = self._knobs.lane != DEFAULT_LANES or self._knobs.shed
            said = fields(device=f"tap:{self._tap}", shedding=self.steered, why=self._untold)
            log.log(logging.WARNING if asked else logging.DEBUG, "one lane", extra=said)
            self._untold = ""

    def _attempts(self) -> Iterator[tuple[Sequence[LaneRule], bool]]:
        """What to try in turn: which lanes, and whether with programs."""
        last = self.lanes[-1:]
        if len(self.lanes) > 1 or self._steering is not None:
            yield self.lanes, True
        if self._knobs.shed and not self._opened:
            yield last, True
        yield last, False

    def _attach(self, lanes: Sequence[LaneRule], steered: bool) -> list[int]:
        """One descriptor for each of `lanes`.

        Raises:
            DeviceError: it cannot be; nothing is open.
        """
        queues: list[int] = []
        try:
            if steered and self._steering is None:
                self._steering = LaneSteering(lanes, parse_shed(self._knobs.shed), self._depths(lanes))
            queues.extend(tun.attach(self._tap, queues=len(lanes) > 1) for _ in lanes)
            if steered and self._steering is not None:
                self._steering.attach(queues[0])
        except BaseException:
            if self._steering is not None and not self._opened:
                self._steering.close()
                self._steering = None
            for queue in queues:
                os.close(queue)
            raise
        return queues

    def detach(self) -> None:
        """Take the programs off the TAP. Before its descriptors are closed."""
        self.settle()
        if self._steering is not None:
            self._steering.detach()
        self.steered, self._queues = False, []

    def close(self) -> None:
        """Detach, and let go of the counters, whose last values stay. Idempotent."""
        self.detach()
        if self._steering is not None:
            self._last = self._steering.counts()
            self._steering.close()
            self._steering = None

    # -- Counting -----------------------------------------------------------------------------------------------------

    def counts(self) -> SteeringCounts:
        """What the programs have counted; nothing where there never were any."""
        return self._steering.counts() if self._steering is not None else self._last

    def settle(self) -> None:
        """Account for frames that were accepted and are not there; see `LaneSteering.settle`."""
        steering = self.steering
        if steering is None or not any(steering.waiting(lane) for lane in range(len(self.lanes))):
            return
        poller = select.poll()
        for queue in self._queues:
            poller.register(queue, select.POLLIN)
        readable = {queue for queue, _ in poller.poll(0)}
        steering.settle([queue not in readable for queue in self._queues])

    # -- Knobs --------------------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """Frames that the TAP's queues must hold: its tx_queue_len, which is one for all."""
        depths = self._depths(self.lanes)
        return max(depths) + QUEUE_SLACK if self.steered else depths[-1]

    def _depths(self, lanes: Sequence[LaneRule]) -> list[int]:
        single = by_lane(self._knobs.lane_queue)
        return [single.get(lane.name, self._knobs.tap_queue) for lane in lanes]

    async def apply_knobs(self) -> None:
        """Bring depths and rules to what the knobs ask for now.

        Raises:
            DeviceError, PrivilegeError: it cannot be. All knobs of queues and lanes are put back to what holds.
        """
        wanted = _values(self._knobs)
        if wanted == self._in_force:
            return
        try:
            await self._change_depths()
            if wanted["lane"] != self._in_force["lane"] or wanted["shed"] != self._in_force["shed"]:
                await self._change_rules()
        except DeviceError:
            for name, value in self._in_force.items():
                setattr(self._knobs, name, value)
            with suppress(DeviceError):  # what was allowed a moment ago; at worst the kernel's own queue stays longer
                await self._change_depths()
            raise
        self._in_force = wanted

    async def _change_rules(self) -> None:
        lanes: Sequence[LaneRule] = parse_lanes(self._knobs.lane)
        shed = parse_shed(self._knobs.shed)
        if self._one_because:
            if self._knobs.lane != self._in_force["lane"]:
                raise DeviceError(f"--lane: there is one lane: {self._one_because}")
            lanes = self.lanes[-1:]
        names = [lane.name for lane in self.lanes]
        if [lane.name for lane in lanes] != names:
            raise DeviceError(f"--lane: names and order are fixed while running ({', '.join(names)}): restart")
        if self.steering is not None:
            self.steering.replace(lanes, shed)
        elif self._steering is not None:
            raise DeviceError(f"tap:{self._tap}: it came back without its lanes: restart to change their rules")
        elif shed:
            await self._begin_to_shed(lanes)
        self.lanes = lanes

    async def _begin_to_shed(self, lanes: Sequence[LaneRule]) -> None:
        """One queue that has worked without programs gets them. What waits in it is settled with the next readings."""
        steering = LaneSteering(lanes, parse_shed(self._knobs.shed), self._depths(lanes))
        try:
            await self._lengthen(max(self._depths(lanes)) + QUEUE_SLACK)
            steering.attach(self._queues[0])
        except BaseException:
            steering.close()
            raise
        self._steering, self.steered = steering, True

    async def _change_depths(self) -> None:
        """With programs it is they who keep the depth, and the kernel's queue only ever grows: when it shrinks, frames
        in it are lost and nobody counts them.
        """
        if self.steering is None:
            if self.length != self._length:
                await set_queue_length(self._tap, self.length)
                self._length = self.length
            return
        await self._lengthen(self.length)
        for lane, depth in enumerate(self._depths(self.lanes)):
            self.steering.set_depth(lane, depth)

    async def _lengthen(self, length: int) -> None:
        if length > self._length:
            await set_queue_length(self._tap, length)
            self._length = length


def _values(knobs: Knobs) -> dict[str, object]:
    return {name: getattr(knobs, name) for name in _KNOBS}
