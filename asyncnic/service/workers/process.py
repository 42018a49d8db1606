"""The service's handle on one worker: starts it, asks it, hears it. When to do so is group.py's business."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from asyncnic.errors import Failed
from asyncnic.service.workers.channel import Channel, Message, pair
from asyncnic.service.workers.snapshot import Snapshot

START_SECONDS = 30.0
"""How long a worker may take until it is ready: an interpreter's start, on a machine that is busy."""


class WorkerProcess:
    """One worker, of which one process at a time is there, or none.

    Args:
        index: its number, from 0.
        passed_on: called with itself and a frame (hexadecimal) that the other workers shall hear.
    """

    def __init__(self, index: int, passed_on: "Callable[[WorkerProcess, str], None]") -> None:
        self.index = index
        self.snapshot: Snapshot | None = None
        """The last one; None before the first and once it is buried."""
        self.heard = 0.0
        """When it last said something, in monotonic seconds."""
        self.running = False
        """Whether it is ready and reachable."""
        self._passed_on = passed_on
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._ready: asyncio.Future[None] | None = None
        self._questions: dict[int, asyncio.Future[Snapshot]] = {}
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._process.pid if self._process is not None else None

    @property
    def absent(self) -> bool:
        """Whether there is no process, not even one that is about to be ready."""
        return self._process is None or self._process.returncode is not None

    async def start(self, settings: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Start a process that serves `settings` on the queues `descriptors`; returns when it is ready.

        Raises:
            Failed: it ended, or said why it cannot, or took too long.
        """
        loop = asyncio.get_running_loop()
        channel, theirs = pair()
        self._channel, self._ready = channel, loop.create_future()
        loop.add_reader(channel.fileno(), self._readable)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "asyncnic.service.workers.child", str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        channel.send("start", 0, {"settings": settings, "index": self.index}, descriptors)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready
                await self.ask("ask", False, START_SECONDS)
        except TimeoutError:
            self.kill()
            raise Failed(f"worker {self.index}: not ready after {START_SECONDS:.0f} s") from None
        except EOFError:
            raise Failed(f"worker {self.index}: it ended") from None
        self.running = True

    async def ask(self, kind: str, body: Any, seconds: float) -> Snapshot:
        """Ask for a snapshot, which is kept.

        Raises:
            TimeoutError: there was no answer within `seconds`.
            EOFError: the worker is gone.
        """
        if self._channel is None:
            raise EOFError
        self._number += 1
        number = self._number
        future = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send(kind, number, body)
            async with asyncio.timeout(seconds):
                snapshot: Snapshot = await future
                return snapshot
        finally:
            del self._questions[number]

    def tell(self, kind: str, body: Any = None, descriptors: Sequence[int] = ()) -> None:
        """Say something that needs no answer."""
        if self._channel is not None:
            self._channel.send(kind, 0, body, descriptors)

    async def wait(self) -> int:
        """Wait until the process has ended and everything that it said is heard; its exit code."""
        code = await self._process.wait() if self._process is not None else 0
        self._readable()
        self._gone("it ended")
        return code

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _readable(self) -> None:
        try:
            while self._channel is not None and (message := self._channel.receive()) is not None:
                self._hear(message)
        except EOFError:
            self._gone("it ended")

    def _hear(self, message: Message) -> None:
        self.heard = time.monotonic()
        if message.kind == "answer":
            self.snapshot = Snapshot.from_json(message.body)
            question = self._questions.get(message.number)
            if question is not None and not question.done():
                question.set_result(self.snapshot)
        elif message.kind == "frame":
            self._passed_on(self, message.body)
        elif self._ready is not None and not self._ready.done():
            if message.kind == "ready":
                self._ready.set_result(None)
            else:
                self._gone(message.body)

    def _gone(self, why: str) -> None:
        """Let go of the channel; whoever waits for an answer gets none."""
        self.running = False
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(Failed(f"worker {self.index}: {why}"))
        for question in self._questions.values():
            if not question.done():
                question.set_exception(EOFError())
