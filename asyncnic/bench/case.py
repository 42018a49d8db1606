"""One system under one load, in a process and a network namespace of its own: what every experiment is made of.

An experiment is a list of cases; `run_case` plays one and returns its outcome. The receiving side is a fresh process,
so that its CPU time is its own and nothing is left of the case before; the sender is a child of it (`offer`). This
module knows the systems by name only: each is a function from `Case` to `Figures` in the module that the table names.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from asyncnic.bench.load import LoadError
from asyncnic.errors import DeviceError, Failed, PrivilegeError
from asyncnic.linux.netns import enter_private_network


@dataclass(frozen=True, slots=True)
class System:
    """A receiver that can be measured: where it is, on which wire it stands, and what it is in a few words."""

    where: str
    wire: str
    about: str
    package: str = ""
    """The package whose version belongs into the result; empty: Python itself."""


_NIC, _BARE, _UDP, _PACKET = (
    f"asyncnic.bench.{name}" for name in ("nic_systems", "bare", "kernel_udp", "packet_peers")
)

SYSTEMS = {
    "direct": System(f"{_NIC}:direct", "tap", "asyncnic, direct delivery, inet stack", "asyncnic"),
    "packet": System(f"{_NIC}:packet", "veth", "asyncnic on the packet ring, inet stack", "asyncnic"),
    "queue-drop-newest": System(f"{_NIC}:queue_drop_newest", "tap", "asyncnic, queue drops the newest", "asyncnic"),
    "queue-drop-oldest": System(f"{_NIC}:queue_drop_oldest", "tap", "asyncnic, queue drops the oldest", "asyncnic"),
    "queue-pause": System(f"{_NIC}:queue_pause", "tap", "asyncnic, queue whose reader pauses", "asyncnic"),
    "workers": System(f"{_NIC}:workers", "tap", "asyncnic, worker processes that share the TAP", "asyncnic"),
    "recorded": System(f"{_NIC}:recorded", "tap", "asyncnic, with the flight recorder", "asyncnic"),
    "sink": System(f"{_NIC}:sink", "tap", "asyncnic, frames counted", "asyncnic"),
    "drain-queue": System(f"{_BARE}:drain_queue", "tap", "TAP drained into a bounded queue", "uvloop"),
    "readv": System(f"{_BARE}:readv", "tap", "bare os.readv loop"),
    "readinto": System(f"{_BARE}:readinto", "tap", "bare FileIO.readinto loop"),
    "uvloop-udp": System(f"{_UDP}:uvloop_udp", "veth", "uvloop UDP endpoint, kernel's stack", "uvloop"),
    "asyncio-udp": System(f"{_UDP}:asyncio_udp", "veth", "asyncio UDP endpoint, kernel's stack"),
    "asyncio-udp-2048": System(f"{_UDP}:asyncio_udp_2048", "veth", "the same with max_size = 2048"),
    "recv": System(f"{_UDP}:recv", "veth", "blocking recv loop on a UDP socket"),
    "recvfrom": System(f"{_UDP}:recvfrom", "veth", "blocking recvfrom and sendto loop on a UDP socket"),
    "af-packet": System(f"{_PACKET}:af_packet", "veth", "AF_PACKET recv_into loop"),
    "scapy": System(f"{_PACKET}:scapy", "veth", "scapy AsyncSniffer", "scapy"),
    "pytcp": System(f"{_PACKET}:pytcp", "tap", "PyTCP UDP socket", "pmd-pytcp"),
}


@dataclass(frozen=True, slots=True)
class Load:
    """What to offer; see `load.Schedule` for which of `count`, `seconds` and `rate` go together."""

    count: int | None = None
    seconds: float | None = None
    rate: float | None = None
    frame: str = "60"
    """Octets of the Ethernet frame without FCS, or "imix"."""
    flows: int = 1
    plain: bool = False
    outstanding: int = 0
    """Questions of `dnsperf` that may be without an answer; 0: the load generator of this package is the client."""

    def arguments(self) -> list[str]:
        """The arguments of whoever offers the load, but for the target."""
        if self.outstanding:
            limit = [] if self.rate is None else ["--rate", str(self.rate)]
            return ["--seconds", str(self.seconds), "--outstanding", str(self.outstanding), *limit]
        given: list[str] = []
        for name in ("count", "seconds", "rate"):
            value = getattr(self, name)
            if value is not None:
                given += [f"--{name}", str(value)]
        return [*given, "--frame", self.frame, "--flows", str(self.flows), *(["--plain"] if self.plain else [])]


@dataclass(frozen=True, slots=True)
class Case:
    """A system and what it has to bear.

    `answer`: what the application answers, if it does. `check`: look at number and time stamp of every datagram rather
    than only count. `work`: seconds of CPU time that the application burns a datagram. `bystander`: run a 1 ms timer
    and a scrape beside it. `workers`: how many, of the system of that name.
    """

    system: str
    load: Load
    answer: Literal["", "echo", "dns"] = ""
    check: bool = False
    work: float = 0.0
    bystander: bool = False
    rx_ring: int = 256
    knobs: dict[str, Any] = field(default_factory=dict)
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a case. Frames and datagrams are the same number here: every frame is one datagram.

    `lost` says where, as far as anybody counted; "uncounted" is what is missing beyond that. `window` covers the time
    in which load was offered: frames delivered in it, its seconds and the receiving process's CPU seconds.
    """

    case: dict[str, Any]
    version: str
    offered: int
    delivered: int
    lost: dict[str, int]
    window: dict[str, float]
    sender: dict[str, Any]
    ledger: dict[str, Any] | None = None
    order: dict[str, int] | None = None
    ages: dict[str, float | None] | None = None
    bystander: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str:
        """The system's name."""
        return str(self.case["system"])

    @property
    def rate(self) -> float:
        """Frames delivered a second while load was offered."""
        return self.window["frames"] / self.window["seconds"]

    @property
    def offered_rate(self) -> float:
        """Frames offered a second."""
        return float(self.sender["rate"])

    @property
    def per_cpu_second(self) -> float:
        """Frames delivered for each second of the receiving process's CPU time."""
        return self.window["frames"] / self.window["cpu_seconds"] if self.window["cpu_seconds"] else 0.0

    @property
    def cpu_per_frame(self) -> float | None:
        """Seconds of CPU time for each delivered frame; None when none was delivered."""
        return self.window["cpu_seconds"] / self.window["frames"] if self.window["frames"] else None


def run_case(case: Case, timeout: float = 120.0) -> Figures:
    """Play a case in a process of its own and return its outcome.

    Raises:
        PrivilegeError, DeviceError: the wire cannot be made.
        Failed: anything else went wrong, or it took longer than `timeout` seconds.
    """
    return Figures(**in_own_process("asyncnic.bench.case", case.system, asdict(case), timeout))


def in_own_process(module: str, system: str, case: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Run `module` as a program on a case in its JSON form; the outcome in its own. Raises what `run_case` does."""
    command = [sys.executable, "-m", module, json.dumps(case)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0) as child:
        try:
            out, errors = child.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)  # and its load generator, which would go on
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failed(f"bench: {system} did not end within {timeout:.0f} s") from None
            raise
    if child.returncode == 0:
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found
    lines = errors.strip().splitlines()
    why = lines[-1] if lines else f"bench: {system}: exit code {child.returncode}"
    raise _EXIT.get(child.returncode, Failed)(why)


_EXIT: dict[int, type[Exception]] = {3: PrivilegeError, 4: DeviceError}


def main(argument: str) -> int:
    """The case's process."""
    raw = json.loads(argument)
    case = Case(**{**raw, "load": Load(**raw["load"])})
    return played(case.system, lambda: _function(SYSTEMS[case.system])(case))


def played(system: str, play: Callable[[], Any]) -> int:
    """Enter a namespace, play, print the outcome, a dataclass, as one line of JSON; the exit code."""
    try:
        enter_private_network()
        outcome = play()
    except PrivilegeError as error:
        print(error, file=sys.stderr)
        return 3
    except DeviceError as error:
        print(error, file=sys.stderr)
        return 4
    except ModuleNotFoundError as error:
        print(f"bench: {system} needs {error.name}: pip install 'asyncnic[bench]'", file=sys.stderr)
        return 1
    except (LoadError, Failed) as error:
        print(f"bench: {system}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(outcome)), flush=True)
    return 0


def _function(system: System) -> Callable[[Case], Figures]:
    module, _, name = system.where.partition(":")
    function: Callable[[Case], Figures] = getattr(importlib.import_module(module), name)
    return function


if __name__ == "__main__":
    # Under its own name, so that the systems' modules, which import it, see the same classes.
    from asyncnic.bench import case as this

    sys.exit(this.main(sys.argv[1]))
