"""A service that speaks first, to whoever has never said anything: `tests.system.caller:Caller:PORT`."""

import asyncio
from typing import Any

TARGETS = (("198.51.100.1", 9999), ("2001:db8:51::1", 9999))
AGAIN = 0.1
"""Seconds between two attempts."""


class Caller(asyncio.DatagramProtocol):
    """Says something to each of `TARGETS` until it has an answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport
        self._answered = False
        self._call()

    def _call(self) -> None:
        if not self._answered and not self._transport.is_closing():
            version6 = ":" in self._transport.get_extra_info("sockname")[0]
            self._transport.sendto(b"knock", TARGETS[version6])
            asyncio.get_running_loop().call_later(AGAIN, self._call)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """It is answered."""
        self._answered = True
