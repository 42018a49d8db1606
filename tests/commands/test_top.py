"""`asyncnic top` in a terminal of this process's own, against a server in this loop: keys in, a screen out."""

import asyncio
import os
import pty
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asyncnic.cli import main
from asyncnic.commands import top
from tests.waiting import until
from tests.web.fakes import FakeNic, Reloads, observe, serving


class Screen:
    """What is drawn, and keys to press: a terminal that is this process's standard input and output."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.drawn = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                octets = os.read(self._ours, 65536)
            except OSError:  # the other side is closed everywhere
                return
            self.drawn += octets.decode(errors="replace")

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def close(self) -> None:
        os.close(self.theirs)
        self._reader.join()
        os.close(self._ours)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """One, until the context is left. No fixture: pytest sets up what it captures for the test's body anew."""
    screen = Screen()
    try:
        with (
            monkeypatch.context() as patch,
            os.fdopen(os.dup(screen.theirs), "r") as stdin,
            os.fdopen(os.dup(screen.theirs), "w", buffering=1) as stdout,
        ):
            for name, value in (("TERM", "xterm"), ("COLUMNS", "120"), ("LINES", "40")):
                patch.setenv(name, value)
            patch.setattr(top, "INTERVAL", 0.02)
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "stdout", stdout)
            yield screen
    finally:
        screen.close()


async def test_keys_turn_knobs_pause_and_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Reloads()
    observed = observe(FakeNic(), control="", enable_lifecycle=True)
    with terminal(monkeypatch) as screen:
        async with serving(observed, reloads=service) as url:
            ended = asyncio.create_task(asyncio.to_thread(main, ["top", "--url", url]))
            await until(lambda: "tap:golden0" in screen.drawn)
            screen.press(b"a")
            await until(lambda: "rx_budget is now auto" in screen.drawn)
            screen.press(b"\x1b[C")
            await until(lambda: len(service.tuned) == 2)
            assert service.tuned[0] == {"rx_budget": "auto"}
            screen.press(b"p")
            await until(lambda: "PAUSED" in screen.drawn)
            assert not ended.done()
            screen.press(b"q")
            assert await ended == 0


async def test_what_is_refused_and_a_service_that_is_gone_are_shown_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as screen:
        async with serving(observe(FakeNic(), control="")) as url:
            ended = asyncio.create_task(asyncio.to_thread(main, ["top", "--url", url]))
            await until(lambda: "tap:golden0" in screen.drawn)
            screen.press(b"a")
            await until(lambda: "--enable-lifecycle" in screen.drawn)
        await until(lambda: "nothing listens there" in screen.drawn)
        screen.press(b"q")
        assert await ended == 0


async def test_who_sends_the_most_and_a_service_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = observe(FakeNic(), control="")
    observed.sources = lambda: [{"source": "192.0.2.77", "share": 0.5, "dropped": 4}]
    with terminal(monkeypatch) as screen:
        async with serving(observed) as url:
            ended = asyncio.create_task(asyncio.to_thread(main, ["top", "--sources", "--url", url]))
            await until(lambda: "192.0.2.77" in screen.drawn)
        await until(lambda: "nothing listens there" in screen.drawn)
        screen.press(b"q")
        assert await ended == 0


async def test_a_service_that_cannot_say_who_sends_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal(monkeypatch):
        async with serving(observe(FakeNic(), control="")) as url:
            assert await asyncio.to_thread(main, ["top", "--sources", "--url", url]) == 1
    assert "each worker counts its own sources" in capsys.readouterr().err


def test_without_a_terminal_it_says_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 1
    line = "asyncnic: top needs a terminal: use `asyncnic stats --watch`, or --json for a program\n"
    assert capsys.readouterr().err == line
