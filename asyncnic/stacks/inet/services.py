"""Services that come with the stack (RFC 862 echo, RFC 863 discard), and the names by which all services are asked for.

A service is a `asyncio.DatagramProtocol` and nothing of this stack: it would run on the kernel's as well. None answers
what could be an answer: see `UdpEcho`.
"""

import asyncio
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

SYSTEM_PORTS = 1024
"""Ports below are assigned to services (RFC 6335 section 6); clients have others."""


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


class Service(NamedTuple):
    """A protocol factory and the UDP port it serves."""

    factory: Callable[[], asyncio.DatagramProtocol]
    port: int


_KNOWN: dict[str, Callable[[], asyncio.DatagramProtocol]] = {"udp-echo": UdpEcho, "udp-discard": UdpDiscard}


def parse_service(text: str) -> Service:
    """Read "udp-echo:7", "udp-discard:9" or "package.module:factory:PORT".

    Raises:
        ValueError: one line that names what is wrong.
    """
    name, _, number = text.rpartition(":")
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= 65535:
        raise ValueError(f"service {text!r}: {number!r} is not a port (1..65535), as in udp-echo:7")
    module_name, colon, attribute = name.partition(":")
    if not colon:
        if name not in _KNOWN:
            raise ValueError(
                f"service {text!r}: {name!r} is none of {', '.join(_KNOWN)} and not package.module:factory"
            )
        return Service(_KNOWN[name], int(number))
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
    return Service(factory, int(number))
