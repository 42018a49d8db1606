"""A DNS responder for the experiments: every question has the same answer. A plain `asyncio.DatagramProtocol`.

It reads no further than the question (RFC 1035, section 4.1), and what is no query it does not answer.
"""

import struct
from typing import Any

from asyncnic.bench.receiver import Counter

HEADER = struct.Struct("!6H")
ANSWER = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 60, 4, 192, 0, 2, 2)
"""The name of the question again, A, IN, a minute, 192.0.2.2."""
RESPONSE = 0x8180
QUERY = 0x0100


class Responder(Counter):
    """Answers what comes, and counts it."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes | memoryview, addr: Any) -> None:
        self.datagrams += 1
        if len(data) < HEADER.size or HEADER.unpack_from(data)[1:3] != (QUERY, 1):
            return
        number = HEADER.unpack_from(data)[0]
        self._transport.sendto(HEADER.pack(number, RESPONSE, 1, 1, 0, 0) + bytes(data[HEADER.size :]) + ANSWER, addr)
