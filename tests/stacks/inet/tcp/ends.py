"""Two whole hosts with transmit rings on one bad wire, in virtual time; one of them by a form of the fast ways, or
by the slow ones alone. The same seed is the same story, as long as both send the same.
"""

import importlib
import random as shared
from ipaddress import ip_interface
from random import Random
from typing import Any, NamedTuple
from unittest import mock

from asyncnic.hot import segments, transmit
from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.packet import TCP
from asyncnic.stacks.inet.stack import Inet
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.states import DATA, EOF, LOST, TcpState
from tests.hot.card import Card
from tests.stacks.inet.wire import burst_of, packed

PORT, CLIENT = 7, 50_000
MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ADDRESSES = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
STEPS = 20_000
_AMOUNT = 200_000
_DONE = TcpState.TIME_WAIT, TcpState.CLOSED


class Form(NamedTuple):
    """One form of the hot path."""

    reader: Any
    slots: Any


FORMS = {
    "plain": Form(segments.SegmentReader, transmit.TransmitSlots),
    "compiled": Form(
        importlib.import_module("asyncnic.hot._segments").SegmentReader,
        importlib.import_module("asyncnic.hot._transmit").TransmitSlots,
    ),
}


class Never:
    """A reader that takes nothing: all goes the slow way."""

    def __init__(self, *arguments: object) -> None:
        """As the other ones are made."""

    def read(self, burst: Burst) -> bool:
        return burst.taken < len(burst.offsets)


class End:
    """A host. `taken`: segments that the fast way in took; `put`: those that left by the fast way out."""

    def __init__(self, story: "Story", index: int, form: Form | None) -> None:
        self.taken = self.put = 0
        end = self

        class Reader(form.reader if form is not None else Never):  # type: ignore[misc]
            def read(self, burst: Burst) -> bool:
                before = burst.taken
                more: bool = super().read(burst)
                end.taken += burst.taken - before
                return more

        self.card = Card(512, None if form is None else form.slots)
        addresses = [ip_interface(f"{ADDRESSES[version][index]}/{(24, 64)[version == 6]}") for version in (4, 6)]
        templates = "asyncnic.stacks.inet.ipv4._Template", "asyncnic.stacks.inet.ipv6._Template"
        template = (importlib.import_module(self.card.slots.__class__.__module__)).Template
        self._templates = [mock.patch(name, template) for name in templates]
        with mock.patch("asyncnic.stacks.inet.stack._SegmentReader", Reader):
            self.inet = Inet(
                addresses,
                MACS[index],
                1500,
                self._send,
                lambda: story.now,
                dad_transmits=0,
                slots=None if form is None else self.card.slots,
            )
        self.slow = 0
        self.inet.start(story.now)

    def _send(self, frame: bytes) -> bool:
        self.slow += 1
        return self.card.slots.put(frame)

    def feed(self, frames: list[bytes], now: float) -> None:
        with self._templates[0], self._templates[1]:
            self.inet.input(burst_of(frames, float("inf"), lambda: now))

    def poll(self, now: float) -> float:
        with self._templates[0], self._templates[1]:
            self.inet.tcp.flush(now)
            return self.inet.poll(now)

    def sent(self) -> list[bytes]:
        """Frames since the last call."""
        frames = self.card.take()[:]
        self.card.sent.clear()
        self.put += len(frames) - self.slow
        self.slow = 0
        self.card.slots.reap()
        return frames


class Echoer:
    """Writes back what it reads, and closes when the peer does."""

    def __init__(self, story: "Story", connection: Connection) -> None:
        self._story = story
        self.connection = connection
        self.got = bytearray()
        self.over = False
        connection.user = self

    def heard(self) -> None:
        news, self.connection.news = self.connection.news, 0
        if news & DATA:
            data = self.connection.read()
            self.got += data
            self.react(data)
        if news & EOF:
            self.connection.close(self._story.now)  # `flush` looks at it: it has told us of this
        if news & LOST:
            self.over = True

    def react(self, data: bytes) -> None:
        self.connection.write(data)


class Asker(Echoer):
    """Only reads."""

    def react(self, data: bytes) -> None:
        """Nothing."""


class Story:
    """What happens with this seed when the server is of `form` ("slow": no fast way), on a wire of so many percent.

    Attributes:
        said: every segment of the server, as a frame. counters: of its TCP.
        taken_fast, put_fast: segments by its fast ways.
    """

    def __init__(self, form: str, version: int, seed: int, lost: int, doubled: int, overtaken: int, burst: int) -> None:
        self.now = 1000.0
        self.said: list[bytes] = []
        self._random, self._seed = Random(seed), seed
        shared.seed(seed)  # listener reports take their time by it
        self._odds = lost, doubled, overtaken
        self._burst = burst
        with mock.patch("os.urandom", bytes):
            self.ends = [End(self, 0, None), End(self, 1, FORMS.get(form))]
        self._servers: list[Echoer] = []
        client, server = self.ends
        own, peer = (packed(address) for address in ADDRESSES[version])
        server.inet.tcp.listen(peer, PORT, lambda connection: self._servers.append(Echoer(self, connection)))
        self._client = Asker(self, client.inet.tcp.connect((own, CLIENT), (peer, PORT), self.now))
        self._data = self._random.randbytes(_AMOUNT)

    def play(self) -> None:
        """Until both sides are done."""
        random, written = self._random, 0
        shared.seed(self._seed)
        client, connection = self.ends[0], self._client.connection
        waiting: list[list[bytes]] = [[], []]
        for _ in range(STEPS):
            if written < _AMOUNT and connection.sender.unsent < 20_000:
                size = random.choice((1, 100, 1448, 5000, 30_000))
                connection.write(self._data[written : written + size])
                written += size
                client.inet.tcp.touch(connection)
            if len(self._client.got) == _AMOUNT and connection.state is TcpState.ESTABLISHED:
                connection.finish()
                client.inet.tcp.touch(connection)
            due = min(end.poll(self.now) for end in self.ends)
            for index, end in enumerate(self.ends):
                frames = end.sent()
                if index:
                    self.said += [frame for frame in frames if (frame[20] if frame[12] == 0x86 else frame[23]) == TCP]
                waiting[1 - index] += self._through(frames)
            if not waiting[0] and not waiting[1]:
                if self._servers and self._servers[0].over and connection.state in _DONE:
                    break
                self.now = max(self.now + 0.0001, due)
                continue
            self.now += 0.0001
            for index, end in enumerate(self.ends):
                burst, waiting[index] = waiting[index][: self._burst], waiting[index][self._burst :]
                if burst:
                    end.feed(burst, self.now)
        else:
            raise AssertionError("it does not end")
        assert bytes(self._servers[0].got) == self._data
        assert bytes(self._client.got) == self._data
        server = self.ends[1]
        self.counters = server.inet.tcp.counters.as_dict()
        self.taken_fast, self.put_fast = server.taken, server.put

    def _through(self, frames: list[bytes]) -> list[bytes]:
        lost, doubled, overtaken = self._odds
        random, arrived = self._random, []
        for frame in frames:
            if random.randrange(100) < lost:
                continue
            arrived += [frame] * (2 if random.randrange(100) < doubled else 1)
            if random.randrange(100) < overtaken and len(arrived) > 3:
                arrived.insert(-3, arrived.pop())
        return arrived
