"""Faults of a chip: its registers read ones, it stops itself, its interrupt is lost or comes without cause.

`FaultyPort` stands between a driver and any chip's registers. `FaultyChip` is a chip in software which reads a wire
with faults and whose ring has some. `InterruptLine` is a lane's descriptor, as the event loop watches it. None of them
decides what is wrong with whom: device.py puts them together.
"""

import asyncio
import os
import random
import select
from collections.abc import Callable
from contextlib import suppress

from asyncnic.devices.device import NEVER, Lane
from asyncnic.faults.frames import Clock, Pipeline
from asyncnic.faults.ring import RingFaults
from asyncnic.hot.reader import Read
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.csr_watch import CsrWatch
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.port import Port

GONE_SECONDS = 0.5
"""How long a chip that goes is gone."""


class FaultyPort:
    """Registers of a chip that goes away, or stops; see `asyncnic.pcnet32.port.Port`.

    Args:
        inner: the chip's.
        ring: what is told of resets and init blocks; None: nobody.
        gone, stop: seconds between two times that it happens; 0: never.
        clock: monotonic seconds.
    """

    def __init__(self, inner: Port, ring: RingFaults | None, gone: float, stop: float, clock: Clock) -> None:
        self.memory = inner.memory
        self._inner = inner
        self._ring = ring
        self._clock = clock
        self._watch = CsrWatch()
        self._width = 2
        self._init_block = [0, 0]
        self._periods = {name: period for name, period in (("gone", gone), ("stop", stop)) if period}
        self._next = {name: clock() + period for name, period in self._periods.items()}
        self._until = 0.0
        self._away = False
        self._started = False
        self.happened = dict.fromkeys(self._periods, 0)

    @property
    def gone(self) -> bool:
        """Whether it is away just now. When it is back, RAP is where the driver has left it meanwhile."""
        if self._away and self._clock() >= self._until:
            self._away = False
            self._select(self._watch.selected)
        return self._away

    def tick(self) -> None:
        """Let happen what is due. A chip that does not run yet cannot stop itself."""
        now = self._clock()
        for name, due in self._next.items():
            if now >= due and not self.gone and (name == "gone" or self._started):
                self._next[name] = now + self._periods[name]
                self.happened[name] += 1
                if name == "gone":
                    self._until = now + GONE_SECONDS
                    self._away = True
                    self._next[name] += GONE_SECONDS
                else:
                    self._started = False
                    self._stop()

    def read(self, offset: int, width: int) -> int:
        """See `Port.read`."""
        if self._watch.selected == reg.MISSED_FRAMES:
            self.tick()  # it is read from time to time on a silent wire too, and not while a chip is brought up
        if self.gone:
            return (1 << 8 * width) - 1
        if self._watch.resets(offset, width):
            self._started = False
            if self._ring is not None:
                self._ring.forget()
        return self._inner.read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """See `Port.write`."""
        number = self._watch.write(offset, width, value)
        if self.gone:
            return
        if number >= 0:
            self._width = width
        if number in (reg.INIT_BLOCK_LOW, reg.INIT_BLOCK_HIGH):
            self._init_block[number - reg.INIT_BLOCK_LOW] = value & 0xFFFF
        elif number == reg.CSR_STATUS:
            if value & reg.CSR0_INIT and self._ring is not None:
                self._ring.armed(self._init_block[1] << 16 | self._init_block[0])
            if value & (reg.CSR0_STRT | reg.CSR0_STOP):
                self._started = not value & reg.CSR0_STOP
        self._inner.write(offset, width, value)

    def _stop(self) -> None:
        """STOP, as nobody has asked for, and RAP as it was."""
        self._select(reg.CSR_STATUS)
        self._inner.write(reg.DWIO_RDP if self._width == 4 else reg.WIO_RDP, self._width, reg.CSR0_STOP)
        self._select(self._watch.selected)

    def _select(self, number: int) -> None:
        self._inner.write(reg.DWIO_RAP if self._width == 4 else reg.WIO_RAP, self._width, number)


class FaultyChip(Am79C970A):
    """The chip `chip`, reading its wire through `pipeline`, with `ring` in its descriptors."""

    __slots__ = ("_pipeline", "_ring")

    def __init__(self, chip: Am79C970A, pipeline: Pipeline, ring: RingFaults | None) -> None:
        for name in Am79C970A.__slots__:
            setattr(self, name, getattr(chip, name))
        self._pipeline = pipeline
        self._ring = ring

    @property
    def taken(self) -> int:
        """See `Am79C970A.taken`: the wire's frames, whatever the faults have made of them."""
        return self._pipeline.taken

    def fill(self, read: Read, limit: int) -> int:
        """See `Am79C970A.fill`. Frames off the wire, whatever the chip got of them."""
        return self._through(super().fill, read, limit)

    def drain(self, read: Read, limit: int) -> int:
        """See `Am79C970A.drain`. Frames off the wire, whatever the chip got of them."""
        return self._through(super().drain, read, limit)

    def take_held(self, limit: int) -> None:
        """Take up to `limit` frames of those that are held back and may come; none off the wire."""
        self._through(super().fill, None, limit)

    def _through(self, take: Callable[[Read, int], int], read: Read | None, limit: int) -> int:
        before = self._pipeline.taken
        self._pipeline.begin(read, limit)
        if self._ring is not None:
            self._ring.before()
        take(self._pipeline.readinto, limit)
        if self._ring is not None:
            self._ring.after()
        return self._pipeline.taken - before


class InterruptLine:
    """The interrupt of a lane, as the loop watches it: deaf after a share of interrupts, and raised without cause.

    Args:
        lane: whose descriptor it stands for.
        mute: the share of interrupts that never come.
        spurious: seconds between interrupts without cause; 0: none.
        chance: decides.
    """

    def __init__(self, lane: Lane, mute: float, spurious: float, chance: random.Random) -> None:
        self._lane = lane
        self._mute = mute
        self._spurious = spurious
        self._chance = chance
        self._epoll = select.epoll()
        self._raised = os.eventfd(0, os.EFD_NONBLOCK)
        self._epoll.register(self._raised, select.EPOLLIN)
        self._watched = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self.happened = {name: 0 for name, amount in (("mute", mute), ("spurious", spurious)) if amount}

    def fileno(self) -> int | None:
        """See `Lane.fileno`."""
        fd = self._lane.fileno()
        if fd is None:
            return None
        if fd != self._watched:
            self.forget()
            if fd != NEVER:
                self._epoll.register(fd, self._hears())
                self._watched = fd
        if self._spurious and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._spurious, self._raise)
        return self._epoll.fileno()

    def interrupt(self) -> None:
        """An interrupt came, or whoever waits was woken otherwise."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._raised)
        if self._watched != NEVER and self._mute:
            self._epoll.modify(self._watched, self._hears())

    def forget(self) -> None:
        """The lane's descriptor is another from now on."""
        if self._watched != NEVER:
            with suppress(OSError):
                self._epoll.unregister(self._watched)
        self._watched = NEVER

    def close(self) -> None:
        """Raise nothing any more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._raised)

    def _hears(self) -> int:
        if self._mute and self._chance.random() < self._mute:
            self.happened["mute"] += 1
            return 0
        return int(select.EPOLLIN)

    def _raise(self) -> None:
        self.happened["spurious"] += 1
        os.eventfd_write(self._raised, 1)
        self._timer = asyncio.get_running_loop().call_later(self._spurious, self._raise)
