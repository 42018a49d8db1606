"""Clients that wait for an answer before they ask again lose nothing, however many questions are on their way."""

import asyncio
import socket
import time
from ipaddress import ip_interface
from typing import Any

import pytest

from asyncnic.bench import wires
from asyncnic.bench.rig import PORT
from asyncnic.linux.thread import in_thread
from asyncnic.nic.opening import open_nic
from asyncnic.stacks.inet.services import PortService
from asyncnic.stacks.inet.skin import InetStack

ROUNDS = 4
SO_RCVBUFFORCE = 33


class Working(asyncio.DatagramProtocol):
    """Echoes each datagram after some seconds of work."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            pass
        self._transport.sendto(data, addr)


def ask(outstanding: int) -> int:
    """Have so many questions on their way until each had some successors; the answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        sock.settimeout(5.0)
        sock.connect((wires.RECEIVER, PORT))
        sent = answers = 0
        while answers < ROUNDS * outstanding:
            while sent < ROUNDS * outstanding and sent - answers < outstanding:
                sock.send(sent.to_bytes(4, "big"))
                sent += 1
            try:
                sock.recv(100)
            except TimeoutError:
                break
            answers += 1
        return answers


@pytest.mark.parametrize("work", [0.0, 20e-6, 200e-6])
@pytest.mark.parametrize("outstanding", [1, 200, 900])
async def test_nothing_is_lost(tap_name: str, outstanding: int, work: float) -> None:
    await in_thread(wires.make_tap, tap_name)
    mac = bytes.fromhex(wires.RECEIVER_MAC.replace(":", ""))
    async with asyncio.timeout(30), open_nic(f"tap:{tap_name}", mac=mac) as nic:
        address = ip_interface(f"{wires.RECEIVER}/{wires.PREFIX}")
        stack = InetStack(nic, (address,), (PortService(lambda: Working(work), PORT),))
        running = asyncio.create_task(stack.run())
        await in_thread(wires.wait_until_up, tap_name)
        assert await in_thread(ask, outstanding) == ROUNDS * outstanding
        ledger = nic.ledger()
        nic.stop()
        await running
    assert ledger.dropped_total == 0
    assert ledger.imbalance == 0
