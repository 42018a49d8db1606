"""All sinks of a stack: the one thing that a stack asks how many datagrams it may take, and waits for.

The stack has one coroutine, so the narrowest window counts for all: while one sink's window is full nothing else that
comes in the same burst is taken either.
"""

import asyncio
import importlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from asyncnic.linux.files import read_file
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.sinks import SinkAddress
from asyncnic.sinks.broker import Broker
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.sinks.sink import BrokerSink
from asyncnic.tasks import beside

LAST_SECONDS = 2.0
"""How long acknowledgements are waited for when the service ends."""
LOOK = 0.25
"""Seconds between looks at a window that is full."""

_MODULES = {"nats": "asyncnic.sinks.jetstream", "redis": "asyncnic.sinks.redis_stream"}


def broker_of(address: SinkAddress) -> Broker:
    """The broker at `address`; nothing is connected.

    Raises:
        ValueError: its client library is missing, or its certificates cannot be read; one line.
    """
    try:
        module = importlib.import_module(_MODULES[address.kind])
    except ModuleNotFoundError as error:
        raise ValueError(f"needs {error.name}: install the extra, pip install 'asyncnic[sinks]'") from None
    broker: Broker = module.broker(address, _trusted(address))
    return broker


def _trusted(address: SinkAddress) -> str:
    """The certificates that are trusted, in PEM; empty: the system's. Read once, while files can be."""
    try:
        trusted = read_file(Path(address.ca)).decode("ascii") if address.ca else ""
        ssl.create_default_context(cadata=trusted or None)
    except ssl.SSLError:
        raise ValueError(f"ca={address.ca}: holds no certificate in PEM") from None
    except OSError as error:
        raise ValueError(f"ca={address.ca}: {error.strerror or error}") from None
    except ValueError:
        raise ValueError(f"ca={address.ca}: holds no certificate in PEM") from None
    return trusted


class Sinks:
    """The sinks of a stack, which may be none.

    Args:
        brokers: of each sink its address and what is connected to.
        knobs: with the window, as it stands now.
    """

    def __init__(self, brokers: Sequence[tuple[SinkAddress, Broker]], knobs: Knobs) -> None:
        self._room = asyncio.Event()
        self._deadline: asyncio.TimerHandle | None = None
        self._sinks: list[BrokerSink] = []
        self.ports: list[tuple[Callable[[], asyncio.DatagramProtocol], int]] = []
        """A protocol factory and the port whose datagrams it takes, for each sink."""
        for address, broker in brokers:
            sink = BrokerSink(address.name, broker, lambda: knobs.sink_window, self._room.set)
            self._sinks.append(sink)
            self.ports.append((sink.protocol, address.port))

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def ledgers(self) -> dict[str, SinkLedger]:
        """Where every datagram of each sink is now."""
        return {sink.name: sink.ledger() for sink in self._sinks}

    def trouble(self) -> str:
        """Which sinks take nothing just now and why, in one line; empty: all do."""
        return "; ".join(f"sink {sink.name}: {sink.trouble}" for sink in self._sinks if sink.trouble)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Within the context all sinks connect and publish."""
        async with beside(*(sink.run() for sink in self._sinks)):
            yield

    @property
    def room(self) -> int:
        """Datagrams that may come now without any window being overrun. A closed window holds nothing."""
        return min(sink.window.room for sink in self._sinks)

    async def wait_for_room(self) -> float:
        """Wait until there is room, and count that for those that had none; the seconds."""
        begun = time.monotonic()
        full = [sink for sink in self._sinks if sink.window.room <= 0]
        for sink in full:
            sink.waits += 1
        while self.room <= 0:
            since = time.monotonic()
            self._room.clear()
            try:
                with suppress(TimeoutError):  # the window may have been turned up, of which no broker tells
                    async with asyncio.timeout(LOOK):
                        await self._room.wait()
            finally:
                for sink in full:
                    sink.waited += time.monotonic() - since
        return time.monotonic() - begun

    def finish(self) -> None:
        """No more datagrams come than stand in the rings: what is not acknowledged within `LAST_SECONDS` is given up,
        so that everything comes to its end.
        """
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(LAST_SECONDS, self.close)

    async def emptied(self) -> None:
        """Wait until nothing is in flight; after `finish` that comes about."""
        for sink in self._sinks:
            await sink.emptied()

    def close(self) -> None:
        """Give up what is not acknowledged. Idempotent."""
        if self._deadline is not None:
            self._deadline.cancel()
        for sink in self._sinks:
            sink.close()
