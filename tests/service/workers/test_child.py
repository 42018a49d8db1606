"""A worker from its own side: what it does when it is told, on a real queue, with the test as the service.

`main` runs here, in this process, as the process it is written for: what it says and how it ends is read off the other
end of its channel by a thread.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from asyncnic.linux.tun import attach
from asyncnic.service.workers import child
from asyncnic.service.workers.channel import Channel, pair
from asyncnic.service.workers.messages import (
    Answer,
    Ask,
    Failure,
    Frame,
    Hold,
    Message,
    Queues,
    Ready,
    Resume,
    Start,
    Stop,
    Turn,
)
from asyncnic.settings.knobs import Knobs
from asyncnic.settings.load import load
from tests.wire import HOST, MAC, Wire, frame, keep_quiet

PATIENCE = 30.0


def start(tap: str, knobs: Knobs | None = None, **flags: object) -> Start:
    given = {"device": f"tap:{tap}", "mac": MAC.hex(":"), "workers": "2", "stack": "sink", "sandbox": "off", **flags}
    settings = load(given, {}, None)
    return Start(1, settings.model_dump(mode="json", exclude={"host_address"}), knobs or Knobs())


class Service:
    """The other end: tells, and hears in order."""

    def __init__(self) -> None:
        self.channel, self._theirs = pair()
        self.argument = os.dup(self._theirs.fileno())
        self._theirs.close()

    def tell(self, message: Message, *descriptors: int) -> None:
        self.channel.send(message, descriptors)

    def hear(self, kind: type[Any]) -> Any:
        """The next message of this kind; others are passed over.

        Raises:
            EOFError: the worker is gone.
            TimeoutError: it says nothing.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self.channel.wait(0.1)
            received = self.channel.receive()
            if received is not None and isinstance(received[0], kind):
                return received[0]
        raise TimeoutError(kind.__name__)

    def answer(self, question: Ask | Hold | Stop) -> Any:
        self.tell(question)
        found = self.hear(Answer)
        assert found.number == question.number
        return found.snapshot

    def until_delivered(self, frames: int) -> Any:
        """The answer that has so many."""
        until = time.monotonic() + PATIENCE
        while (found := self.answer(Ask(7))).counted.counters.delivered_frames < frames:
            assert time.monotonic() < until, found.counted
        return found


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.channel.close()


@pytest.fixture
def queue(tap_name: str) -> int:
    """A queue of a quiet TAP that is up; the worker closes what it is handed."""
    subprocess.run(["ip", "tuntap", "add", tap_name, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(tap_name)
    subprocess.run(["ip", "link", "set", tap_name, "up"], check=True)
    return attach(tap_name, queues=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, service: Service) -> Callable[[Callable[[], Any]], tuple[int, Any]]:
    """Runs `main` in this thread while `play` plays the service in another; the exit code, and what `play` returned."""
    monkeypatch.setattr(sys, "argv", ["child", str(service.argument), str(os.getppid())])
    monkeypatch.setattr(child, "end_with", lambda parent: parent == os.getppid())  # it would end with pytest's parent
    ignored: list[int] = []
    monkeypatch.setattr(
        signal, "signal", lambda number, handler: ignored.append(number) if handler == signal.SIG_IGN else None
    )

    def run(play: Callable[[], Any]) -> tuple[int, Any]:
        with ThreadPoolExecutor(1) as pool:
            played = pool.submit(play)
            code = child.main()
            found = played.result(PATIENCE)
        assert ignored == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], "signals to the group mean the service"
        return code, found

    return run


Run = Callable[[Callable[[], Any]], tuple[int, Any]]


def test_it_serves_what_it_is_handed_and_ends_with_all_of_it_delivered(
    run: Run, service: Service, queue: int, tap_name: str
) -> None:
    wire = Wire(tap_name)

    def play() -> Any:
        service.tell(start(tap_name, Knobs(rx_budget=8)), queue)
        os.close(queue)
        service.hear(Ready)
        wire.send(*(frame(MAC, number) for number in range(20)))
        service.until_delivered(20)
        wire.send(*(frame(MAC, number) for number in range(3)))
        return service.answer(Stop(9))

    code, last = run(play)
    wire.close()
    assert code == 0
    assert last.counted.read == last.counted.counters.delivered_frames >= 20
    assert set(last.standing.in_flight.values()) == {0}, "what the ring held is delivered"
    assert max(index for index, count in enumerate(last.counted.burst_frames.counts) if count) <= 4, "bursts of 8"


def test_knobs_are_turned_and_new_queues_are_taken_up(run: Run, service: Service, queue: int, tap_name: str) -> None:
    other = f"{tap_name}b"
    subprocess.run(["ip", "tuntap", "add", other, "mode", "tap", "multi_queue"], check=True)
    keep_quiet(other)
    subprocess.run(["ip", "link", "set", other, "up"], check=True)

    def play() -> Any:
        service.tell(start(tap_name), queue)
        os.close(queue)
        service.hear(Ready)
        service.tell(Turn(replace(Knobs(), rx_budget=5)))
        subprocess.run(["ip", "link", "del", tap_name], check=True)
        fresh = attach(other, queues=True)
        wire = Wire(other)
        service.tell(Queues(), fresh)
        os.close(fresh)
        wire.send(*(frame(MAC, number) for number in range(30)))
        found = service.until_delivered(30)
        wire.close()
        service.answer(Stop(1))
        return found

    code, found = run(play)
    subprocess.run(["ip", "link", "del", other], capture_output=True, check=False)
    assert code == 0
    assert found.standing.device_up
    assert found.counted.read == 30


def test_held_it_reads_nothing_until_it_is_told_to_go_on(
    run: Run, service: Service, queue: int, tap_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "HOLD_SECONDS", PATIENCE)
    wire = Wire(tap_name)

    def play() -> tuple[int, int]:
        service.tell(start(tap_name), queue)
        os.close(queue)
        service.hear(Ready)
        held = service.answer(Hold(3))
        wire.send(*(frame(MAC, number) for number in range(10)))
        asked = service.answer(Ask(4))  # it hears meanwhile, and reads no frame
        service.tell(Resume())
        service.until_delivered(10)
        service.answer(Stop(5))
        return held.counted.read, asked.counted.read

    assert run(play) == (0, (0, 0))
    wire.close()


def test_nobody_tells_it_to_go_on_and_it_does_by_itself(run: Run, service: Service, queue: int, tap_name: str) -> None:
    wire = Wire(tap_name)

    def play() -> None:
        service.tell(start(tap_name), queue)
        os.close(queue)
        service.hear(Ready)
        service.answer(Hold(3))
        wire.send(frame(MAC))
        service.until_delivered(1)
        service.answer(Stop(5))

    assert run(play)[0] == 0
    wire.close()


def test_what_the_stacks_of_others_may_wait_for_is_passed_on_and_heard(
    run: Run, service: Service, queue: int, tap_name: str
) -> None:
    wire = Wire(tap_name)
    ours, theirs = bytes((192, 0, 2, 2)), bytes((192, 0, 2, 1))
    reply = (MAC + HOST + bytes.fromhex("0806 0001 0800 0604 0002") + HOST + theirs + MAC + ours).ljust(60, b"\0")

    def play() -> Any:
        service.tell(start(tap_name, stack="inet", address=("192.0.2.2/24",)), queue)
        os.close(queue)
        service.hear(Ready)
        wire.send(reply)
        passed_on = service.hear(Frame)
        service.tell(Frame(passed_on.octets))
        found = service.answer(Ask(1))
        service.answer(Stop(2))
        return passed_on.octets, found

    code, (octets, found) = run(play)
    wire.close()
    assert code == 0
    assert octets == reply
    assert found.counted.counters.delivered_frames == 1, "what another worker heard is no frame of the wire"


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (Stop(1), "told Stop before Start"),
        (Start(0, {"mtu": 1}, Knobs()), "mtu"),
        (start("none0", stack="absent.module:stack"), "cannot import absent.module"),
    ],
)
def test_what_it_cannot_do_it_says_and_ends(run: Run, service: Service, first: Message, problem: str) -> None:
    def play() -> Any:
        service.tell(first)
        return service.hear(Failure).problem

    code, said = run(play)
    assert code == 1
    assert problem in said
    assert "\n" not in said


def test_a_stack_that_fails_is_started_again_and_the_worker_stays(
    run: Run, service: Service, queue: int, tap_name: str
) -> None:
    """Only the engine's own end ends the worker, with the reason."""

    def play() -> Any:
        service.tell(start(tap_name, stack="tests.service.workers.test_child:broken"), queue)
        os.close(queue)
        service.hear(Ready)
        until = time.monotonic() + PATIENCE
        while not (found := service.answer(Ask(1))).counted.stack_failures:
            assert time.monotonic() < until
        service.answer(Stop(2))
        return found

    code, found = run(play)
    assert code == 0
    assert found.standing.stack_down


async def broken(nic: object) -> None:
    raise ZeroDivisionError("mine")


@pytest.mark.parametrize("when", ["before it starts", "while it serves"])
def test_a_service_that_is_gone_is_the_end(run: Run, service: Service, queue: int, tap_name: str, when: str) -> None:
    def play() -> None:
        if when == "while it serves":
            service.tell(start(tap_name), queue)
            service.hear(Ready)
        service.channel.close()
        os.close(queue)

    assert run(play) == (1, None)


def test_a_parent_that_has_ended_already_is_the_end(
    monkeypatch: pytest.MonkeyPatch, run: Run, service: Service
) -> None:
    monkeypatch.setattr(child, "end_with", lambda parent: False)
    assert run(lambda: None) == (1, None)


def test_the_descriptor_is_a_channel(service: Service) -> None:
    """What `process` hands over: a packet socket that keeps messages apart."""
    theirs = Channel(socket.socket(fileno=service.argument))
    service.tell(Resume())
    service.tell(Ask(3))
    assert theirs.receive() == (Resume(), [])
    assert theirs.receive() == (Ask(3), [])
    theirs.close()
