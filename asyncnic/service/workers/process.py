"""The service's handle on one worker: starts it, asks it, hears it. When to do so is group.py's business."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from asyncnic.errors import Failed
from asyncnic.service.workers.channel import ENDED, Line, pair
from asyncnic.service.workers.messages import Answer, Ask, Failure, Frame, Message, Question, Ready, Start
from asyncnic.service.workers.snapshot import Snapshot

START_SECONDS = 30.0
"""How long a worker may take until it is ready: an interpreter's start, on a machine that is busy."""


class WorkerProcess:
    """One worker, of which one process at a time is there, or none.

    Args:
        index: its number, from 0.
        passed_on: called with itself and a frame that the other workers shall hear.

    Attributes:
        snapshot: the last one; None before the first and once it is buried.
        heard: when it last said something, in monotonic seconds.
        absent: there is no process, not even one that is about to be ready.
        running: it is ready and reachable.
        problem: why the last process ended, as far as anybody has said; one line.
    """

    def __init__(self, index: int, passed_on: "Callable[[WorkerProcess, Frame], None]") -> None:
        self.index = index
        self.snapshot: Snapshot | None = None
        self.heard = 0.0
        self.absent = True
        self.running = False
        self.problem = ""
        self._passed_on = passed_on
        self._process: asyncio.subprocess.Process | None = None
        self._line: Line | None = None
        self._ready: asyncio.Future[None] | None = None
        self._questions: dict[int, asyncio.Future[Snapshot]] = {}
        self._number = 0

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._process.pid if self._process is not None else None

    async def start(self, start: Start, descriptors: Sequence[int]) -> None:
        """Start a process that serves what `start` says on the queues `descriptors`; returns when it is ready.

        Raises:
            Failed: it cannot be started, or it ended, or said why it cannot, or took too long. Nothing is left of it.
        """
        self.absent = False
        self.problem = ""
        try:
            await self._start(start, descriptors)
        except TimeoutError:
            raise await self._failed(f"not ready after {START_SECONDS:.0f} s") from None
        except OSError as error:
            raise await self._failed(f"it cannot be started: {error.strerror or error}") from None
        except EOFError:
            raise await self._failed(ENDED) from None
        except BaseException:
            self.kill()
            raise
        self.running = True

    async def _start(self, start: Start, descriptors: Sequence[int]) -> None:
        channel, theirs = pair()
        with theirs:
            self._ready = asyncio.get_running_loop().create_future()
            self._line = Line(channel, self._hear, self._gone)
            self.tell(start, descriptors)  # before there is anybody: so nothing can come before it
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "asyncnic.service.workers.child", str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        async with asyncio.timeout(START_SECONDS):
            await self._ready
        await self.ask(Ask(), START_SECONDS)

    async def _failed(self, why: str) -> Failed:
        """End what there is of the process, and say why."""
        self.kill()
        await self.wait()
        return Failed(f"worker {self.index}: {self.problem or why}")

    async def ask(self, question: Question, seconds: float) -> Snapshot:
        """Ask, with a number of our own, and keep the answer as `snapshot`.

        Raises:
            TimeoutError: there was no answer within `seconds`.
            EOFError: the worker is gone.
        """
        if self._line is None:
            raise EOFError
        self._number += 1
        number = self._number
        future = self._questions[number] = asyncio.get_running_loop().create_future()
        try:
            self.tell(replace(question, number=number))
            async with asyncio.timeout(seconds):
                snapshot: Snapshot = await future
                return snapshot
        finally:
            del self._questions[number]

    def tell(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Say something. A worker that has let too much of it wait is ended."""
        if self._line is not None:
            self._line.send(message, descriptors)

    async def wait(self) -> int:
        """Wait until the process has ended and everything that it said is heard; its exit code."""
        code = await self._process.wait() if self._process is not None else 0
        if self._line is not None:
            self._line.read()
        self._gone(ENDED)
        self._process = None
        self.absent = True
        return code

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _hear(self, message: Message, descriptors: Sequence[int]) -> None:
        self.heard = time.monotonic()
        match message:
            case Answer(number, snapshot):
                self.snapshot = snapshot
                question = self._questions.get(number)
                if question is not None and not question.done():
                    question.set_result(snapshot)
            case Frame():
                self._passed_on(self, message)
            case Ready() if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)
            case Failure(problem):
                self.problem = problem

    def _gone(self, why: str) -> None:
        """Let go of the line; whoever waits for an answer gets none. A process that makes no sense is ended."""
        self.running = False
        if why != ENDED:
            self.problem = self.problem or why
            self.kill()
        if self._line is not None:
            self._line.close()
            self._line = None
        waiting = [self._ready, *self._questions.values()]
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(EOFError())
                future.exception()  # it may be that nobody waits
