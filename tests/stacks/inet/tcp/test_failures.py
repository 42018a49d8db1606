"""Sixteen ways in which TCPs were seen to fail their users; this one does not. Real wires are in tests/system."""

import struct
from random import Random

import pytest

from asyncnic.stacks.inet.outcomes import Outcome
from asyncnic.stacks.inet.tcp.config import Config
from asyncnic.stacks.inet.tcp.host import SPARE
from asyncnic.stacks.inet.tcp.options import Options, for_stamps, for_syn, parse
from asyncnic.stacks.inet.tcp.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, Segment, decode, encode
from asyncnic.stacks.inet.tcp.sender import BURST
from asyncnic.stacks.inet.tcp.states import TcpState
from tests.stacks.inet.tcp.bare import IRS, Bare, in_state
from tests.stacks.inet.tcp.pair import PORT, A, B, Pair, Reader, Storm, Weather

ADDRESSES = int.from_bytes(A, "big") + int.from_bytes(B, "big") + 6


class Raw:
    """A host A that is the test: it writes its segments itself, to host B's TCP."""

    def __init__(self, config: Config | None = None) -> None:
        self.pair = Pair(config=config)
        self.host = self.pair.b
        self.pair.wire_b.weather = _Nowhere()

    @property
    def now(self) -> float:
        return self.pair.now

    def send(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        payload: bytes = b"",
        options: bytes = b"",
        port: int = 5000,
        window: int = 60_000,
        source: bytes = A,
    ) -> list[Segment]:
        """Send a segment; what is answered at once."""
        addresses = int.from_bytes(source, "big") + int.from_bytes(B, "big") + 6
        self.pair.wire_b.sent.clear()
        data = encode(
            port << 16 | PORT, seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF, flags, window, options, payload, addresses
        )
        self.outcome = self.pair.deliver(source, B, data)
        self.host.flush(self.now)
        return self.answers(addresses)

    def answers(self, addresses: int = ADDRESSES) -> list[Segment]:
        sent = self.pair.wire_b.sent[:]
        self.pair.wire_b.sent.clear()
        return [decode(memoryview(data), addresses) for data in sent]

    def pass_time(self, seconds: float) -> list[Segment]:
        self.pair.wire_b.sent.clear()
        end = self.pair.now + seconds
        while (due := self.host.poll(self.pair.now)) <= end:
            self.pair.now = max(due, self.pair.now)
        self.pair.now = end
        self.host.poll(end)
        return self.answers()

    def open(self, port: int = 5000, options: bytes = b"", source: bytes = A) -> tuple[Reader, int]:
        """Shake hands; B's end, and B's initial sequence number. The peer's is 100."""
        (answer,) = self.send(SYN, 100, options=options, port=port, source=source)
        self.send(ACK, 101, answer.seq + 1, port=port, source=source, options=_echo(options, answer))
        return self.pair.accepted[-1], answer.seq


class _Nowhere(Weather):
    def delays(self, data: bytes, now: float) -> list[float]:
        return []


def _echo(said: bytes, answer: Segment) -> bytes:
    stamp = answer.options.stamp
    return for_stamps((parse(said).stamp or 0) + 1, stamp) if stamp is not None else b""


STAMPED = for_syn(1460, 7, True, (1000, 0))


def test_01_a_syn_with_ecn_bits_gets_a_plain_syn_ack() -> None:
    raw = Raw()
    (answer,) = raw.send(SYN | ECE | CWR, 100)
    assert answer.flags == SYN | ACK


def test_02_a_peer_that_agreed_on_time_stamps_and_sends_none_is_heard() -> None:
    raw = Raw()
    (answer,) = raw.send(SYN, 100, options=STAMPED)
    raw.send(ACK, 101, answer.seq + 1)
    raw.send(ACK | PSH, 101, answer.seq + 1, b"without a stamp")
    assert raw.pair.accepted[0].data == b"without a stamp"


def test_02_embryos_that_time_out_leave_the_backlog() -> None:
    raw = Raw()
    raw.send(SYN, 100, options=STAMPED)
    assert len(raw.host.listening.half_open) == 1
    again = raw.pass_time(120)
    assert [segment.flags for segment in again] == [SYN | ACK] * 5
    assert len(raw.host.listening.half_open) == 0


def test_03_time_stamps_that_stop_after_a_cookie_are_no_end() -> None:
    raw = Raw(Config(half_open=0))
    (answer,) = raw.send(SYN, 100, options=STAMPED)
    raw.send(ACK, 101, answer.seq + 1, options=_echo(STAMPED, answer))
    raw.send(ACK | PSH, 101, answer.seq + 1, b"no stamp now")
    assert raw.pair.accepted[0].data == b"no stamp now"


def test_03_two_hosts_behind_one_address_have_bases_of_their_own() -> None:
    raw = Raw()
    one, iss = raw.open(5000, STAMPED)
    other, other_iss = raw.open(5001, for_syn(1460, 7, True, (4_000_000_000, 0)))
    raw.send(ACK | PSH, 101, iss + 1, b"one", for_stamps(1002, 0), port=5000)
    raw.send(ACK | PSH, 101, other_iss + 1, b"other", for_stamps(4_000_000_002, 0), port=5001)
    assert (bytes(one.data), bytes(other.data)) == (b"one", b"other")


def test_04_ten_thousand_half_opens_that_are_reset_leave_nothing() -> None:
    raw = Raw()
    for number in range(10_000):
        (answer,) = raw.send(SYN, number, port=1024 + number)
        raw.send(RST, number + 1, answer.seq + 1, port=1024 + number)
    assert len(raw.host.listening.half_open) == 0
    assert not raw.host.connections
    assert raw.host.counters.resets_in == 10_000


def test_05_a_syn_gets_no_buffers_and_a_repeated_one_nothing_more() -> None:
    raw = Raw(Config(half_open=100))
    for port in range(1000):
        for _ in range(3):
            raw.send(SYN, 100, port=1024 + port)
    assert len(raw.host.listening.half_open) == 100
    assert not raw.host.connections
    assert raw.host.accounts.memory == 0
    assert raw.host.counters.cookies_sent == 3 * 900


def test_06_one_octet_segments_cost_what_they_cost() -> None:
    raw = Raw(Config(receive_window=64 * 1024))
    reader, iss = raw.open()
    for place in range(0, 60_000, 2):
        raw.send(ACK, 102 + place, iss + 1, b"x")
    assert raw.host.accounts.memory < 4 * 64 * 1024
    raw.send(ACK, 101, iss + 1, b"y")
    assert reader.data.startswith(b"yx")


def test_06_unread_octets_one_by_one_are_kept_in_few_objects() -> None:
    raw = Raw()
    reader, iss = raw.open()
    reader.paused = True
    for place in range(10_000):
        raw.send(ACK, 101 + place, iss + 1, b"z")
    assert len(reader.connection.receiver.ready) < 10
    assert reader.connection.read() == b"z" * 10_000


def test_06_memory_beyond_the_limit_ends_the_connection_that_grew() -> None:
    pair = Pair(config=Config(memory=100_000))
    client, _ = pair.opened()
    client.connection.write(bytes(200_000))
    pair.a.touch(client.connection)
    pair.run(lambda: client.lost)
    assert client.connection.error is not None
    assert pair.a.counters.refused["memory"] == 1
    assert pair.a.accounts.memory == 0


def test_07_a_lost_window_update_is_asked_for() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.feed(ACK, window=0)
    assert bare.write(b"x" * 5000) == []
    probes = [segment for _ in range(3) for segment in bare.pass_time(1.0)]
    assert [(probe.seq, len(probe.payload)) for probe in probes] == [((bare.ack - 1) & 0xFFFF_FFFF, 0)] * 2
    bare.connection.sender.nodelay = True
    answered = bare.feed(ACK, window=5000)
    assert sum(len(segment.payload) for segment in answered) == 5000


def test_07_probes_go_on_as_long_as_they_are_answered() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.feed(ACK, window=0)
    bare.write(b"x")
    for _ in range(500):
        bare.pass_time(30.0)
        bare.feed(ACK, window=0)
    assert {bare.state} == {TcpState.ESTABLISHED}
    for _ in range(100):
        bare.pass_time(30.0)
    assert {bare.state} == {TcpState.CLOSED}


def test_07_two_closed_windows_do_not_answer_each_other_for_ever() -> None:
    pair = Pair(config=Config(receive_window=5000))
    client, server = pair.opened()
    client.paused = server.paused = True
    for reader, host in ((client, pair.a), (server, pair.b)):
        reader.connection.write(bytes(20_000))
        host.touch(reader.connection)
    before = pair.now
    pair.run(lambda: pair.now > before + 600)
    assert pair.events < 200
    for reader, host in ((client, pair.a), (server, pair.b)):
        reader.paused = False
        reader.data += reader.connection.read()
        host.touch(reader.connection)
    pair.run(lambda: len(client.data) == len(server.data) == 20_000)
    assert len(client.data) == len(server.data) == 20_000


def test_08_only_new_data_restarts_the_retransmission_timer() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.write(b"lost")
    resent = []
    for _ in range(20):
        resent += bare.pass_time(0.1)
        bare.feed(ACK, ack=-4)  # a duplicate: nothing new in it
    assert [bytes(segment.payload) for segment in resent if segment.payload][:1] == [b"lost"]


def test_08_a_million_duplicate_acks_overflow_nothing() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.sender.nodelay = True
    bare.write(b"d" * 5000)
    segment = bare.segment(ACK, ack=-5000)
    for _ in range(100_000):
        bare.connection.arrive(segment, bare.now)
    sent = bare.sent()
    assert len(sent) <= 4
    bare.feed(ACK)
    assert not bare.connection.sender.flight


@pytest.mark.parametrize("seed", range(5))
def test_08_a_hostile_wire_always_finishes(seed: int) -> None:
    random = Random(seed)
    pair = Pair(config=Config(retries=40))
    client, server = pair.opened()
    pair.wire_a.weather = pair.wire_b.weather = Storm(random, 0.3, 0.3, 0.3)
    client.connection.write(bytes(50_000))
    pair.a.touch(client.connection)
    pair.run(lambda: len(server.data) == 50_000)
    assert len(server.data) == 50_000


def test_09_a_reset_goes_to_its_connection_and_not_to_the_listener() -> None:
    raw = Raw()
    reader, _ = raw.open()
    raw.send(RST, 101)
    assert reader.lost
    assert isinstance(reader.connection.error, ConnectionResetError)
    raw.send(RST, 101)
    assert raw.outcome is Outcome.TCP_NO_CONNECTION
    raw.open(5001)
    assert len(raw.pair.accepted) == 2


def test_10_a_syn_beyond_the_backlog_is_never_reset() -> None:
    raw = Raw(Config(half_open=1, connections=2))
    for port in range(5000, 5010):
        assert all(not answer.flags & RST for answer in raw.send(SYN, 100, port=port))
    raw.open(6000)
    raw.open(6001)
    assert raw.send(SYN, 100, port=6002) == []  # silently: the table of connections is full
    assert raw.outcome is Outcome.TCP_REFUSED
    assert raw.host.counters.refused["connections"] == 1


def test_11_small_windows_at_a_large_mtu_keep_the_rate() -> None:
    bare = in_state(TcpState.ESTABLISHED, syn=for_syn(3960, None, False, None))
    bare.connection.sender.resize(3960)
    bare.connection.sender.max_window = 0
    bare.feed(ACK, window=4096)
    bare.connection.sender.nodelay = True
    sent = bare.write(bytes(100_000))
    for _ in range(20):
        assert sum(len(segment.payload) for segment in sent) >= 2048
        sent = bare.feed(ACK, window=4096)


def test_12_slight_reordering_is_not_taken_for_loss_for_ever() -> None:
    """The rate itself is in test_hostile.py: here, that it is learned."""
    pair = Pair(_Late(0.01), Weather(0.01))
    client, server = pair.opened()
    client.connection.write(bytes(3_000_000))
    pair.a.touch(client.connection)
    pair.run(lambda: len(server.data) == 3_000_000)
    assert client.connection.sender.board.threshold > 3
    assert pair.a.counters.fast_recoveries <= 3


class _Late(Weather):
    """Every fiftieth segment comes behind the three that follow it."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self._count = 0
        self._free = 0.0

    def delays(self, data: bytes, now: float) -> list[float]:
        self._count += 1
        self._free = max(now, self._free) + 0.0001
        return [self._free - now + self.delay + (0.00035 if self._count % 50 == 0 else 0.0)]


def test_13_simultaneous_open() -> None:
    one, other = Bare(), Bare()
    for bare in (one, other):
        bare.connection.open(bare.now)
    (syn_one,), (syn_other,) = one.sent(), other.sent()
    one.connection.arrive(syn_other, one.now)
    other.connection.arrive(syn_one, other.now)
    assert {one.state, other.state} == {TcpState.SYN_RECEIVED}
    (answer_one,), (answer_other,) = one.sent(), other.sent()
    one.connection.arrive(answer_other, one.now)
    other.connection.arrive(answer_one, other.now)
    assert {one.state, other.state} == {TcpState.ESTABLISHED}
    one.quiet()
    other.quiet()


def test_13_simultaneous_close() -> None:
    pair = Pair()
    client, server = pair.opened()
    for reader, host in ((client, pair.a), (server, pair.b)):
        reader.connection.finish()
        host.touch(reader.connection)
    pair.run(lambda: client.connection.state is TcpState.TIME_WAIT and server.connection.state is TcpState.TIME_WAIT)
    assert client.connection.state is server.connection.state is TcpState.TIME_WAIT
    pair.run()
    assert not pair.a.connections
    assert not pair.b.connections


def test_14_thousands_of_connects_and_closes_leave_nothing() -> None:
    pair = Pair(config=Config(time_wait=100))
    for number in range(3_000):
        client = pair.connect()
        for _ in range(20):
            if len(pair.accepted) > number and client.connection.state is TcpState.ESTABLISHED:
                break
            pair.step()
        server = pair.accepted[number]
        first, second = (client, server) if number % 2 else (server, client)
        for reader in (first, second):
            reader.connection.close(pair.now)
            (pair.a if reader is client else pair.b).touch(reader.connection)
            for _ in range(3):
                pair.step()
    pair.run()
    for host in (pair.a, pair.b):
        assert not host.connections
        assert not host.accounts.time_wait
        assert host.accounts.memory == host.accounts.connections == 0
        assert not host.accounts._sources
        assert not host.touched
        assert not host._blocked
        assert not host._deadlines


def test_14_connections_that_are_gone_leave_no_deadlines_behind() -> None:
    """Each would have been asked after for hours, and is reset at once: nothing of it waits for that."""
    raw = Raw()
    for port in range(2_000, 3_000):
        server, iss = raw.open(port)
        server.connection.set_keep_alive(7200.0, raw.now)
        raw.host.touch(server.connection)
        raw.host.flush(raw.now)
        raw.send(RST, 101, iss + 1, port=port)
    assert not raw.host.connections
    assert len(raw.host._deadlines) <= SPARE


def test_16_what_nmap_sends_to_tell_systems_apart_ends() -> None:
    """Its odd segments: no flags, SYN FIN URG PSH, ACK with odd windows, to an open and to a closed port."""
    raw = Raw()
    for flags in range(256):
        raw.send(
            flags, 7 + flags, 9, port=7000 + flags, window=1024, options=b"\x03\x03\x0a\x01\x02\x04\x01\x09\x08\x0a"
        )
    reader, _ = raw.open()
    assert reader.connection.state is TcpState.ESTABLISHED
    raw.pass_time(300)
    assert len(raw.host.listening.half_open) == 0


def test_blind_resets_do_not_end_a_connection() -> None:
    """RFC 5961 section 3: an attacker who guesses into the window meets a challenge, and few of them."""
    bare = in_state(TcpState.ESTABLISHED)
    answers = []
    for guess in range(1, 50_000, 500):
        answers += bare.feed(RST, seq=guess)
    assert bare.connection.state is TcpState.ESTABLISHED
    assert len(answers) == 1
    assert answers[0].flags == ACK


def test_blind_syns_do_not_end_a_connection() -> None:
    """RFC 5961 section 4; the peer that did restart answers the challenge with the right reset."""
    bare = in_state(TcpState.ESTABLISHED)
    (challenge,) = bare.feed(SYN, seq=500)
    assert challenge.flags == ACK
    bare.connection.arrive(Segment(1234, 80, challenge.ack, 0, RST, 0), bare.now)
    assert bare.connection.state is TcpState.CLOSED


def test_blind_data_is_not_taken() -> None:
    """RFC 5961 section 5: data whose ACK is far from what we sent."""
    bare = in_state(TcpState.ESTABLISHED)
    for ack in (1, 100_000, -200_000):
        bare.feed(ACK, ack=ack, payload=b"injected")
    assert not bare.connection.receiver.unread


def test_icmp_does_not_end_a_connection_that_stands() -> None:
    """RFC 5927 section 5.2: hard errors are soft once the handshake is done, and ends one that is not."""
    for state, expected in ((TcpState.ESTABLISHED, TcpState.ESTABLISHED), (TcpState.SYN_SENT, TcpState.CLOSED)):
        bare = in_state(state)
        bare.connection.unreachable(ConnectionRefusedError(111, "refused"), hard=True)
        assert bare.connection.state is expected
    bare = in_state(TcpState.SYN_SENT)
    bare.connection.unreachable(OSError(113, "no route"), hard=False)
    for _ in range(20):
        bare.pass_time(60)
    assert bare.connection.error is not None
    assert bare.connection.error.errno == 113  # what ICMP said is why it timed out


def test_a_path_mtu_is_taken_from_icmp_about_our_own_segments_only() -> None:
    pair = Pair()
    client, server = pair.opened()
    client.connection.write(bytes(20_000))
    pair.a.touch(client.connection)
    pair.a.flush(pair.now)
    quoted = pair.wire_a.sent[-1]
    forged = quoted[:4] + struct.pack("!I", 12345) + quoted[8:]
    assert not pair.a.error(A, B, memoryview(forged), None, False, 600, pair.now)
    assert pair.a.error(A, B, memoryview(quoted), None, False, 600, pair.now)
    pair.wire_a.sent.clear()
    pair.run(lambda: len(server.data) == 20_000)
    assert len(server.data) == 20_000
    assert max(map(len, pair.wire_a.sent)) <= 580


def test_a_time_wait_gives_way_to_a_newer_syn() -> None:
    """RFC 6191: by time stamp, else by sequence number; an older one is answered by an ACK."""
    raw = Raw()
    reader, iss = raw.open(options=STAMPED)
    reader.connection.close(raw.now)
    raw.host.touch(reader.connection)
    raw.host.flush(raw.now)
    raw.send(FIN | ACK, 101, iss + 2, options=for_stamps(1005, 0))
    assert reader.connection.state is TcpState.TIME_WAIT
    (challenge,) = raw.send(SYN, 101, options=for_syn(1460, 7, True, (900, 0)))
    assert challenge.flags == ACK
    (answer,) = raw.send(SYN, 50, options=for_syn(1460, 7, True, (2000, 0)))
    assert answer.flags == SYN | ACK
    raw.send(ACK, 51, answer.seq + 1, options=for_stamps(2001, 0))
    assert raw.pair.accepted[-1].connection.state is TcpState.ESTABLISHED


def test_old_segments_are_told_by_their_time_stamps() -> None:
    """PAWS, RFC 7323 section 5.3."""
    bare = in_state(TcpState.ESTABLISHED, syn=for_syn(1460, 7, True, (1000, 0)))
    bare.feed(ACK, payload=b"new", options=_stamp(2000))
    (answer,) = bare.feed(ACK, payload=b"old", options=_stamp(1500))
    assert answer.flags == ACK
    assert bare.connection.read() == b"new"
    assert bare.counters.old_stamp == 1
    bare.now += 25 * 86400
    bare.feed(ACK, payload=b"later", options=_stamp(1500))  # section 5.5: after so long, an old stamp is no proof
    assert bare.connection.read() == b"later"


def _stamp(value: int) -> Options:
    options = Options()
    options.stamp = value
    return options


def test_a_connection_whose_user_is_gone_answers_data_by_a_reset() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.close(bare.now)
    bare.sent()
    (reset,) = bare.feed(ACK, payload=b"for whom?")
    assert reset.flags & RST
    assert bare.connection.state is TcpState.CLOSED


def test_a_half_closed_connection_without_a_user_does_not_stay() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.close(bare.now)
    bare.sent()
    bare.feed(ACK)
    assert {bare.state} == {TcpState.FIN_WAIT_2}
    bare.pass_time(bare.config.two_msl)
    assert {bare.state} == {TcpState.CLOSED}


def test_keep_alive_asks_and_gives_up() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    assert bare.pass_time(10_000) == []  # off by default
    bare.connection.set_keep_alive(100.0, bare.now)
    bare.connection.heard = bare.now
    (probe,) = bare.pass_time(101)
    assert (probe.seq, probe.payload) == ((bare.ack - 1) & 0xFFFF_FFFF, b"")
    bare.feed(ACK)
    for _ in range(100):
        bare.pass_time(75)
    assert isinstance(bare.connection.error, TimeoutError)


def test_irs_wraps() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    for _ in range(100):
        bare.feed(ACK, payload=bytes(1000))
        bare.connection.read()
        bare.write(bytes(1000))
        bare.feed(ACK)
    assert bare.connection.receiver.nxt == IRS + 1 + 100_000
    assert bare.connection.receiver.nxt > 1 << 32


def test_sending_much_is_done_in_turns_so_that_acks_are_heard_meanwhile() -> None:
    pair = Pair(config=Config(receive_window=1_000_000))
    client, server = pair.opened()
    pair.run(seconds=1.0)
    sender = client.connection.sender
    sender.window = sender.max_window = 1_000_000
    sender.congestion.window = 1_000_000
    client.connection.write(bytes(500_000))
    pair.wire_a.sent.clear()
    pair.a.touch(client.connection)
    pair.a.flush(pair.now)
    assert len(pair.wire_a.sent) == BURST
    pair.run(lambda: len(server.data) == 500_000)
    assert len(server.data) == 500_000
