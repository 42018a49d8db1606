"""An endpoint's life under any order of calls, from outside and from within its callbacks, held to the loop's own."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.stacks.inet.endpoint import Endpoint
from tests.stacks.inet.test_endpoint import Journal, on
from tests.stacks.inet.wire import PEER, Bench

SIZE = 1000
HUGE = bytes(300_000)
"""More than a datagram may have, of ours and of a Unix socket's."""

operations = st.lists(
    st.sampled_from(["send", "send", "send", "huge", "fill", "drain", "close", "abort", "narrow", "wide", "turn"]),
    max_size=25,
)
reactions = st.fixed_dictionaries(
    dict.fromkeys(("pause", "resume", "error"), st.sampled_from(["", "close", "abort", "send", "huge", "narrow"]))
)


class Actor(asyncio.DatagramProtocol):
    """Writes down what happens to it, and then does what `reactions` say."""

    def __init__(self, reactions: dict[str, str]) -> None:
        self.events: list[str] = []
        self.reactions = dict(reactions)
        self.sent = 0
        self.transport: Any = None
        self.address: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.happened("pause")

    def resume_writing(self) -> None:
        self.happened("resume")

    def error_received(self, exc: Exception) -> None:
        self.happened("error")

    def happened(self, event: str) -> None:
        self.events.append(event)
        self.do(self.reactions.pop(event, ""))  # once, or two reactions would go on for ever

    def do(self, operation: str) -> None:
        """One operation on the transport; those of the wire are the world's."""
        transport = self.transport
        if operation == "send":
            self.sent += not transport.is_closing()
            transport.sendto(bytes(SIZE), self.address)
        elif operation == "huge":
            transport.sendto(HUGE, self.address)
        elif operation in ("close", "abort"):
            getattr(transport, operation)()
        elif operation == "narrow":
            transport.set_write_buffer_limits(high=2 * SIZE + 500, low=SIZE + 500)
        elif operation == "wide":
            transport.set_write_buffer_limits(high=8 * SIZE + 500, low=500)


async def on_the_stack(operations: list[str], reactions: dict[str, str]) -> Actor:
    bench = Bench()
    bench.know_peers()
    transport, _ = await on(bench)
    actor = Actor(reactions)
    transport.set_protocol(actor)
    actor.transport, actor.address = transport, (PEER, 5000)
    totals = bench.inet.totals
    for operation in operations:
        if operation == "fill":
            bench.room = 0
        elif operation == "drain":
            bench.room = None
            bench.inet.resume()
            await asyncio.sleep(0)
        elif operation == "turn":
            await asyncio.sleep(0)
        else:
            actor.do(operation)
        held = transport.get_write_buffer_size() // (SIZE + 8)
        assert actor.sent == len(bench.sent) + held + totals.datagrams_dropped
    bench.room = None
    bench.inet.resume()
    actor.do("abort")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.inet.resume()
    bench.inet.close()
    await asyncio.sleep(0)
    assert actor.sent == len(bench.sent) + totals.datagrams_dropped
    assert bench.inet.udp.receivers() == []
    assert not bench.inet._waiting
    return actor


async def on_the_loop(operations: list[str], reactions: dict[str, str]) -> Actor:
    """The same on the selector loop's own transport, over Unix sockets, which can be filled."""
    ours, theirs = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    theirs.bind("")  # gives it an abstract name
    filler = ours.dup()
    for sock in (ours, theirs, filler):
        sock.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        actor = Actor(reactions)
        await loop.create_datagram_endpoint(lambda: actor, sock=ours)
        actor.address = theirs.getsockname()

        def until_blocked(step: Callable[[], object]) -> None:
            try:
                while True:
                    step()
            except BlockingIOError:
                pass

        async def drain() -> None:
            for _ in range(3):
                until_blocked(lambda: theirs.recv(1 << 20))
                await asyncio.sleep(0)

        for operation in operations:
            if operation == "fill":
                until_blocked(lambda: filler.sendto(b"x", actor.address))
            elif operation == "drain":
                await drain()
            elif operation == "turn":
                await asyncio.sleep(0)
            else:
                actor.do(operation)
        await drain()
        if not actor.transport.is_closing():
            actor.do("abort")
        await drain()
        return actor
    finally:
        filler.close()
        theirs.close()


def run(play: Any, operations: list[str], reactions: dict[str, str]) -> Actor:
    reports: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))
        actor: Actor = runner.run(play(operations, reactions))
    assert reports == []
    return actor


@settings(deadline=None, max_examples=300)
@given(operations, reactions)
def test_the_connection_is_lost_once_and_last_and_no_datagram_uncounted(
    operations: list[str], reactions: dict[str, str]
) -> None:
    actor = run(on_the_stack, operations, reactions)
    assert actor.events.count("lost") == 1
    assert actor.events[-1] == "lost"
    between = [event for event in actor.events if event in ("pause", "resume")]
    assert between == ["pause", "resume"] * (len(between) // 2) + ["pause"] * (len(between) % 2)


@settings(deadline=None, max_examples=100)
@given(operations)
def test_a_protocol_that_only_listens_hears_what_it_hears_of_the_loop_s_own(operations: list[str]) -> None:
    """But for what is too long: the loop's own buffers it, if it buffers, and tells of it when it is its turn."""
    operations = [operation for operation in operations if operation != "huge"]
    end = next((at for at, operation in enumerate(operations) if operation in ("close", "abort")), len(operations))
    operations[end + 1 :] = [operation for operation in operations[end + 1 :] if operation in ("drain", "turn")]
    assert run(on_the_stack, operations, {}).events == run(on_the_loop, operations, {}).events


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_end_in_another_s_callback_is_the_only_one(end: str) -> None:
    bench = Bench()
    bench.know_peers()
    first, heard = await on(bench)
    second, other = await bench.inet.create_datagram_endpoint(Journal, ("0.0.0.0", 8))
    assert isinstance(second, Endpoint)
    for transport in (first, second):
        transport.set_write_buffer_limits(high=100, low=50)
    bench.room = 0
    for transport in (first, second):
        transport.sendto(bytes(200), (PEER, 5000))
    heard.resume_writing = lambda: getattr(second, end)()  # type: ignore[method-assign]
    bench.room = None
    bench.inet.resume()
    await asyncio.sleep(0)
    assert other.events.count(("lost", None)) == 1
    assert not bench.inet._waiting
    first.close()


async def test_endpoints_take_turns_when_there_is_little_room() -> None:
    """One that sends again whenever it may leaves room for the others."""
    bench = Bench()
    bench.know_peers()
    greedy, journal = await on(bench)
    modest, _ = await bench.inet.create_datagram_endpoint(Journal, ("0.0.0.0", 8))
    greedy.set_write_buffer_limits(high=500, low=100)

    def more() -> None:
        while not paused():
            greedy.sendto(b"greedy" * 20, (PEER, 5000))

    def paused() -> bool:
        return greedy.get_write_buffer_size() > 500

    journal.resume_writing = more  # type: ignore[method-assign]
    bench.room = 0
    more()
    modest.sendto(b"modest", (PEER, 5000))
    for _ in range(3):
        bench.room = 5
        bench.inet.resume()
    assert any(b"modest" in frame for frame in bench.replies())
