"""Names of bits, for people."""

from asyncnic.pcnet32 import registers as reg


def test_decode_names_set_bits_highest_first() -> None:
    assert reg.decode(0, 0x02F3) == ["TINT", "INTR", "INEA", "RXON", "TXON", "STRT", "INIT"]


def test_decode_shows_unnamed_bits_as_a_number() -> None:
    assert reg.decode(reg.EXTENDED_CONTROL, 0x3001) == ["SPND", "0x3000"]


def test_decode_of_a_plain_number_is_empty() -> None:
    assert reg.decode(reg.MISSED_FRAMES, 0xFFFF) == []


def test_every_bit_of_csr0_has_a_name() -> None:
    assert sum(reg.CSR_BITS[0].values()) == 0xFFFF


def test_decode_bcr_names_style_bits() -> None:
    assert reg.decode_bcr(reg.BCR_SOFTWARE_STYLE, 0x0300) == ["CSRPCNET", "SSIZE32"]
    assert reg.decode_bcr(31, 0xFFFF) == []


def test_chip_id_says_am79c970a() -> None:
    assert reg.CHIP_AM79C970A & reg.CHIP_SANITY_MASK == reg.CHIP_SANITY
    assert reg.CHIP_NAMES[reg.CHIP_AM79C970A >> 12] == "Am79C970A"
