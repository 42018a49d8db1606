"""`asyncnic top` in a real terminal (tmux), on the real service under load."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncnic.client.top import TURNED
from tests.system.flood import flood
from tests.system.service import ASYNCNIC, HOST, Run, asyncnic, environment, wait_until

pytestmark = pytest.mark.heavy

INET = ("--address", f"{HOST}/24", "--host-address", "192.0.2.1/24", "--service", "udp-discard:9")


class Terminal:
    """A tmux session of its own server."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *arguments: str) -> str:
        """One tmux command; its output."""
        command = ["tmux", "-S", str(self._socket), *arguments]
        # The terminal knows how wide it is; a variable would overrule it.
        variables = {name: value for name, value in environment().items() if name != "COLUMNS"}
        return subprocess.run(command, capture_output=True, text=True, env=variables, check=True).stdout

    def screen(self) -> str:
        """What is on the screen now."""
        return self.tmux("capture-pane", "-p", "-t", "top")

    def press(self, *keys: str) -> None:
        """Type."""
        self.tmux("send-keys", "-t", "top", *keys)

    def wait_for(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        wait_until(lambda: text in self.screen(), f"{text!r} on the screen")


@contextmanager
def terminal(folder: Path, command: str, width: int = 110) -> Iterator[Terminal]:
    """A terminal that runs `command` in a shell, which says so when it is over."""
    shown = Terminal(folder / "tmux")
    line = f"{command}; echo ended with $?; sleep 60"
    shown.tmux("new-session", "-d", "-s", "top", "-x", str(width), "-y", "34", line)
    try:
        yield shown
    finally:
        shown.tmux("kill-server")


def test_top_shows_who_sends_the_most(run: Run, tmp_path: Path) -> None:
    limited = (*INET, "--source-limit", "1000000/s")
    with run(*limited) as service, terminal(tmp_path, f"{ASYNCNIC} top --sources --url {service.url}") as shown:
        shown.wait_for("Dropped  Source")
        with flood(20_000):
            shown.wait_for("192.0.2.1")
        shown.press("q")
        shown.wait_for("ended with 0")


def test_top_shows_the_flood_where_it_goes(run: Run, tmp_path: Path) -> None:
    with run(*INET) as service, terminal(tmp_path, f"{ASYNCNIC} top --url {service.url}") as shown:
        shown.wait_for("ready, up")
        with flood(200_000):
            wait_until(lambda: service.stats()["delivered"] > 1000, "frames flow")
            shown.wait_for("█")
        shown.press("p")
        shown.wait_for("PAUSED")
        shown.press("q")
        shown.wait_for("ended with 0")


def test_keys_turn_knobs_and_refusals_are_shown(run: Run, tmp_path: Path) -> None:
    with (
        run(*INET, "--enable-lifecycle", "--rx-ring", "64") as service,
        terminal(tmp_path, f"{ASYNCNIC} top --url {service.url}") as shown,
    ):
        shown.wait_for("ready, up")
        shown.press("Left")
        shown.wait_for("rx_budget is now 32")
        places = list(TURNED)
        shown.press(*["Down"] * places.index("overload"), "Right")
        shown.wait_for("overload is now drain")
        shown.press("a")
        shown.wait_for("rx_budget is now auto")
        settings = service.stats()["settings"]
        assert (settings["rx_budget"], settings["overload"]) == ("auto", "drain")
        shown.press(*["Up"] * (places.index("overload") - places.index("tap_queue")), *["Right"] * 7)
        shown.wait_for("tap_queue=128000: must be")


def test_top_outlives_the_service_and_sees_it_come_back(run: Run, tmp_path: Path) -> None:
    with run(*INET) as service:
        listen = service.url.removeprefix("http://")
        with terminal(tmp_path, f"{ASYNCNIC} top --url {service.url}") as shown:
            shown.wait_for("ready, up")
            service.terminate()
            shown.wait_for("nothing listens there")
            with run(*INET, "--listen", listen):
                wait_until(lambda: "nothing listens there" not in shown.screen(), "the service is seen again")
            shown.press("q")
            shown.wait_for("ended with 0")


def test_narrow_terminal_still_has_the_numbers(run: Run, tmp_path: Path) -> None:
    with run(*INET) as service, terminal(tmp_path, f"{ASYNCNIC} top --url {service.url}", width=60) as shown:
        shown.wait_for("dropped: kernel")
        assert all(len(line) <= 60 for line in shown.screen().splitlines())


def test_without_a_terminal_it_names_the_command_that_needs_none() -> None:
    result = asyncnic("top", "--url", "http://127.0.0.1:1")
    assert result.returncode == 1
    assert result.stderr == ("asyncnic: top needs a terminal: use `asyncnic stats --watch`, or --json for a program\n")


def test_nothing_to_watch_is_said_in_one_line(tmp_path: Path) -> None:
    with terminal(tmp_path, f"{ASYNCNIC} top --url http://127.0.0.1:1", width=160) as shown:
        shown.wait_for("ended with 1")
        assert "asyncnic: --url http://127.0.0.1:1: nothing listens there" in shown.screen()
