"""Two cores and a hostile wire between them, in virtual time: every octet arrives, in order, once, and it ends.

The wire loses, doubles, delays and reorders as hypothesis says. Nothing waits: seconds of the wire are milliseconds.
"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.states import TcpState
from tests.stacks.inet.tcp.pair import Pair, Storm, Weather

ENDED = (TcpState.CLOSED, TcpState.TIME_WAIT)


def exchange(pair: Pair, there: bytes, back: bytes, chunk: int = 1 << 30) -> None:
    """Send both ways, close both ways, and see that it is all there and nothing is left."""
    events = 100_000
    storms = pair.wire_a.weather, pair.wire_b.weather
    pair.wire_a.weather = pair.wire_b.weather = Weather()
    client, server = pair.opened()  # in calm: a handshake may fail for good, and that is no fault
    pair.wire_a.weather, pair.wire_b.weather = storms
    for reader, host, data in ((client, pair.a, there), (server, pair.b, back)):
        for at in range(0, len(data), chunk):
            reader.connection.write(data[at : at + chunk])
        reader.connection.finish()
        host.touch(reader.connection)
    pair.run(lambda: client.eof and server.eof, events)
    assert bytes(server.data) == there
    assert bytes(client.data) == back
    pair.run(events=events)
    assert client.connection.state is server.connection.state is TcpState.CLOSED
    assert client.connection.error is server.connection.error is None
    for host in (pair.a, pair.b):
        assert not host.connections
        assert host.accounts.memory == host.accounts.connections == 0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.floats(0, 0.3),
    st.floats(0, 0.2),
    st.floats(0, 0.3),
    st.integers(0, 60_000),
    st.integers(0, 20_000),
    st.sampled_from(["cubic", "newreno"]),
    st.sampled_from([2_000, 20_000, 512 * 1024]),
    st.integers(200, 100_000),
)
def test_whatever_the_wire_does_every_octet_arrives_and_it_ends(
    seed: int,
    loss: float,
    double: float,
    late: float,
    size: int,
    back: int,
    congestion: str,
    window: int,
    chunk: int,
) -> None:
    random = Random(seed)
    config = Config(congestion=congestion, receive_window=window, retries=40, syn_retries=40)
    pair = Pair(Storm(random, loss, double, late), Storm(random, loss, double, late), config)
    exchange(pair, random.randbytes(size), random.randbytes(back), chunk)
    # No timer storm: what happens is in proportion to what is sent and how long it takes.
    assert pair.events < 400 + 8 * (size + back) / min(chunk, 1000) + 40 * (pair.now - 1000)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.floats(0, 0.2), st.integers(0, 60_000))
def test_without_sack_too(seed: int, loss: float, size: int) -> None:
    random = Random(seed)
    pair = Pair(config=Config(retries=40))
    client, server = pair.opened()
    client.connection.sender.sack = server.connection.sender.sack = False
    pair.wire_a.weather = pair.wire_b.weather = Storm(random, loss)
    data = random.randbytes(size)
    server.connection.write(data)
    server.connection.finish()
    pair.b.touch(server.connection)
    pair.run(lambda: client.eof, 100_000)
    assert bytes(client.data) == data
    client.connection.finish()
    pair.a.touch(client.connection)
    pair.run(events=100_000)
    assert not pair.a.connections
    assert not pair.b.connections


@pytest.mark.parametrize("loss", [0.01, 0.05])
def test_ten_megabytes_through_a_lossy_wire(loss: float) -> None:
    random = Random(7)
    pair = Pair(Storm(random, loss), Storm(random, loss))
    data = random.randbytes(10_000_000)
    exchange(pair, data, data[:1_000_000])
    assert pair.a.counters.retransmitted < 3 * loss * len(data) / 1448 + 100


def seconds_for(weather: Weather, size: int = 4_000_000) -> float:
    """How long `size` octets take one way."""
    pair = Pair(weather, Weather(weather.delay))
    client, server = pair.opened()
    begun = pair.now
    client.connection.write(bytes(size))
    pair.a.touch(client.connection)
    pair.run(lambda: len(server.data) == size, 100_000)
    return pair.now - begun


class Overtaken(Weather):
    """A wire that carries a segment each 100 us, and lets one in so many be overtaken by the three behind it."""

    def __init__(self, delay: float, every: int) -> None:
        super().__init__(delay)
        self._every = every
        self._count = 0
        self._free = 0.0

    def delays(self, data: bytes, now: float) -> list[float]:
        self._count += 1
        self._free = max(now, self._free) + 0.0001
        late = 0.00035 if self._every and self._count % self._every == 0 else 0.0
        return [self._free - now + self.delay + late]


def test_slight_reordering_costs_a_fifth_at_most() -> None:
    """1 % of the segments overtaken by three, over 20 ms: at least 0.8 times the rate in order."""
    in_order = seconds_for(Overtaken(0.01, 0))
    assert seconds_for(Overtaken(0.01, 100)) <= in_order / 0.8
