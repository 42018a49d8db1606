"""Keeps the stack coroutine running: whatever it raises is counted, logged and answered by starting it again.

The frames meanwhile stay with the card, which counts what it cannot hold. A stack that got somewhere is started again
at once, so that a frame which upsets it costs that frame and no more; one that gets nowhere waits longer each time.
"""

import asyncio
import logging
from collections.abc import Callable

from asyncnic.logs import describe, fields
from asyncnic.service.observed import StackHealth
from asyncnic.stacks.stack import Stack

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
"""Seconds between two starts of a stack that delivers nothing."""
PATIENCE = 1.0
"""Seconds that a stack gets to end once it is cancelled."""

log = logging.getLogger(__name__)


class Supervisor:
    """Runs `stack` until `finish` is called and it has delivered what there is.

    Args:
        stack: what to run.
        health: kept true here.
        delivered: frames delivered so far; growing means that the stack gets somewhere.
        abandon_burst: takes a burst back from a stack that has ended with it in hand.
    """

    def __init__(
        self,
        stack: Stack,
        health: StackHealth,
        delivered: Callable[[], int],
        abandon_burst: Callable[[], None] = lambda: None,
    ) -> None:
        self._stack = stack
        self._health = health
        self._delivered = delivered
        self._abandon_burst = abandon_burst
        self._finishing = asyncio.Event()

    def finish(self) -> None:
        """The nic was stopped: let the stack end. If it is down, it is started once more, for what the rings hold."""
        self._finishing.set()

    async def run(self) -> None:
        """Run the stack; returns once it has ended after `finish`."""
        delay = FIRST_DELAY
        while True:
            before = self._delivered()
            problem = await self._run_once()
            if problem:
                self._abandon_burst()
            progress = self._delivered() > before
            if self._finishing.is_set() and not (problem and progress):
                return
            self._health.failures += 1
            log.error("the stack coroutine ended", extra=fields(problem=problem or "it returned", restarted=True))
            if progress:
                delay = FIRST_DELAY
                await asyncio.sleep(0)
                continue
            self._health.down = f"the stack coroutine ended: {problem or 'it returned'}"
            try:
                async with asyncio.timeout(delay):
                    await self._finishing.wait()
            except TimeoutError:
                delay = min(delay * 2, LONGEST_DELAY)
            self._health.down = ""

    async def _run_once(self) -> str:
        """What the stack raised, in one line; empty when it returned."""
        task = asyncio.ensure_future(self._guarded())
        try:
            # A stack that raises CancelledError by itself must not look like our own cancellation.
            await asyncio.wait({task})
        finally:
            if task.cancel():
                _, running = await asyncio.wait({task}, timeout=PATIENCE)
                if running:
                    log.error("the stack coroutine does not end", extra=fields(problem="it goes on when cancelled"))
        if task.cancelled():
            return "it cancelled itself"
        return task.result()

    async def _guarded(self) -> str:
        try:
            await self._stack.run()
        except (Exception, SystemExit) as error:
            return describe(error)
        return ""
