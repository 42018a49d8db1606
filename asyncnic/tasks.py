"""Tasks that run beside something and end with it, and of which none dies in silence.

`asyncio.TaskGroup` waits for its tasks; what runs for ever beside a nic or a service ends with it instead. It restarts
nothing: whoever can answer a failure catches it inside the task.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from asyncnic.logs import describe, fields

log = logging.getLogger(__name__)


class Background(asyncio.TaskGroup):
    """A task group whose tasks are cancelled when its body ends.

    A task that fails ends the body (which is cancelled) and the other tasks, and `async with` raises what it raised, as
    it is. Where several fail the body's error or else the first is raised, and the others are logged.
    """

    def __init__(self) -> None:
        super().__init__()
        self._running: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    def run(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start `coroutine` as a task of the group."""
        task = self.create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in tuple(self._running):
            task.cancel()
        try:
            await super().__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            failed = [one for one in group.exceptions if one is not error]
            raised = error if error is not None and error in group.exceptions else failed.pop(0)
            for other in failed:
                log.error("a task beside it failed too", extra=fields(problem=describe(other)))
            if raised is not error:
                raise raised from None


@asynccontextmanager
async def beside(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run `coroutines` beside the body, which gets their tasks; see `Background`."""
    async with Background() as group:
        yield [group.run(coroutine, f"asyncnic {getattr(coroutine, '__qualname__', '')}") for coroutine in coroutines]
