"""The interrupt equation (fact sheet, section 9) and how the chip reaches memory."""

import pytest

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.core import BusFault, Core
from asyncnic.pcnet32.model.quirks import QEMU, SILICON

CAUSES = [
    (reg.CSR_STATUS, cause, reg.INTERRUPT_MASK, cause, False)
    for cause in (0x4000, 0x1000, 0x0800, 0x0400, 0x0200, 0x0100)
]
EVENTS = [(reg.FEATURES, event, reg.FEATURES, event >> 1, False) for event in (0x0200, 0x0020, 0x0008, 0x0002)]
ENABLED = [(reg.EXTENDED_CONTROL, event, reg.EXTENDED_CONTROL, event >> 1, True) for event in (0x0080, 0x0010)]
NEED_NO_INEA = [(reg.EXTENDED_CONTROL, event, reg.EXTENDED_CONTROL, event >> 1, True) for event in (0x0800, 0x0200)]


def core_with(*registers: tuple[int, int]) -> Core:
    core = Core(DmaMemory.anonymous(4096), SILICON)
    for number, value in registers:
        core.csr[number] |= value
    core.update_interrupt()
    return core


@pytest.mark.parametrize(("number", "cause", "gate", "bit", "opens"), CAUSES + EVENTS + ENABLED)
def test_cause_raises_the_line_only_through_its_gate_and_inea(
    number: int, cause: int, gate: int, bit: int, opens: bool
) -> None:
    opened = [(gate, bit)] if opens else []
    closed = [] if opens else [(gate, bit)]
    inea = (reg.CSR_STATUS, reg.CSR0_INEA)
    assert core_with((number, cause), inea, *opened).interrupt_line
    masked = core_with((number, cause), inea, *closed)
    assert not masked.interrupt_line
    assert not masked.csr[0] & reg.CSR0_INTR
    silent = core_with((number, cause), *opened)
    assert not silent.interrupt_line
    assert silent.csr[0] & reg.CSR0_INTR


@pytest.mark.parametrize(("number", "cause", "gate", "bit", "opens"), NEED_NO_INEA)
def test_system_errors_need_no_inea(number: int, cause: int, gate: int, bit: int, opens: bool) -> None:
    assert core_with((number, cause), (gate, bit)).interrupt_line
    assert not core_with((number, cause)).interrupt_line


def test_cerr_never_interrupts() -> None:
    assert not core_with((0, reg.CSR0_CERR | reg.CSR0_INEA)).interrupt_line


def test_callback_sees_each_change_of_the_line_once() -> None:
    core = core_with((0, reg.CSR0_INEA))
    levels: list[bool] = []
    core.on_interrupt = levels.append
    core.csr[0] |= reg.CSR0_RINT
    core.update_interrupt()
    core.update_interrupt()
    core.csr[0] &= ~reg.CSR0_RINT
    core.update_interrupt()
    assert levels == [True, False]


def test_addresses_outside_memory_fault() -> None:
    core = core_with()
    core.style = 2
    assert core.reach(core.memory.bus + 4000, 96) == 4000
    assert core.reach(core.memory.bus + 4000, 97) == -1
    assert core.reach(core.memory.bus - 1, 2) == -1
    with pytest.raises(BusFault):
        core.load(0)
    with pytest.raises(BusFault):
        core.store(0, 0, 0)
    with pytest.raises(BusFault):
        core.put(0, memoryview(b"x"))


def test_absent_memory_reads_zero_where_the_chip_is_so() -> None:
    core = Core(DmaMemory.anonymous(4096), QEMU)
    core.bus_master = False
    assert core.load(core.memory.bus) == (0, 0, 0)
    assert bytes(core.fetch(core.memory.bus, 4)) == bytes(4)
    core.put(core.memory.bus, memoryview(b"x"))
    core.store(core.memory.bus, -1 & 0xFFFF_FFFF, 0)
    assert bytes(core.memory.octets) == bytes(4096)


def test_16_bit_styles_take_the_upper_address_octet_from_csr2() -> None:
    core = Core(DmaMemory.anonymous(4096, bus=0xAB00_0000), SILICON)
    core.csr[reg.INIT_BLOCK_HIGH] = 0xAB00
    assert core.reach(0x10, 4) == 0x10
