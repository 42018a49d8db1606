"""What experiments print and write: tables for people, JSON for everything else.

Nothing is measured or judged here.
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from asyncnic.errors import Failed
from asyncnic.linux.files import must_have_room_beside, write_beside
from asyncnic.nic.ledger import STAGES, Ledger
from asyncnic.version import build_info

STAGE_WORDS = {
    "kernel": "the kernel's queue or ring was full",
    "card": "no free descriptor (MISS)",
    "driver": "bad descriptor",
    "queue": "the delivery queue was full",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Several runs of one measurement: the middle one, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, unit: float = 1.0, digits: int = 0) -> str:
        """Like "480 (466-493)", in `unit`s."""
        low, middle, high = (f"{value / unit:,.{digits}f}" for value in (self.low, self.median, self.high))
        return middle if low == high else f"{middle} ({low}-{high})"


def environment() -> dict[str, Any]:
    """What a result depends on besides the code measured; `hot_path` is the twin of the packet path that ran."""
    return {
        **build_info(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
    }


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write `result`, with the environment beside it.

    Raises:
        Failed: the file cannot be written.
    """
    try:
        with write_beside(path) as out:
            out.write((json.dumps({**result, "environment": environment()}, indent=2) + "\n").encode())
    except OSError as error:
        raise Failed(f"--json {path}: {error.strerror}") from error


def must_be_writable(flag: str, path: Path | None) -> None:
    """Find out before a long run, not after it, that its result has no place.

    Raises:
        Failed: the file could not be written.
    """
    if path is None:
        return
    try:
        must_have_room_beside(path)
    except OSError as error:
        raise Failed(f"{flag} {path}: {error.strerror}") from error


def table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are figures."""
    made = Table(header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def show(out: Console, title: str, content: Table) -> None:
    """Print a table below a line that says what it is."""
    out.print(f"[bold]{title}[/]")
    out.print(content)


def console() -> Console:
    """Where results go: standard output, wide enough for the tables where nobody says how wide it is."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def ledger_table(ledger: Ledger) -> Table:
    """Where every frame went."""

    def row(name: str, frames: int, words: str) -> Sequence[str]:
        share = f"{frames / ledger.offered:.2%}" if ledger.offered else ""
        return name, f"{frames:,}", share, words

    rows = [row("offered", ledger.offered, "on the wire"), row("delivered", ledger.delivered, "handed to the stack")]
    rows += [row(f"dropped: {stage}", ledger.dropped_at(stage), STAGE_WORDS[stage]) for stage in STAGES]
    rows += [
        row("filtered", ledger.filtered, "not for this station"),
        row("in flight", ledger.in_flight, "on their way"),
    ]
    rows += [row("balance", ledger.imbalance, "offered, less all of the above")]
    made = table(("", "frames", "share", ""), rows)
    made.columns[3].justify = "left"
    return made


def percent(part: float, whole: float) -> str:
    """A share like "93.2 %"; "-" where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def microseconds(seconds: float | None) -> str:
    """A time like "12.3"; "-" for none."""
    return "-" if seconds is None else f"{seconds * 1e6:,.1f}"


def milliseconds(seconds: float | None) -> str:
    """A time like "0.123"; "-" for none."""
    return "-" if seconds is None else f"{seconds * 1e3:,.3f}"
