"""`asyncnic top`: a running service in the terminal, with its knobs under the keys."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from asyncnic.client.client import ServiceAddress
from asyncnic.commands.endpoint import control_options
from asyncnic.errors import Failed

if TYPE_CHECKING:
    from asyncnic.client.top import View

INTERVAL = 1.0
"""Seconds between two readings."""
_ESCAPES = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left"}
_ESCAPES |= {sequence.replace(b"[", b"O"): key for sequence, key in _ESCAPES.items()}


@click.command()
@control_options
@click.option("--sources", is_flag=True, help="show who sends the most instead")
@click.option("--exporters", is_flag=True, help="show what is missing of whose numbers instead (--sequence-gaps)")
def command(endpoint: ServiceAddress, sources: bool, exporters: bool) -> None:
    """Watch a running service: where every frame goes, how loaded it is, and its knobs, which keys turn. They do so on
    the service's control socket, or over HTTP where --enable-lifecycle allows it.

    Example: asyncnic top --url http://127.0.0.1:9732
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failed("top needs a terminal: use `asyncnic stats --watch`, or --json for a program")
    from asyncnic.client import tables
    from asyncnic.client.top import View

    if sources or exporters:
        path, table = ("sources", tables.sources) if sources else ("exporters", tables.exporters)
        _watch_table(lambda: table(endpoint.get_json(f"/api/v1/{path}")))
        return
    _watch(endpoint, View(endpoint.get_json("/api/v1/stats")))


def _watch(endpoint: ServiceAddress, view: "View") -> None:
    from rich.console import Console
    from rich.live import Live

    # The first numbers are compared with the second ones soon, so that rates are there at once.
    due = time.monotonic() + INTERVAL / 4
    with _keys() as file, Live(view.render(), console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            ready, _, _ = select.select([file], [], [], max(0.0, due - time.monotonic()))
            if ready:
                for key in keys(os.read(file, 64)):
                    if key == "q":
                        return
                    _act(endpoint, view, key)
            elif view.paused:
                due = time.monotonic() + INTERVAL
            else:
                due = time.monotonic() + INTERVAL
                _read(endpoint, view)
            live.update(view.render(), refresh=True)


def _watch_table(shown: Callable[[], str]) -> None:
    from rich.console import Console
    from rich.live import Live

    with _keys() as file, Live(shown(), console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            ready, _, _ = select.select([file], [], [], INTERVAL)
            if ready and "q" in keys(os.read(file, 64)):
                return
            try:
                live.update(shown(), refresh=True)
            except Failed as error:
                live.update(str(error), refresh=True)


def _read(endpoint: ServiceAddress, view: "View") -> None:
    try:
        view.take(endpoint.get_json("/api/v1/stats"))
    except Failed as error:
        view.trouble = str(error)


def _act(endpoint: ServiceAddress, view: "View", key: str) -> None:
    change = view.press(key)
    if change is None:
        return
    try:
        endpoint.put_json("/api/v1/settings", {change.name: change.value})
        view.message = f"{change.name} is now {change.value}"
        _read(endpoint, view)
    except Failed as error:
        view.message = str(error)


def keys(typed: bytes) -> list[str]:
    """Names of the keys in what a terminal sent at once: letters as they are, arrows by name, the rest left out."""
    found = []
    while typed:
        for sequence, key in _ESCAPES.items():
            if typed.startswith(sequence):
                found.append(key)
                typed = typed[len(sequence) :]
                break
        else:
            if typed[:1].isascii() and typed[:1].decode("latin-1").isprintable():
                found.append(chr(typed[0]))
            typed = typed[1:]
    return found


@contextmanager
def _keys() -> Iterator[int]:
    """Standard input, giving keys as they are pressed and showing none of them."""
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)
    try:
        yield file
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
