"""A worker: one queue of the TAP, a nic, a stack and an event loop, in a process of its own.

Started by process.py as ``python -m asyncnic.service.workers.child DESCRIPTOR PARENT``. It serves no HTTP and obeys no
signal: it does what the service says over the channel, and ends with it.
"""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
import time

import uvloop
from pydantic import TypeAdapter

from asyncnic import logs
from asyncnic.devices.tap.worker_queue import QueueDevice
from asyncnic.logs import describe, fields
from asyncnic.service.engine import InProcess, open_in_process
from asyncnic.service.workers.channel import Channel, Message
from asyncnic.service.workers.snapshot import take
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.model import Settings
from asyncnic.stacks.choice import choose
from asyncnic.stacks.inet.ratelimit import TokenBucket
from asyncnic.tasks import beside

HOLD_SECONDS = 0.25
"""How long a worker stands still, at most, when it is asked to."""
PR_SET_PDEATHSIG = 1

_KNOBS = TypeAdapter(Knobs)

log = logging.getLogger(__name__)


class Worker:
    """Does what the service says.

    Args:
        channel: to the service.
        engine: open.
    """

    def __init__(self, channel: Channel, engine: InProcess) -> None:
        self._channel = channel
        self._engine = engine
        self._passed_on = TokenBucket()
        self.stop: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """The number of the question that asked to stop; an EOFError when the service is gone."""
        if engine.stack.connect is not None:
            engine.stack.connect(self._pass_on)

    def ended(self, running: asyncio.Task[None]) -> None:
        """The engine ended: it was told to, or it failed."""
        if not self.stop.done():
            self.stop.set_exception(running.exception() or RuntimeError("the engine returned"))

    def readable(self) -> None:
        """Obey the messages that are there."""
        try:
            while not self.stop.done() and (message := self._channel.receive()) is not None:
                self._obey(message)
        except EOFError as error:
            self.stop.set_exception(error)

    def answer(self, number: int, rings: bool = False) -> None:
        """Tell what was counted."""
        engine = self._engine
        self._channel.send("answer", number, take(engine.nic, engine.observed, rings).as_json())

    def _obey(self, message: Message) -> None:
        if message.kind == "ask":
            self.answer(message.number, message.body)
        elif message.kind == "hold":
            self.answer(message.number)
            self._hold()
        elif message.kind == "knobs":
            self._engine.nic.knobs.turn_to(_KNOBS.validate_python(message.body))
        elif message.kind == "queues":
            device = self._engine.nic.device
            assert isinstance(device, QueueDevice)
            device.replace(message.descriptors)
        elif message.kind == "frame" and self._engine.stack.overhear is not None:
            self._engine.stack.overhear(bytes.fromhex(message.body))
        elif message.kind == "stop":
            self.stop.set_result(message.number)

    def _hold(self) -> None:
        """Stand still until told to go on, but not for long: the loop does not turn, so no frame is read."""
        until = time.monotonic() + HOLD_SECONDS
        while not self.stop.done() and (left := until - time.monotonic()) > 0:
            self._channel.wait(left)
            message = self._channel.receive()
            if message is None or message.kind == "resume":
                return
            self._obey(message)

    def _pass_on(self, frame: memoryview) -> None:
        """Let the other workers' stacks hear a frame, as long as there are not too many."""
        if self._passed_on.take(time.monotonic()):
            self._channel.send("frame", 0, frame.hex())


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
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    _die_with(int(sys.argv[2]))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever signals the whole group means the service, which tells us
    try:
        start = _first(channel)
        settings = Settings.model_validate(start.body["settings"])
        logs.configure(settings.log_format, settings.log_level)
        logging.getLogger().handlers[0].addFilter(_Numbered(start.body["index"]))
        factory = uvloop.new_event_loop if settings.loop == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_serve(channel, settings, start))
    except EOFError:
        return 1
    except Exception as error:
        if not channel.send("failed", 0, describe(error)):
            log.error("the worker failed", extra=fields(problem=describe(error)))
        return 1


async def _serve(channel: Channel, settings: Settings, start: Message) -> int:
    queues = ",".join(str(descriptor) for descriptor in start.descriptors)
    device = f"queue:{settings.device.partition(':')[2]}:{queues}"
    loop = asyncio.get_running_loop()
    async with open_in_process(settings, choose(settings), device) as engine:
        worker = Worker(channel, engine)
        async with beside(engine.run()) as (running,):
            engine.observed.phase = "running"
            loop.add_reader(channel.fileno(), worker.readable)
            channel.send("ready")
            try:
                running.add_done_callback(worker.ended)
                number = await worker.stop
                engine.finish()
                await asyncio.wait({running}, timeout=engine.patience)
                worker.answer(number)
            finally:
                loop.remove_reader(channel.fileno())
    return 0


def _first(channel: Channel) -> Message:
    """The message that says what to do.

    Raises:
        EOFError: the service is gone.
    """
    while (message := channel.receive()) is None:
        channel.wait(1.0)
    return message


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that ends.

    Raises:
        EOFError: it has ended already.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise EOFError


if __name__ == "__main__":
    sys.exit(main())
