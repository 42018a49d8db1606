"""Who asks the service something while it is flooded: pings, DNS questions, and the kernel's own neighbour discovery.

Requests go out at fixed times whatever became of those before; an answer's time is taken by the kernel when it arrives
(SO_TIMESTAMPNS, socket(7)), so that a prober that is late for want of a CPU makes nobody else look late. No packet is
made into a flood here.
"""

import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute

from asyncnic.bench.answers import HEADER, QUERY
from asyncnic.stacks.inet.checksum import checksum

LINGER_SECONDS = 1.0
"""How long the last answers are waited for."""
RESOLVE_SECONDS = 3.0
"""As long as the kernel asks for a neighbour: three times, a second apart."""
SO_TIMESTAMPNS = 35
IDENTIFIER = 0x4153
NUD_VALID = 0xDE  # every state in which the address is known (linux/neighbour.h)
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_QUESTION = b"\x03nic\x07example\0" + struct.pack("!HH", 1, 1)


@dataclass(frozen=True, slots=True)
class Answers:
    """How many requests were sent, and how long each answered one took, in seconds, in order of size."""

    sent: int
    times: Sequence[float]

    @property
    def lost(self) -> int:
        """Requests that were never answered."""
        return self.sent - len(self.times)

    def quantile(self, share: float) -> float | None:
        """The time within which `share` of the answers came; None when there was no answer."""
        return self.times[min(len(self.times) - 1, int(share * len(self.times)))] if self.times else None

    def as_json(self) -> dict[str, Any]:
        """Count and quantiles."""
        shown = {"p50": self.quantile(0.5), "p99": self.quantile(0.99), "max": self.quantile(1.0)}
        return {"sent": self.sent, "answered": len(self.times), "lost": self.lost, **shown}


def ping(target: str, count: int, interval: float) -> Answers:
    """`count` ICMP echo requests, `interval` seconds apart; needs a raw socket (CAP_NET_RAW)."""

    def request(number: int) -> bytes:
        header = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, IDENTIFIER, number)
        return header[:2] + checksum(header + bytes(56)).to_bytes(2, "big") + header[4:] + bytes(56)

    def answered(packet: bytes) -> int | None:
        start = 4 * (packet[0] & 15)  # raw sockets give the IPv4 header too
        if len(packet) < start + 8:
            return None
        kind, _, _, identifier, number = struct.unpack_from("!BBHHH", packet, start)
        return int(number) if (kind, identifier) == (_ECHO_REPLY, IDENTIFIER) else None

    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.connect((target, 0))
        return _ask(sock, count, interval, request, answered)


def dns(target: str, count: int, interval: float) -> Answers:
    """`count` DNS questions over UDP, `interval` seconds apart, each asked once."""

    def request(number: int) -> bytes:
        return HEADER.pack(number, QUERY, 1, 0, 0, 0) + _QUESTION

    def answered(packet: bytes) -> int | None:
        return int(HEADER.unpack_from(packet)[0]) if len(packet) >= HEADER.size else None

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((target, 53))
        return _ask(sock, count, interval, request, answered)


def resolve(interface: str, target: str, count: int) -> Answers:
    """`count` times: empty the neighbour cache of `target`, and take the time until the kernel knows it again."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    times = []
    with IPRoute() as route, socket.socket(family, socket.SOCK_DGRAM) as sock:
        (index,) = route.link_lookup(ifname=interface)
        for _ in range(count):
            if list(route.get_neighbours(family, dst=target, ifindex=index)):
                route.neigh("del", dst=target, ifindex=index, family=family)
            start = time.monotonic()
            sock.sendto(b"", (target, 9))  # whatever it is, the kernel has to ask for the neighbour first
            while (now := time.monotonic()) < start + RESOLVE_SECONDS:
                if any(one["state"] & NUD_VALID for one in route.get_neighbours(family, dst=target, ifindex=index)):
                    times.append(now - start)
                    break
                time.sleep(0.001)
    return Answers(count, sorted(times))


def _ask(
    sock: socket.socket,
    count: int,
    interval: float,
    request: Callable[[int], bytes],
    answered: Callable[[bytes], int | None],
) -> Answers:
    """Send `count` requests by the clock, and match the answers to them. Numbers are 16 bits on the wire."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    waiting: dict[int, int] = {}
    times: list[float] = []
    start = time.monotonic()
    for number in range(count):
        _hear(sock, start + number * interval, waiting, times, answered)
        waiting[number & 0xFFFF] = time.time_ns()
        sock.send(request(number & 0xFFFF))
    _hear(sock, time.monotonic() + LINGER_SECONDS, waiting, times, answered)
    return Answers(count, sorted(times))


def _hear(
    sock: socket.socket,
    until: float,
    waiting: dict[int, int],
    times: list[float],
    answered: Callable[[bytes], int | None],
) -> None:
    """Take answers until a time on the monotonic clock."""
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            packet, extra, _, _ = sock.recvmsg(2048, 256)
        except TimeoutError:
            return
        except OSError:
            continue  # an ICMP error came back for some request
        number = answered(packet)
        if number is not None and number in waiting:
            seconds, nanoseconds = next(struct.unpack("qq", data) for _, kind, data in extra if kind == SO_TIMESTAMPNS)
            times.append((seconds * 1_000_000_000 + nanoseconds - waiting.pop(number)) / 1e9)
