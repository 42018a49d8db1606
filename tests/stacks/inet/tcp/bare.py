"""One connection in any state, and segments made by hand for it: the peer is the test."""

from asyncnic.stacks.inet.tcp.config import Config, TcpCounts
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.listening import received
from asyncnic.stacks.inet.tcp.options import Options, parse
from asyncnic.stacks.inet.tcp.segment import ACK, FIN, Segment, decode
from asyncnic.stacks.inet.tcp.states import TcpState

ISS, IRS = 0xFFFF_FF00, 0xFFFF_F000
"""Ours and the peer's initial sequence number: both wrap soon."""
WINDOW = 32_768


class Bare:
    """A connection whose segments are caught. `ack` and `seq` are where the peer stands."""

    def __init__(self, config: Config | None = None) -> None:
        self.now = 1000.0
        self.config = config or Config(receive_window=60_000)
        self.counters = TcpCounts()
        self.caught: list[bytes] = []
        self.room = True
        self.connection = Connection(
            self._send, self.config, self.counters, 80 << 16 | 1234, 6, ISS, 0, 1460, 1460, self.now
        )

    def _send(self, data: bytes, now: float) -> bool:
        if self.room:
            self.caught.append(data)
        return self.room

    def sent(self) -> list[Segment]:
        """What was sent since the last call."""
        self.connection.output(self.now)
        caught, self.caught = self.caught, []
        return [decode(memoryview(data), 6) for data in caught]

    def quiet(self) -> None:
        assert self.sent() == []

    @property
    def state(self) -> TcpState:
        return self.connection.state

    @property
    def seq(self) -> int:
        return self.connection.receiver.nxt & 0xFFFF_FFFF

    @property
    def ack(self) -> int:
        return self.connection.sender.nxt & 0xFFFF_FFFF

    def segment(
        self,
        flags: int,
        seq: int = 0,
        ack: int = 0,
        payload: bytes = b"",
        window: int = WINDOW,
        options: Options | None = None,
    ) -> Segment:
        """A segment of the peer's, `seq` and `ack` counted from where it stands."""
        mask = 0xFFFF_FFFF
        number = (self.ack + ack) & mask if flags & ACK else 0
        return Segment(1234, 80, (self.seq + seq) & mask, number, flags, window, payload, options or Options())

    def feed(
        self,
        flags: int,
        seq: int = 0,
        ack: int = 0,
        payload: bytes = b"",
        window: int = WINDOW,
        options: Options | None = None,
    ) -> list[Segment]:
        """Let the peer send a segment; what is answered."""
        self.connection.arrive(self.segment(flags, seq, ack, payload, window, options), self.now)
        return self.sent()

    def write(self, data: bytes) -> list[Segment]:
        self.connection.write(data)
        return self.sent()

    def pass_time(self, seconds: float) -> list[Segment]:
        self.now += seconds
        self.connection.expire(self.now)
        return self.sent()


def in_state(state: TcpState, syn: bytes = b"", config: Config | None = None) -> Bare:
    """A connection that has come to `state` as figure 5 says; `syn`: options of the peer's SYN."""
    bare = Bare(config)
    connection = bare.connection
    if state is TcpState.CLOSED:
        return bare
    if state is TcpState.SYN_SENT:
        connection.open(bare.now)
        bare.sent()
        return bare
    if state is TcpState.SYN_RECEIVED:
        received(connection, IRS, parse(syn), bare.now)
        return bare
    received(connection, IRS, parse(syn), bare.now)
    bare.feed(ACK)
    assert connection.state is TcpState.ESTABLISHED
    if state in (TcpState.FIN_WAIT_1, TcpState.FIN_WAIT_2, TcpState.CLOSING, TcpState.TIME_WAIT):
        connection.finish()
        bare.sent()
    if state in (TcpState.FIN_WAIT_2, TcpState.TIME_WAIT):
        bare.feed(ACK)
    if state is TcpState.TIME_WAIT:
        bare.feed(FIN | ACK)
    if state is TcpState.CLOSING:
        bare.feed(FIN | ACK, ack=-1)
    if state in (TcpState.CLOSE_WAIT, TcpState.LAST_ACK):
        bare.feed(FIN | ACK)
    if state is TcpState.LAST_ACK:
        connection.finish()
        bare.sent()
    assert connection.state is state, connection.state
    connection.challenged = float("-inf")
    return bare
