"""Services that come with the stack (RFC 862 echo, RFC 863 discard), and the names by which all services are asked for.

A service is a protocol of asyncio, for datagrams or for streams, and nothing of this stack: it would run on the
kernel's as well. None answers a datagram that could be an answer: see `UdpEcho`.
"""

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

SYSTEM_PORTS = 1024
"""Ports below are assigned to services (RFC 6335 section 6); clients have others."""
Factory = Callable[[], asyncio.BaseProtocol]
STREAM = "tcp:"
"""What stands before the module of a service of streams."""


class UdpEcho(asyncio.DatagramProtocol):
    """Sends every datagram back (RFC 862), but for those that could be a service's answer.

    One forged datagram would keep two services answering each other for ever (CVE-2024-2169). So what comes from a
    system port (below 1024, where services are) or from the echo's own port number is counted in `ignored`, and that
    is all.
    """

    def __init__(self) -> None:
        self.datagrams = 0
        self.ignored = 0

    def connection_made(self, transport: Any) -> None:
        self.sendto: Callable[[bytes, Any], None] = transport.sendto
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams += 1
        if addr[1] < SYSTEM_PORTS or addr[1] == self.port:
            self.ignored += 1
        else:
            self.sendto(data, addr)


class UdpDiscard(asyncio.DatagramProtocol):
    """Counts datagrams and throws them away (RFC 863)."""

    def __init__(self) -> None:
        self.datagrams = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.datagrams += 1


class TcpEcho(asyncio.Protocol):
    """Sends back whatever comes, and reads no faster than it is taken back (RFC 862)."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


class TcpDiscard(asyncio.Protocol):
    """Throws away whatever comes (RFC 863)."""

    def data_received(self, data: bytes) -> None:
        """Nothing."""


class PortService(NamedTuple):
    """A protocol factory, the port it serves, and whether it serves streams (TCP) or datagrams (UDP)."""

    factory: Callable[[], Any]
    port: int
    stream: bool = False


_DATAGRAMS: dict[str, Factory] = {"udp-echo": UdpEcho, "udp-discard": UdpDiscard}
_STREAMS: dict[str, Factory] = {"tcp-echo": TcpEcho, "tcp-discard": TcpDiscard}


def parse_service(text: str, more: Mapping[str, Factory] | None = None) -> PortService:
    """Read "udp-echo:7", "tcp-discard:9", "package.module:factory:PORT" or "tcp:package.module:factory:PORT".

    Args:
        text: what was given.
        more: services of streams by name, besides those that come with the stack.

    Raises:
        ValueError: one line that names what is wrong.
    """
    name, _, number = text.rpartition(":")
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
        raise ValueError(f"service {text!r}: {number!r} is not a port (1..65535), as in udp-echo:7")
    stream = name.startswith(STREAM)
    module_name, colon, attribute = name.removeprefix(STREAM).partition(":")
    if not colon:
        streams = _STREAMS | dict(more or {})
        if not stream and name in _DATAGRAMS:
            return PortService(_DATAGRAMS[name], int(number))
        if not stream and name in streams:
            return PortService(streams[name], int(number), True)
        known = ", ".join([*_DATAGRAMS, *streams])
        raise ValueError(f"service {text!r}: {name!r} is none of {known} and not package.module:factory")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"service {text!r}: cannot import {module_name!r}: {reason}") from None
    factory = getattr(module, attribute, None)
    if factory is None:
        raise ValueError(f"service {text!r}: no {attribute!r} in module {module_name!r}")
    if not callable(factory):
        raise ValueError(f"service {text!r}: {attribute!r} in module {module_name!r} cannot be called")
    return PortService(factory, int(number), stream)
