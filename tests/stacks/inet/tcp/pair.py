"""Two hosts' TCPs, the wire between them, and a clock that only the test moves: no loop, no socket, no waiting.

The wire may lose, double, delay and reorder what it carries, as a `Weather` says. `Pair.run` goes from event to event
and fails when there are more of them than there can be: that is how "it ends" and "no timer storm" are asserted.
"""

import heapq
from collections.abc import Callable
from random import Random

from asyncnic.stacks.inet.outcomes import Outcome
from asyncnic.stacks.inet.packet import Packet, Sent
from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.cookies import Secrets
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.states import DATA, EOF, LOST, TcpState

A, B = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
PORT = 80
MAC = bytes(6)


class Weather:
    """What happens to one segment: when it arrives, after how many seconds; nothing: it does not."""

    def __init__(self, delay: float = 0.001) -> None:
        self.delay = delay

    def delays(self, data: bytes, now: float) -> list[float]:
        return [self.delay]


class Storm(Weather):
    """Chances by the numbers of a `Random`: loss, doubling, and lateness of up to `late` seconds."""

    def __init__(
        self,
        random: Random,
        loss: float = 0.0,
        double: float = 0.0,
        late: float = 0.0,
        lateness: float = 0.02,
        delay: float = 0.001,
    ) -> None:
        super().__init__(delay)
        self._random = random
        self._loss, self._double, self._late, self._lateness = loss, double, late, lateness

    def delays(self, data: bytes, now: float) -> list[float]:
        random = self._random
        if random.random() < self._loss:
            return []
        times = 2 if random.random() < self._double else 1
        return [
            self.delay + (random.random() * self._lateness if random.random() < self._late else 0.0)
            for _ in range(times)
        ]


class Wire:
    """An IP layer whose other end is another host's."""

    header_size = 20

    def __init__(self, pair: "Pair", address: bytes, weather: Weather) -> None:
        self._pair = pair
        self.address = address
        self.weather = weather
        self.link_mtu = 1500
        self.paths: dict[bytes, int] = {}
        self.sent: list[bytes] = []
        self.room: int | None = None

    def path_mtu(self, target: bytes, now: float) -> int:
        return self.paths.get(target, self.link_mtu)

    def source_for(self, target: bytes) -> bytes | None:
        return self.address

    def lower_path_mtu(self, target: bytes, mtu: int, now: float) -> None:
        self.paths[target] = mtu

    def owns(self, address: bytes) -> bool:
        return address == self.address

    has = owns

    def hold(self, target: bytes) -> None:
        """There is one way only."""

    release = hold

    def stream_template(self, source: bytes, target: bytes, ports: bytes, now: float) -> None:
        """There is no fast way here."""

    def send(
        self, protocol: int, payload: bytes, source: bytes, target: bytes, now: float, whole: bool = False
    ) -> Sent:
        assert len(payload) + 20 <= self.link_mtu
        if self.room is not None:
            if self.room == 0:
                return Sent.FULL
            self.room -= 1
        self.sent.append(payload)
        for delay in self.weather.delays(payload, now):
            self._pair.carry(now + delay, source, target, payload)
        return Sent.TAKEN


class Reader:
    """A user that takes all there is, and notes what it hears; `paused` takes nothing."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.data = bytearray()
        self.eof = False
        self.lost = False
        self.paused = False
        self.pieces = 0
        connection.user = self

    def heard(self) -> None:
        connection = self.connection
        news, connection.news = connection.news, 0
        if news & DATA and not self.paused:
            self.data += connection.read()
            self.pieces += 1
        if news & EOF:
            self.eof = True
        if news & LOST:
            assert not self.lost
            self.lost = True


class Pair:
    """Host A and host B. B listens on `PORT`."""

    def __init__(
        self,
        there: Weather | None = None,
        back: Weather | None = None,
        config: Config | None = None,
        config_b: Config | None = None,
    ) -> None:
        self.now = 1000.0
        self.events = 0
        self.a, self.b = Tcp(config, Secrets(b"a")), Tcp(config_b or config, Secrets(b"b"))
        self.wire_a = Wire(self, A, there or Weather())
        self.wire_b = Wire(self, B, back or Weather())
        self.a.attach(4, self.wire_a)
        self.b.attach(4, self.wire_b)
        self.accepted: list[Reader] = []
        self.outcomes: list[Outcome] = []
        self._flying: list[tuple[float, int, bytes, bytes, bytes]] = []
        self._number = 0
        self.b.listen(B, PORT, lambda connection: self.accepted.append(Reader(connection)))

    def carry(self, when: float, source: bytes, target: bytes, data: bytes) -> None:
        self._number += 1
        heapq.heappush(self._flying, (when, self._number, source, target, data))

    def connect(self) -> Reader:
        return Reader(self.a.connect(None, (B, PORT), self.now))

    def opened(self) -> tuple[Reader, Reader]:
        """An established connection: A's end and B's."""
        client = self.connect()
        self.run(lambda: bool(self.accepted))
        assert client.connection.state is TcpState.ESTABLISHED
        return client, self.accepted[-1]

    def step(self) -> bool:
        """Go to the next event: an arrival or a timer; whether there was one."""
        dues = [host.poll(self.now) for host in (self.a, self.b)]
        if self._flying:
            dues.append(self._flying[0][0])
        when = min(dues)
        if when == float("inf"):
            return False
        self.now = max(self.now, when)
        while self._flying and self._flying[0][0] <= self.now:
            _, _, source, target, data = heapq.heappop(self._flying)
            self.deliver(source, target, data)
        for host in (self.a, self.b):
            host.flush(self.now)
        return True

    def deliver(self, source: bytes, target: bytes, data: bytes) -> Outcome:
        view = memoryview(data)
        host = self.a if target == A else self.b
        outcome = host.input(Packet(source, target, 6, view, view, False, 64, MAC), self.now)
        self.outcomes.append(outcome)
        return outcome

    def run(self, until: Callable[[], bool] = lambda: False, events: int = 20_000, seconds: float = 1e6) -> None:
        """Go on until `until`, or until nothing more happens; fail where that takes more than so many events."""
        end = self.now + seconds
        for _ in range(events):
            if until():
                return
            if self.now > end or not self.step():
                return
            self.events += 1
        raise AssertionError(f"it does not end: {events} events, {self.now - 1000:.1f} s")
