"""`asyncnic demo`: the report's second experiment in a network of its own, and a table of where every frame went.

A TAP in a private network namespace, the service on it with the inet stack, a UDP handler that counts, and the load
generator sending through the kernel. Where there can be no TAP, the packet ring of one end of a veth pair takes its
place. It measures one run and claims no more; `asyncnic bench` compares.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from asyncnic.bench import wires
from asyncnic.bench.load import LoadError, Offered
from asyncnic.bench.offer import Offer
from asyncnic.bench.receiver import Counter
from asyncnic.bench.report import console, ledger_table, must_be_writable, percent, show, table, write_json
from asyncnic.bench.rig import open_rig
from asyncnic.errors import DeviceError, Failed
from asyncnic.linux.netns import enter_private_network
from asyncnic.linux.thread import in_thread
from asyncnic.nic.ledger import Ledger
from asyncnic.settings.knobs import Knobs

TAP, NEAR, FAR = "asyncnic0", "asyncnic1", "asyncnic2"
LOOK_SECONDS = 0.2
QUIET_SECONDS = 0.2
SETTLE_SECONDS = 10.0
PLAIN_SECONDS = 5.0

Start = Callable[[Sequence[str]], Offer]

REPORT_PACKETS = 1_000_000
REPORT = {"in-kernel driver, 2009": 46_959, "user-level driver, 2009": 68_174}
"""Received of 1,000,000 packets of 60 bytes in 30 s: Zheng Da's figures, means of three runs."""


@dataclass(frozen=True, slots=True)
class Result:
    """One run: the ledger, the datagrams that the UDP handler got, what the sender says, and the CPU time of it all.

    `seconds` and `cpu_seconds` are the service's own, from the first packet until everything was quiet again.
    """

    ledger: Ledger
    datagrams: int
    sent: Offered
    seconds: float
    cpu_seconds: float

    @property
    def exact(self) -> bool:
        """Whether the ledger balances, and knows of exactly the frames that were sent."""
        return self.ledger.imbalance == 0 and self.ledger.offered == self.sent.datagrams

    def as_json(self) -> dict[str, Any]:
        """The ledger in the contract's form, with the rest beside it."""
        return {
            **self.ledger.as_json(),
            "datagrams": self.datagrams,
            "balance": self.ledger.imbalance,
            "exact": self.exact,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "sender": asdict(self.sent),
            "report": {"packets": REPORT_PACKETS, "received": REPORT},
        }


def run_demo(packets: int = 1_000_000, seconds: float = 30.0, json_file: Path | None = None) -> int:
    """Offer `packets` in `seconds`, print where they went, and return the exit code: 0 where all is accounted for.

    Raises:
        PrivilegeError: no private network.
        DeviceError: neither a TAP nor a veth pair can be made.
        Failed: the load could not be offered, or the file not be written.
    """
    must_be_writable("--json", json_file)
    enter_private_network()
    try:
        with _wire() as (device, start):
            result = uvloop.run(_run(device, start, packets, seconds))
    except LoadError as error:
        raise Failed(f"demo: {error}") from error
    _print(result)
    if json_file is not None:
        write_json(json_file, result.as_json())
    return 0 if result.exact else 1


@contextmanager
def _wire() -> Iterator[tuple[str, Start]]:
    """A wire as good as this machine has: the device on it, and what starts a sender on its other side.

    Raises:
        DeviceError: there is none at all.
    """
    try:
        wires.make_tap(TAP)
    except DeviceError as error:
        try:
            pair = wires.FarSide(NEAR, FAR)
        except DeviceError:
            raise error from None  # of the two, what most machines have
        print(f"no TAP, on packet:{NEAR} instead: {error}", file=sys.stderr, flush=True)
    else:
        yield f"tap:{TAP}", Offer
        return
    with pair as far:
        yield f"packet:{NEAR}", partial(far.run, Offer)


async def _run(device: str, start_offer: Start, packets: int, seconds: float) -> Result:
    handler = Counter()
    async with open_rig(device, handler, Knobs()) as nic:
        offer = await in_thread(
            start_offer, [wires.RECEIVER, "--count", str(packets), "--seconds", str(seconds), "--frame", "60"]
        )
        try:
            with _Shown(packets) as shown:
                start, cpu = time.monotonic(), time.process_time()
                offer.go()
                while not offer.finished:
                    await asyncio.sleep(LOOK_SECONDS)
                    shown.update(nic.ledger())
                await _quiet(nic.ledger)
                ledger = nic.ledger()
                shown.update(ledger)
                spent, cpu = time.monotonic() - start - QUIET_SECONDS, time.process_time() - cpu
            return Result(ledger, handler.datagrams, offer.result(), spent, cpu)
        finally:
            offer.stop()


async def _quiet(read: Callable[[], Ledger]) -> None:
    """Return when nothing is in flight and nothing more arrives."""
    end = time.monotonic() + SETTLE_SECONDS
    before, ledger = None, read()
    while (ledger.in_flight or ledger != before) and time.monotonic() < end:
        await asyncio.sleep(QUIET_SECONDS)
        before, ledger = ledger, read()


class _Shown:
    """Progress on standard error: a live line on a terminal, a plain line every five seconds elsewhere."""

    def __init__(self, packets: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._next = 0.0
        self._start = time.monotonic()
        self._bar = Progress(
            TextColumn("sending {task.total:,} packets"),
            BarColumn(),
            TextColumn(
                "{task.completed:,} offered, {task.fields[delivered]:,} delivered, {task.fields[dropped]:,} dropped"
            ),
            TimeElapsedColumn(),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=packets, delivered=0, dropped=0)

    def __enter__(self) -> "_Shown":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def update(self, ledger: Ledger) -> None:
        """Show a reading of the ledger."""
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                completed=ledger.offered,
                delivered=ledger.delivered,
                dropped=ledger.dropped_total,
                refresh=True,
            )
            return
        elapsed = time.monotonic() - self._start
        if elapsed >= self._next:
            self._next = elapsed + PLAIN_SECONDS
            print(
                f"{elapsed:5.1f} s: {ledger.offered:,} offered, {ledger.delivered:,} delivered, "
                f"{ledger.dropped_total:,} dropped",
                file=sys.stderr,
                flush=True,
            )


def _print(result: Result) -> None:
    out, ledger, sent = console(), result.ledger, result.sent
    show(out, "Where every frame went", ledger_table(ledger))
    rows = [(name, f"{received:,}", percent(received, REPORT_PACKETS)) for name, received in REPORT.items()]
    rows.append(("asyncnic, this run", f"{result.datagrams:,}", percent(result.datagrams, sent.datagrams)))
    title = f"Received by the application, of {sent.datagrams:,} UDP packets of 60 bytes in {sent.seconds:.1f} s"
    if sent.datagrams != REPORT_PACKETS:
        title += f" (2009: of {REPORT_PACKETS:,} in 30 s)"
    show(out, title, table(("", "packets", "share"), rows))
    per_frame = f"{result.cpu_seconds / ledger.delivered * 1e6:.1f} us" if ledger.delivered else "-"
    out.print(
        f"sent {sent.datagrams:,} at {sent.rate:,.0f}/s, received at {result.datagrams / result.seconds:,.0f}/s, "
        f"{per_frame} of CPU time a frame"
    )
    if ledger.offered != sent.datagrams:
        out.print(f"NOT EXACT: the sender sent {sent.datagrams:,}, the wire was offered {ledger.offered:,}")
    if ledger.imbalance:
        out.print(f"NOT EXACT: {ledger.imbalance:,} frames are unaccounted for")
