"""One stream, or one page under a crowd, on one system, in a process and a network of its own: experiment 1's building
block, as case.py is for datagrams. It knows the systems by name only.
"""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from asyncnic.bench.case import in_own_process, played

HTTP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class StreamSystem:
    """A TCP that can be measured: where it is, and what it is in a few words. `serves`: it can be sent a stream, send
    one, serve a page.
    """

    where: str
    about: str
    serves: tuple[str, ...] = ("in", "out", "http")


_OURS, _KERNEL = "asyncnic.bench.stream_nic", "asyncnic.bench.stream_kernel"
_STREAMS = ("in", "out")

TAP_SYSTEMS = {
    "inet": StreamSystem(f"{_OURS}:tap_protocol", "asyncnic's own TCP, Protocol"),
    "inet-streams": StreamSystem(f"{_OURS}:tap_streams", "the same, streams", serves=_STREAMS),
    "inet-queue": StreamSystem(f"{_OURS}:tap_queue", "the same behind a queue, Protocol"),
    "stack-kernel": StreamSystem(f"{_OURS}:stack_kernel", "asyncnic, --stack kernel, Protocol"),
    "kernel-streams": StreamSystem(
        f"{_KERNEL}:tap_streams", "the kernel behind a relay, uvloop streams", serves=_STREAMS
    ),
    "kernel": StreamSystem(f"{_KERNEL}:tap_protocol", "the kernel behind a relay, Protocol"),
}
VETH_SYSTEMS = {
    "packet": StreamSystem(f"{_OURS}:packet_protocol", "asyncnic's own TCP on packet:, Protocol"),
    "packet-streams": StreamSystem(f"{_OURS}:packet_streams", "the same, streams", serves=_STREAMS),
    "packet-queue": StreamSystem(f"{_OURS}:packet_queue", "the same behind a queue, Protocol"),
    "veth-streams": StreamSystem(f"{_KERNEL}:veth_streams", "the kernel, streams", serves=_STREAMS),
    "veth": StreamSystem(f"{_KERNEL}:veth_protocol", "the kernel, Protocol"),
}
"""On a veth pair; the kernel does part of the receiver's work on the sender's processor there."""
STREAM_SYSTEMS = TAP_SYSTEMS | VETH_SYSTEMS


@dataclass(frozen=True, slots=True)
class StreamCase:
    """A system and what it has to bear.

    `direction`: "in" (it is sent a stream), "out" (it sends one) or "http". `octets` of the stream. `offload`: super
    frames and unfinished checksums cross the wire. `mtu` of the wire. `connections` at once, and `seconds`, of "http".
    """

    system: str
    direction: str = "in"
    octets: int = 100_000_000
    offload: bool = False
    mtu: int = 1500
    connections: int = 100
    seconds: float = HTTP_SECONDS


@dataclass(frozen=True, slots=True)
class StreamRun:
    """What became of a case: octets (or requests answered), seconds, CPU seconds of the system with all it needs, the
    octets a second of the best tenth of a second, and requests that failed.
    """

    case: dict[str, Any]
    done: int
    seconds: float
    cpu_seconds: float
    best: float = 0.0
    failed: int = 0

    @property
    def rate(self) -> float:
        """Octets or requests a second."""
        return self.done / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Octets or requests for each second of the system's CPU time."""
        return self.done / max(self.cpu_seconds, 0.001)


def run_stream(case: StreamCase, timeout: float = 180.0) -> StreamRun:
    """Play a case in a process of its own.

    Raises:
        PrivilegeError, DeviceError, Failed: see `case.run_case`.
    """
    return StreamRun(**in_own_process("asyncnic.bench.stream", case.system, asdict(case), timeout))


def main(argument: str) -> int:
    """The case's process."""
    case = StreamCase(**json.loads(argument))
    module, _, name = STREAM_SYSTEMS[case.system].where.partition(":")

    def play() -> StreamRun:
        function: Callable[[StreamCase], StreamRun] = getattr(importlib.import_module(module), name)
        return function(case)

    return played(case.system, play)


if __name__ == "__main__":
    from asyncnic.bench import stream as this

    sys.exit(this.main(sys.argv[1]))
