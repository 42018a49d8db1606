"""What a sink asks of a broker, and how it answers. The brokers themselves are jetstream.py and redis_stream.py."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asyncnic.sinks.window import BrokerVerdict, Received

Answer = Callable[[int, BrokerVerdict, str], None]
"""Told of each datagram by its number: the broker's verdict, and why where it is not an acknowledgement."""

CONNECT_SECONDS = 5.0
"""How long a connection may take to come about."""
CLOSE_SECONDS = 0.5
"""How long it may take to be closed."""


class BrokerError(Exception):
    """The broker cannot be used, or no longer. The message is one line without secrets."""


class Session(Protocol):
    """A connection to a broker that takes datagrams."""

    async def publish(self, batch: Sequence[Received]) -> None:
        """Hand over all datagrams of `batch`, in order. Waits while the connection takes no more octets. Each is
        answered by and by, here or later.

        Raises:
            BrokerError: the connection is gone.
        """

    async def lost(self) -> None:
        """Wait until the connection is gone.

        Raises:
            BrokerError: it is; always.
        """


class Broker(Protocol):
    """Connects to one stream of one broker. Keeps no datagram."""

    most: int
    """Datagrams a batch, at most: what holds up the event loop for a millisecond or two."""

    def connect(self, answer: Answer) -> AbstractAsyncContextManager[Session]:
        """A session within the context; no answer comes after it.

        Raises:
            BrokerError: on entering: there is no way to connect just now.
        """


def numbered(address: tuple[object, ...]) -> str:
    """An address (host, port, ...) as text: "192.0.2.1:514", "[2001:db8::1]:514"."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def said(error: BaseException) -> str:
    """What a client library says, in one printable line."""
    text = str(error) or type(error).__name__
    return text if text.isprintable() else repr(text)
