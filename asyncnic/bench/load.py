"""Load generator: offers UDP datagrams to a network interface at an exact rate, in an exact number.

It is a process of its own (``python -m asyncnic.bench.load``), so that its CPU time is not the receiver's and no event
loop is forked; it inherits the network namespace of whoever starts it. It counts what the kernel accepted, and nothing
else: what became of the datagrams is for the receiver and for the interface's counters to say. It is not a traffic
analyser, and it does no packet work: frames are made by the kernel's UDP, up to 64 a system call (UDP_SEGMENT, udp(7)).

With `--answers` it is a client: a second process (collect.py) takes what comes back on the same sockets.

Each datagram starts with `STAMP`: its number in the order of sending and CLOCK_MONOTONIC in nanoseconds, so that loss,
reordering and age are exact at the receiver. All datagrams of one system call carry one time stamp and belong to one
flow.
"""

import argparse
import ctypes
import errno
import importlib
import ipaddress
import json
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

STAMP = struct.Struct("<QQ")
UDP_SEGMENT = 103
MAX_SEGMENTS = 64
MAX_OCTETS = 65_000
HEADERS = {4: 14 + 20 + 8, 6: 14 + 40 + 8}
MIN_FRAME, MAX_FRAME = 60, 1514
IMIX = ((60, 7), (590, 4), (1514, 1))
"""Simple IMIX without FCS: seven frames of 60 octets to four of 590 and one of 1514."""

BATCH_SECONDS = 0.0005
"""A paced sender hands the kernel at most this much of its schedule at a time: below 4,000/s single datagrams."""
CATCH_UP = 2.0
"""After a stall the sender makes up for lost time at no more than this multiple of its rate: it bursts no burst."""
SHORTEST_SLEEP = 0.00005
GIVE_UP_SECONDS = 2.0
TRANSIENT = frozenset((errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM, errno.ECONNREFUSED, errno.EINTR))
PR_SET_TIMERSLACK = 29


Collected = Callable[[], tuple[int, dict[str, float | None]]]
"""Answers, and quantiles of their round trips in seconds."""


class LoadError(Exception):
    """The load cannot be offered. The message is one line."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What was really offered: datagrams that the kernel accepted for sending, and what that took.

    `octets` counts Ethernet frames without FCS; `retries` are refused system calls, which offered nothing. `answers`
    came back; `round_trips` has seconds from the system call that sent to the one that took the answer, by quantile.
    """

    datagrams: int
    octets: int
    seconds: float
    cpu_seconds: float
    rate: float
    batches: int
    retries: int
    answers: int = 0
    round_trips: dict[str, float | None] = field(default_factory=dict)


class Schedule:
    """When which datagram is due. Pure: time is seconds since the start, passed in.

    Datagram ``k`` is due at ``k / rate`` whatever happened before, so the pace does not drift. Without a rate
    everything is due at once, until `count` datagrams are sent or `seconds` have passed.
    """

    __slots__ = ("_last", "batch", "count", "rate", "seconds")

    def __init__(self, count: int | None, seconds: float | None, rate: float | None) -> None:
        if rate is None and count is not None and seconds is not None:
            rate = count / seconds
        if rate is not None and count is None:
            if seconds is None:
                raise LoadError("--rate needs --count or --seconds beside it")
            count = round(rate * seconds)
        if count is None and seconds is None:
            raise LoadError("say how much to offer: --count or --seconds")
        if (
            (rate is not None and rate <= 0)
            or (count is not None and count < 0)
            or (seconds is not None and seconds <= 0)
        ):
            raise LoadError("--rate and --seconds must be above 0, --count not below")
        self.count = count
        self.seconds = seconds if count is None else None
        self.rate = rate
        self.batch = MAX_SEGMENTS if rate is None else max(1, min(MAX_SEGMENTS, int(rate * BATCH_SECONDS)))
        self._last = 0.0

    def due(self, sent: int, now: float) -> int:
        """Datagrams to send in the next batch; 0 when the schedule is done."""
        if self.count is not None:
            return min(self.batch, self.count - sent)
        assert self.seconds is not None
        return self.batch if now < self.seconds else 0

    def wait(self, sent: int, size: int, now: float) -> float:
        """Seconds until a batch of `size` may go: its last datagram is due, and the catch-up limit allows it."""
        if self.rate is None:
            return 0.0
        return max((sent + size - 1) / self.rate, self._last + size / (self.rate * CATCH_UP)) - now

    def went(self, now: float) -> None:
        """Note that a batch went at `now`."""
        self._last = now


class Mix:
    """Which frame size comes next: runs of one size, in proportion to the weights. Pure.

    Runs are as long as a system call allows, since one call carries one size.
    """

    __slots__ = ("_index", "_left", "_runs")

    def __init__(self, weights: Sequence[int], batch: int) -> None:
        scale = max(1, batch // sum(weights))
        self._runs = [weight * scale for weight in weights]
        self._index = 0
        self._left = self._runs[0]

    def take(self, limit: int) -> tuple[int, int]:
        """The index of the next size and how many frames of it, at most `limit`, come before another size's turn."""
        if not self._left:
            self._index = (self._index + 1) % len(self._runs)
            self._left = self._runs[self._index]
        return self._index, min(limit, self._left)

    def went(self, frames: int) -> None:
        """Note that `frames` of the size that `take` named were sent."""
        self._left -= frames


class Payloads:
    """Datagram payloads of one size, written side by side into one buffer as UDP_SEGMENT wants them."""

    __slots__ = ("_buffer", "_layouts", "_plain", "limit", "octets")

    def __init__(self, octets: int, plain: bool) -> None:
        self.octets = octets
        self.limit = min(MAX_SEGMENTS, MAX_OCTETS // octets)
        self._buffer = memoryview(bytearray(octets * self.limit))
        self._plain = plain
        padding = f"{octets - STAMP.size}x"
        self._layouts = [struct.Struct("<" + f"QQ{padding}" * count) for count in range(self.limit + 1)]

    def fill(self, first: int, count: int) -> memoryview:
        """Payloads of datagrams `first` to `first` + `count` - 1, stamped with the time now (plain: all zero)."""
        if not self._plain:
            words = [time.monotonic_ns()] * (2 * count)
            words[::2] = range(first, first + count)
            self._layouts[count].pack_into(self._buffer, 0, *words)
        return self._buffer[: count * self.octets]


def offer(
    target: tuple[str, int],
    sizes: Sequence[tuple[int, int]],
    schedule: Schedule,
    flows: int = 1,
    plain: bool = False,
    collector: "Callable[[Sequence[socket.socket]], Collected] | None" = None,
) -> Offered:
    """Send by `schedule` to `target`, and say what the kernel accepted.

    Args:
        target: address and UDP port.
        sizes: (octets of the Ethernet frame without FCS, weight) pairs.
        schedule: how many and when.
        flows: source ports to send from, in turn, a batch each.
        plain: constant payloads without `STAMP`, for the highest rates.
        collector: begins to take answers off the sockets; what it returns is asked when the load is over.

    Raises:
        LoadError: a frame size out of range, no route, or nothing accepted for two seconds.
    """
    version = ipaddress.ip_address(target[0]).version
    for size, _weight in sizes:
        smallest = max(MIN_FRAME, HEADERS[version] + STAMP.size)
        if not smallest <= size <= MAX_FRAME:
            raise LoadError(f"--frame {size}: frames over IPv{version} have {smallest}..{MAX_FRAME} octets here")
    payloads = [Payloads(size - HEADERS[version], plain) for size, _weight in sizes]
    sockets = [[_connect(target, version, payload.octets) for payload in payloads] for _flow in range(flows)]
    collected = collector([sock for flow in sockets for sock in flow]) if collector is not None else None
    mix = Mix([weight for _size, weight in sizes], schedule.batch)
    sent = octets = batches = retries = 0
    cpu, start = time.process_time(), time.monotonic()
    now = progress = 0.0
    try:
        while due := schedule.due(sent, now):
            index, run = mix.take(due)
            payload = payloads[index]
            run = min(run, payload.limit)
            wait = schedule.wait(sent, run, now)
            if wait >= SHORTEST_SLEEP:
                time.sleep(wait)
            try:
                sockets[batches % flows][index].send(payload.fill(sent, run))
            except OSError as error:
                now = time.monotonic() - start
                retries += 1
                if error.errno not in TRANSIENT or now - progress > GIVE_UP_SECONDS:
                    raise LoadError(
                        f"{target[0]}: nothing more is accepted after {sent} datagrams ({error})"
                    ) from error
                time.sleep(SHORTEST_SLEEP)
                continue
            now = progress = time.monotonic() - start
            sent += run
            octets += run * sizes[index][0]
            batches += 1
            mix.went(run)
            schedule.went(now)
        seconds, cpu = time.monotonic() - start, time.process_time() - cpu
    finally:
        for flow in sockets:
            for sock in flow:
                sock.close()
    offered = Offered(sent, octets, seconds, cpu, sent / seconds if seconds else 0.0, batches, retries)
    if collected is None:
        return offered
    answers, round_trips = collected()
    return replace(offered, answers=answers, round_trips=round_trips)


def _connect(target: tuple[str, int], version: int, segment: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
        sock.connect(target)
    except OSError as error:
        sock.close()
        raise LoadError(f"{target[0]}: {error.strerror}") from error
    return sock


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    return IMIX if text == "imix" else tuple((int(size), 1) for size in text.split(","))


def main() -> int:
    """Entry point: the `Offered` as one line of JSON and exit code 0, or one line why not and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m asyncnic.bench.load", description="Offer UDP datagrams.")
    parser.add_argument("target", help="address to send to")
    parser.add_argument("--port", type=int, default=9)
    parser.add_argument("--count", type=int, help="datagrams; with --seconds, spread evenly over them")
    parser.add_argument("--seconds", type=float, help="how long")
    parser.add_argument(
        "--rate", type=float, help="datagrams a second; without it and without both of the above, flat out"
    )
    parser.add_argument(
        "--frame",
        type=_sizes,
        default=((60, 1),),
        help="octets of a frame without FCS, or imix, or several in turn: 60,1400",
    )
    parser.add_argument("--flows", type=int, default=1, choices=range(1, 257), metavar="1..256", help="source ports")
    parser.add_argument("--plain", action="store_true", help="constant payloads: no number, no time stamp")
    parser.add_argument("--answers", action="store_true", help="count what comes back, and how long it took")
    parser.add_argument(
        "--wait", action="store_true", help='say "ready", then start at the first line on standard input'
    )
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    try:
        schedule = Schedule(options.count, options.seconds, options.rate)
        if options.wait:
            print("ready", flush=True)
            if not sys.stdin.readline():
                return 1
        collector = importlib.import_module("asyncnic.bench.collect").collect if options.answers else None
        target = (options.target, options.port)
        done = offer(target, options.frame, schedule, options.flows, options.plain, collector)
    except LoadError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(done)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
