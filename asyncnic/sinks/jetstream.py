"""NATS JetStream: a message a datagram, with headers, acknowledged by the stream that has the subject.

A batch is one write. Nothing is kept here: nats-py is not let reconnect, so what it buffers is what the window has out,
and that is its bound. `Nats-Msg-Id` lets the stream take a datagram that is published twice for one, within its
duplicate window (2 minutes unless the stream says otherwise).

    Asyncnic-Time: nanoseconds since 1970      Asyncnic-Source, Asyncnic-Local: HOST:PORT, [HOST6]:PORT
"""

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from asyncnic.settings.sinks import SinkAddress
from asyncnic.sinks.broker import CLOSE_SECONDS, CONNECT_SECONDS, Answer, BrokerError, numbered, said
from asyncnic.sinks.window import BrokerVerdict, Received

HEADERS_SIZE = 256
"""Octets that the headers of a message take, at most: they count towards the server's limit."""
PENDING = 1 << 20
"""Octets that may wait to be written."""

_LATER = frozenset({10002, 10109})
"""JetStream's error codes that come with status 400 and are no fault of the message: resource limits, sealed."""


def broker(address: SinkAddress, trusted: str) -> "JetStream":
    """The stream that has the subject of `address`; certificates that are trusted in PEM, empty: the system's."""
    return JetStream(address, ssl.create_default_context(cadata=trusted or None) if address.tls else None)


class JetStream:
    """See `Broker`."""

    most = 64

    def __init__(self, address: SinkAddress, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        self._run = secrets.token_hex(6)

    @asynccontextmanager
    async def connect(self, answer: Answer) -> AsyncIterator["JetStreamSession"]:
        """See `Broker.connect`."""
        session = JetStreamSession(self._address.target, self._run, answer)
        address, client = self._address, session.client
        host = f"[{address.host}]" if ":" in address.host else address.host
        login: dict[str, Any] = {"user": address.user, "password": address.password} if address.password else {}
        if address.user and not address.password:
            login = {"token": address.user}
        if self._tls is not None:
            login |= {"tls": self._tls, "tls_hostname": address.host}
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(
                    f"nats://{host}:{address.broker_port}",
                    allow_reconnect=False,
                    pending_size=PENDING,
                    error_cb=session.failed,
                    closed_cb=session.closed,
                    name="asyncnic",
                    **login,
                )
                await session.listen()
            yield session
        except TimeoutError:
            raise BrokerError(f"does not answer within {CONNECT_SECONDS:g} s") from None
        except (Error, OSError) as error:
            raise BrokerError(said(error)) from None
        finally:
            session.over = True
            await _close(client)


async def _close(client: Client) -> None:
    """Close, whatever state the connection is in. nats-py's own tasks may have died, or hang at a server that reads
    nothing: they are ended, and what they died of was told before.
    """
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    for name in ("_reading_task", "_flusher_task", "_ping_interval_task"):
        task: asyncio.Task[None] | None = getattr(client, name, None)
        if task is not None:
            task.cancel()
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
    if (transport := getattr(client, "_transport", None)) is not None:
        with suppress(Exception):
            transport.close()
    await asyncio.sleep(0)


class JetStreamSession:
    """See `Session`."""

    def __init__(self, subject: str, run: str, answer: Answer) -> None:
        self.client = Client()
        self.over = False
        self._subject = subject
        self._run = run
        self._answer = answer
        self._inbox = ""
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def listen(self) -> None:
        """Hear the acknowledgements."""
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.*", cb=self._heard)

    async def publish(self, batch: Sequence[Received]) -> None:
        """See `Session.publish`."""
        client, run, largest = self.client, self._run, self.client.max_payload - HEADERS_SIZE
        try:
            for number, time, data, source, local in batch:
                if len(data) > largest:
                    why = f"{len(data)} octets are more than the server's max_payload"
                    self._answer(number, BrokerVerdict.REFUSED, why)
                    continue
                headers = {
                    "Nats-Msg-Id": f"{run}-{number}",
                    "Asyncnic-Time": str(time),
                    "Asyncnic-Source": numbered(source),
                    "Asyncnic-Local": numbered(local),
                }
                await client.publish(self._subject, data, f"{self._inbox}.{number}", headers)
        except (Error, OSError) as error:
            raise BrokerError(said(error)) from None

    async def lost(self) -> None:
        """See `Session.lost`."""
        await self._end

    async def failed(self, error: Exception) -> None:
        """nats-py says that something went wrong: whatever it is, another connection is better.

        Raises:
            BrokerError: while it connects, which it would try for ever.
        """
        if not self._inbox:
            raise BrokerError(said(error))
        if not self._end.done():
            self._end.set_exception(BrokerError(said(error)))
            self._end.exception()  # heard of, if nobody waits yet

    async def closed(self) -> None:
        """nats-py says that the connection is closed."""
        if not self.over:
            await self.failed(self.client.last_error or ConnectionResetError("the server closed the connection"))

    async def _heard(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        if not self.over and number.isascii() and number.isdigit():
            self._answer(int(number), *self._verdict(message))

    def _verdict(self, message: Msg) -> tuple[BrokerVerdict, str]:
        """What an answer says: an acknowledgement, an error of JetStream, or that nobody has the subject."""
        data = message.data
        if data.startswith(b'{"stream"'):  # the form of nearly all, which is not parsed
            return BrokerVerdict.ACKNOWLEDGED, ""
        if message.headers and message.headers.get("Status") == "503":
            return BrokerVerdict.LATER, f"no stream has the subject {self._subject}: add one (nats stream add)"
        try:
            found = json.loads(data)
            error = found.get("error")
            if error is None and found.get("stream"):
                return BrokerVerdict.ACKNOWLEDGED, ""
            status, code, text = int(error["code"]), int(error.get("err_code", 0)), str(error.get("description", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return BrokerVerdict.LATER, "what answers on the subject is no stream"
        text = text if text.isprintable() else "an error without a text"
        return (BrokerVerdict.LATER if status >= 500 or code in _LATER else BrokerVerdict.REFUSED), f"{text} ({code})"
