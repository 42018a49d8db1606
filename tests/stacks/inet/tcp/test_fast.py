"""The fast way and the slow one are the same TCP: fed the same frames, sound and damaged, they end the same."""

from random import Random

import pytest

from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.fast import tcp_burst
from asyncnic.stacks.inet.tcp.host import Tcp
from asyncnic.stacks.inet.tcp.options import for_stamps, for_syn
from asyncnic.stacks.inet.tcp.segment import ACK, FIN, PSH, SYN, decode, encode
from tests.stacks.inet.tcp.pair import Reader
from tests.stacks.inet.wire import HOST, PEER, Bench, arp, ipv4, packed

ADDRESSES = int.from_bytes(packed(HOST), "big") + int.from_bytes(packed(PEER), "big") + 6
PORTS = 5000 << 16 | 80


def frame(seq: int, ack: int, flags: int, payload: bytes = b"", options: bytes = b"", window: int = 60_000) -> bytes:
    return ipv4(6, encode(PORTS, seq & 0xFFFF_FFFF, ack, flags, window, options, payload, ADDRESSES))


class Ended:
    """A host after a stream of bursts: all there is to see of it."""

    def __init__(self, stamped: bool, seed: int, damage: bool) -> None:
        bench = Bench()
        bench.feed(arp(1, PEER, HOST))
        bench.replies()
        accepted: list[Reader] = []

        def accept(connection: Connection) -> None:
            accepted.append(Reader(connection))

        bench.inet.tcp.listen(packed(HOST), 80, accept)
        stamps = (100, 0) if stamped else None
        bench.feed(frame(0xFFFF_F000, 0, SYN, options=for_syn(1460, 5, True, stamps)))
        answer = decode(memoryview(bench.sent.pop()[34:]), ADDRESSES)
        iss = answer.seq + 1 & 0xFFFF_FFFF
        random = Random(seed)
        options = for_stamps(101, answer.options.stamp or 0) if stamped else b""
        frames = [frame(0xFFFF_F001, iss, ACK, options=options)]
        place = 0xFFFF_F001
        for number in range(300):
            data = random.randbytes(random.choice((1, 7, 500, 1400)))
            options = for_stamps(102 + number, answer.options.stamp or 0) if stamped else b""
            flags = ACK | (PSH if random.random() < 0.2 else 0)
            frames.append(frame(place, iss, flags, data, options))
            if damage and random.random() < 0.1:
                broken = bytearray(frames[-1])
                broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
                frames.insert(random.randrange(1, len(frames)), bytes(broken))
            if damage and random.random() < 0.05:
                frames.append(random.choice(frames))
            place += len(data)
        frames.append(frame(place, iss, FIN | ACK, options=options))
        at = 0
        while at < len(frames):
            size = random.randint(1, 40)
            bench.feed(*frames[at : at + size])
            at += size
        (reader,) = accepted
        self.data = bytes(reader.data)
        self.eof = reader.eof
        self.pieces = reader.pieces
        self.counts = bench.counts()
        self.counters = bench.inet.tcp.counters
        self.sent = [sent[34:] for sent in bench.sent]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("damage", [False, True])
def test_both_ways_end_the_same(monkeypatch: pytest.MonkeyPatch, seed: int, stamped: bool, damage: bool) -> None:
    monkeypatch.setattr("os.urandom", lambda size: bytes(size))
    taken = 0
    fast = tcp_burst

    def counted(burst: Burst, mac: bytes, tcp: Tcp) -> bool:
        nonlocal taken
        before = burst.taken
        more = fast(burst, mac, tcp)
        taken += burst.taken - before
        return more

    monkeypatch.setattr("asyncnic.stacks.inet.stack.tcp_burst", counted)
    one = Ended(stamped, seed, damage)
    assert taken > 10
    monkeypatch.setattr("asyncnic.stacks.inet.stack.tcp_burst", lambda burst, mac, tcp: True)
    other = Ended(stamped, seed, damage)
    assert vars(one) == vars(other)
    assert one.eof or damage


def test_a_burst_is_one_piece_and_one_ack() -> None:
    bench = Bench()
    bench.feed(arp(1, PEER, HOST))
    accepted: list[Reader] = []
    bench.inet.tcp.listen(packed(HOST), 80, lambda connection: accepted.append(Reader(connection)))
    bench.sent.clear()
    bench.feed(frame(0, 0, SYN, options=for_syn(1460, 5, True, None)))
    iss = decode(memoryview(bench.sent.pop()[34:]), ADDRESSES).seq + 1
    bench.feed(frame(1, iss & 0xFFFF_FFFF, ACK))
    bench.feed(*(frame(1 + 1000 * number, iss & 0xFFFF_FFFF, ACK, bytes(1000)) for number in range(50)))
    assert len(accepted[0].data) == 50_000
    assert accepted[0].pieces == 1
    assert len(bench.sent) == 1
