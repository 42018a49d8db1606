"""The cases that the fact sheet lists, on QEMU's chip and on the model that imitates it: no difference may show."""

import dataclasses
from collections.abc import Callable

import pytest

from asyncnic.devices.qemu.machine import DMA_BUS
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import ADD_FCS, ENP, LTINT, OWN, STP, multicast_hash
from asyncnic.pcnet32.model.quirks import QEMU
from tests.differential.rig import MAC, MEMORY, RX_BUFFERS, RX_RING, TX_BUFFERS, TX_RING, Rig

BROADCAST = b"\xff" * 6
GROUP = bytes.fromhex("01005e000001")
OTHER = bytes.fromhex("020000000003")
# Where the chip stands in its rings and what it has fetched: no driver may use them; the model shows its own.
POINTERS = frozenset((*range(18, 24), *range(26, 30), *range(32, 48), *range(60, 66)))
INIT, STRT, STOP, INEA, TDMD = reg.CSR0_INIT, reg.CSR0_STRT, reg.CSR0_STOP, reg.CSR0_INEA, reg.CSR0_TDMD


def frame(size: int = 60, destination: bytes = MAC, kind: int = 0x88B5) -> bytes:
    body = destination + OTHER + kind.to_bytes(2, "big")
    return (body + bytes(i * 7 & 0xFF for i in range(size)))[:size]


def arm(rig: Rig, count: int, size: int = 2048, extra: int = 0) -> None:
    for i in range(count):
        address = DMA_BUS + RX_BUFFERS + size * i % 0x20000
        rig.descriptor(RX_RING, i, (address, OWN | extra | 0xF000 | -size & 0xFFF, 0, 0))


def send(rig: Rig, index: int, octets: bytes, flags: int = STP | ENP, ones: int = 0xF000) -> None:
    place = TX_BUFFERS + 4096 * (index % 8)
    rig.put(place, octets)
    rig.descriptor(TX_RING, index, (DMA_BUS + place, OWN | flags | ones | -len(octets) & 0xFFF, 0, 0))


def up(rig: Rig, descriptors: int = 16, size: int = 2048, mode: int = 0, ladrf: int = 0) -> None:
    rig.reset()
    arm(rig, descriptors, size)
    rig.start(mode=mode, ladrf=ladrf, rx=descriptors.bit_length() - 1)


def test_power_on_state() -> None:
    rig = Rig()
    rig.compare_all()
    for offset in range(16):
        rig.read(offset, 1)
    rig.close()


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("wide", [False, True])
def test_every_width_at_every_aligned_offset(rig: Rig, width: int, wide: bool) -> None:
    if wide:
        rig.write(reg.WIO_RDP, 4, 0)
    for offset in range(0, reg.WINDOW, width):
        rig.read(offset, width)
        rig.write(offset, width, 0)
    rig.reset()
    rig.compare_all()


@pytest.mark.parametrize("style", range(6))
def test_every_style_of_bcr20(rig: Rig, style: int) -> None:
    rig.write_bcr(reg.BCR_SOFTWARE_STYLE, style)
    rig.bcr(reg.BCR_SOFTWARE_STYLE)
    rig.csr(reg.SOFTWARE_STYLE_ALIAS)
    rig.reset()
    rig.compare_all()


@pytest.mark.parametrize(
    "commands",
    [
        (INIT, STRT),
        (INIT | STRT,),
        (INIT | STRT | INEA,),
        (STRT,),
        (STRT, INIT),
        (INIT, INIT, STRT, STRT),
        (INIT, STRT, STOP),
        (INIT, STRT, STOP, STRT),
        (INIT, STRT, STOP, INIT, STRT),
        (INIT | STRT | STOP,),
        (STOP,),
        (STOP, STOP, INIT),
        (INIT, TDMD),
        (INEA, INIT, STRT | INEA, 0x0100, STOP | INEA, INEA),
        (INIT | TDMD | STRT, 0x7F00 | INEA, 0),
    ],
)
def test_bring_up_orders(rig: Rig, commands: tuple[int, ...]) -> None:
    arm(rig, 4)
    rig.start(command=0, rx=2)
    for command in commands:
        rig.write_csr(reg.CSR_STATUS, command)
        rig.compare_all()
        rig.offer(frame())
    rig.compare_all()


@pytest.mark.parametrize("number", [number for number in range(128) if number not in POINTERS])
def test_a_write_to_every_csr(rig: Rig, number: int) -> None:
    for value in (0x0040, 0x7F00) if number == reg.CSR_STATUS else (0xFFFF, 0x5A5A, 0):
        rig.write_csr(number, value)
        rig.csr(number)
    rig.reset()
    rig.compare_all()


@pytest.mark.parametrize("number", range(64))
def test_a_write_to_every_bcr(rig: Rig, number: int) -> None:
    for value in (0x0060, 0x9001) if number == reg.BCR_BURST_CONTROL else (0xFFFF, 0xA5A5, 0x0002):
        rig.write_bcr(number, value)
        rig.bcr(number)
    rig.reset()
    rig.compare_all()


@pytest.mark.parametrize("size", [14, 20, 59, 60, 61, 64, 128, 1500, 1514, 1518, 1600, 2044, 2045, 2048, 4090, 4096])
def test_frames_of_every_length_class(rig: Rig, size: int) -> None:
    up(rig)
    for _ in range(3):
        rig.offer(frame(size))
    rig.compare_all()


@pytest.mark.parametrize("code", range(11))
def test_every_ring_length(rig: Rig, code: int) -> None:
    length = min(1 << code, 512)
    rig.reset()
    arm(rig, length, size=256)
    rig.start(rx=code, tx=code)
    for _ in range(min(length, 40) + 3):
        rig.offer(frame())
    rig.compare_all()


def test_a_full_ring_misses_and_goes_on(rig: Rig) -> None:
    up(rig, 4)
    for round_ in range(4):
        for _ in range(6):
            rig.offer(frame(60 + round_))
        rig.write_csr(reg.CSR_STATUS, 0x7F00 | INEA)
        arm(rig, 4)
    rig.compare_all()


@pytest.mark.parametrize("size", [16, 64, 100, 126, 128, 512])
@pytest.mark.parametrize("length", [60, 124, 126, 128, 256, 300, 1514])
def test_chained_buffers(rig: Rig, size: int, length: int) -> None:
    up(rig, 8, size)
    for _ in range(3):
        rig.offer(frame(length))
    arm(rig, 2, size)
    rig.offer(frame(length))
    rig.compare_all()


@pytest.mark.parametrize("owned", [0b0001, 0b0010, 0b0100, 0b1000, 0b1010, 0b0101, 0b1110, 0b1100])
def test_gaps_in_the_ring(rig: Rig, owned: int) -> None:
    rig.reset()
    for i in range(4):
        own = OWN if owned >> i & 1 else 0
        rig.descriptor(RX_RING, i, (DMA_BUS + RX_BUFFERS + 512 * i, own | 0xF000 | -512 & 0xFFF, 0, 0))
    rig.start(rx=2)
    for size in (60, 700, 60, 60, 60):
        rig.offer(frame(size))
    rig.compare_all()


@pytest.mark.parametrize(
    "word1", [OWN | 0x0800, OWN | 0x7800, OWN | 0xF000, OWN | 0x3FFF_F800, OWN | STP | ENP | 0xF800]
)
@pytest.mark.parametrize("word2", [0, 0x1000, 0xF000, 0xFFFF, 0xFFFF_0FFF])
def test_malformed_receive_descriptors(rig: Rig, word1: int, word2: int) -> None:
    up(rig, 4)
    rig.descriptor(RX_RING, 1, (DMA_BUS + RX_BUFFERS, word1, word2, 0xDEAD_BEEF))
    for _ in range(5):
        rig.offer(frame())
    rig.compare_all()


@pytest.mark.parametrize(
    "mode", [0, reg.MODE_PROM, reg.MODE_DRCVBC, reg.MODE_DRCVPA, reg.MODE_DRX, reg.MODE_DTX, 0xC000]
)
@pytest.mark.parametrize("groups", [0, 1 << multicast_hash(GROUP), 1 << multicast_hash(BROADCAST), (1 << 64) - 1])
def test_filters(rig: Rig, mode: int, groups: int) -> None:
    up(rig, mode=mode, ladrf=groups)
    for destination in (MAC, OTHER, BROADCAST, GROUP, bytes.fromhex("333300000001"), bytes.fromhex("01005e7f0001")):
        rig.offer(frame(destination=destination))
    rig.compare_all()


def test_suspend_and_resume(rig: Rig) -> None:
    up(rig, 4)
    rig.offer(frame())
    rig.write_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
    rig.offer(frame())
    send(rig, 0, frame())
    rig.compare()
    rig.write_csr(reg.CSR_STATUS, TDMD | INEA)
    rig.write_csr(reg.LADRF_FIRST, 0xFFFF)
    rig.compare_all()
    rig.write_csr(reg.EXTENDED_CONTROL, 0)
    rig.offer(frame())
    rig.compare_all()


@pytest.mark.parametrize("style", [0, 2, 3])
def test_receive_in_every_style(rig: Rig, style: int) -> None:
    rig.reset()
    for i in range(4):
        address = DMA_BUS + RX_BUFFERS + 2048 * i
        if style == 0:
            words = (address & 0xFFFF, 0x8000 | address >> 16 & 0xFF, -1536 & 0xFFFF, 0)
            rig.put(RX_RING + 8 * i, b"".join(word.to_bytes(2, "little") for word in words))
        else:
            first, third = (address, 0) if style == 2 else (0, address)
            rig.descriptor(RX_RING, i, (first, OWN | -1536 & 0xFFFF, third, 0))
    rig.start(style=style, rx=2)
    for size in (60, 1514, 60, 60, 60):
        rig.offer(frame(size))
    rig.compare_all()


@pytest.mark.parametrize("size", [1, 14, 60, 100, 1514, 2000, 4092])
def test_transmit_lengths(rig: Rig, size: int) -> None:
    up(rig)
    for i in range(3):
        send(rig, i, frame(size))
        rig.write_csr(reg.CSR_STATUS, TDMD | INEA)
        rig.compare()
    rig.compare_all()


@pytest.mark.parametrize(
    "flags",
    [
        (STP, ENP),
        (STP, 0, ENP),
        (STP | ENP, STP | ENP, STP | ENP),
        (0, STP | ENP),
        (ENP, STP | ENP),
        (STP, STP | ENP),
        (STP,),
        (STP, 0),
        (STP | ENP | LTINT, STP | ENP),
        (STP | ENP | ADD_FCS, STP, ENP | ADD_FCS),
    ],
)
@pytest.mark.parametrize("csr5", [0, reg.CSR5_TOKINTD, reg.CSR5_TOKINTD | reg.CSR5_LTINTEN, reg.CSR5_LTINTEN])
def test_transmit_chains(rig: Rig, flags: tuple[int, ...], csr5: int) -> None:
    up(rig)
    rig.write_csr(reg.EXTENDED_CONTROL, csr5)
    rig.write_csr(reg.FEATURES, 0x0915 | reg.CSR4_TXDPOLL)
    for i, bits in enumerate(flags):
        send(rig, i, frame(100 + i), bits)
    rig.write_csr(reg.CSR_STATUS, TDMD | INEA)
    rig.compare_all()


def test_transmit_without_ones_is_not_owned(rig: Rig) -> None:
    up(rig)
    send(rig, 0, frame(), ones=0x7000)
    rig.write_csr(reg.CSR_STATUS, TDMD | INEA)
    rig.compare_all()


@pytest.mark.parametrize("mode", [0x0004, 0x0044, 0x000C, 0x004C, 0x8004])
@pytest.mark.parametrize("fcs", [0, ADD_FCS])
@pytest.mark.parametrize("size", [30, 60, 64, 500])
def test_loopback(rig: Rig, mode: int, fcs: int, size: int) -> None:
    up(rig, mode=mode)
    # QEMU pads a short frame, and finds the FCS of a whole one, in what an earlier frame left behind: leave zeros.
    send(rig, 0, bytes(2000))
    send(rig, 1, frame(size), STP | ENP | fcs)
    rig.write_csr(reg.CSR_STATUS, TDMD | INEA)
    rig.compare()
    rig.offer(frame())
    rig.compare_all()


def test_the_missed_frame_counter_wraps(rig: Rig) -> None:
    up(rig, 1)
    rig.write_csr(reg.CSR_STATUS, STOP)
    rig.write_csr(reg.MISSED_FRAMES, 0xFFFE)
    rig.write_csr(reg.CSR_STATUS, STRT | INEA)
    for _ in range(5):
        rig.offer(frame())
    rig.compare_all()


@pytest.mark.parametrize("mask", [0, 0x0400, 0x1000, 0x5F00])
def test_the_interrupt_line_follows_causes_and_masks(rig: Rig, mask: int) -> None:
    up(rig, 2)
    rig.write_csr(reg.INTERRUPT_MASK, mask)
    for _ in range(3):
        rig.offer(frame())
        rig.write_csr(reg.CSR_STATUS, 0)
        rig.compare()
        rig.write_csr(reg.CSR_STATUS, INEA)
        rig.compare()
        rig.write_csr(reg.CSR_STATUS, 0x0400 | INEA)
        rig.compare()
    rig.write_csr(reg.INTERRUPT_MASK, 0)
    rig.compare_all()


def test_memory_that_is_not_there(rig: Rig) -> None:
    rig.reset()
    arm(rig, 4)
    rig.descriptor(RX_RING, 0, (0xE000_0000, OWN | -1536 & 0xFFFF, 0, 0))
    rig.start(rx=2)
    rig.offer(frame())
    rig.compare_all()
    assert MEMORY < 1 << 20


def _stop(rig: Rig) -> None:
    up(rig)
    rig.write_csr(reg.CSR_STATUS, STOP)


def _overrun(rig: Rig) -> None:
    up(rig, 4, 64)
    rig.offer(frame(300))


def _gap(rig: Rig) -> None:
    up(rig, 4)
    rig.descriptor(RX_RING, 0, (0, 0xF000, 0, 0))
    rig.offer(frame())


def _long(rig: Rig) -> None:
    up(rig, 4, 4096)
    rig.offer(frame(5000))


def _before_start(rig: Rig) -> None:
    arm(rig, 4)
    rig.start(command=INIT, rx=2)
    rig.offer(frame())


def _headless(rig: Rig) -> None:
    up(rig)
    send(rig, 0, frame(), ENP)
    rig.compare()


def _missing_memory(rig: Rig) -> None:
    up(rig, 4)
    rig.descriptor(RX_RING, 0, (0xE000_0000, OWN | -1536 & 0xFFFF, 0, 0))
    rig.offer(frame())


@pytest.mark.parametrize(
    ("quirk", "scenario"),
    [
        ("stop_leaves_txon", _stop),
        ("three_descriptors", _overrun),
        ("oflo_with_buff", _overrun),
        ("skips_descriptors", _gap),
        ("cuts_long_frames", _long),
        ("receives_before_start", _before_start),
        ("returns_headless", _headless),
        ("absent_memory_reads_zero", _missing_memory),
    ],
)
def test_a_model_without_a_quirk_is_told_apart(quirk: str, scenario: Callable[[Rig], None]) -> None:
    rig = Rig(dataclasses.replace(QEMU, **{quirk: False}))
    with pytest.raises(AssertionError, match="for QEMU's"):
        scenario(rig)
        rig.compare_all()
    rig.close()
