"""A worker: one queue of the TAP, a nic, a stack and an event loop, in a process of its own.

Started by process.py as ``python -m asyncnic.service.workers.child DESCRIPTOR PARENT``. It serves no HTTP and obeys no
signal: it does what the service says over the channel (messages.py), and ends with it.
"""

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial

import uvloop

from asyncnic import logs
from asyncnic.devices.tap.worker_queue import WorkerTap, open_queues
from asyncnic.errors import Failed
from asyncnic.linux.parent import end_with
from asyncnic.logs import describe, fields
from asyncnic.service import sandbox
from asyncnic.service.engine import InProcess, open_in_process
from asyncnic.service.workers.channel import Channel, Line
from asyncnic.service.workers.messages import (
    Answer,
    Ask,
    Failure,
    Frame,
    Hold,
    Message,
    Queues,
    Ready,
    Resume,
    Start,
    Stop,
    Turn,
)
from asyncnic.service.workers.snapshot import take
from asyncnic.settings.model import Settings
from asyncnic.stacks.choice import choose
from asyncnic.stacks.inet.ratelimit import TokenBucket
from asyncnic.tasks import beside

HOLD_SECONDS = 0.25
"""How long a worker stands still, at most, when it is asked to."""

log = logging.getLogger(__name__)


class Worker:
    """Does what the service says, from `obey` on.

    Args:
        engine: open.
    """

    def __init__(self, engine: InProcess) -> None:
        self._engine = engine
        self._passed_on = TokenBucket()
        self._line: Line | None = None
        self._closed = False
        self.stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The number of the question that asked to stop; an EOFError when the service is gone."""
        engine.stack.connect(self._pass_on)

    def obey(self, channel: Channel) -> None:
        """Say that it is ready, and obey what comes from now on."""
        self._line = Line(channel, self._hear, self._gone)
        self._line.send(Ready())

    def close(self) -> None:
        """Obey nobody any more; what was said goes out still."""
        self._closed = True

    def ended(self, running: asyncio.Task[None]) -> None:
        """The engine ended: it was told to, or it failed."""
        if not self.stop.done() and not running.cancelled():
            self.stop.set_exception(running.exception() or RuntimeError("the engine returned"))

    def answer(self, number: int, rings: bool = False) -> None:
        """Tell what was counted."""
        engine = self._engine
        if self._line is not None:
            self._line.send(Answer(number, take(engine.nic, engine.observed, rings)))

    def _gone(self, why: str) -> None:
        if not self.stop.done():
            self.stop.set_exception(EOFError(why))

    def _hear(self, message: Message, descriptors: Sequence[int]) -> None:
        match message:
            case _ if self._closed:
                return
            case Ask(number, rings):
                self.answer(number, rings)
            case Hold(number):
                self.answer(number)
                self._hold()
            case Turn(knobs):
                self._engine.nic.knobs.turn_to(knobs)
            case Queues():
                device = self._engine.nic.device
                assert isinstance(device, WorkerTap)
                device.replace(descriptors)
            case Frame(octets):
                self._engine.stack.overhear(octets)
            case Stop(number) if not self.stop.done():
                self.stop.set_result(number)

    def _hold(self) -> None:
        """Stand still until told to go on, but not for long: the loop does not turn, so no frame is read."""
        assert self._line is not None
        channel, until = self._line.channel, time.monotonic() + HOLD_SECONDS
        while not self.stop.done() and (left := until - time.monotonic()) > 0:
            channel.wait(left)
            received = channel.receive()
            if received is None or isinstance(received[0], Resume):
                return
            self._hear(*received)

    def _pass_on(self, frame: memoryview) -> None:
        """Let the other workers' stacks hear a frame, as long as there are not too many."""
        if self._line is not None and self._passed_on.take(time.monotonic()):
            self._line.send(Frame(bytes(frame)))


class _Numbered(logging.Filter):
    """Adds the worker's number to every event."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._index = index

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        record.__dict__["fields"] = {**record.__dict__.get("fields", {}), "worker": self._index}
        return True


def main() -> int:
    """Entry point: exit code 0 when it was told to stop, 1 when it failed or the service is gone."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever signals the whole group means the service, which tells us
    with closing(Channel(socket.socket(fileno=int(sys.argv[1])))) as channel:
        try:
            return _obey(channel, int(sys.argv[2]))
        except EOFError:
            return 1
        except Exception as error:
            with suppress(EOFError, Failed, OSError):
                if channel.send(Failure(describe(error))):
                    return 1
            log.error("the worker failed", extra=fields(problem=describe(error)))
            return 1


def _obey(channel: Channel, parent: int) -> int:
    _die_with(parent)
    start, queues = _first(channel)
    settings = Settings.model_validate(start.settings)
    logs.configure(settings.log_format, settings.log_level)
    logging.getLogger().handlers[0].addFilter(_Numbered(start.index))
    sandbox.prepare(settings)
    factory = uvloop.new_event_loop if settings.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(channel, settings, start, queues))


async def _serve(channel: Channel, settings: Settings, start: Start, queues: Sequence[int]) -> int:
    device = partial(open_queues, settings.device.partition(":")[2], queues)
    async with open_in_process(settings, choose(settings), device) as engine:
        engine.nic.knobs.turn_to(start.knobs)
        worker = Worker(engine)
        sandbox.enter(settings, worker=True)
        async with beside(engine.run()) as (running,):
            running.add_done_callback(worker.ended)
            worker.obey(channel)
            number = await worker.stop
            engine.finish()
            await asyncio.wait({running}, timeout=engine.patience)
            worker.answer(number)
            worker.close()
    return 0


def _first(channel: Channel) -> tuple[Start, Sequence[int]]:
    """What to do, and on which queues.

    Raises:
        EOFError: the service is gone.
        Failed: it says something else.
    """
    while (received := channel.receive()) is None:
        channel.wait(1.0)
    start, queues = received
    if not isinstance(start, Start):
        raise Failed(f"told {type(start).__name__} before Start")
    return start, queues


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends.

    Raises:
        EOFError: it has ended already.
    """
    if not end_with(parent):
        raise EOFError


if __name__ == "__main__":
    sys.exit(main())
