"""The transmit ring against a card played by hand."""

import pytest

from asyncnic.pcnet32.descriptors import ERR, OWN, TMD2_LCAR, TMD2_LCOL, TMD2_RTRY, TMD2_UFLO
from asyncnic.pcnet32.driver.transmit_ring import TransmitRing
from asyncnic.pcnet32.memory import DmaMemory

RING = 4096


def make(size: int) -> tuple[DmaMemory, TransmitRing]:
    memory = DmaMemory.anonymous(RING + 16 * size + 2048 * size)
    ring = TransmitRing(memory, RING, RING + 16 * size, size)
    ring.disarm_all()
    return memory, ring


def card_returns(memory: DmaMemory, index: int, *, error: int = 0) -> None:
    word = RING // 4 + 4 * index + 1
    memory.words[word] = (memory.words[word] & ~OWN) | (ERR if error else 0)
    memory.words[word + 1] = error


def test_a_frame_is_copied_padded_and_given_to_the_card() -> None:
    memory, ring = make(4)
    memory.octets[RING + 64 : RING + 64 + 60] = b"\xff" * 60
    assert ring.put(b"\x01" * 20)
    address, status, errors = ring.words()[0]
    start = address - memory.bus
    assert bytes(memory.octets[start : start + 60]) == b"\x01" * 20 + bytes(40)
    assert status == 0xA300_FFC4  # OWN, ADD_FCS, STP, ENP, ONES, and -60 in twelve bits
    assert errors == 0


def test_one_descriptor_stays_free() -> None:
    memory, ring = make(4)
    assert [ring.put(bytes(60)) for _ in range(4)] == [True, True, True, False]
    assert not any(ring.errors.values()), "who is refused may try again: nothing is lost yet"
    card_returns(memory, 0)
    assert ring.put(bytes(60))
    assert (ring.counters.frames, ring.counters.octets, ring.pending) == (1, 60, 3)


def test_a_ring_of_one_sends() -> None:
    memory, ring = make(1)
    assert ring.put(bytes(60))
    assert not ring.put(bytes(60))
    card_returns(memory, 0)
    assert ring.put(bytes(70))


def test_octets_are_counted_without_padding() -> None:
    memory, ring = make(2)
    ring.put(bytes(42))
    card_returns(memory, 0)
    assert ring.reap() == 1
    assert ring.counters.octets == 42


@pytest.mark.parametrize(
    ("error", "name"),
    [(TMD2_UFLO, "underflow"), (TMD2_LCOL, "late_collision"), (TMD2_LCAR, "carrier"), (TMD2_RTRY, "retry")],
)
def test_errors_are_counted_by_reason_and_not_as_frames(error: int, name: str) -> None:
    memory, ring = make(2)
    ring.put(bytes(60))
    card_returns(memory, 0, error=error)
    ring.reap()
    assert ring.errors[name] == 1
    assert ring.counters.frames == 0


def test_what_a_reset_takes_back_is_counted() -> None:
    _, ring = make(8)
    ring.put(bytes(60))
    ring.put(bytes(60))
    ring.disarm_all()
    assert ring.errors["carrier"] == 2
    assert ring.pending == 0


def test_an_oversize_frame_is_refused_and_counted() -> None:
    _, ring = make(2)
    assert not ring.put(bytes(2049))
    assert ring.errors["oversize"] == 1
