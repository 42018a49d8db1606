"""The MUSTs of RFC 9293, each with the test that shows it; and the twelve that middleboxes are measured by (tcpreq).

`MUSTS` is the list (appendix B): number, what it asks, and where it is shown: here, or as "module:test" beside. What is
left out on purpose says so.
"""

import importlib

import pytest

from asyncnic.stacks.inet.tcp.options import for_stamps, for_syn, parse
from asyncnic.stacks.inet.tcp.segment import ACK, RST, SYN, URG, encode
from asyncnic.stacks.inet.tcp.states import TcpState
from tests.stacks.inet.tcp.bare import in_state
from tests.stacks.inet.tcp.test_failures import ADDRESSES, STAMPED, Raw
from tests.stacks.inet.wire import HOST, PEER, Bench, ipv4, packed

MUSTS: dict[int, tuple[str, str]] = {
    1: ("the window is an unsigned number", "test_1_a_window_of_65535_is_large"),
    2: ("senders compute the checksum", "test_parts:test_a_segment_comes_back_and_its_checksum_is_right"),
    3: ("receivers check it", "test_3_a_damaged_segment_is_not_taken"),
    4: ("the mandatory options", "test_parts:test_options_of_a_syn_come_back"),
    5: ("options in any segment", "test_5_and_64_options_are_taken_in_any_segment_and_at_any_place"),
    6: ("unknown options are ignored", "test_parts:test_unknown_options_are_skipped_by_their_length"),
    7: ("illegal option lengths", "test_parts:test_an_option_of_impossible_length_ends_the_options"),
    8: ("initial numbers by a clock", "test_parts:test_initial_sequence_numbers_grow_and_differ_by_connection"),
    9: ("not to be computed from outside", "test_parts:test_initial_sequence_numbers_grow_and_differ_by_connection"),
    10: ("simultaneous open", "test_failures:test_13_simultaneous_open"),
    11: ("SYN-RECEIVED remembers", "test_failures:test_04_ten_thousand_half_opens_that_are_reset_leave_nothing"),
    12: ("the application is told of a reset", "test_transport:test_abort_resets"),
    13: ("TIME-WAIT for 2 MSL", "test_13_time_wait_lasts_two_msl"),
    14: ("the MSS option both ways", "test_14_our_syn_ack_says_what_fits_the_link"),
    15: ("536 without it", "test_15_without_the_option_segments_are_small"),
    16: ("effective segment size", "test_16_options_take_their_room_from_the_data"),
    17: ("Nagle can be turned off", "test_17_nagle_holds_small_segments_back_until_turned_off"),
    18: ("Karn's algorithm", "test_18_what_was_sent_twice_is_no_sample"),
    19: ("back-off, slow start, congestion avoidance", "test_parts:test_the_time_out_follows_rfc_6298"),
    22: ("SYNs are given up like data", "test_failures:test_icmp_does_not_end_a_connection_that_stands"),
    23: ("3 minutes for a SYN", "test_23_a_syn_is_given_up_after_three_minutes"),
    24: ("keep-alive can be turned on", "test_transport:test_names"),
    25: ("and is off", "test_failures:test_keep_alive_asks_and_gives_up"),
    30: ("the urgent pointer", "test_30_and_31_urgent_data_is_data"),
    31: ("of any length", "test_30_and_31_urgent_data_is_data"),
    34: ("windows that shrink", "test_34_a_window_that_shrinks_is_borne"),
    35: ("a window shrunk to nothing is probed", "test_failures:test_07_a_lost_window_update_is_asked_for"),
    36: ("zero windows are probed", "test_failures:test_07_a_lost_window_update_is_asked_for"),
    37: ("for ever, if answered", "test_failures:test_07_probes_go_on_as_long_as_they_are_answered"),
    38: ("silly windows, sending", "test_failures:test_11_small_windows_at_a_large_mtu_keep_the_rate"),
    39: ("silly windows, receiving", "test_39_a_window_opens_by_a_segment_at_least"),
    40: ("ACKs within half a second", "test_40_and_58_an_ack_waits_a_little_for_company"),
    41: (
        "listeners do not disturb connections",
        "test_failures:test_10_a_syn_beyond_the_backlog_is_never_reset",
    ),
    42: ("several at once", "test_transport:test_a_hundred_connections_at_once"),
    44: ("a source address is found", "test_transport:test_names"),
    45: ("or the one that was asked for", "test_transport:test_a_local_address"),
    46: ("no connection to a group", "test_46_there_is_no_connecting_to_a_group"),
    54: ("ICMP is heard", "test_failures:test_icmp_does_not_end_a_connection_that_stands"),
    56: ("soft errors end nothing", "test_failures:test_icmp_does_not_end_a_connection_that_stands"),
    57: ("segments to groups are dropped", "test_57_a_segment_to_a_group_is_dropped_in_silence"),
    58: ("ACKs are aggregated", "test_fast:test_a_burst_is_one_piece_and_one_ack"),
    59: ("after all that came", "test_fast:test_a_burst_is_one_piece_and_one_ack"),
    64: ("options at any place", "test_5_and_64_options_are_taken_in_any_segment_and_at_any_place"),
    65: ("MSS in SYNs only", "test_65_and_69_only_syns_say_the_segment_size"),
    66: ("resets with a zero window", "test_66_a_reset_is_taken_with_the_window_closed"),
    69: ("padding", "test_65_and_69_only_syns_say_the_segment_size"),
}
LEFT_OUT = {32, 33, 62, 48, 49, 50, 51, 52, 53, 20, 21, 26, 27, 28, 29, 43, 47, 55, 60, 61, 63, 67, 68}
"""Urgent data told apart (32, 33, 62), what a user may set of IP (48 to 53), and those without a test."""


@pytest.mark.parametrize("number", MUSTS)
def test_each_must_has_its_test(number: int) -> None:
    module, _, name = MUSTS[number][1].rpartition(":")
    found = importlib.import_module(f"tests.stacks.inet.tcp.{module or 'test_musts'}")
    assert callable(getattr(found, name))
    assert number not in LEFT_OUT


def test_1_a_window_of_65535_is_large() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.feed(ACK, window=0xFFFF)
    assert bare.connection.sender.window == 0xFFFF


def test_3_a_damaged_segment_is_not_taken() -> None:
    bench = Bench()
    data = bytearray(encode(5000 << 16 | 80, 1, 0, SYN, 1000, b"", b"", _sum()))
    data[4] ^= 0x40
    assert bench.feed(ipv4(6, bytes(data))) == {("tcp", "bad_checksum"): 1}
    assert not bench.sent


def _sum() -> int:
    return int.from_bytes(packed(HOST), "big") + int.from_bytes(packed(PEER), "big") + 6


def test_5_and_64_options_are_taken_in_any_segment_and_at_any_place() -> None:
    bare = in_state(TcpState.ESTABLISHED, syn=for_syn(1460, 7, True, (1000, 0)))
    odd = b"\x01" + b"\x08\x0a" + for_stamps(1234, 0)[4:] + b"\x01"
    bare.feed(ACK, payload=b"x", options=parse(odd))
    assert bare.connection.recent == 1234


def test_13_time_wait_lasts_two_msl() -> None:
    bare = in_state(TcpState.TIME_WAIT)
    bare.pass_time(bare.config.two_msl - 0.1)
    assert bare.state is TcpState.TIME_WAIT
    bare.pass_time(0.2)
    assert {bare.state} == {TcpState.CLOSED}


def test_14_our_syn_ack_says_what_fits_the_link() -> None:
    (answer,) = Raw().send(SYN, 100, options=STAMPED)
    assert answer.options.mss == 1460


def test_15_without_the_option_segments_are_small() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    sent = bare.write(bytes(2000))
    assert max(len(segment.payload) for segment in sent) == 536


def test_16_options_take_their_room_from_the_data() -> None:
    bare = in_state(TcpState.ESTABLISHED, syn=for_syn(1000, 7, True, (1, 0)))
    sent = bare.write(bytes(5000))
    assert max(len(segment.payload) for segment in sent) == 1000 - 12


def test_17_nagle_holds_small_segments_back_until_turned_off() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    assert len(bare.write(b"first")) == 1
    assert bare.write(b"second") == []
    bare.connection.sender.nodelay = True
    assert [bytes(segment.payload) for segment in bare.write(b" and third")] == [b"second and third"]


def test_18_what_was_sent_twice_is_no_sample() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.write(b"once")
    bare.pass_time(5.0)
    bare.feed(ACK)
    assert bare.connection.sender.round_trip.smoothed == 0.0


def test_23_a_syn_is_given_up_after_three_minutes() -> None:
    bare = in_state(TcpState.SYN_SENT)
    begun = bare.now
    while bare.connection.state is TcpState.SYN_SENT:
        bare.pass_time(max(0.001, bare.connection.timers.next() - bare.now))
    assert bare.now - begun >= 180
    assert isinstance(bare.connection.error, TimeoutError)


def test_30_and_31_urgent_data_is_data() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    for size in (1, 1000, 5000):
        bare.feed(ACK | URG, payload=bytes(size))
        assert len(bare.connection.read()) == size


def test_34_a_window_that_shrinks_is_borne() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.sender.nodelay = True
    bare.write(bytes(4000))
    assert bare.feed(ACK, ack=-4000, window=1000) == []  # the usable window is negative now
    assert bare.write(bytes(1000)) == []
    bare.feed(ACK, window=1000)
    assert bare.connection.sender.flight == 1000


def test_39_a_window_opens_by_a_segment_at_least() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    capacity = bare.config.receive_window
    for _ in range(capacity // 1000):
        bare.feed(ACK, payload=bytes(1000))
    closed = bare.connection.receiver.window()
    assert closed < 1000
    bare.connection.receiver._held -= 500  # half a segment was read
    assert bare.connection.receiver.window() == closed
    bare.connection.receiver._held -= 5000
    assert bare.connection.receiver.window() >= 5000


def test_40_and_58_an_ack_waits_a_little_for_company() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.receiver.quick = 0
    assert bare.feed(ACK, payload=b"alone") == []
    assert len(bare.pass_time(0.5)) == 1


def test_46_there_is_no_connecting_to_a_group() -> None:
    bench = Bench()
    for host in ("255.255.255.255", "192.0.2.255", "224.0.0.1", "0.0.0.0"):
        with pytest.raises(OSError, match="unreachable"):
            bench.inet._remote(host, 80, 0)


def test_57_a_segment_to_a_group_is_dropped_in_silence() -> None:
    bench = Bench()
    group, mac = "224.0.0.1", bytes.fromhex("01005e000001")
    addresses = _sum() - int.from_bytes(packed(HOST), "big") + int.from_bytes(packed(group), "big")
    data = encode(5000 << 16 | 80, 1, 0, SYN, 1000, b"", b"", addresses)
    assert bench.feed(ipv4(6, data, target=group, mac=mac)) == {("tcp", "not_unicast"): 1}
    assert not bench.sent


def test_65_and_69_only_syns_say_the_segment_size() -> None:
    raw = Raw()
    reader, _ = raw.open(options=STAMPED)
    reader.connection.write(bytes(100))
    raw.host.touch(reader.connection)
    raw.host.flush(raw.now)
    for segment in raw.answers(ADDRESSES):
        assert segment.options.mss is None
    assert len(for_syn(1460, 7, True, None)) % 4 == 0


def test_66_a_reset_is_taken_with_the_window_closed() -> None:
    bare = in_state(TcpState.ESTABLISHED)
    bare.connection.receiver.edge = bare.connection.receiver.nxt
    bare.feed(RST)
    assert bare.state is TcpState.CLOSED
