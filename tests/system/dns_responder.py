"""A DNS responder as one writes it for asyncio's own loop: a plain `asyncio.DatagramProtocol`, with dnslib for format.

It knows one name. Run as a program, it serves on asyncnic through the Python API until its standard input ends, and
then prints the ledger.
"""

import asyncio
import json
import sys
from ipaddress import ip_interface
from typing import Any

import uvloop
from dnslib import AAAA, QTYPE, RCODE, RR, TXT, A, DNSError, DNSRecord  # type: ignore[import-untyped]

from asyncnic.nic.opening import open_nic
from asyncnic.stacks.inet.skin import InetStack

NAME = "nic.example."
ANSWERS = {QTYPE.A: A("192.0.2.2"), QTYPE.AAAA: AAAA("2001:db8::2"), QTYPE.TXT: TXT("x" * 200)}


class Responder(asyncio.DatagramProtocol):
    """Answers questions for NAME; NXDOMAIN for all else."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            question = DNSRecord.parse(data)
        except DNSError:
            return
        if question.header.qr:
            return
        reply = question.reply()
        if question.q.qname != NAME:
            reply.header.rcode = RCODE.NXDOMAIN
        elif question.q.qtype in ANSWERS:
            reply.add_answer(RR(NAME, question.q.qtype, ttl=60, rdata=ANSWERS[question.q.qtype]))
        self._transport.sendto(reply.pack(), addr)


async def serve(tap: str, mac: str, *addresses: str) -> None:
    """Answer on port 53 of every address until standard input ends."""
    loop = asyncio.get_running_loop()
    async with open_nic(f"tap:{tap}", mac=bytes.fromhex(mac.replace(":", "")), host_address="192.0.2.1/24") as nic:
        loop.add_reader(sys.stdin, nic.stop)
        interfaces = [ip_interface(address) for address in addresses]
        stack = InetStack(nic, interfaces)
        for interface in interfaces:
            await stack.inet.create_datagram_endpoint(Responder, local_addr=(str(interface.ip), 53))
        print("ready", flush=True)
        await stack.run()
        loop.remove_reader(sys.stdin)
        print(json.dumps(nic.ledger().as_json()), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
