"""Receiving: every style, chaining, MISS, the fast way and the slow one (fact sheet, section 7)."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import OWN, byte_count
from asyncnic.pcnet32.model.quirks import QEMU, SILICON
from tests.pcnet32.rig import BROADCAST, MAC, PEER, PITCH, RX_BUFFERS, RX_RING, Rig, frame, wire

OTHER = bytes.fromhex("525400999999")
GROUP = bytes.fromhex("01005e000001")
DONE_PAM, DONE_BAM, DONE_LAFM, DONE = 0x0340, 0x0310, 0x0320, 0x0300


def armed(count: int = 4, size: int = 2048, **options: object) -> Rig:
    rig = Rig(rx=count, **options)  # type: ignore[arg-type]
    for slot in range(count):
        rig.arm(slot, size)
    return rig


@pytest.mark.parametrize("style", [1, 2, 3])
def test_frame_lands_with_status_count_and_rint(style: int) -> None:
    rig = armed(style=style)
    rig.chip.receive(frame(100))
    assert rig.rx(0) == (DONE_PAM, 104)
    assert rig.rx_data(0, 104) == frame(100) + bytes(4)
    assert rig.status & reg.CSR0_RINT
    assert rig.chip.interrupt_line


def test_style_0_has_no_room_for_match_flags() -> None:
    rig = armed(style=0)
    rig.chip.receive(frame(100))
    assert rig.rx(0) == (0x0300, 104)


@pytest.mark.parametrize("quirks", [SILICON, QEMU])
@pytest.mark.parametrize(("length", "count"), [(1, 64), (14, 64), (59, 64), (60, 64), (1514, 1518)])
def test_short_frames_are_padded_and_count_has_the_fcs(quirks: object, length: int, count: int) -> None:
    rig = armed(mode=reg.MODE_PROM, quirks=quirks)
    rig.chip.receive(frame(length))
    assert rig.rx(0) == (DONE, count)
    assert rig.rx_data(0, count) == frame(length).ljust(60, b"\0") + bytes(4)


def test_filtered_frames_touch_no_descriptor() -> None:
    rig = armed()
    rig.chip.receive(frame(100, to=OTHER))
    assert rig.rx(0)[0] == 0x8000
    assert rig.chip.counters.filtered == 1
    assert not rig.status & (reg.CSR0_RINT | reg.CSR0_MISS)


def test_chain_spreads_over_descriptors() -> None:
    rig = armed(size=128)
    rig.chip.receive(frame(300))
    assert [rig.rx(slot)[0] for slot in range(4)] == [0x0200, 0x0000, 0x0140, 0x8000]
    assert rig.rx(2)[1] == 304
    assert rig.rx_data(0, 128) + rig.rx_data(1, 128) + rig.rx_data(2, 44) == frame(300)


def test_fcs_counts_against_the_buffer() -> None:
    rig = armed(size=128)
    rig.chip.receive(frame(126))
    assert [rig.rx(slot)[0] for slot in range(2)] == [0x0200, 0x0140]


def test_chain_without_enough_descriptors_ends_in_buff() -> None:
    rig = armed(size=128)
    rig.arm(2, status=0)
    rig.chip.receive(frame(500))
    assert [rig.rx(slot)[0] for slot in range(2)] == [0x0200, 0x4400]
    assert rig.chip.counters.stored == 1
    assert rig.status & reg.CSR0_RINT
    assert not rig.status & reg.CSR0_MISS


def test_qemu_sets_oflo_too() -> None:
    rig = armed(size=128, count=1, quirks=QEMU)
    rig.chip.receive(frame(500))
    assert rig.rx(0)[0] == 0x5600


def test_a_frame_longer_than_the_whole_ring_ends() -> None:
    rig = armed(size=64, count=2)
    rig.chip.receive(frame(65535))
    assert [rig.rx(slot)[0] for slot in range(2)] == [0x0200, 0x4400]


def test_silicon_chains_over_four_and_qemu_over_three() -> None:
    silicon, qemu = armed(size=128), armed(size=128, quirks=QEMU)
    for rig in (silicon, qemu):
        rig.chip.receive(frame(500))
    assert [silicon.rx(slot)[0] for slot in range(4)] == [0x0200, 0x0000, 0x0000, 0x0140]
    assert [qemu.rx(slot)[0] for slot in range(4)] == [0x0200, 0x0000, 0x5400, 0x8000]


def test_no_descriptor_is_a_miss_and_the_same_descriptor_is_looked_at_again() -> None:
    rig = armed()
    rig.arm(0, status=0)
    rig.chip.receive(frame(100))
    assert rig.status & reg.CSR0_MISS
    assert rig.status & reg.CSR0_ERR
    assert rig.csr(reg.MISSED_FRAMES) == 1
    assert rig.rx(1)[0] == 0x8000
    rig.arm(0)
    rig.chip.receive(frame(100))
    assert rig.rx(0)[0] == DONE_PAM


def test_qemu_skips_to_the_next_owned_descriptor() -> None:
    rig = armed(quirks=QEMU)
    rig.arm(0, status=0)
    rig.chip.receive(frame(100))
    assert rig.rx(1)[0] == DONE_PAM


def test_qemu_never_looks_at_the_last_descriptor_when_skipping() -> None:
    rig = armed(quirks=QEMU)
    for slot in range(3):
        rig.arm(slot, status=0)
    rig.chip.receive(frame(100))
    assert rig.rx(3)[0] == 0x8000
    assert rig.csr(reg.MISSED_FRAMES) == 1


@pytest.mark.parametrize("message", [0x1000, 0])
def test_qemu_takes_malformed_descriptors_for_not_owned(message: int) -> None:
    rig = armed(count=1, quirks=QEMU)
    rig.arm(0, message=message)
    if not message:
        rig.memory.words[RX_RING // 4 + 1] &= ~0x1000
    rig.chip.receive(frame(100))
    assert rig.chip.counters.missed == 1
    assert rig.csr(reg.RX_DESCRIPTOR) == 0


def test_missed_frame_counter_wraps_into_mfco() -> None:
    rig = Rig()
    rig.stop()
    rig.set_csr(reg.MISSED_FRAMES, 0xFFFF)
    rig.start()
    rig.set_csr(reg.FEATURES, 0)
    rig.set_csr(reg.INTERRUPT_MASK, reg.CSR3_MISSM)
    rig.chip.receive(frame(60))
    assert rig.csr(reg.MISSED_FRAMES) == 0
    assert rig.csr(reg.FEATURES) & reg.CSR4_MFCO
    assert rig.chip.interrupt_line
    rig.set_csr(reg.FEATURES, reg.CSR4_MFCO)
    assert not rig.chip.interrupt_line
    assert rig.chip.counters.missed == 1


@pytest.mark.parametrize("off", ["stopped", "suspended", "drx", "before start", "loopback", "no link", "empty"])
def test_frames_are_discarded_silently_while_the_receiver_is_off(off: str) -> None:
    mode = {"drx": reg.MODE_DRX, "loopback": reg.MODE_LOOP}.get(off, 0)
    rig = armed(mode=mode, bring_up=off != "before start")
    if off == "before start":
        rig.init()
    elif off == "stopped":
        rig.stop()
    elif off == "suspended":
        rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    rig.chip.link_up = off != "no link"
    rig.chip.receive(b"" if off == "empty" else frame(100))
    assert rig.chip.counters.discarded == 1
    assert rig.rx(0)[0] == 0x8000
    assert not rig.status & reg.CSR0_MISS
    assert off == "empty" or rig.chip.fill(wire(frame(100)), 1) == 0


def test_qemu_receives_from_init_on() -> None:
    rig = armed(bring_up=False, quirks=QEMU)
    rig.init()
    rig.chip.receive(frame(100))
    assert rig.rx(0)[0] == DONE_PAM


def test_stale_status_is_left_for_the_driver_to_find() -> None:
    rig = armed(quirks=QEMU)
    rig.arm(0, status=0xBCFF_0000)
    rig.chip.receive(frame(100, to=MAC))
    assert rig.rx(0)[0] == 0x3FCF


def test_long_frames_are_kept_modulo_the_counter_and_cut_by_qemu() -> None:
    silicon, qemu = armed(size=4096), armed(size=4096, quirks=QEMU)
    for rig in (silicon, qemu):
        rig.chip.receive(frame(5000))
    assert [silicon.rx(slot) for slot in range(2)] == [(0x0200, 0), (0x0140, 5004 - 4096)]
    assert qemu.rx(0) == (DONE_PAM, 0x1000)


def test_astrp_rcv_strips_pad_and_fcs_of_short_802_3_frames() -> None:
    rig = armed()
    rig.set_csr(reg.FEATURES, reg.CSR4_ASTRP_RCV)
    rig.chip.receive(frame(60, kind=20))
    rig.chip.receive(frame(60, kind=46))
    assert [rig.rx(slot)[1] for slot in range(2)] == [34, 64]


@pytest.mark.parametrize("where", ["ring", "buffer", "master"])
def test_bus_failure_is_merr_and_stops_the_chip(where: str) -> None:
    rig = armed()
    if where == "master":
        rig.chip.bus_master = False
    elif where == "buffer":
        rig.memory.words[RX_RING // 4] = 0xFFFF_FF00
    else:
        rig.stop()
        rig.set_csr(reg.RX_RING_BASE + 1, 0xFFFF)
        rig.start()
    rig.chip.receive(frame(100))
    status = rig.status
    assert status & reg.CSR0_MERR
    assert not status & (reg.CSR0_RXON | reg.CSR0_TXON)
    assert rig.chip.interrupt_line
    assert rig.chip.counters.discarded == 1


def test_fill_stops_on_a_bus_failure_with_nothing_read() -> None:
    rig = armed()
    rig.chip.bus_master = False
    assert rig.chip.fill(wire(frame(100)), 4) == 0
    assert rig.status & reg.CSR0_MERR
    assert rig.chip.counters.read == 0


# Many frames.


@pytest.mark.parametrize("style", [0, 1, 2, 3])
def test_fill_reads_as_many_frames_as_there_are_descriptors(style: int) -> None:
    rig = armed(style=style)
    rig.arm(3, status=0)
    frames = [frame(100 + i) for i in range(6)]
    read = wire(*frames)
    assert rig.chip.fill(read, 64) == 3
    assert not rig.chip.silent
    assert [rig.rx(slot)[1] for slot in range(3)] == [104, 105, 106]
    assert rig.rx(3)[0] == 0
    assert rig.rx_data(2, 102) == frames[2]
    rig.arm(3)
    rig.arm(0)
    assert rig.chip.fill(read, 64) == 2
    assert rig.rx_data(3, 103) == frames[3]
    assert rig.rx_data(0, 104) == frames[4]


def test_fill_says_when_the_wire_is_silent_and_raises_the_line_once() -> None:
    rig = armed()
    levels: list[bool] = []
    rig.chip.on_interrupt = levels.append
    assert rig.chip.fill(wire(frame(60), frame(60)), 4) == 2
    assert rig.chip.silent
    assert levels == [True]
    assert rig.status & reg.CSR0_RINT


def test_fill_keeps_to_its_limit() -> None:
    rig = armed()
    read = wire(*[frame(60)] * 4)
    assert rig.chip.fill(read, 3) == 3
    assert not rig.chip.silent
    assert rig.rx(3)[0] == 0x8000
    assert rig.chip.fill(read, 0) == 0


def test_fill_counts_filtered_frames_and_uses_their_buffer_again() -> None:
    rig = armed(ladrf=1 << 54)
    frames = [frame(60, to=to) for to in (OTHER, MAC, BROADCAST, OTHER, GROUP)]
    assert rig.chip.fill(wire(*frames), 64) == 5
    assert [rig.rx(slot)[0] for slot in range(4)] == [DONE_PAM, DONE_BAM, DONE_LAFM, 0x8000]
    assert rig.rx_data(1, 60) == frames[2]
    assert rig.chip.counters.filtered == 2


def test_fill_in_promiscuous_mode_sets_no_flag() -> None:
    rig = armed(mode=reg.MODE_PROM)
    rig.chip.fill(wire(frame(60), frame(60, to=OTHER)), 64)
    assert [rig.rx(slot)[0] for slot in range(2)] == [DONE, DONE]


def test_fill_pads_short_frames_where_old_octets_lie() -> None:
    rig = armed(count=1)
    rig.chip.fill(wire(frame(1000)), 1)
    rig.arm(0)
    rig.chip.fill(wire(frame(20)), 1)
    assert rig.rx(0) == (DONE_PAM, 64)
    assert rig.rx_data(0, 60) == frame(20).ljust(60, b"\0")


def test_fill_chains_a_frame_that_leaves_no_room_for_its_fcs() -> None:
    rig = armed()
    assert rig.chip.fill(wire(frame(60), frame(2046), frame(60)), 64) == 3
    assert [rig.rx(slot)[0] for slot in range(4)] == [DONE_PAM, 0x0200, 0x0140, DONE_PAM]
    assert rig.rx(2)[1] == 2050
    assert rig.rx_data(1, 2046) == frame(2046)


def test_fill_never_passes_off_a_cut_frame_as_a_whole_one() -> None:
    rig = armed()
    assert rig.chip.fill(wire(frame(2049), frame(3000, to=OTHER), frame(60)), 64) == 3
    assert [rig.rx(slot)[0] for slot in range(3)] == [0x5200, DONE_PAM, 0x8000]
    assert rig.chip.counters.filtered == 1
    assert rig.balanced()


def test_fill_goes_the_slow_way_with_small_buffers() -> None:
    rig = armed(size=128)
    assert rig.chip.fill(wire(frame(300)), 64) == 1
    assert [rig.rx(slot)[0] for slot in range(3)] == [0x0200, 0x0000, 0x0140]


def test_fill_sees_a_descriptor_that_moved_its_buffer() -> None:
    rig = armed(count=1)
    rig.chip.fill(wire(frame(60)), 1)
    moved = RX_BUFFERS + 7 * PITCH
    words = rig.memory.words
    words[RX_RING // 4 : RX_RING // 4 + 3] = memoryview(
        (rig.memory.bus + moved).to_bytes(4, "little") + (OWN | byte_count(2048)).to_bytes(4, "little") + bytes(4)
    ).cast("I")
    rig.chip.fill(wire(frame(99)), 1)
    assert rig.rx_data(7, 99) == frame(99)


def test_fill_follows_a_change_of_the_filter() -> None:
    rig = armed()
    rig.chip.fill(wire(frame(60)), 1)
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    rig.set_csr(reg.PADR_LAST, 0x9999)
    rig.set_csr(reg.EXTENDED_CONTROL, 0)
    rig.chip.fill(wire(frame(60), frame(60, to=MAC[:4] + b"\x99\x99")), 2)
    assert rig.chip.counters.filtered == 1
    assert rig.rx(1)[0] == DONE_PAM


def test_drain_reads_everything_and_counts_what_it_could_not_store() -> None:
    rig = armed()
    read = wire(*[frame(60)] * 9, frame(60, to=OTHER), frame(60))
    assert rig.chip.drain(read, 10) == 10
    assert not rig.chip.silent
    assert rig.csr(reg.MISSED_FRAMES) == 5
    assert rig.status & reg.CSR0_MISS
    assert rig.chip.drain(read, 10) == 1
    assert rig.chip.silent
    assert rig.balanced()
    assert rig.chip.counters.missed == 6


def test_drain_while_stopped_discards() -> None:
    rig = armed()
    rig.stop()
    assert rig.chip.drain(wire(*[frame(60)] * 3), 10) == 3
    assert rig.chip.counters.discarded == 3


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([MAC, BROADCAST, OTHER, GROUP, PEER]), st.integers(1, 2047)), min_size=1, max_size=40
    ),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 9),
    st.sampled_from([0, reg.MODE_PROM, reg.MODE_DRCVPA, reg.MODE_DRCVBC]),
    st.sampled_from([1, 2, 3]),
)
@example([(MAC, 61), (MAC, 6), (MAC, 6), (MAC, 2045)], 2, 1, 0, 1)  # The second buffer has one octet, of the FCS.
def test_fill_does_what_receive_does(
    frames: list[tuple[bytes, int]], ring: int, limit: int, mode: int, style: int
) -> None:
    """The fast way against the slow one: the same frames leave the same descriptors, data, counters and status."""
    options = {"mode": mode, "ladrf": 1 << 54, "style": style}
    fast, slow = armed(ring, **options), armed(ring, **options)
    data = [frame(length, to) for to, length in frames]
    read, offered = wire(*data), iter(data)
    for step in range(len(data)):
        taken = fast.chip.fill(read, limit)
        for _ in range(taken):
            slow.chip.receive(next(offered))
        for slot in range(ring):
            assert fast.rx(slot) == slow.rx(slot)
            owned, count = fast.rx(slot)
            if not owned & 0x8000:
                # Of a frame in two buffers the second has the end alone; what stands behind it is older, or FCS.
                length = max(0, count - 4 - (2048 if count > 2048 else 0))
                if owned == 0x0200 and (end := fast.rx((slot + 1) % ring))[0] & 0x8300 == 0x0100:
                    length = min(2048, end[1] - 4)
                assert fast.rx_data(slot, length) == slow.rx_data(slot, length)
        assert fast.chip.counters == slow.chip.counters
        assert fast.status == slow.status
        for rig in (fast, slow):
            rig.arm(step % ring)


def test_one_quirk_is_enough_to_leave_the_fast_way() -> None:
    rig = armed(quirks=replace(SILICON, malformed_is_not_owned=True))
    rig.memory.words[RX_RING // 4 + 1] &= ~0x1000
    assert rig.chip.fill(wire(frame(60)), 4) == 0
