"""The fast way and the slow one are the same TCP: fed the same frames, sound and damaged, they end the same."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.nic.burst import Burst
from asyncnic.stacks.inet.tcp.connection import Connection
from asyncnic.stacks.inet.tcp.options import for_stamps, for_syn
from asyncnic.stacks.inet.tcp.segment import ACK, FIN, PSH, SYN, decode, encode
from tests.stacks.inet.tcp.ends import FORMS, Never, Story
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("stamped", [False, True])
@pytest.mark.parametrize("damage", [False, True])
def test_both_ways_end_the_same(
    monkeypatch: pytest.MonkeyPatch, form: str, seed: int, stamped: bool, damage: bool
) -> None:
    monkeypatch.setattr("os.urandom", lambda size: bytes(size))
    taken = 0

    class Counted(FORMS[form].reader):  # type: ignore[misc]
        def read(self, burst: Burst) -> bool:
            nonlocal taken
            before = burst.taken
            more: bool = super().read(burst)
            taken += burst.taken - before
            return more

    monkeypatch.setattr("asyncnic.stacks.inet.stack._SegmentReader", Counted)
    one = Ended(stamped, seed, damage)
    assert taken > 10
    monkeypatch.setattr("asyncnic.stacks.inet.stack._SegmentReader", Never)
    other = Ended(stamped, seed, damage)
    assert vars(one) == vars(other)
    assert one.eof or damage


on_any_wire = given(
    form=st.sampled_from(sorted(FORMS)),
    version=st.sampled_from([4, 6]),
    seed=st.integers(0, 1 << 30),
    lost=st.sampled_from([0, 1, 5]),
    doubled=st.sampled_from([0, 3]),
    overtaken=st.sampled_from([0, 3]),
)
"""Both forms and families, on wires that lose, double and reorder frames."""


@settings(max_examples=8, deadline=None)
@on_any_wire
def test_frame_by_frame_the_fast_ways_send_what_the_slow_ones_do(
    form: str, version: int, seed: int, lost: int, doubled: int, overtaken: int
) -> None:
    """A frame a burst: then not even a window may differ, so every octet sent is the same."""
    stories = [Story(name, version, seed, lost, doubled, overtaken, burst=1) for name in (form, "slow")]
    for story in stories:
        story.play()
    fast, slow = stories
    assert fast.taken_fast > 5
    assert fast.put_fast > 5
    assert slow.taken_fast == slow.put_fast == 0
    assert fast.said == slow.said
    assert fast.counters == slow.counters


@settings(max_examples=8, deadline=None)
@on_any_wire
def test_in_bursts_all_comes_over_any_wire_and_it_ends(
    form: str, version: int, seed: int, lost: int, doubled: int, overtaken: int
) -> None:
    """`Story.play` fails where an octet is wrong or missing, or where it does not end."""
    story = Story(form, version, seed, lost, doubled, overtaken, burst=40)
    story.play()
    assert story.put_fast


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
