"""The driver against the chip in software: bring-up, interrupts, faults, accumulation, shutdown."""

from collections.abc import Callable

import pytest

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.driver.driver import ChipError, Driver, Layout
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.model.quirks import QEMU, SILICON, Quirks

MAC = bytes.fromhex("525400123456")


class Card:
    """A chip, its driver, and what went out on its wire."""

    def __init__(self, *, rx: int = 8, tx: int = 4, quirks: Quirks = SILICON, mac: bytes | None = None) -> None:
        self.sent: list[bytes] = []
        memory = DmaMemory.anonymous(Layout.of(rx, tx).size)
        self.chip = Am79C970A(memory, MAC, self._send, quirks)
        self.chip.bus_master = True
        self.driver = Driver(
            self.chip, rx_ring=rx, tx_ring=tx, max_frame=1518, mac=mac, filters=False, pause=lambda seconds: None
        )

    def _send(self, frame: memoryview) -> bool:
        self.sent.append(bytes(frame))
        return True


def frame(number: int = 0, destination: bytes = MAC) -> bytes:
    return destination + MAC + b"\x88\xb5" + bytes([number]) * 46


@pytest.mark.parametrize("quirks", [SILICON, QEMU])
def test_bring_up_identifies_and_starts_the_chip(quirks: Quirks) -> None:
    card = Card(quirks=quirks)
    card.driver.bring_up()
    assert card.driver.chip == "Am79C970A"
    assert card.driver.address == MAC
    status = card.driver.read_csr(reg.CSR_STATUS)
    assert status & (reg.CSR0_RXON | reg.CSR0_TXON | reg.CSR0_INEA) == reg.CSR0_RXON | reg.CSR0_TXON
    assert card.driver.read_bcr(reg.BCR_SOFTWARE_STYLE) == 0x0302


@pytest.mark.parametrize("rings", [(1, 1), (2, 512), (512, 2), (256, 64)])
def test_frames_pass_both_ways_whatever_the_ring(rings: tuple[int, int]) -> None:
    card = Card(rx=rings[0], tx=rings[1])
    card.driver.bring_up()
    for number in range(3 * rings[0]):
        card.chip.receive(frame(number & 0xFF))
        ((offset,), (length,)) = card.driver.collect(64)
        assert bytes(card.chip.memory.octets[offset : offset + length]) == frame(number & 0xFF)
        card.driver.rx.leave(1)
    for number in range(2 * rings[1] + 1):
        assert card.driver.transmit(frame(number & 0xFF))
        card.driver.kick()
    assert card.sent == [frame(number & 0xFF) for number in range(2 * rings[1] + 1)]


def test_a_chip_left_in_the_32_bit_mode_is_found_there() -> None:
    card = Card()
    card.chip.write(reg.DWIO_RDP, 4, 0)
    card.driver.bring_up()
    card.chip.receive(frame())
    assert card.driver.collect(1)[1] == [60]


def test_a_given_address_wins_over_the_chips_own() -> None:
    mine = bytes.fromhex("020000000009")
    card = Card(mac=mine)
    card.driver.bring_up()
    card.chip.receive(frame(destination=MAC))
    card.chip.receive(frame(7, destination=mine))
    assert card.driver.collect(8)[1] == [60]
    assert card.chip.counters.filtered == 1


def test_without_bus_mastering_bring_up_says_so() -> None:
    card = Card()
    card.chip.bus_master = False
    with pytest.raises(ChipError, match="bus mastering"):
        card.driver.bring_up()


class Nothing:
    """A slot without a card: every read is all ones."""

    def __init__(self) -> None:
        self.memory = DmaMemory.anonymous(Layout.of(8, 4).size)

    def read(self, offset: int, width: int) -> int:
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        pass


def test_an_empty_slot_is_an_error_and_no_hang() -> None:
    driver = Driver(Nothing(), rx_ring=8, tx_ring=4, max_frame=1518, mac=None, filters=False, pause=lambda _: None)
    with pytest.raises(ChipError, match="no PCnet32 answers"):
        driver.bring_up()
    driver.acknowledge()
    assert driver.fault is not None
    driver.sample_missed()
    assert driver.missed == 0
    driver.shut_down()


def test_an_interrupt_is_acknowledged_before_the_rings_are_looked_at() -> None:
    card = Card()
    card.driver.bring_up()
    card.driver.enable_interrupts()
    assert not card.chip.interrupt_line
    card.chip.receive(frame(1))
    assert card.chip.interrupt_line
    assert card.driver.acknowledge() & reg.CSR0_RINT
    assert not card.chip.interrupt_line
    card.chip.receive(frame(2))  # between acknowledgement and enabling: must not be lost
    assert not card.chip.interrupt_line
    assert len(card.driver.collect(8)[0]) == 2
    card.driver.rx.leave(2)
    card.driver.enable_interrupts()
    assert card.chip.interrupt_line


def test_registers_are_accessed_no_more_than_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card()
    card.driver.bring_up()
    accesses: list[int] = []

    def read(chip: Am79C970A, offset: int, width: int, access: Callable[..., int] = Am79C970A.read) -> int:
        accesses.append(offset)
        return access(chip, offset, width)

    def write(chip: Am79C970A, *to: int, access: Callable[..., None] = Am79C970A.write) -> None:
        accesses.append(to[0])
        access(chip, *to)

    monkeypatch.setattr(Am79C970A, "read", read)
    monkeypatch.setattr(Am79C970A, "write", write)
    card.driver.read_csr(reg.CSR_STATUS)
    accesses.clear()
    card.driver.enable_interrupts()
    card.driver.enable_interrupts()
    card.driver.acknowledge()
    assert accesses == [reg.WIO_RDP] * 3  # RAP points there already, and the second enabling is none
    card.driver.sample_missed()
    card.driver.read_csr(reg.CSR_STATUS)
    assert accesses[3:] == [reg.WIO_RAP, reg.WIO_RDP] * 2
    card.driver.bring_up()  # a reset sets RAP to 0 behind whoever remembers it
    assert card.driver.read_csr(reg.CHIP_ID_LOW) == reg.CHIP_AM79C970A & 0xFFFF


def test_kicking_keeps_interrupts_as_they_are() -> None:
    card = Card()
    card.driver.bring_up()
    card.driver.kick()
    assert not card.driver.read_csr(reg.CSR_STATUS) & reg.CSR0_INEA
    card.driver.enable_interrupts()
    card.driver.kick()
    assert card.driver.read_csr(reg.CSR_STATUS) & reg.CSR0_INEA


def test_missed_frames_accumulate_over_the_wrap_and_over_a_reset() -> None:
    card = Card(rx=1)
    card.driver.bring_up()
    for _ in range(3):
        for _ in range(40_000):
            card.chip.receive(frame())
        card.driver.sample_missed()
    assert card.driver.missed == 3 * 40_000 - 1
    card.chip.receive(frame())
    card.driver.bring_up()
    assert card.driver.missed == 3 * 40_000
    card.driver.sample_missed()
    assert card.driver.missed == 3 * 40_000


def test_a_stopped_chip_is_a_fault_that_a_new_bring_up_mends() -> None:
    card = Card()
    card.driver.bring_up()
    card.driver.acknowledge()
    assert card.driver.fault is None
    card.driver.write_csr(reg.CSR_STATUS, reg.CSR0_STOP)
    card.driver.acknowledge()
    assert card.driver.fault is not None
    card.driver.bring_up()
    assert card.driver.fault is None
    card.chip.receive(frame())
    assert len(card.driver.collect(8)[0]) == 1


@pytest.mark.parametrize("quirks", [SILICON, QEMU])
def test_frames_missed_by_a_chip_that_has_stopped_itself_are_counted(quirks: Quirks) -> None:
    card = Card(rx=1, quirks=quirks)
    card.driver.bring_up()
    for _ in range(10):
        card.chip.receive(frame())
    card.driver.write_csr(reg.CSR_STATUS, reg.CSR0_STOP)
    card.driver.bring_up()
    assert card.driver.missed == 9


def test_a_chip_that_stops_itself_without_an_interrupt_is_found_by_looking() -> None:
    card = Card()
    card.driver.bring_up()
    card.driver.check_running()
    assert card.driver.fault is None
    card.driver.write_csr(reg.CSR_STATUS, reg.CSR0_STOP)
    card.driver.check_running()
    assert card.driver.fault == "the chip has switched itself off"


def test_frames_missed_while_a_chip_did_not_answer_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(rx=1)
    card.driver.bring_up()
    for _ in range(10):
        card.chip.receive(frame())
    with monkeypatch.context() as away:
        away.setattr(Am79C970A, "read", lambda chip, offset, width: (1 << 8 * width) - 1)
        away.setattr(Am79C970A, "write", lambda chip, offset, width, value: None)
        with pytest.raises(ChipError, match="no PCnet32 answers"):
            card.driver.bring_up()
    card.driver.bring_up()
    assert card.driver.missed == 9


@pytest.mark.parametrize("quirks", [SILICON, QEMU])
def test_a_chip_that_takes_no_more_frames_goes_on_sending_where_its_ring_stands(quirks: Quirks) -> None:
    card = Card(quirks=quirks)
    card.driver.bring_up()
    card.chip.receive(frame(1))
    assert card.driver.transmit(frame(2))
    card.driver.kick()
    card.driver.stop_receiving()
    card.chip.receive(frame(3))
    assert len(card.driver.collect(8)[0]) == 1
    card.driver.rx.leave(1)
    assert card.driver.collect(8) == ([], [])
    for number in range(4, 12):
        assert card.driver.transmit(frame(number))
        card.driver.kick()
    assert card.sent == [frame(number) for number in (2, *range(4, 12))]


def test_what_a_chip_did_not_send_is_counted_when_it_is_shut_down() -> None:
    card = Card()
    card.driver.bring_up()
    assert card.driver.transmit(frame(1))
    card.driver.kick()
    assert card.driver.transmit(frame(2))
    card.driver.shut_down()
    assert card.sent == [frame(1)]
    assert (card.driver.tx.counters.frames, card.driver.tx.errors["carrier"], card.driver.tx.pending) == (1, 1, 0)


def test_frames_that_a_reset_wipes_are_counted() -> None:
    card = Card()
    card.driver.bring_up()
    for number in range(5):
        card.chip.receive(frame(number))
    card.driver.collect(2)
    card.driver.rx.leave(2)
    card.driver.bring_up()
    assert (card.driver.rx.counters.seen, card.driver.rx.counters.reset, card.driver.rx.finished()) == (5, 3, 0)


def test_a_bus_error_is_a_fault() -> None:
    card = Card()
    card.driver.bring_up()
    card.chip.bus_master = False
    card.chip.receive(frame())
    card.driver.acknowledge()
    assert "MERR" in (card.driver.fault or "")


def test_multicast_groups_pass_the_hash_filter() -> None:
    group, other = bytes.fromhex("01005e000001"), bytes.fromhex("3333ff000001")
    card = Card()
    card.driver.bring_up()
    card.driver.accept_multicast({group})
    card.chip.receive(frame(destination=other))
    card.chip.receive(frame(destination=group))
    assert len(card.driver.collect(8)[0]) == 1
    card.driver.rx.leave(1)
    card.driver.bring_up()
    card.chip.receive(frame(destination=group))
    assert len(card.driver.collect(8)[0]) == 1


def test_the_driver_filters_where_the_card_does_not_count() -> None:
    memory = DmaMemory.anonymous(Layout.of(8, 4).size)
    chip = Am79C970A(memory, MAC, lambda frame: True)
    chip.bus_master = True
    driver = Driver(chip, rx_ring=8, tx_ring=4, max_frame=1518, mac=None, filters=True, pause=lambda _: None)
    driver.bring_up()
    other = bytes.fromhex("020000000009")
    for number, destination in enumerate((other, MAC, MAC, other, other, b"\xff" * 6)):
        chip.receive(frame(number, destination))
    seen: list[int] = []
    while True:
        offsets, _ = driver.collect(8)
        if not offsets:
            break
        seen.extend(chip.memory.octets[offset + 14] for offset in offsets)
        driver.rx.leave(len(offsets))
    assert seen == [1, 2, 5]
    assert driver.rx.counters.filtered == 3
    assert driver.rx.counters.seen == 6


def test_shut_down_leaves_a_stopped_chip_in_its_first_style() -> None:
    card = Card()
    card.driver.bring_up()
    card.driver.shut_down()
    assert card.driver.read_csr(reg.CSR_STATUS) == reg.CSR0_STOP
    assert card.driver.read_bcr(reg.BCR_SOFTWARE_STYLE) == 0x0200
    card.chip.receive(frame())
    assert card.driver.rx.finished() == 0


@pytest.mark.parametrize("length", [0, 3, 1024])
def test_a_ring_that_no_init_block_can_say_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Layout.of(length, 4)


@pytest.mark.parametrize("filters", [False, True])
def test_a_promiscuous_driver_takes_every_frame(filters: bool) -> None:
    chip = Am79C970A(DmaMemory.anonymous(Layout.of(8, 4).size), MAC, lambda frame: True)
    chip.bus_master = True
    driver = Driver(
        chip, rx_ring=8, tx_ring=4, max_frame=1518, mac=None, filters=filters, pause=lambda _: None, promiscuous=True
    )
    driver.bring_up()
    driver.accept_multicast(set())
    for number, group in enumerate((bytes.fromhex("020000000009"), b"\x01\0\x5e\0\0\x01", b"\xff" * 6, MAC)):
        chip.receive(frame(number, group))
    assert len(driver.collect(8)[0]) == 4
    assert driver.rx.counters.filtered == 0
