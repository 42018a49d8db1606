"""The register window (fact sheet, section 2), and what a hostile driver may do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.model.quirks import QEMU, SILICON, Quirks
from asyncnic.pcnet32.port import Port
from tests.pcnet32.rig import MAC, RX_RING, TX_RING, Rig, enter_dwio, frame, stopped, wire

BOTH = pytest.mark.parametrize("quirks", [SILICON, QEMU])
PROM = bytes.fromhex("52540012345600000011000001025757")


def test_the_model_is_a_port() -> None:
    port: Port = stopped().chip
    assert len(port.memory.octets) == 1 << 20


# The window (section 2).


@BOTH
def test_aprom_in_wio(quirks: Quirks) -> None:
    chip = stopped(quirks).chip
    assert bytes(chip.read(i, 1) for i in range(16)) == PROM
    assert chip.read(12, 2) == 0x0201
    assert chip.read(0, 4) == 0xFFFF_FFFF
    assert chip.read(1, 2) == 0xFFFF


@pytest.mark.parametrize(("quirks", "octet"), [(SILICON, 0x52), (QEMU, 0xFF)])
def test_aprom_in_dwio(quirks: Quirks, octet: int) -> None:
    chip = stopped(quirks).chip
    enter_dwio(chip)
    assert chip.read(0, 1) == octet
    assert chip.read(0, 2) == 0xFFFF
    assert chip.read(0, 4) == 0x1200_5452


def test_aprom_is_written_only_with_aprom_write_enable() -> None:
    rig = stopped()
    rig.chip.write(10, 1, 0x77)
    assert rig.chip.read(10, 1) == 0
    rig.set_bcr(reg.BCR_MISCELLANEOUS, reg.BCR2_APROMWE)
    rig.chip.write(10, 1, 0x77)
    assert rig.chip.read(10, 1) == 0x77


@BOTH
def test_wrong_widths_read_all_ones_and_write_nothing(quirks: Quirks) -> None:
    chip = stopped(quirks).chip
    for offset in range(0x10, 0x20):
        assert chip.read(offset, 1) == 0xFF
        assert chip.read(offset, 4) == 0xFFFF_FFFF
    chip.write(reg.WIO_RAP, 2, 0)
    chip.write(reg.WIO_RAP, 1, 88)
    chip.write(reg.DWIO_RAP, 4, 88)
    assert chip.read(reg.WIO_RAP, 2) == 0
    enter_dwio(chip)
    assert chip.read(reg.WIO_RDP, 2) == 0xFFFF
    assert chip.read(reg.WIO_RAP, 2) == 0xFFFF


@BOTH
def test_rap_has_seven_bits_and_the_id_is_whole_in_dwio(quirks: Quirks) -> None:
    chip = stopped(quirks).chip
    chip.write(reg.WIO_RAP, 2, 0xD8)
    assert chip.read(reg.WIO_RAP, 2) == 0x58
    assert chip.read(reg.WIO_RDP, 2) == 0x1003
    enter_dwio(chip)
    assert chip.read(reg.DWIO_RAP, 4) == 0
    chip.write(reg.DWIO_RAP, 4, 88)
    assert chip.read(reg.DWIO_RDP, 4) == 0x0262_1003
    chip.write(reg.DWIO_RAP, 4, 20)
    assert chip.read(reg.DWIO_BDP, 4) == 0x0302


@pytest.mark.parametrize(("quirks", "after"), [(SILICON, 0x0080), (QEMU, 0)])
def test_dwio_across_a_soft_reset(quirks: Quirks, after: int) -> None:
    chip = stopped(quirks).chip
    enter_dwio(chip)
    chip.write(reg.DWIO_BDP, 4, 0)
    assert chip.read(reg.DWIO_RESET, 4) == 0
    wide = bool(after)
    chip.write(reg.DWIO_RAP if wide else reg.WIO_RAP, 4 if wide else 2, 18)
    assert chip.read(reg.DWIO_BDP if wide else reg.WIO_BDP, 4 if wide else 2) & 0x0080 == after


def test_entering_dwio_reaches_csr0_on_silicon_only() -> None:
    for quirks, inea in ((SILICON, reg.CSR0_INEA), (QEMU, 0)):
        chip = stopped(quirks).chip
        chip.write(reg.WIO_RAP, 2, 0)
        chip.write(reg.DWIO_RDP, 4, reg.CSR0_INEA)
        assert chip.read(reg.DWIO_RDP, 4) & reg.CSR0_INEA == inea


def test_dwio_cannot_be_changed_through_bcr18_but_on_qemu() -> None:
    silicon, qemu = stopped(), stopped(QEMU)
    for rig in (silicon, qemu):
        rig.set_bcr(reg.BCR_BURST_CONTROL, 0x90E1)
    assert silicon.bcr(reg.BCR_BURST_CONTROL) == 0x9061
    assert qemu.chip.read(reg.WIO_RAP, 2) == 0xFFFF


# Hostile drivers and wires: nothing raises, everything ends, every frame is somewhere.

registers = st.one_of(st.integers(0, 127), st.sampled_from([0, 0, 0, 3, 4, 5, 15, 72, 74, 76, 78, 24, 25, 30, 31]))
values = st.one_of(
    st.integers(0, 0xFFFF),
    st.sampled_from([0, 1, 2, 4, 8, 0x42, 0x4A, 0x7F, 0x8000, 512, 0xFE00, 0xFFFC, 0xFFFF]),
)
words = st.one_of(
    st.integers(0, 0xFFFF_FFFF),
    st.builds(lambda status, count: status << 16 | count, st.integers(0x8000, 0xFFFF), st.integers(0xF000, 0xFFFF)),
)
actions = st.one_of(
    st.tuples(st.just("csr"), registers, values),
    st.tuples(st.just("bcr"), st.integers(0, 40), values),
    st.tuples(st.just("raw"), st.integers(0, 31), values),
    st.tuples(st.just("rx"), st.integers(0, 31), words),
    st.tuples(st.just("tx"), st.integers(0, 31), words),
    st.tuples(st.just("receive"), st.integers(0, 65535), st.booleans()),
    st.tuples(st.just("fill"), st.integers(0, 3000), st.integers(0, 5)),
    st.tuples(st.just("drain"), st.integers(0, 3000), st.integers(0, 5)),
    st.tuples(st.just("master"), st.booleans(), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, max_size=30), st.sampled_from([SILICON, QEMU]), st.sampled_from([0, 1, 2, 3]), st.booleans())
def test_nothing_that_a_driver_or_a_wire_does_raises(
    steps: list[tuple[str, int, int]], quirks: Quirks, style: int, running: bool
) -> None:
    rig = Rig(rx=8, tx=8, style=style, quirks=quirks, bring_up=running)
    for slot in range(8):
        rig.arm(slot, 2048 if slot % 2 else 100)
    for kind, first, second in steps:
        if kind == "csr":
            rig.set_csr(first, second)
            rig.csr(first)
        elif kind == "bcr":
            rig.set_bcr(first, second)
            rig.bcr(first)
        elif kind == "raw":
            for width in (1, 2, 4):
                rig.chip.write(first, width, second)
                rig.chip.read(first, width)
        elif kind in ("rx", "tx"):
            rig.memory.words[(RX_RING if kind == "rx" else TX_RING) // 4 + first] = second
            rig.kick()
        elif kind == "receive":
            rig.chip.receive(frame(first))
        elif kind == "fill":
            assert rig.chip.fill(wire(*[frame(first)] * 4), second) <= second
        elif kind == "drain":
            assert rig.chip.drain(wire(*[frame(first)] * 4), second) <= second
        else:
            rig.chip.bus_master, rig.chip.link_up = bool(first), bool(second)
        assert rig.balanced()
    rig.chip.poll()


@BOTH
@pytest.mark.parametrize("length", [0, 1, 512, 65535])
def test_any_ring_length_is_bounded(length: int, quirks: Quirks) -> None:
    rig = Rig(quirks=quirks)
    rig.stop()
    for number in (76, 72, 78, 74):
        rig.set_csr(number, length)
    rig.start()
    rig.memory.octets[RX_RING : RX_RING + 16] = rig.memory.octets[TX_RING : TX_RING + 16] = b"\xff" * 16
    rig.kick()
    rig.chip.receive(frame(65535))
    rig.chip.drain(wire(*[frame(60)] * 3), 3)
    assert rig.chip.counters.read == 4
    assert rig.balanced()


def test_a_chip_needs_no_more_memory_than_its_driver_gives() -> None:
    chip = Am79C970A(DmaMemory.anonymous(4096), MAC, lambda view: True)
    chip.write(reg.WIO_RDP, 2, reg.CSR0_STRT)
    chip.receive(frame(60))
    assert chip.counters.discarded == 1
