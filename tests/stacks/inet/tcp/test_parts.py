"""The small parts, each alone: sequence numbers, options, segments, timers, round-trip time, congestion, cookies."""

import struct
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.inet.tcp import cookies, options
from asyncnic.stacks.inet.tcp.congestion import Congestion, initial_window
from asyncnic.stacks.inet.tcp.cubic import Cubic
from asyncnic.stacks.inet.tcp.half_open import RETRIES, HalfOpen, HalfOpens
from asyncnic.stacks.inet.tcp.new_reno import NewReno
from asyncnic.stacks.inet.tcp.reassembly import OVERHEAD, StreamReassembly
from asyncnic.stacks.inet.tcp.rtt import LEAST, MOST, RoundTrip
from asyncnic.stacks.inet.tcp.scoreboard import Scoreboard
from asyncnic.stacks.inet.tcp.segment import FIN, SYN, ChecksumError, HeaderError, decode, encode
from asyncnic.stacks.inet.tcp.send_buffer import SendBuffer
from asyncnic.stacks.inet.tcp.sequence import before, number, position
from asyncnic.stacks.inet.tcp.timers import NEVER, Timer, Timers
from tests.stacks.inet.wire import sum_of


@given(st.integers(-(1 << 40), 1 << 40), st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_number_becomes_the_position_next_to_what_is_known(near: int, distance: int) -> None:
    assert position(number(near + distance), near) == near + distance


@given(st.integers(0, (1 << 32) - 1), st.integers(1, (1 << 31) - 1))
def test_time_stamps_are_compared_modulo_2_32(stamp: int, distance: int) -> None:
    later = (stamp + distance) & 0xFFFF_FFFF
    assert before(stamp, later)
    assert not before(later, stamp)
    assert not before(stamp, stamp)


@given(st.binary(max_size=40))
def test_no_octets_of_options_raise(data: bytes) -> None:
    found = options.parse(data)
    assert found.scale is None or found.scale <= options.MAX_SCALE


def test_options_of_a_syn_come_back() -> None:
    found = options.parse(options.for_syn(1460, 7, True, (5, 6)))
    assert (found.mss, found.scale, found.sack_permitted, found.stamp, found.echo) == (1460, 7, True, 5, 6)
    assert len(options.for_syn(1460, 7, True, (5, 6))) % 4 == 0


def test_sack_blocks_come_back_beside_time_stamps() -> None:
    written = options.for_stamps(1, 2) + options.for_blocks([(10, 20), (30, 40), (50, 60)])
    assert len(written) == 40
    assert options.parse(written).blocks == [(10, 20), (30, 40), (50, 60)]


@pytest.mark.parametrize("bad", [b"\x02\x00\x05\xb4", b"\x02\x01\x05\xb4", b"\x02\x09\x05\xb4", b"\x02"])
def test_an_option_of_impossible_length_ends_the_options(bad: bytes) -> None:
    assert options.parse(b"\x04\x02" + bad).sack_permitted
    assert options.parse(b"\x04\x02" + bad).mss is None


def test_unknown_options_are_skipped_by_their_length() -> None:
    assert options.parse(b"\xfd\x06abcd\x02\x04\x05\xb4").mss == 1460


@given(st.binary(max_size=99), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1), st.integers(0, 255))
def test_a_segment_comes_back_and_its_checksum_is_right(payload: bytes, seq: int, ack: int, flags: int) -> None:
    source, target = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))
    addresses = int.from_bytes(source, "big") + int.from_bytes(target, "big") + 6
    data = encode(80 << 16 | 1234, seq, ack, flags, 777, options.for_stamps(1, 2), payload, addresses)
    pseudo = source + target + struct.pack("!HH", 6, len(data))
    assert sum_of(pseudo + data) == 0xFFFF
    segment = decode(memoryview(data), addresses)
    assert (segment.source_port, segment.port, segment.seq, segment.ack) == (80, 1234, seq, ack)
    assert (segment.flags, segment.window, bytes(segment.payload)) == (flags, 777, payload)
    assert segment.length == len(payload) + bool(flags & SYN) + bool(flags & FIN)
    damaged = bytearray(data)
    damaged[4] ^= 1
    with pytest.raises(ChecksumError):
        decode(memoryview(damaged), addresses)


@given(st.binary(max_size=60))
def test_any_octets_are_a_segment_or_an_error(data: bytes) -> None:
    try:
        decode(memoryview(data), 0)
    except (HeaderError, ChecksumError):
        return
    assert len(data) >= 20


def test_timers_are_due_once() -> None:
    timers = Timers()
    assert timers.next() == NEVER
    timers.set(Timer.RETRANSMIT, 5)
    timers.set(Timer.DELAYED_ACK, 3)
    assert timers.next() == 3
    assert timers.due(4) == [Timer.DELAYED_ACK]
    assert timers.due(4) == []
    timers.stop(Timer.RETRANSMIT)
    assert timers.next() == NEVER


def test_the_time_out_follows_rfc_6298() -> None:
    trip = RoundTrip()
    assert trip.timeout == 1.0
    trip.sample(1.0)
    assert trip.timeout == 3.0
    for _ in range(100):
        trip.sample(0.001)
    assert trip.timeout == LEAST
    trip.back_off()
    assert trip.timeout == 2 * LEAST
    trip.advance()
    assert trip.timeout == LEAST
    for _ in range(20):
        trip.back_off()
    assert trip.timeout == MOST


CONTROLS: dict[str, Callable[[int], Congestion]] = {"cubic": Cubic, "newreno": NewReno}


@pytest.mark.parametrize("name", CONTROLS)
def test_congestion_control_starts_with_ten_segments_and_doubles_a_round_trip(name: str) -> None:
    control = CONTROLS[name](1460)
    assert control.window == initial_window(1460) == 14600
    for _ in range(10):
        control.acknowledged(1460, 1.0, 0.1)
    assert control.window == 29200
    assert control.name == name


@pytest.mark.parametrize("name", CONTROLS)
def test_congestion_control_goes_back_at_a_loss_and_on_when_it_was_none(name: str) -> None:
    control = CONTROLS[name](1000)
    for step in range(100):
        control.acknowledged(1000, step / 10, 0.1)
    full = control.window
    control.lost(full, 11.0)
    assert full * 0.49 <= control.window <= full * 0.71
    control.recovered(0)
    assert control.window <= 2000  # nothing in flight: no burst
    control.undo()
    assert control.window == full
    control.timed_out(full, 12.0)
    assert control.window == 1000
    assert control.threshold >= full * 0.49


@pytest.mark.parametrize("name", CONTROLS)
def test_congestion_avoidance_grows_slowly(name: str) -> None:
    control = CONTROLS[name](1000)
    for step in range(100):
        control.acknowledged(1000, step / 10, 0.1)
    control.lost(control.window, 10.0)
    before_ = control.window
    for step in range(before_ // 1000):
        control.acknowledged(1000, 10.1 + step * 0.001, 0.1)
    assert before_ < control.window <= before_ * 1.5


def test_cubic_returns_to_where_it_was_and_stays_there_a_while() -> None:
    """RFC 9438 figure 1: concave up to W_max, a plateau around it, then convex."""
    control = Cubic(1000)
    control.window, control.threshold = 1_000_000, 1
    control._window = 1000.0
    control.lost(1_000_000, 0.0)
    grown = []
    now = 0.0
    while now < 14:
        for _ in range(control.window // 10_000):
            control.acknowledged(10_000, now, 0.1)
        now += 0.1
        grown.append(control.window)
    k = round((300 / 0.4) ** (1 / 3) * 10)
    assert abs(grown[k] - 1_000_000) < 60_000
    assert grown[k // 2] - grown[0] > 3 * (grown[k] - grown[k // 2])


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 60)), max_size=40), st.randoms())
def test_reassembly_gives_back_what_came_in_any_order(pieces: list[tuple[int, int]], random: Random) -> None:
    stream = bytes(range(256)) * 2
    reassembly = StreamReassembly(1 << 20)
    there = set()
    for start, size in pieces:
        reassembly.add(start, stream[start : start + size])
        there |= set(range(start, start + size))
        assert {place for left, right in reassembly.ranges for place in range(left, right)} == there
        assert reassembly.blocks(1)[0][0] <= start < reassembly.blocks(1)[0][1]
        assert len(reassembly.blocks(9)) <= 4
    first = random.randrange(1, 300)
    taken = b"".join(reassembly.take(first))
    end = first
    while end in there:
        end += 1
    assert taken == stream[first:end]
    rest = {place for left, right in reassembly.ranges for place in range(left, right)}
    assert rest == {place for place in there if place >= end} - set(range(end))
    reassembly.take(1 << 20)
    assert reassembly.cost == 0


def test_reassembly_counts_what_pieces_really_cost() -> None:
    reassembly = StreamReassembly(10_000)
    for place in range(2, 2000, 2):
        reassembly.add(place, b"x")
    assert reassembly.cost <= 10_000
    assert len(reassembly.ranges) == 10_000 // (1 + OVERHEAD)


@given(st.lists(st.integers(1, 5000), max_size=20), st.randoms())
def test_the_send_buffer_is_the_stream(sizes: list[int], random: Random) -> None:
    buffer, stream, start = SendBuffer(77), b"", 0
    for size in sizes:
        data = random.randbytes(size)
        buffer.append(random.choice((bytes, bytearray, memoryview))(data))
        stream += data
        place = random.randint(start, len(stream))
        length = random.randint(0, len(stream) - place)
        if length:
            assert bytes(buffer.view(77 + place, length)) == stream[place : place + length]
        start = random.randint(start, len(stream))
        buffer.release(77 + start)
        assert len(buffer) == len(stream) - start
    buffer.release(77 + len(stream))
    assert buffer.cost == 0


def test_a_thousand_small_writes_cost_little_more_than_a_large_one() -> None:
    buffer = SendBuffer(0)
    for _ in range(1000):
        buffer.append(b"x")
    assert buffer.cost < 2000


@given(st.lists(st.tuples(st.integers(101, 200), st.integers(1, 40)), max_size=20), st.integers(100, 200))
def test_the_scoreboard_knows_what_the_peer_has(blocks: list[tuple[int, int]], una: int) -> None:
    board, there = Scoreboard(100), set()
    for left, size in blocks:
        board.add([(left, left + size)], 100, 300)
        there |= set(range(left, left + size)) if left > 100 and left + size <= 300 else set()
    assert board.sacked == len(there)
    assert board.pipe(100, 300) == 200 - len(there)
    board.release(una)
    there = {place for place in there if place >= una}
    assert board.sacked == len(there)
    board.forget(una, 250)
    assert (board.sacked, board.pipe(una, 250)) == (0, 0)


def test_holes_are_lost_where_three_segments_lie_above() -> None:
    board = Scoreboard(0)
    board.add([(1000, 3000)], 0, 9000)
    assert not board.find_lost(1000, 9000)
    board.add([(5000, 7000)], 0, 9000)
    assert board.find_lost(1000, 9000)
    assert board.hole() == (0, 1000)
    board.again = 1000
    assert board.hole() is None
    assert board.pipe(0, 9000) == 9000 - 4000
    board.add([(7000, 8000)], 0, 9000)
    assert board.find_lost(1000, 9000)
    assert board.hole() == (3000, 5000)


def test_a_reordering_way_raises_the_threshold() -> None:
    board = Scoreboard(0)
    board.reordered(5000, 1000)
    board.add([(1000, 5000)], 0, 20_000)
    assert not board.find_lost(1000, 20_000)


KEY = bytes(12)


def test_cookies_are_taken_for_two_periods_and_from_nobody_else() -> None:
    secrets = cookies.Secrets(b"k")
    now = 10_000.0
    cookie = secrets.cookie(KEY, 5, 1460, now)
    assert secrets.check(KEY, 5, cookie, now) == 1460
    assert secrets.check(KEY, 5, cookie, now + cookies.PERIOD) == 1460
    assert secrets.check(KEY, 5, cookie, now + 2 * cookies.PERIOD) is None
    assert secrets.check(KEY, 6, cookie, now) is None
    assert secrets.check(bytes(11) + b"x", 5, cookie, now) is None
    assert cookies.Secrets(b"other").check(KEY, 5, cookie, now) is None


@pytest.mark.parametrize("scale", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("stamp", [0, 1, 63, 64, 1 << 31, (1 << 32) - 1])
def test_a_marked_time_stamp_says_what_the_syn_said(scale: int | None, sack: bool, stamp: int) -> None:
    marked = cookies.mark(stamp, scale, sack)
    assert cookies.marks(marked) == (scale, sack)
    assert (stamp - marked) & 0xFFFF_FFFF <= 128


def test_initial_sequence_numbers_grow_and_differ_by_connection() -> None:
    secrets = cookies.Secrets(b"k")
    first, later = secrets.initial(KEY, 1.0), secrets.initial(KEY, 2.0)
    assert (later - first) & 0xFFFF_FFFF == 250_000
    assert secrets.initial(bytes(11) + b"x", 1.0) != first
    assert secrets.stamp_base(b"one") != secrets.stamp_base(b"two")


def test_half_open_connections_are_answered_again_and_then_forgotten() -> None:
    table = HalfOpens(2)
    table.add(b"one", HalfOpen(1, 2, options.Options(), (b"", 80), 0.0))
    table.add(b"two", HalfOpen(1, 2, options.Options(), (b"", 81), 0.0))
    assert table.full
    table.drop((b"", 81))
    again, now = 0, 0.0
    while table.entries:
        now = table.due
        again += len(table.expired(now))
        assert now < 100
    assert again == RETRIES
