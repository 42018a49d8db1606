"""Interrupt moderation (`--rx-usecs`): after a wake-up, leave what comes on the wire for a while, as `ethtool -C` does.

Meanwhile nobody watches the wire, and a card's interrupt stays off; a timer's tick looks at it instead. It takes no
frame itself, and how long it waits is interval.py's to say.
"""

import asyncio
import logging
from collections.abc import Callable

from asyncnic.linux.timer import Ticker
from asyncnic.logs import fields
from asyncnic.nic.interval import IntervalControl
from asyncnic.nic.rings import Rings

log = logging.getLogger(__name__)


class Moderation:
    """Decides after each wake-up whether the wire is watched, or looked at in a while.

    Args:
        rings: whose lanes are looked at.
        watch, unwatch: have the next frame tell of itself, or not.
    """

    def __init__(self, rings: Rings, watch: Callable[[], None], unwatch: Callable[[], None]) -> None:
        self._watch = watch
        self._unwatch = unwatch
        self._rings = rings
        self._wakeup = rings.wakeup
        self._wakeup.moderate = self.settle
        self._wakeup.inside = all(served.lane.doorbell is not None for served in rings.lanes)
        self._control = IntervalControl(rings.room)
        self._loop = asyncio.get_running_loop()
        self._ticker: Ticker | None = None
        self._refused = False

    def settle(self) -> bool:
        """Decide by what was found since the last time. True: frames are left on the wire, and a tick will tell."""
        wait = self._next()
        self._wakeup.found = 0
        if wait != self._wakeup.wait:
            if wait <= 0.0:
                self.end()
                self._watch()
            elif self._tick_every(wait):
                if self._wakeup.wait <= 0.0:
                    self._unwatch()
                self._wakeup.wait = wait
        return self._wakeup.wait > 0.0

    def end(self) -> None:
        """No tick any more. The caller watches, or does not."""
        if self._wakeup.wait > 0.0 and self._ticker is not None:
            self._ticker.every(0.0)
        self._wakeup.wait = 0.0

    def close(self) -> None:
        """Let go of the timer. Idempotent."""
        if self._ticker is not None:
            self._loop.remove_reader(self._ticker.fd)
            self._ticker.close()
            self._ticker = None

    def _next(self) -> float:
        knobs, found = self._rings.knobs, self._wakeup.found
        if not knobs.rx_usecs_auto or knobs.busy_poll > 0.0:
            asked = knobs.rx_usecs if knobs.busy_poll <= 0.0 else 0.0
            return self._control.fixed(found, self._wakeup.wait, asked)
        wait = self._control.automatic(self._rings.clock(), found, self._wakeup.wait, knobs.target_lag)
        if found:
            knobs.rx_usecs = wait
        return wait

    def _ticked(self) -> None:
        if self._ticker is not None and self._ticker.consume():
            self._wakeup.tick()

    def _tick_every(self, wait: float) -> bool:
        """False: there is no timer to be had, and the wire is watched as without it."""
        if self._ticker is None:
            try:
                self._ticker = Ticker()
            except OSError as error:
                if not self._refused:
                    log.error("frames are not left on the wire: no timer", extra=fields(problem=error.strerror))
                self._refused = True
                return False
            self._loop.add_reader(self._ticker.fd, self._ticked)
        self._ticker.every(wait)
        return True
