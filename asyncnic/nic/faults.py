"""What is done about chips that fail and devices that go away: noticing, mending, coming back.

Its two tasks run as long as the nic is open. It takes no frame, and while a device is lost it holds nobody up: what the
rings hold is delivered first, and only then is the device asked back.
"""

import asyncio
import logging
import select
from collections.abc import Callable, Sequence

from asyncnic.devices.device import NEVER, Device, Lane
from asyncnic.errors import DeviceError, DeviceLost
from asyncnic.nic.state import Life, State
from asyncnic.pcnet32.driver.driver import ChipError, Driver
from asyncnic.tasks import Background

log = logging.getLogger(__name__)

SAMPLE_INTERVAL = 0.05
"""Seconds between looks at the chips. CSR112 wraps after 65,536 losses: good for 1.3 million losses a second."""
WIRE_LOOKS = 10
"""Looks at the chips to one at the wire's own counters, which may be elsewhere by now."""
RETRY_INTERVAL = 0.5
"""Seconds between attempts to bring a lost device back."""


class Faults:
    """Keeps one device going.

    Args:
        device: attached.
        drivers: one for each of its lanes, their chips up.
        life: the nic's state.
        tasks: where the tasks run that notice and reattach.
    """

    def __init__(self, device: Device, drivers: Sequence[Driver], life: Life, tasks: Background) -> None:
        self.resets = 0
        """Times that the chip was reset and initialised again, by loss or by fault."""
        self.on_fault: Callable[[], None] = lambda: None
        """Called when a chip wants mending, so that whoever waits comes and asks."""
        self.look: Callable[[], None] = lambda: None
        """Called at each look at the chips, for whoever waits for them."""
        self._device = device
        self._drivers = drivers
        self._life = life
        self._wanted = asyncio.Event()
        self._tasks = [
            tasks.run(self._notice(), "asyncnic notices faults"),
            tasks.run(self._bring_back(), "asyncnic brings the device back"),
        ]

    def mend(self) -> bool:
        """Bring chips that reported a fault up again; their rings are empty by now. True when there was one."""
        faulty = [driver for driver in self._drivers if driver.fault is not None]
        for driver in faulty:
            log.warning("%s: %s; bringing it up again", self._device.name, driver.fault)
            try:
                driver.bring_up()
            except ChipError as error:
                self._life.lose(DeviceLost(str(error)))
                return True
            self.resets += 1
        return bool(faulty)

    def reattach(self) -> None:
        """Begin to bring the lost device back. Its rings are armed anew then: call it when they are empty."""
        self._wanted.set()

    async def close(self) -> None:
        """End noticing and reattaching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _notice(self) -> None:
        """Sample what the chips missed, and look whether chips and wires are still there."""
        looks = 0
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            if not self._life.present:
                continue
            for driver in self._drivers:
                driver.sample_missed()
                if self._life.up:
                    driver.check_running()
                if driver.fault is not None:
                    self.on_fault()
            self.look()
            looks += 1
            try:
                for lane in self._device.lanes:
                    _look_at(lane)
                if looks % WIRE_LOOKS == 0:
                    self._device.wire()
                    self._life.link(self._device.no_link())
            except DeviceLost as error:
                self._life.lose(error)

    async def _bring_back(self) -> None:
        """Whenever it is wanted, try to bring the device back until it works or is not wanted any more."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._life.state is State.LOST:
                try:
                    if await self._device.reattach():
                        for driver in self._drivers:
                            driver.bring_up()
                        self.resets += 1
                        self._life.back()
                        break
                except (ChipError, DeviceError) as error:
                    log.debug("%s: not back yet: %s", self._device.name, error)
                await asyncio.sleep(RETRY_INTERVAL)


def _look_at(lane: Lane) -> None:
    """Find out whether a lane's wire is gone. A loop may drop a descriptor that reports nothing but an error, and then
    never call us; and while a stack holds a burst nobody reads.

    Raises:
        DeviceLost: it is gone.
    """
    fd = lane.fileno()
    if fd is None or fd == NEVER:
        return
    poller = select.poll()
    poller.register(fd, 0)
    if poller.poll(0):
        lane.interrupt()
        lane.poll(1)  # where there is a descriptor free for it, this says what has happened
        raise DeviceLost("the wire's descriptor reports an error")
