"""Any device with faults: the same device to the nic, and another one to its driver.

`inject` wraps an open device before its chips are brought up. The device itself knows nothing of it, and its wire goes
on counting what it offers; what the faults did with frames is in `Injected`, lane by lane, which the ledger adds.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from asyncnic.devices.device import Device, Lane, WireCounters
from asyncnic.errors import DeviceLost, SettingsError, WireEnded
from asyncnic.faults.chip import FaultyChip, FaultyPort, InterruptLine
from asyncnic.faults.frames import Clock, Pipeline
from asyncnic.faults.plan import KINDS, Plan, plan
from asyncnic.faults.ring import RingFaults
from asyncnic.logs import fields
from asyncnic.pcnet32.model.chip import Am79C970A

log = logging.getLogger(__name__)

_TIMED = ("delay", "reorder", "rate", "late")
"""Faults that need somebody to look from time to time: their lane is polled, as one without an interrupt is."""


@dataclass(frozen=True, slots=True)
class Injected:
    """What faults did with a lane's frames. `offered` counts frames that no wire gave, `held` those that are held back.

    `dropped` is by reason, and `happened` how often each fault happened, by its name.
    """

    offered: int = 0
    held: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    happened: dict[str, int] = field(default_factory=dict)

    @property
    def came(self) -> int:
        """Frames that came off the wire and did not get into the chip, less those that did and never came off it."""
        return self.held + sum(self.dropped.values()) - self.offered


NOTHING = Injected()


class _HasChip(Protocol):
    """A lane whose chip can be replaced by one with faults."""

    port: Am79C970A


class FaultyLane:
    """See `asyncnic.devices.device.Lane`.

    Raises:
        SettingsError: a fault that this lane cannot have.
    """

    def __init__(self, inner: Lane, device: str, wanted: Plan, salt: int, clock: Clock) -> None:
        chance = wanted.chance(salt)
        self.name = inner.name
        self.counts_filtered = inner.counts_filtered
        self._inner = inner
        self._polled = any(wanted.amount(name) for name in _TIMED)
        self._pipeline = Pipeline(wanted.at("wire"), chance, clock)
        self._chip: FaultyChip | None = None
        self._ring: RingFaults | None = None
        if wanted.at("ring"):
            shares = [wanted.amount(name) for name in ("garbage", "keep", "late")]
            self._ring = RingFaults(inner.port.memory, chance, *shares)
        in_software = wanted.at("wire") + wanted.at("ring")
        mute, spurious = wanted.amount("mute"), wanted.amount("spurious")
        if in_software and not isinstance(inner.port, Am79C970A):
            possible = ", ".join(name for name, kind in KINDS.items() if kind.place == "chip")
            problem = f"the chip of {device} is not in software: it can have {possible}"
            raise SettingsError(f"--fault {in_software[0].text}: {problem}")
        if (mute or spurious) and (self._polled or inner.fileno() is None):
            text = next(one.text for one in wanted.faults if one.name in ("mute", "spurious"))
            raise SettingsError(f"--fault {text}: {device} with these faults is polled, and has no interrupt")
        if isinstance(inner.port, Am79C970A):
            self._chip = FaultyChip(inner.port, self._pipeline, self._ring)
            cast(_HasChip, inner).port = self._chip
            if inner.queue is not None:
                inner.queue.go_through(self._chip)
        self.port = FaultyPort(inner.port, self._ring, wanted.amount("gone"), wanted.amount("stop"), clock)
        self.line = InterruptLine(inner, mute, spurious, chance) if mute or spurious else None

    @property
    def doorbell(self) -> Callable[[], None] | None:
        """See `Lane.doorbell`. A chip that is gone does not hear it."""
        return self._ring_doorbell if self._inner.doorbell is not None else None

    def _ring_doorbell(self) -> None:
        if not self.port.gone and self._inner.doorbell is not None:
            self._inner.doorbell()

    @property
    def queue(self) -> None:
        """See `Lane.queue`: no way past the faults."""

    @property
    def filtered(self) -> int:
        """See `Lane.filtered`."""
        return self._inner.filtered

    @property
    def injected(self) -> Injected:
        """What the faults have done so far."""
        dropped, held = {}, self._pipeline.held
        happened = self._pipeline.happened() | self.port.happened
        if "drop" in happened:
            dropped["fault_drop"] = self._pipeline.dropped
        if self._ring is not None:
            happened |= self._ring.happened
            held += self._ring.held
            dropped["fault_keep"] = self._ring.kept
        if self._chip is not None and "stop" in happened:
            dropped["fault_stop"] = self._chip.counters.discarded
        if self.line is not None:
            happened |= self.line.happened
        return Injected(self._pipeline.duplicated, held, dropped, happened)

    def fileno(self) -> int | None:
        """See `Lane.fileno`."""
        if self._polled:
            return None
        return self._inner.fileno() if self.line is None else self.line.fileno()

    def readable(self) -> bool:
        """See `Lane.readable`."""
        return self._inner.readable()

    def poll(self, limit: int) -> int:
        """See `Lane.poll`."""
        self.port.tick()
        if self._chip is None:
            return self._inner.poll(limit)
        if self.port.gone:
            return 0  # no chip takes anything
        before = self._chip.counters.read
        ended = False
        try:
            taken = self._inner.poll(limit)
        except WireEnded:
            taken, ended = 0, True
        if self._pipeline.held or (not taken and self._ring is not None and self._ring.held):
            self._chip.take_held(limit)
        elif ended:
            raise WireEnded
        return max(taken, self._chip.counters.read - before)

    def interrupt(self) -> None:
        """See `Lane.interrupt`."""
        if self.line is not None:
            self.line.interrupt()
        self._inner.interrupt()

    def unmask(self) -> None:
        """See `Lane.unmask`."""
        self._inner.unmask()


class FaultyDevice:
    """The device `inner` with faults; see `asyncnic.devices.device.Device`. Made by `inject`."""

    def __init__(self, inner: Device, lanes: Sequence[FaultyLane]) -> None:
        self.name, self.backend, self.chip = inner.name, inner.backend, inner.chip
        self.lanes = lanes
        self._inner = inner
        self._lost = False  # as the device itself is told, and not only its chip's registers

    def wire(self) -> WireCounters | None:
        """See `Device.wire`."""
        return self._inner.wire()

    def no_link(self) -> str:
        """See `Device.no_link`."""
        return self._inner.no_link()

    def lose(self, came: Callable[[], int]) -> None:
        """See `Device.lose`. A chip that is only rehearsed to be gone leaves its wire where it is."""
        if not any(lane.port.gone for lane in self.lanes):
            self._lost = True
        if self._lost:
            self._inner.lose(came)

    async def apply_knobs(self) -> None:
        """See `Device.apply_knobs`."""
        await self._inner.apply_knobs()

    async def reattach(self) -> bool:
        """See `Device.reattach`."""
        if any(lane.port.gone for lane in self.lanes):
            return False
        if not self._lost:
            try:
                self._inner.wire()
            except DeviceLost:
                self._lost = True
        for lane in self.lanes:
            if lane.line is not None:
                lane.line.forget()
        if self._lost and not await self._inner.reattach():
            return False
        self._lost = False
        return True

    async def close(self) -> None:
        """See `Device.close`."""
        for lane in self.lanes:
            if lane.line is not None:
                lane.line.close()
        await self._inner.close()

    def __getattr__(self, name: str) -> Any:
        """What else a backend has, for those who know which one it is."""
        return getattr(self._inner, name)


def inject(device: Device, texts: Sequence[str], clock: Clock = time.monotonic) -> FaultyDevice:
    """`device`, open and its chips not brought up, with the faults that `texts` say ("drop=1%"), in that order.

    Raises:
        SettingsError: a fault that this device cannot have.
        ValueError: a text that is no fault.
    """
    wanted = plan(texts)
    lanes = [FaultyLane(lane, device.name, wanted, salt, clock) for salt, lane in enumerate(device.lanes)]
    log.warning("faults are injected", extra=fields(device=device.name, faults=",".join(texts), seed=wanted.seed))
    return FaultyDevice(device, lanes)


def injected_into(lane: Lane) -> Callable[[], Injected]:
    """What reads what faults have done in `lane`: nothing where none were injected."""
    return (lambda: lane.injected) if isinstance(lane, FaultyLane) else (lambda: NOTHING)
