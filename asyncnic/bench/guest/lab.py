"""The lab: a guest on a TAP of this host, whose PCnet NIC is Linux's or ours, and what is counted on the way.

It sets the scene and reads the counters; what is sent, and what the figures mean, is guest_experiments.py's business.
The network namespace must be the process's own: addresses are taken without asking.
"""

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute

from asyncnic.bench.guest.cpio import Entry
from asyncnic.bench.guest.guest import NIC_ADDRESS, Guest, GuestError
from asyncnic.bench.guest.image import build_image
from asyncnic.bench.guest.python_tree import PACKAGES
from asyncnic.linux import tun
from asyncnic.linux.link import LinkCounters

TAP = "lab0"
HOST = "192.0.2.1"
ADDRESS = "192.0.2.2"
PREFIX = 24
MAC = "52:54:00:12:34:56"
KERNEL_RING = 32
"""Receive descriptors that Linux's pcnet32 has by itself."""
_STATS = "http://127.0.0.1:9732/api/v1/stats"
_SINKS, _RING = (f"/{PACKAGES}/asyncnic/bench/guest/{name}.py" for name in ("sinks", "ring"))
_SERVICE_LOG = "/tmp/service.log"
_SINK_LOG = "/tmp/sink.log"
_READY_SECONDS = 180.0  # importing takes its time on an emulated processor, the more on a busy machine
_NUD_PERMANENT = 0x80


@dataclass(frozen=True, slots=True)
class KernelCounters:
    """Where Linux's own driver and stack have counted lost frames in the guest, since its boot; `card` wraps."""

    card: int
    backlog: int
    socket: int


class Lab:
    """A booted guest with its NIC on `TAP`; use it as a context manager. `files` are what its root has besides.

    `service` is the process id of the service in the guest.

    Raises:
        DeviceError: QEMU, the kernel or a TAP cannot be had. GuestError: the guest does not boot.
    """

    def __init__(self, *, processors: int = 1, files: Sequence[Entry] = ()) -> None:
        self._processors = processors
        self._files = files
        self._exit = ExitStack()
        self.service = 0
        self._sink = 0
        self._driver = ""
        self._rx_ring = KERNEL_RING

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            tap = tun.attach(TAP)
            undo.callback(os.close, tap)
            _set_up_host()
            self._counters = LinkCounters(TAP)
            undo.callback(self._counters.close)
            image = build_image()
            self.guest = undo.enter_context(
                Guest(image, netdev="tap,fd={fd}", wire=tap, mac=MAC, processors=self._processors, files=self._files)
            )
            self.guest.check("modprobe pcnet32; modprobe tun")
            self._driver = "kernel"
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    # Who drives the card.

    def use_kernel_driver(self, rx_ring: int = KERNEL_RING) -> None:
        """Give the card to Linux's pcnet32, with the guest's address on it and so many receive descriptors."""
        if self._driver != "kernel":
            self.guest.check(f"asyncnic unbind {NIC_ADDRESS}")
            self._driver, self._rx_ring = "kernel", KERNEL_RING
        neighbour = f"arp -i eth0 -s {HOST} {_host_address()}"
        self.guest.check(f"ip addr replace {ADDRESS}/{PREFIX} dev eth0 && ip link set eth0 up && {neighbour}")
        if rx_ring != self._rx_ring:
            self.guest.check(f"python3 -I {_RING} eth0 {rx_ring}")
            self._rx_ring = rx_ring

    def start_service(self, *flags: str) -> None:
        """Give the card to `asyncnic run --device uio:...` with more flags, and wait until it is ready."""
        if self._driver != "uio":
            self.guest.check(f"ip link set eth0 down; asyncnic bind {NIC_ADDRESS}")
            self._driver = "uio"
        device = f"--device uio:{NIC_ADDRESS} --address {ADDRESS}/{PREFIX}"
        self.service = self._start(f"asyncnic run {device} {' '.join(flags)}", _SERVICE_LOG, "ready device=")

    def stop_service(self) -> dict[str, Any]:
        """End the service as an operator does; its last statistics, as /api/v1/stats has them."""
        statistics = self.statistics()
        self._stop(self.service)
        return statistics

    def statistics(self) -> dict[str, Any]:
        """The running service's /api/v1/stats."""
        found: dict[str, Any] = json.loads(self.guest.check(f"wget -qO- {_STATS}"))
        return found

    # Receivers on the kernel's sockets.

    def start_sink(self, kind: str, port: int) -> None:
        """Start a receiver ("udp", "udp-batched" or "tcp") in the guest, and wait until it listens."""
        self._sink = self._start(f"python3 -I {_SINKS} {kind} {port}", _SINK_LOG, "ready")

    def stop_sink(self) -> dict[str, float]:
        """End the receiver, if it has not ended by itself; what it counted."""
        self._stop(self._sink)
        lines = self.guest.check(f"cat {_SINK_LOG}").splitlines()
        if not lines or not lines[-1].startswith("{"):
            raise GuestError(f"the receiver in the guest did not count: {' | '.join(lines)}")
        counted: dict[str, float] = json.loads(lines[-1])
        return counted

    def _start(self, command: str, log: str, ready: str) -> int:
        process = self.guest.spawn(f"exec {command}", log)
        deadline = time.monotonic() + _READY_SECONDS
        while ready not in (said := self.guest.check(f"cat {log}")):
            if time.monotonic() > deadline or self.guest.run(f"kill -0 {process}").code != 0:
                raise GuestError(f"{command!r} did not start in the guest: {said.strip()[-500:]}")
            time.sleep(0.3)
        return process

    def _stop(self, process: int) -> None:
        self.guest.run(f"kill -TERM {process}; while [ -d /proc/{process} ]; do sleep 0.1; done")

    # What is counted.

    def wire(self) -> tuple[int, int]:
        """Frames that QEMU has read off the TAP, and frames that the TAP has dropped, so far."""
        return self._counters.read()

    def kernel_counters(self) -> KernelCounters:
        """Where the guest's kernel has lost frames."""
        softnet, udp = (self.guest.check(f"cat {path}") for path in ("/proc/net/softnet_stat", "/proc/net/snmp"))
        names, values = (line.split() for line in udp.splitlines() if line.startswith("Udp:"))
        return KernelCounters(
            card=self.missed(),
            backlog=sum(int(line.split()[1], 16) for line in softnet.splitlines()),
            socket=int(dict(zip(names, values, strict=True))["RcvbufErrors"]),
        )

    def missed(self) -> int:
        """Frames that the card has lost under Linux's driver, which shows CSR112 as it is: it wraps at 65,536."""
        return int(self.guest.check("cat /sys/class/net/eth0/statistics/rx_missed_errors"))

    def processor_seconds(self) -> float:
        """CPU time that the emulated processors have used on this host."""
        ticks = 0
        for task in Path(f"/proc/{self.guest.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("CPU "):
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def _set_up_host() -> None:
    """The host's side of the wire: one address, and no word of its own on it."""
    Path(f"/proc/sys/net/ipv6/conf/{TAP}/disable_ipv6").write_text("1")
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=TAP)
        route.addr("replace", index=index, address=HOST, prefixlen=PREFIX)
        route.link("set", index=index, state="up")
        route.neigh("replace", ifindex=index, dst=ADDRESS, lladdr=MAC, state=_NUD_PERMANENT)


def _host_address() -> str:
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=TAP)
        address: str = route.get_links(index)[0].get_attr("IFLA_ADDRESS")
        return address
