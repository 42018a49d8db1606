"""Resets, INIT, access classes and interrupts as registers show them (fact sheet, sections 2.2 to 5, 9 and 11)."""

import pytest

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.model.quirks import QEMU, SILICON, Quirks
from tests.pcnet32.rig import RX_RING, TX_RING, Rig, enter_dwio, frame, stopped

BOTH = pytest.mark.parametrize("quirks", [SILICON, QEMU])


# Resets (section 2.2).


@BOTH
def test_soft_reset(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.INTERRUPT_MASK, 0x5F00)
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_TOKINTD)
    rig.chip.receive(frame(60))
    assert rig.csr(reg.MISSED_FRAMES) == 1
    assert rig.chip.read(reg.WIO_RESET, 2) == 0
    assert rig.chip.read(reg.WIO_RAP, 2) == 0
    assert rig.status == 0x0004
    assert [rig.csr(number) for number in (3, 4, 5, 112)] == [0, 0x0115, 0, 0]
    assert rig.bcr(20) == 0x0302
    assert not rig.chip.interrupt_line


def test_soft_reset_reloads_padr_on_emulators_only() -> None:
    for quirks, padr in ((SILICON, 0x1234), (QEMU, 0x5452)):
        rig = stopped(quirks)
        rig.set_csr(reg.PADR_FIRST, 0x1234)
        rig.chip.read(reg.WIO_RESET, 2)
        assert rig.csr(reg.PADR_FIRST) == padr


def test_hard_reset_returns_to_wio_and_style_0() -> None:
    rig = Rig()
    enter_dwio(rig.chip)
    rig.chip.hard_reset()
    assert rig.bcr(20) == 0x0200
    assert rig.bcr(18) == 0x9001
    assert [rig.csr(number) for number in (12, 13, 14)] == [0x5452, 0x1200, 0x5634]


@pytest.mark.parametrize(("quirks", "status"), [(SILICON, 0x0004), (QEMU, 0x0014)])
def test_stop(quirks: Quirks, status: int) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(reg.FEATURES, 0)
    rig.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_TOKINTD | reg.CSR5_SPND)
    rig.stop()
    assert rig.status == status
    assert rig.csr(reg.EXTENDED_CONTROL) == reg.CSR5_TOKINTD
    assert not rig.chip.interrupt_line


# INIT and STRT (sections 3.1 and 5).


@BOTH
def test_init_and_start_as_measured(quirks: Quirks) -> None:
    rig = stopped(quirks)
    assert rig.status == 0x0004
    rig.set_csr(0, reg.CSR0_INIT)
    assert rig.status == 0x0181
    assert not rig.chip.interrupt_line
    rig.set_csr(0, reg.CSR0_IDON | reg.CSR0_STRT | reg.CSR0_INEA)
    assert rig.status == 0x0073
    rig.chip.receive(frame(60))
    assert rig.status == 0x90F3


@BOTH
@pytest.mark.parametrize("style", [0, 1, 2, 3])
def test_init_loads_the_block(style: int, quirks: Quirks) -> None:
    rig = Rig(rx=8, tx=2, style=style, mode=0x0180, ladrf=0x1122_3344_5566_7788, quirks=quirks)
    assert [rig.csr(number) for number in range(8, 16)] == [
        0x7788, 0x5566, 0x3344, 0x1122, 0x5452, 0x1200, 0x5634, 0x0180,
    ]  # fmt: skip
    assert rig.csr(reg.RING_LENGTHS) == 0x1300


def test_ring_registers_are_negative_on_silicon_and_positive_on_qemu() -> None:
    silicon, qemu = Rig(rx=8, tx=2), Rig(rx=8, tx=2, quirks=QEMU)
    assert [silicon.csr(number) for number in (72, 74, 76, 78)] == [0xFFF8, 0xFFFE, 0xFFF8, 0xFFFE]
    assert [qemu.csr(number) for number in (72, 74, 76, 78)] == [8, 2, 8, 2]
    base = silicon.memory.bus + RX_RING
    assert silicon.csr(24) | silicon.csr(25) << 16 == base
    assert silicon.csr(30) | silicon.csr(31) << 16 == silicon.memory.bus + TX_RING
    assert [qemu.csr(number) for number in (24, 25, 30, 31)] == [0, 0, 0, 0]
    for rig in (silicon, qemu):
        rig.arm(0, size=1536)
        assert rig.csr(28) | rig.csr(29) << 16 == base
        assert rig.csr(reg.RX_BYTE_COUNT) == 0xA00
        assert rig.csr(reg.RX_STATUS) == 0x8000
        rig.chip.receive(frame(60))
    assert (silicon.csr(72), qemu.csr(72)) == (0xFFF9, 7)


@BOTH
def test_stop_wins_over_init_and_start(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.set_csr(0, reg.CSR0_INIT | reg.CSR0_STRT | reg.CSR0_STOP)
    assert rig.status & 0x0007 == reg.CSR0_STOP


@BOTH
def test_start_after_stop_resumes_and_init_starts_over(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.arm(0)
    rig.chip.receive(frame(60))
    rig.stop()
    rig.arm(1)
    rig.start()
    rig.chip.receive(frame(60))
    assert rig.rx(1)[0] == 0x0340
    rig.stop()
    rig.init()
    rig.start()
    rig.arm(0)
    rig.chip.receive(frame(60))
    assert rig.rx(0)[0] == 0x0340


@pytest.mark.parametrize(("mode", "on"), [(reg.MODE_DTX, reg.CSR0_RXON), (reg.MODE_DRX, reg.CSR0_TXON)])
def test_disabled_halves_stay_off(mode: int, on: int) -> None:
    assert Rig(mode=mode).status & (reg.CSR0_TXON | reg.CSR0_RXON) == on


def test_init_without_bus_master() -> None:
    silicon, qemu = stopped(), stopped(QEMU)
    for rig in (silicon, qemu):
        rig.chip.bus_master = False
        assert not rig.chip.bus_master
        rig.set_csr(0, reg.CSR0_INIT)
    assert silicon.status & (reg.CSR0_MERR | reg.CSR0_IDON) == reg.CSR0_MERR
    assert qemu.status & (reg.CSR0_MERR | reg.CSR0_IDON) == reg.CSR0_IDON
    assert [qemu.csr(number) for number in (12, 15, 76)] == [0, 0, 1]


# Access classes (sections 3 and 4).


@pytest.mark.parametrize("number", [1, 2, 8, 12, 15, 24, 47, 112])
def test_registers_written_while_running(number: int) -> None:
    silicon, qemu = Rig(), Rig(quirks=QEMU)
    for rig in (silicon, qemu):
        before = rig.csr(number)
        rig.set_csr(number, before ^ 0x0080)
        changed = rig is qemu and number != reg.MISSED_FRAMES
        assert rig.csr(number) == before ^ (0x0080 if changed else 0)
    silicon.set_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    silicon.set_csr(number, 0x0080)
    assert silicon.csr(number) == 0x0080


@BOTH
def test_init_address_aliases_and_style_alias(quirks: Quirks) -> None:
    rig = stopped(quirks)
    rig.set_csr(16, 0x1230)
    rig.set_csr(17, 0x0045)
    assert [rig.csr(number) for number in (1, 2, 16, 17)] == [0x1230, 0x0045] * 2
    rig.set_csr(58, 3)
    assert (rig.csr(58), rig.bcr(20)) == (0x0303, 0x0303)


@pytest.mark.parametrize(("written", "read"), [(0, 0x0200), (1, 0x0101), (2, 0x0302), (3, 0x0303), (0x0102, 0x0302)])
@BOTH
def test_software_style(written: int, read: int, quirks: Quirks) -> None:
    rig = stopped(quirks)
    rig.set_bcr(20, written)
    assert rig.bcr(20) == read


def test_illegal_style_means_16_bit() -> None:
    for quirks, read in ((SILICON, 0x0204), (QEMU, 0x0200)):
        rig = stopped(quirks)
        rig.set_bcr(20, 4)
        assert rig.bcr(20) == read


@BOTH
def test_style_is_fixed_while_running(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.set_bcr(20, 0)
    assert rig.bcr(20) == 0x0302


@BOTH
def test_bcr4_shows_the_link(quirks: Quirks) -> None:
    rig = stopped(quirks)
    assert rig.bcr(4) == 0x80C0
    rig.chip.link_up = False
    assert not rig.chip.link_up
    assert rig.bcr(4) == 0x00C0
    assert rig.bcr(33) == 0


def test_chip_id_cannot_be_written() -> None:
    rig = stopped()
    rig.set_csr(88, 0)
    assert (rig.csr(88), rig.csr(89)) == (0x1003, 0x0262)


@pytest.mark.parametrize(("quirks", "read"), [(SILICON, 0x1234), (QEMU, 0x1410)])
def test_fifo_thresholds(quirks: Quirks, read: int) -> None:
    rig = stopped(quirks)
    rig.set_csr(reg.FIFO_THRESHOLDS, 0x1234)
    assert rig.csr(reg.FIFO_THRESHOLDS) == read


# Interrupts (section 9).


@BOTH
def test_every_csr0_write_rewrites_inea(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.chip.receive(frame(60))
    assert rig.chip.interrupt_line
    rig.set_csr(0, 0)
    assert not rig.chip.interrupt_line
    assert rig.status & reg.CSR0_INTR
    rig.set_csr(0, reg.CSR0_INEA)
    assert rig.chip.interrupt_line
    rig.set_csr(0, reg.CSR0_INEA | reg.CSR0_MISS)
    assert not rig.chip.interrupt_line


@BOTH
def test_masks_drop_the_line_at_once(quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.chip.receive(frame(60))
    rig.set_csr(reg.INTERRUPT_MASK, reg.CSR3_MISSM)
    assert not rig.chip.interrupt_line
    assert not rig.status & reg.CSR0_INTR


def test_user_interrupt_lasts_until_acknowledged_but_not_on_qemu() -> None:
    for quirks in (SILICON, QEMU):
        rig = Rig(quirks=quirks)
        levels: list[bool] = []
        rig.chip.on_interrupt = levels.append
        assert rig.chip.on_interrupt is not None
        rig.set_csr(reg.FEATURES, reg.CSR4_UINTCMD)
        assert levels == [True]
        assert rig.csr(reg.FEATURES) & (reg.CSR4_UINT | reg.CSR4_UINTCMD) == reg.CSR4_UINT
        assert rig.chip.interrupt_line is (quirks is SILICON)
        rig.set_csr(reg.FEATURES, reg.CSR4_UINT)
        assert levels == [True, False]
