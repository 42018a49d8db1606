"""Redis: an entry of a stream a datagram (XADD), acknowledged by the entry's id. The stream is trimmed to about MAXLEN.

A batch is one write, and answers come in the order of what was asked. Redis does not remember what was published: a
datagram whose answer was lost with the connection may be there twice, with the same `id`.

    id: RUN-NUMBER      time: nanoseconds since 1970      source, local: HOST:PORT, [HOST6]:PORT      data: the octets
"""

import asyncio
import math
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.exceptions import RedisError, ResponseError

from asyncnic.settings.sinks import SinkAddress
from asyncnic.sinks.broker import CLOSE_SECONDS, CONNECT_SECONDS, Answer, BrokerError, numbered, said
from asyncnic.sinks.window import BrokerVerdict, Received
from asyncnic.tasks import beside


def broker(address: SinkAddress, trusted: str) -> "RedisStream":
    """The stream of `address`; certificates that are trusted in PEM, empty: the system's."""
    return RedisStream(address, trusted)


class RedisStream:
    """See `Broker`."""

    most = 128

    def __init__(self, address: SinkAddress, trusted: str) -> None:
        self._address = address
        self._trusted = trusted
        self._run = secrets.token_hex(6)

    @asynccontextmanager
    async def connect(self, answer: Answer) -> AsyncIterator["RedisSession"]:
        """See `Broker.connect`."""
        connection = self._connection()
        session = RedisSession(connection, self._address, self._run, answer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
            async with beside(session.listen()):
                yield session
        except TimeoutError:
            raise BrokerError(f"does not answer within {CONNECT_SECONDS:g} s") from None
        except (RedisError, OSError) as error:
            raise BrokerError(said(error)) from None
        finally:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.disconnect(nowait=True)

    def _connection(self) -> Connection:
        address = self._address
        given: dict[str, Any] = {
            "host": address.host,
            "port": address.broker_port,
            "db": address.db,
            "username": address.user or None,
            "password": address.password or None,
            "client_name": "asyncnic",
            "socket_timeout": None,  # sink.py bounds what is waited for
        }
        if not address.tls:
            return Connection(**given)
        return SSLConnection(**given, ssl_ca_data=self._trusted or None, ssl_check_hostname=True)


class RedisSession:
    """See `Session`."""

    def __init__(self, connection: Connection, address: SinkAddress, run: str, answer: Answer) -> None:
        self._connection = connection
        self._run = run.encode()
        self._answer = answer
        self._asked: deque[int] = deque()
        self._come = asyncio.Event()
        self._never = asyncio.Event()
        # What all commands have in common, as the protocol has it.
        words = b"XADD", address.target.encode(), b"MAXLEN", b"~", str(address.maxlen).encode(), b"*", b"id"
        self._head = b"*16\r\n" + _bulk(*words)

    async def publish(self, batch: Sequence[Received]) -> None:
        """See `Session.publish`."""
        commands = [self._command(datagram) for datagram in batch]
        self._asked.extend(datagram.number for datagram in batch)
        self._come.set()
        try:
            await self._connection.send_packed_command(commands, check_health=False)
        except (RedisError, OSError) as error:
            raise BrokerError(said(error)) from None

    async def lost(self) -> None:
        """See `Session.lost`: it is `listen` that finds out, and ends whoever waits here."""
        await self._never.wait()

    async def listen(self) -> None:
        """Hear the answers, each for the oldest datagram that has none.

        Raises:
            BrokerError: there are no more.
        """
        asked, read = self._asked, self._connection.read_response
        try:
            while True:
                if not asked:
                    self._come.clear()
                    await self._come.wait()
                try:
                    await read(timeout=math.inf, disconnect_on_error=False)
                    verdict, why = BrokerVerdict.ACKNOWLEDGED, ""
                except ResponseError as error:
                    verdict, why = _verdict(error)
                self._answer(asked.popleft(), verdict, why)
        except (RedisError, OSError) as error:
            raise BrokerError(said(error)) from None

    def _command(self, datagram: Received) -> bytes:
        number, time, data, source, local = datagram
        return self._head + _bulk(
            b"%b-%d" % (self._run, number),
            *(b"time", b"%d" % time),
            *(b"source", numbered(source).encode()),
            *(b"local", numbered(local).encode()),
            *(b"data", data),
        )


def _bulk(*words: bytes) -> bytes:
    """Words as the protocol has them (RESP bulk strings)."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def _verdict(error: ResponseError) -> tuple[BrokerVerdict, str]:
    """What an error says of an entry. Those with a word of their own (OOM, READONLY, NOPERM, WRONGTYPE) are of the
    server, and pass; plain ones ("ERR", which redis-py takes away) are of the command.
    """
    text = said(error)
    plain = type(error) is ResponseError and not text.partition(" ")[0].isupper()
    return (BrokerVerdict.REFUSED if plain else BrokerVerdict.LATER), text
