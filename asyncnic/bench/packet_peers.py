"""Peers that take frames rather than datagrams: packet sockets, scapy, and PyTCP's own stack in Python.

On the veth pair of the first two nobody has the receiver's address, so that the kernel's stack does no work beside
them. scapy and PyTCP come with the extra ``asyncnic[bench]``; a missing one is a one-line error, never a skipped row.
"""

import asyncio
import importlib
import os
import socket
import struct
import threading
from typing import Any

from asyncnic.bench import wires
from asyncnic.bench.bare import NAME as TAP
from asyncnic.bench.bare import BareTap
from asyncnic.bench.case import Case, Figures
from asyncnic.bench.kernel_udp import FAR, NEAR, PORT, RECEIVE_BUFFER, receive_timeout
from asyncnic.bench.load import HEADERS
from asyncnic.bench.trial import LOOK_SECONDS, QUIET_SECONDS, Trial, application, offer_of
from asyncnic.errors import Failed
from asyncnic.linux.thread import in_thread

ETH_P_IP = 0x0800
SOL_PACKET, PACKET_STATISTICS = 263, 6
ADDRESS_SECONDS, ADDRESS_TRIES = 20, 100


def af_packet(case: Case) -> Figures:
    """recv_into on a packet socket, in a loop."""
    app = application(case)
    header = HEADERS[4]
    with wires.FarSide(NEAR, FAR, addressed=False) as far, _packet_socket() as sock:
        trial = Trial(case, far.run(offer_of, case))
        receive_timeout(sock, LOOK_SECONDS)
        buffer = bytearray(2048)
        view = memoryview(buffer)
        receive, handle = sock.recv_into, app.datagram_received
        trial.go()
        silent = 0.0
        while silent < QUIET_SECONDS:
            try:
                while True:
                    length = receive(buffer)
                    handle(view[header:length], None)
                    silent = 0.0
            except BlockingIOError:
                if trial.over(app.datagrams):
                    silent += LOOK_SECONDS
        _, dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return trial.outcome(app.datagrams, {"socket": dropped}, app)


def scapy(case: Case) -> Figures:
    """AsyncSniffer with a callback that takes the UDP payload."""
    udp = importlib.import_module("scapy.layers.inet").UDP
    sniffer_class = importlib.import_module("scapy.sendrecv").AsyncSniffer
    app = application(case)

    def sniffed(packet: Any) -> None:
        if udp in packet:
            app.datagram_received(bytes(packet[udp].payload), None)

    with wires.FarSide(NEAR, FAR, addressed=False) as far:
        trial = Trial(case, far.run(offer_of, case))
        ready = threading.Event()
        sniffer = sniffer_class(iface=NEAR, prn=sniffed, store=False, started_callback=ready.set)
        sniffer.start()
        ready.wait()
        asyncio.run(trial.play(lambda: app.datagrams))
        sniffer.stop()
        return trial.outcome(app.datagrams, {}, app)


def pytcp(case: Case) -> Figures:
    """A UDP socket of PyTCP, awaited in a loop. It has a TAP, a stack in pure Python and asyncio's own loop."""
    return asyncio.run(_pytcp(case))


async def _pytcp(case: Case) -> Figures:
    addresses = importlib.import_module("pmd_net_addr")
    stack = importlib.import_module("pmd_pytcp.stack")
    sockets = importlib.import_module("pmd_pytcp.socket")
    app = application(case)
    tap = await in_thread(BareTap, TAP)
    os.set_blocking(tap.fd, True)
    stack.init(
        fd=tap.fd,
        layer=importlib.import_module("pmd_pytcp.lib.interface_layer").InterfaceLayer.L2,
        mac_address=addresses.MacAddress(wires.RECEIVER_MAC),
        interface_name=TAP,
        ip4_host=addresses.Ip4IfAddr(f"{wires.RECEIVER}/{wires.PREFIX}"),
        ip4_dhcp=False,
        ip6_support=False,
    )
    await stack.start()
    sock = sockets.socket(sockets.AddressFamily.INET4, sockets.SocketType.DGRAM)
    await _bind(sock)

    async def receive() -> None:
        while True:
            app.datagram_received(await sock.recv(), None)

    receiving = asyncio.create_task(receive())
    dropped = await in_thread(tap.dropped)
    trial = Trial(case, await in_thread(offer_of, case))
    await trial.play(lambda: app.datagrams)
    receiving.cancel()
    dropped = await in_thread(tap.dropped) - dropped
    await stack.stop()
    return trial.outcome(app.datagrams, {"kernel": dropped}, app)


async def _bind(sock: Any) -> None:
    """Bind as soon as the stack has found that nobody else has its address (RFC 5227), which takes some seconds."""
    for _ in range(ADDRESS_TRIES):
        try:
            sock.bind((wires.RECEIVER, PORT))
            return
        except OSError:
            await asyncio.sleep(ADDRESS_SECONDS / ADDRESS_TRIES)
    raise Failed(f"bench: PyTCP has no address after {ADDRESS_SECONDS} s")


def _packet_socket() -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.bind((NEAR, ETH_P_IP))
    return sock
