"""A DNS responder: a plain asyncio.DatagramProtocol and dnslib, on a NIC instead of a socket.

asyncnic run --device tap:dns0 --service dns:Responder:53      (from the folder of this file)
"""

import asyncio
from typing import Any

from dnslib import QTYPE, RCODE, RR, A, DNSError, DNSRecord  # type: ignore[import-untyped]

ZONE = {"nic.example.": "192.0.2.2"}


class Responder(asyncio.DatagramProtocol):
    """Answers for the names in ZONE; NXDOMAIN for all else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers go out by."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One query."""
        try:
            query = DNSRecord.parse(data)
        except DNSError:
            return
        if query.header.qr:  # somebody's answer: two responders would answer each other for ever
            return
        reply = query.reply()
        address = ZONE.get(str(query.q.qname))
        if address is None:
            reply.header.rcode = RCODE.NXDOMAIN
        elif query.q.qtype == QTYPE.A:
            reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=60, rdata=A(address)))
        self.transport.sendto(reply.pack(), addr)
