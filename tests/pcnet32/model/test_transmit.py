"""Transmitting: chaining, errors, TINT, padding and loopback (fact sheet, section 8)."""

from zlib import crc32

import pytest

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import (
    ADD_FCS,
    ENP,
    LTINT,
    OWN,
    STP,
    TMD2_BUFF,
    TMD2_LCAR,
    TMD2_RTRY,
    TMD2_UFLO,
    TRC_MASK,
    byte_count,
)
from asyncnic.pcnet32.model.quirks import QEMU, SILICON, Quirks
from tests.pcnet32.rig import MAC, PEER, TX_RING, Rig, frame

WHOLE = OWN | STP | ENP
BOTH = pytest.mark.parametrize("quirks", [SILICON, QEMU])


@BOTH
@pytest.mark.parametrize("style", [0, 1, 2, 3])
def test_frame_goes_out_and_its_descriptor_comes_back(style: int, quirks: Quirks) -> None:
    rig = Rig(style=style, quirks=quirks)
    rig.post(0, frame(100))
    rig.kick()
    assert rig.sent == [frame(100)]
    assert rig.tx(0) == (0x0300, 0)
    assert rig.status & reg.CSR0_TINT
    assert rig.chip.interrupt_line


@pytest.mark.parametrize("inea", [0, reg.CSR0_INEA])
@pytest.mark.parametrize("gates", [0, reg.CSR3_TINTM])
@pytest.mark.parametrize("runs", [False, True])
def test_the_doorbell_is_the_register_write_of_tdmd(inea: int, gates: int, runs: bool) -> None:
    found = []
    for rung in (False, True):
        rig = Rig()
        rig.set_csr(reg.INTERRUPT_MASK, gates)
        if not runs:
            rig.set_csr(reg.CSR_STATUS, reg.CSR0_STOP)
        rig.set_csr(reg.CSR_STATUS, inea)
        rig.post(0, frame(100))
        if rung:
            rig.chip.demand()
        else:
            rig.set_csr(reg.CSR_STATUS, reg.CSR0_TDMD | inea)
        found.append((rig.sent, rig.tx(0), rig.chip.interrupt_line, rig.status))
    assert found[0] == found[1]
    assert bool(found[0][0]) == runs


@BOTH
def test_chain_is_one_frame(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    data = frame(600)
    rig.set_csr(reg.FEATURES, reg.CSR4_TXDPOLL)
    rig.post(0, data[:100], OWN | STP)
    rig.post(1, data[100:500], OWN)
    rig.post(2, data[500:], OWN | ENP)
    rig.kick()
    assert rig.sent == [data]
    assert [rig.tx(slot)[0] for slot in range(3)] == [0x0200, 0x0000, 0x0100]


def test_ring_order_is_kept_around_the_end() -> None:
    rig = Rig()
    for turn in range(3):
        for slot in range(4):
            rig.post(slot, frame(60 + 4 * turn + slot))
        rig.kick()
    assert [len(data) for data in rig.sent] == list(range(60, 72))


@pytest.mark.parametrize(
    ("quirks", "first", "second"),
    [
        (SILICON, (0x0200, 0), (0x4000, TMD2_BUFF | TMD2_UFLO)),
        (QEMU, (0x4200, TMD2_BUFF | TMD2_UFLO), (0x0000, 0)),
    ],
)
@pytest.mark.parametrize("keeps_on", [False, True])
def test_underflow(quirks: Quirks, first: tuple[int, int], second: tuple[int, int], keeps_on: bool) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.INTERRUPT_MASK, reg.CSR3_DXSUFLO if keeps_on else 0)
    rig.set_csr(reg.FEATURES, reg.CSR4_TXDPOLL)
    rig.post(0, frame(100), OWN | STP)
    rig.post(1, frame(100), OWN)
    rig.kick()
    assert (rig.tx(0), rig.tx(1)) == (first, second)
    assert rig.status & reg.CSR0_TINT
    assert bool(rig.status & reg.CSR0_TXON) is keeps_on
    assert rig.sent == []


@pytest.mark.parametrize(("quirks", "stays"), [(SILICON, True), (QEMU, False)])
def test_a_ring_full_of_descriptors_without_end(quirks: Quirks, stays: bool) -> None:
    rig = Rig(tx=2, quirks=quirks)
    rig.post(0, frame(100), OWN | STP)
    rig.post(1, frame(100), OWN)
    rig.kick()
    assert bool(rig.status & reg.CSR0_TXON) is not stays
    assert [rig.tx(slot)[0] & 0x8000 for slot in range(2)] == [0, 0]


def test_descriptor_without_start_is_skipped_by_silicon_and_returned_by_qemu() -> None:
    silicon, qemu = Rig(), Rig(quirks=QEMU)
    for rig in (silicon, qemu):
        rig.set_csr(reg.FEATURES, reg.CSR4_TXDPOLL)
        rig.post(0, frame(80), OWN | ENP)
        rig.post(1, frame(90))
        rig.kick()
        assert rig.sent == [frame(90)]
    assert silicon.tx(0)[0] == 0x8100
    assert qemu.tx(0)[0] == 0x0100


@pytest.mark.parametrize(
    ("extended", "marked", "silicon", "qemu"),
    [
        (0, False, True, True),
        (reg.CSR5_TOKINTD, False, False, False),
        (reg.CSR5_TOKINTD, True, False, False),
        (reg.CSR5_LTINTEN, False, False, True),
        (reg.CSR5_LTINTEN, True, True, True),
        (reg.CSR5_LTINTEN | reg.CSR5_TOKINTD, False, False, False),
        (reg.CSR5_LTINTEN | reg.CSR5_TOKINTD, True, True, True),
    ],
)
def test_tint(extended: int, marked: bool, silicon: bool, qemu: bool) -> None:
    for quirks, expected in ((SILICON, silicon), (QEMU, qemu)):
        rig = Rig(quirks=quirks)
        rig.set_csr(reg.EXTENDED_CONTROL, extended)
        rig.post(0, frame(60), WHOLE | (LTINT if marked else 0))
        rig.kick()
        assert rig.sent == [frame(60)]
        assert bool(rig.status & reg.CSR0_TINT) is expected


@pytest.mark.parametrize(("quirks", "tint"), [(SILICON, True), (QEMU, False)])
def test_lost_carrier(quirks: Quirks, tint: bool) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_TOKINTD)
    rig.chip.link_up = False
    rig.post(0, frame(60))
    rig.kick()
    assert rig.tx(0) == (0x4300, TMD2_LCAR)
    assert rig.status & (reg.CSR0_CERR | reg.CSR0_ERR) == reg.CSR0_CERR | reg.CSR0_ERR
    assert bool(rig.status & reg.CSR0_TINT) is tint
    rig.set_csr(0, reg.CSR0_CERR)
    assert bool(rig.status & reg.CSR0_ERR) is not tint
    assert rig.sent == []


def test_a_wire_that_refuses_is_a_retry_error() -> None:
    rig = Rig()
    rig.wire_takes = False
    rig.post(0, frame(60))
    rig.kick()
    assert rig.tx(0) == (0x4300, TMD2_RTRY | TRC_MASK)
    assert rig.chip.counters.transmitted == 0


def test_apad_xmt_pads_on_silicon_only() -> None:
    silicon, qemu = Rig(), Rig(quirks=QEMU)
    for rig in (silicon, qemu):
        rig.set_csr(reg.FEATURES, reg.CSR4_APAD_XMT)
        rig.post(0, frame(20))
        rig.kick()
    assert silicon.sent == [frame(20).ljust(60, b"\0")]
    assert qemu.sent == [frame(20)]


@pytest.mark.parametrize(("length", "babble"), [(1514, False), (1515, True)])
def test_babble(length: int, babble: bool) -> None:
    rig = Rig()
    rig.post(0, frame(length))
    rig.kick()
    assert bool(rig.status & reg.CSR0_BABL) is babble
    assert rig.sent == [frame(length)]


@pytest.mark.parametrize(("quirks", "sent"), [(SILICON, 2), (QEMU, 1)])
def test_frames_above_4092_octets_disappear_on_qemu(quirks: Quirks, sent: int) -> None:
    rig = Rig(quirks=quirks)
    rig.post(0, frame(4092))
    rig.post(1, frame(4093))
    rig.kick()
    assert len(rig.sent) == sent
    assert rig.tx(1) == (0x0300, 0)


def test_frames_above_65535_octets_disappear() -> None:
    rig = Rig(tx=32)
    for slot in range(17):
        rig.post(slot, bytes(4096), OWN | (STP if slot == 0 else 0) | (ENP if slot == 16 else 0))
    rig.kick()
    assert rig.sent == []


@pytest.mark.parametrize(("quirks", "bit"), [(SILICON, reg.CSR4_TXSTRT), (QEMU, reg.CSR4_TXSTRTM)])
def test_txstrt(quirks: Quirks, bit: int) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.FEATURES, 0)
    rig.post(0, frame(60))
    rig.kick()
    assert rig.csr(reg.FEATURES) == bit


@pytest.mark.parametrize(("quirks", "tdmd"), [(SILICON, 0), (QEMU, reg.CSR0_TDMD)])
def test_tdmd_on_an_empty_ring(quirks: Quirks, tdmd: int) -> None:
    rig = Rig(quirks=quirks)
    rig.kick()
    assert rig.status & reg.CSR0_TDMD == tdmd


@BOTH
def test_tdmd_falls_when_a_frame_was_sent(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.FEATURES, reg.CSR4_TXDPOLL)
    rig.post(0, frame(60))
    rig.kick()
    assert not rig.status & reg.CSR0_TDMD
    assert rig.sent == [frame(60)]


def test_tdmd_waits_for_the_end_of_a_suspension() -> None:
    rig = Rig()
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    rig.post(0, frame(60))
    rig.kick()
    assert rig.sent == []
    rig.set_csr(reg.EXTENDED_CONTROL, 0)
    assert rig.sent == [frame(60)]


def test_qemu_transmits_on_any_access_and_while_stopped() -> None:
    rig = Rig(quirks=QEMU)
    rig.post(0, frame(60))
    assert rig.status & reg.CSR0_TXON
    assert rig.sent == [frame(60)]
    rig.stop()
    assert rig.status == reg.CSR0_STOP | reg.CSR0_TXON
    rig.post(1, frame(61))
    rig.kick()
    assert rig.sent == [frame(60), frame(61)]


def test_poll_transmits_unless_txdpoll_stop_or_suspended() -> None:
    rig = Rig()
    rig.post(0, frame(60))
    rig.set_csr(reg.FEATURES, reg.CSR4_TXDPOLL)
    rig.chip.poll()
    rig.set_csr(reg.FEATURES, 0)
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    rig.chip.poll()
    assert rig.sent == []
    rig.set_csr(reg.EXTENDED_CONTROL, 0)
    rig.chip.poll()
    assert rig.sent == [frame(60)]
    rig.chip.bus_master = False
    rig.chip.poll()
    assert not rig.status & reg.CSR0_MERR


def test_qemu_stalls_on_a_malformed_descriptor() -> None:
    rig = Rig(quirks=QEMU)
    rig.tx_words(0, rig.memory.bus, WHOLE | byte_count(60) & ~0x1000, 0)
    rig.kick()
    assert rig.tx(0)[0] == 0x8300
    assert rig.csr(reg.TX_DESCRIPTOR) == 0


@pytest.mark.parametrize("where", ["buffer", "ring"])
def test_bus_failure_is_merr(where: str) -> None:
    rig = Rig()
    rig.post(0, frame(60))
    if where == "buffer":
        rig.memory.words[TX_RING // 4] = 0
    else:
        rig.chip.bus_master = False
    rig.kick()
    assert rig.status & (reg.CSR0_MERR | reg.CSR0_TXON) == reg.CSR0_MERR
    assert rig.chip.interrupt_line


# Loopback.


def looped(
    status: int = WHOLE, mode: int = 0, quirks: Quirks = SILICON, data: bytes = frame(80), style: int = 2
) -> Rig:
    rig = Rig(mode=reg.MODE_LOOP | reg.MODE_INTL | mode, quirks=quirks, style=style)
    rig.arm(0)
    rig.chip.link_up = False
    rig.post(0, data, status)
    rig.kick()
    assert rig.sent == []
    assert rig.tx(0) == (status >> 16 & 0x7FFF, 0)
    return rig


def test_loopback_appends_a_true_fcs() -> None:
    rig = looped()
    assert rig.rx(0) == (0x0340, 84)
    assert rig.rx_data(0, 84) == frame(80) + crc32(frame(80)).to_bytes(4, "little")
    assert rig.balanced()


def test_loopback_on_qemu_has_its_fcs_the_other_way_round_and_pads() -> None:
    rig = looped(quirks=QEMU)
    assert rig.rx_data(0, 84) == frame(80) + (~crc32(frame(80)) & 0xFFFF_FFFF).to_bytes(4, "big")
    assert looped(quirks=QEMU, data=frame(30)).rx(0) == (0x0340, 64)


@pytest.mark.parametrize(("good", "status"), [(True, 0x0340), (False, 0x4B40)])
def test_loopback_checks_the_fcs_that_software_wrote(good: bool, status: int) -> None:
    fcs = crc32(frame(80)).to_bytes(4, "little") if good else bytes(4)
    assert looped(mode=reg.MODE_DXMTFCS, data=frame(80) + fcs).rx(0) == (status, 84)


def test_loopback_on_qemu_never_finds_a_written_fcs_good() -> None:
    assert looped(mode=reg.MODE_DXMTFCS, quirks=QEMU).rx(0) == (0x4B40, 80)


@pytest.mark.parametrize(("style", "flag"), [(2, ADD_FCS), (1, 0)])
def test_add_fcs_overrides_dxmtfcs_and_style_1_has_it_negated(style: int, flag: int) -> None:
    rig = looped(WHOLE | flag, mode=reg.MODE_DXMTFCS, style=style)
    assert rig.rx(0) == (0x0340, 84)


def test_loopback_filters_and_discards_as_the_receiver_would() -> None:
    assert looped(data=frame(80, to=PEER)).chip.counters.filtered == 1
    assert looped(mode=reg.MODE_DRX, data=frame(80, to=MAC)).chip.counters.discarded == 1
