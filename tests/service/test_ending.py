"""The end within a bound, each in a process of its own: what blocks it, and what is said of it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from asyncnic.service.ending import SIGNALS, Ending, heard

STUCK = """
import signal, sys, time
from asyncnic.service.ending import Ending, heard
ending = Ending(0.2)
ending.code, ending.grace = 7, {grace}
ending.last_words = {words}
def ask():
    ending.ask()
    print("up", flush=True)
with heard(ask):
    print("up", flush=True)
    while True:
        try:
            while True: time.sleep(60)
        except Exception: pass
"""


def stuck(signals: int = 1, grace: float = 0.0, words: str = "lambda: 'ledger'") -> subprocess.CompletedProcess[str]:
    """A process that never ends by itself, told to end so many times."""
    program = STUCK.format(grace=grace, words=words)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(signals):  # two at once would be one
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_one_that_does_not_end_by_itself_says_what_it_knows_and_is_gone() -> None:
    ended = stuck()
    assert ended.returncode == 7
    assert ended.stderr.splitlines() == [
        "the process does not end by itself: a stack holds it up, and it is ended now",
        "ledger",
    ]


@pytest.mark.parametrize("words", ["None", "lambda: 1 / 0"])
def test_last_words_that_fail_do_not_hold_it_up(words: str) -> None:
    ended = stuck(words=words)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (7, 1)


def test_asked_again_there_is_no_grace() -> None:
    assert stuck(signals=2, grace=3600.0).returncode == 7


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the alarm was set to; it never rings."""
    said: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: said.append(seconds))
    before = signal.getsignal(signal.SIGALRM)
    yield said
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([Ending.ask], [5.0]),
        ([Ending.ask, Ending.ask], [5.0]),
        ([Ending.begin, Ending.ask, Ending.begin], [5.0]),
        ([Ending.ask, Ending.over], [5.0, 0.0]),
    ],
)
def test_the_alarm_is_set_once(
    alarms: list[float], steps: list[Callable[[Ending], None]], expected: list[float]
) -> None:
    ending = Ending(5.0)
    for step in steps:
        step(ending)
    assert alarms == expected


def test_grace_comes_before_the_bound_and_ends_when_serving_does(alarms: list[float]) -> None:
    ending = Ending(5.0)
    ending.grace = 20.0
    ending.ask()
    ending.begin()
    assert alarms == [25.0, 5.0]


def test_signals_are_heard_while_the_body_runs_and_given_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    asked: list[int] = []
    with heard(lambda: asked.append(1)):
        for number in SIGNALS:
            signal.raise_signal(number)
    assert len(asked) == len(SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before
