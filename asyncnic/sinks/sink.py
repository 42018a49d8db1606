"""A sink on the event loop: an endpoint's protocol on one side of the window, a broker's session on the other.

It connects, publishes, waits, connects again, and says how it does. What a broker is, it does not know; what becomes of
datagrams is the window's to count.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from asyncnic.logs import describe, fields
from asyncnic.sinks.broker import Broker, BrokerError, Session
from asyncnic.sinks.ledger import SinkLedger
from asyncnic.sinks.window import BrokerVerdict, Window
from asyncnic.tasks import beside

FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
"""Seconds between two attempts to connect."""
RETRY_SECONDS = 0.5
"""How long a broker that takes nothing just now is left alone; then it is asked with a single datagram."""
STALL_SECONDS = 5.0
"""How long a broker may leave everything unanswered before the connection is given up and made anew."""

log = logging.getLogger(__name__)


class BrokerSink:
    """One port's datagrams on their way to one stream.

    Args:
        name: for people, without secrets.
        broker: whose stream it is.
        limit: of the window, as it stands now.
        freed: called while the window has ample room.

    Attributes:
        window: what is held, and what became of the rest.
        trouble: why the broker does not take datagrams, in one line; empty: it does.
        waits, waited: how often and how long, in seconds, the stack waited for this window; whoever waits counts.
    """

    def __init__(self, name: str, broker: Broker, limit: Callable[[], int], freed: Callable[[], None]) -> None:
        self.name = name
        self.window = Window(limit)
        self.trouble = "not connected yet"
        self.waits = 0
        self.waited = 0.0
        self._broker = broker
        self._freed = freed
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._answered = asyncio.Event()
        self._later = False

    def protocol(self) -> asyncio.DatagramProtocol:
        """A protocol for an endpoint on the port; there may be several, one a family."""
        return Intake(self.window, self._work.set)

    def ledger(self) -> SinkLedger:
        """Where every datagram is now."""
        window = self.window
        return SinkLedger(
            received=window.received,
            acknowledged=window.acknowledged,
            in_flight=window.in_flight,
            failed=dict(window.failed),
            down=int(bool(self.trouble)),
            waits=self.waits,
            waited=self.waited,
            republished=window.republished,
        )

    async def run(self) -> None:
        """Publish for ever. A broker that is gone is tried again for ever; what it has not acknowledged waits."""
        delay = FIRST_DELAY
        while True:
            try:
                async with self._broker.connect(self._answer) as session:
                    self._say("")
                    delay = FIRST_DELAY
                    async with beside(self._publish(session), self._watch()):
                        await session.lost()
            except BrokerError as error:
                self._say(str(error))
            except Exception as error:  # a client library may raise anything
                self._say(describe(error))
            finally:
                self._later = False
                self.window.disconnected()
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def emptied(self) -> None:
        """Wait until nothing is in flight."""
        while self.window.in_flight:
            self._empty.clear()
            await self._empty.wait()

    def close(self) -> None:
        """Give up what has no acknowledgement; nothing is held from now on."""
        if given_up := self.window.in_flight:
            log.warning("gave datagrams up", extra=fields(sink=self.name, datagrams=given_up))
        self.window.close()
        self._empty.set()
        self._freed()

    async def _publish(self, session: Session) -> None:
        window = self.window
        while True:
            if not window.waiting:
                self._work.clear()
                await self._work.wait()
            if not self._later:
                await session.publish(window.batch(self._broker.most))
                # Whatever the session did not wait for: a flood must not keep others from their turn.
                await asyncio.sleep(0)
                continue
            # Ask with a single datagram, and not before all have come back that were on their way.
            await self._answers()
            await asyncio.sleep(RETRY_SECONDS)
            await session.publish(window.batch(1))
            await self._answers()

    async def _answers(self) -> None:
        """Wait until nothing is out."""
        while self.window.out:
            self._answered.clear()
            await self._answered.wait()

    async def _watch(self) -> None:
        """End the session of a broker that answers nothing at all.

        Raises:
            BrokerError: it does not.
        """
        while True:
            self._answered.clear()
            before = self.window.out
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self._answered.wait()
            except TimeoutError:
                if before:
                    raise BrokerError(f"has answered nothing for {STALL_SECONDS:g} s") from None
            await asyncio.sleep(STALL_SECONDS / 10)  # a look now and then will do, not one an answer

    def _answer(self, number: int, verdict: BrokerVerdict, why: str) -> None:
        window = self.window
        if not window.answer(number, verdict):
            return
        self._answered.set()
        if verdict is BrokerVerdict.LATER:
            self._later = True
            self._work.set()
            self._say(why)
            return
        if verdict is BrokerVerdict.REFUSED:
            log.warning("the broker refused a datagram", extra=fields(sink=self.name, problem=why))
        self._later = False
        if self.trouble:
            self._say("")
        if not window.in_flight:
            self._empty.set()
        if window.ample:
            self._freed()

    def _say(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            log.error("the sink takes nothing", extra=fields(sink=self.name, problem=trouble))
        else:
            log.info("the sink takes datagrams", extra=fields(sink=self.name))


class Intake(asyncio.DatagramProtocol):
    """Puts what an endpoint is given into the window, with the time."""

    def __init__(self, window: Window, arrived: Callable[[], None]) -> None:
        self._take = window.take
        self._arrived = arrived
        self._sockname: tuple[Any, ...] = ("", 0)

    def connection_made(self, transport: Any) -> None:
        self._sockname = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(time.time_ns(), data, addr, getattr(addr, "local", self._sockname))
        self._arrived()
