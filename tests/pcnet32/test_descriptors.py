"""Packing and reading of init blocks and descriptors, against values of the fact sheet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.pcnet32 import descriptors as desc
from asyncnic.pcnet32.descriptors import InitBlock


def test_byte_count_of_1536_is_fa00() -> None:
    assert desc.OWN | desc.byte_count(1536) == 0x8000_FA00


@given(st.integers(1, 4096))
def test_byte_count_and_buffer_length_are_inverse(length: int) -> None:
    word = desc.byte_count(length)
    assert desc.buffer_length(word) == length
    assert word & desc.ONES == desc.ONES


@pytest.mark.parametrize("length", [0, 4097])
def test_byte_count_refuses_what_no_descriptor_can_say(length: int) -> None:
    with pytest.raises(ValueError, match="1 to 4096"):
        desc.byte_count(length)


@pytest.mark.parametrize(("address", "bit"), [("01005e000001", 54), ("ffffffffffff", 47)])
def test_multicast_hash(address: str, bit: int) -> None:
    assert desc.multicast_hash(bytes.fromhex(address)) == bit


@pytest.mark.parametrize("length", [0, 3, 1024])
def test_ring_length_code_refuses_other_than_powers_of_two_to_512(length: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        desc.ring_length_code(length)


def test_ring_length_code_is_the_logarithm() -> None:
    assert [desc.ring_length_code(1 << n) for n in range(10)] == list(range(10))


def test_init_block_first_word_is_mode_rlen_tlen() -> None:
    block = InitBlock(0x8180, bytes(6), 0, 0, 0, rx_code=8, tx_code=5)
    image = block.pack()
    assert len(image) == InitBlock.SIZE_32 == 28
    assert int.from_bytes(image[:4], "little") == 0x8180 | 8 << 20 | 5 << 28


def test_init_block_of_16_bit_style_puts_lengths_above_addresses() -> None:
    image = InitBlock(0, bytes(6), 0, 0x12_3450, 0x12_3460, rx_code=3, tx_code=7).pack(0)
    assert len(image) == InitBlock.SIZE_16 == 24
    assert int.from_bytes(image[16:20], "little") == 3 << 29 | 0x12_3450


@given(
    st.integers(0, 0xFFFF),
    st.binary(min_size=6, max_size=6),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 24) - 1),
    st.integers(0, (1 << 24) - 1),
    st.integers(0, 7),
    st.integers(0, 7),
    st.sampled_from([0, 1, 2, 3]),
)
def test_init_block_round_trip(
    mode: int, padr: bytes, ladrf: int, rx: int, tx: int, rx_code: int, tx_code: int, style: int
) -> None:
    block = InitBlock(mode, padr, ladrf, rx, tx, rx_code, tx_code)
    assert InitBlock.unpack(block.pack(style), style) == block


@pytest.mark.parametrize(("code", "length"), [(0, 1), (9, 512), (10, 512), (15, 512)])
def test_ring_length_codes_above_9_mean_512(code: int, length: int) -> None:
    block = InitBlock(0, bytes(6), 0, 0, 0, code, code)
    assert (block.rx_length, block.tx_length) == (length, length)


def test_describe_rx_in_both_layouts() -> None:
    status = desc.STP | desc.ENP | desc.PAM | desc.byte_count(1536)
    expected = {"address": 0x1000, "size": 1536, "bits": ["STP", "ENP", "PAM"], "count": 64}
    assert desc.describe_rx([0x1000, status, 64, 0], style=2) == expected
    assert desc.describe_rx([64, status, 0x1000, 0], style=3) == expected


def test_describe_rx_says_when_ones_are_missing() -> None:
    assert desc.describe_rx([0, desc.OWN, 0, 0], style=2)["bits"] == ["OWN", "no-ONES"]


def test_describe_tx_reads_bit_28_by_its_owner() -> None:
    ones = desc.byte_count(60)
    assert desc.describe_tx([0, desc.OWN | desc.LTINT | ones, 0, 0], style=2)["bits"] == ["OWN", "LTINT"]
    assert desc.describe_tx([0, desc.MORE | ones, 0, 0], style=2)["bits"] == ["MORE"]


def test_describe_tx_names_errors() -> None:
    described = desc.describe_tx([0, desc.ERR | desc.byte_count(60), desc.TMD2_UFLO | desc.TMD2_BUFF, 0], style=2)
    assert described["errors"] == ["BUFF", "UFLO"]


def test_describe_tx_says_when_ones_are_missing() -> None:
    assert "no-ONES" in desc.describe_tx([0, 0, 0, 0], style=2)["bits"]  # type: ignore[operator]
