"""The report's experiments 1 and 2 in a guest: Linux's own pcnet32 driver and ours, on the same card and wire.

The card is QEMU's, and the guest's processor is emulated: the rows compare with each other, and with the report only in
their order. Rounds are interleaved. Of each row it is said where the datagrams went that nobody received.
"""

import socket
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyncnic.bench.experiment import tell
from asyncnic.bench.guest.guest import GuestError
from asyncnic.bench.guest.lab import ADDRESS, KERNEL_RING, Lab
from asyncnic.bench.load import LoadError
from asyncnic.bench.offer import Offer
from asyncnic.bench.report import Spread, console, must_be_writable, percent, show, table, write_json
from asyncnic.errors import Failed
from asyncnic.linux.netns import enter_private_network

PORT = 5001
TCP_OCTETS = 100_000_000
SETTLE_SECONDS = 1.5
STREAM_SECONDS = 300.0
REPORT_UDP = {"in-kernel": 46_959, "user-level": 68_174}
REPORT_TCP = {"in-kernel": (2.3, 3.9), "user-level": (2.4, 2.6)}
NOTE = "The guest's processor is emulated: compare the rows with each other. The report's rows are the report's own."

# A stream wants a ring that holds a window; a flood wants a short one, since QEMU looks through all of a full ring each
# time. The in-kernel driver is measured with the ring that it has by itself, and with ours.
_UDP_RING, _TCP_RING = 128, 512
UDP_SYSTEMS = {
    "kernel": f"in-kernel, ring {KERNEL_RING}",
    "kernel-ring": f"in-kernel, ring {_UDP_RING}",
    "kernel-c": f"in-kernel, ring {KERNEL_RING}, recvmmsg",
    "direct": f"user-level, ring {_UDP_RING}, direct",
    "queue": f"user-level, ring {_UDP_RING}, queue",
}
TCP_SYSTEMS = {
    "kernel": f"in-kernel driver, its own ring of {KERNEL_RING}",
    "kernel-ring": f"in-kernel driver, ring {_TCP_RING}",
    "direct": f"user-level driver, ring {_TCP_RING}, --stack kernel",
    "queue": f"user-level driver, ring {_TCP_RING}, queue, --stack kernel",
}
# A burst of 64 frames takes more than the 2 ms that it may last by default on a processor that is emulated. A stream is
# handed on in bursts as large as the ring: one vCPU changes between service and receiver once a burst.
_FLAGS = "--rx-time-budget 20ms"
_TCP_FLAGS = f"--rx-ring {_TCP_RING} --rx-budget {_TCP_RING} {_FLAGS}"
_LOSSES = ("wire", "card", "driver", "queue", "backlog", "socket", "stack")


@dataclass(frozen=True, slots=True)
class UdpRun:
    """One run of experiment 2. `lost` says where, in frames; `uncounted` is what no counter explains."""

    offered: int
    received: int
    processor_seconds: float
    lost: Mapping[str, int]

    @property
    def uncounted(self) -> int:
        """Offered, but neither received nor counted as lost."""
        return self.offered - self.received - sum(self.lost.values())


@dataclass(frozen=True, slots=True)
class TcpRun:
    """One run of experiment 1. Rates in octets a second; `best` is that of the best second."""

    octets: int
    average: float
    best: float
    processor_seconds: float


def run_udp(packets: int, seconds: float, runs: int, json_file: Path | None) -> int:
    """Measure and print experiment 2; the exit code.

    Raises:
        DeviceError, Failed: it cannot be measured here.
    """
    return _run(lambda lab: measure_udp(lab, packets, seconds, runs), show_udp, json_file)


def run_tcp(runs: int, json_file: Path | None) -> int:
    """Measure and print experiment 1; the exit code. Raises as `run_udp`."""
    return _run(lambda lab: measure_tcp(lab, TCP_OCTETS, runs), show_tcp, json_file)


def _run(
    measure: Callable[[Lab], dict[str, Any]], shown: Callable[[dict[str, Any]], None], json_file: Path | None
) -> int:
    must_be_writable("--json", json_file)
    enter_private_network()
    try:
        with Lab() as lab:
            result = measure(lab)
    except (GuestError, LoadError) as error:
        raise Failed(f"--system guest: {error}") from None
    shown(result)
    if json_file is not None:
        write_json(json_file, result)
    return 0


# Experiment 2: datagrams.


def measure_udp(lab: Lab, packets: int, seconds: float, runs: int) -> dict[str, Any]:
    """Offer `packets` datagrams of 60 octets a frame in `seconds` to each system, `runs` times; the result as JSON."""
    outcomes: dict[str, list[UdpRun]] = {name: [] for name in UDP_SYSTEMS}
    for number in range(runs):
        for name in _in_turn(list(UDP_SYSTEMS), number):
            tell(f"[round {number + 1}/{runs}] {UDP_SYSTEMS[name]}")
            outcomes[name].append(_udp(lab, name, packets, seconds))
    return {
        "experiment": "udp",
        "where": "guest",
        "packets": packets,
        "seconds": seconds,
        "runs": runs,
        "systems": {name: [asdict(run) | {"uncounted": run.uncounted} for run in of] for name, of in outcomes.items()},
        "report": REPORT_UDP,
    }


def _udp(lab: Lab, name: str, packets: int, seconds: float) -> UdpRun:
    if name.startswith("kernel"):
        lab.use_kernel_driver(_UDP_RING if name == "kernel-ring" else KERNEL_RING)
        lab.start_sink("udp-batched" if name == "kernel-c" else "udp", PORT)
        before = lab.kernel_counters()
        card = _Wrapping(before.card)
        offered, wire, cpu = _offer(lab, packets, seconds, lambda: card.add(lab.missed()))
        after = lab.kernel_counters()
        card.add(after.card)
        lost = {"card": card.total, "backlog": after.backlog - before.backlog, "socket": after.socket - before.socket}
        return UdpRun(offered, int(lab.stop_sink()["received"]), cpu, _losses(wire=wire, **lost))
    lab.start_service(f"--service udp-discard:{PORT}", f"--delivery {name}", f"--rx-ring {_UDP_RING}", _FLAGS)
    offered, wire, cpu = _offer(lab, packets, seconds, lambda: None)
    found = lab.stop_service()
    dropped = {part: found["dropped"][part] for part in ("card", "driver", "queue")}
    received = found["stack"]["udp"]["delivered"]
    return UdpRun(offered, received, cpu, _losses(wire=wire, **dropped, stack=found["delivered"] - received))


class _Wrapping:
    """A counter of 16 bits, added up from readings that come more often than it wraps."""

    def __init__(self, start: int) -> None:
        self._last = start
        self.total = 0

    def add(self, reading: int) -> None:
        """Take a reading."""
        self.total += (reading - self._last) & 0xFFFF
        self._last = reading


def _offer(lab: Lab, packets: int, seconds: float, each_second: Callable[[], None]) -> tuple[int, int, float]:
    """Send the load. Returns the frames offered, those that the TAP dropped, and processor seconds of the guest."""
    _, dropped = lab.wire()
    cpu = lab.processor_seconds()
    load = Offer([ADDRESS, "--port", str(PORT), "--count", str(packets), "--seconds", str(seconds), "--plain"])
    load.go()
    while not load.finished:
        time.sleep(1.0)
        each_second()
    offered = load.result().datagrams
    time.sleep(SETTLE_SECONDS)
    return offered, lab.wire()[1] - dropped, lab.processor_seconds() - cpu


def _losses(**lost: int) -> dict[str, int]:
    return {part: lost.get(part, 0) for part in _LOSSES}


def show_udp(result: dict[str, Any]) -> None:
    """The table of experiment 2."""
    out = console()
    rows = []
    for name, runs in result["systems"].items():
        received = Spread.of([run["received"] for run in runs])
        pace = Spread.of([run["received"] / max(run["processor_seconds"], 0.01) for run in runs])
        share = percent(received.median, statistics.median(run["offered"] for run in runs))
        lost = [f"{statistics.median(run['lost'][part] for run in runs):,.0f}" for part in _LOSSES]
        rest = f"{statistics.median(run['uncounted'] for run in runs):,.0f}"
        rows.append((UDP_SYSTEMS[name], received.show(), share, pace.show(1000, 1), *lost, rest))
    for name, figure in result["report"].items():
        rows.append((f"2009: {name}", f"{figure:,}", percent(figure, 1_000_000), *[""] * 9))
    columns = (
        "",
        "received",
        "share",
        "k/vCPU-s",
        "wire",
        "card",
        "driver",
        "queue",
        "backlog",
        "socket",
        "stack",
        "?",
    )
    title = f"{result['packets']:,} datagrams in {result['seconds']:g} s: received, and where the others were lost"
    show(out, title, table(columns, rows))
    out.print(f"All receivers are in Python, but for the one of recvmmsg(2), at C's pace. {NOTE}")


# Experiment 1: a stream.


def measure_tcp(lab: Lab, octets: int, runs: int) -> dict[str, Any]:
    """Send `octets` by TCP to each system, `runs` times; the result as JSON."""
    outcomes: dict[str, list[TcpRun]] = {name: [] for name in TCP_SYSTEMS}
    for number in range(runs):
        for name in _in_turn(list(TCP_SYSTEMS), number):
            tell(f"[round {number + 1}/{runs}] {TCP_SYSTEMS[name]}")
            outcomes[name].append(_tcp(lab, name, octets))
    return {
        "experiment": "tcp",
        "where": "guest",
        "octets": octets,
        "runs": runs,
        "systems": {name: [asdict(run) for run in of] for name, of in outcomes.items()},
        "report": REPORT_TCP,
    }


def _tcp(lab: Lab, name: str, octets: int) -> TcpRun:
    ours = not name.startswith("kernel")
    if ours:
        lab.start_service("--stack kernel", f"--delivery {name}", _TCP_FLAGS)
    else:
        lab.use_kernel_driver(_TCP_RING if name == "kernel-ring" else KERNEL_RING)
    lab.start_sink("tcp", PORT)
    cpu = lab.processor_seconds()
    _stream(octets)
    counted = lab.stop_sink()
    used = lab.processor_seconds() - cpu
    if ours:
        lab.stop_service()
    return TcpRun(int(counted["octets"]), counted["octets"] / counted["seconds"], counted["best"], used)


def _stream(octets: int) -> None:
    """Send and wait until all of it was taken.

    Raises:
        Failed: the stream stalled.
    """
    block = bytes(1 << 16)
    try:
        with socket.create_connection((ADDRESS, PORT), timeout=30.0) as peer:
            peer.settimeout(STREAM_SECONDS)
            while octets > 0:
                octets -= peer.send(block[:octets])
            peer.shutdown(socket.SHUT_WR)
            peer.recv(1)
    except OSError as error:
        raise Failed(f"--system guest: the stream into the guest broke: {error}") from None


def show_tcp(result: dict[str, Any]) -> None:
    """The table of experiment 1."""
    out = console()
    rows = []
    for name, runs in result["systems"].items():
        average = Spread.of([run["average"] for run in runs])
        best = Spread.of([run["best"] for run in runs])
        pace = Spread.of([run["octets"] / max(run["processor_seconds"], 0.01) for run in runs])
        rows.append((TCP_SYSTEMS[name], average.show(1e6, 1), best.show(1e6, 1), pace.show(1e6, 1)))
    for name, (average, best) in result["report"].items():
        rows.append((f"the report, 2009: {name}", f"{average}", f"{best}", ""))
    title = f"{result['octets'] / 1e6:,.0f} MB over TCP into the guest"
    show(out, title, table(("", "MB/s", "best second", "MB/vCPU-s"), rows))
    out.print(NOTE)


def _in_turn(names: list[str], number: int) -> list[str]:
    """Every other round in the opposite order."""
    return names if number % 2 == 0 else names[::-1]
