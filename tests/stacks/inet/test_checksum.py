import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnic.stacks.inet.checksum import checksum, pseudo_sum, sound, word_sum
from tests.stacks.inet.wire import sum_of

RFC1071 = bytes.fromhex("0001f203f4f5f6f7")  # the example of RFC 1071 section 3
HEADER = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")  # a header with its checksum, b861


def test_the_example_of_the_rfc() -> None:
    assert word_sum(RFC1071) == 0xDDF2
    assert checksum(RFC1071) == 0x220D


def test_a_known_header_is_sound_and_none_of_its_bit_errors() -> None:
    assert sound(HEADER)
    assert checksum(HEADER[:10] + b"\0\0" + HEADER[12:]) == 0xB861
    for bit in range(len(HEADER) * 8):
        broken = bytearray(HEADER)
        broken[bit // 8] ^= 1 << bit % 8
        assert not sound(bytes(broken))


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"\x01", 0x0100), (b"\xff\xff", 0xFFFF), (b"\0\0\0", 0), (b"\x12\x34\x56", 0x6834)],
)
def test_short_and_odd_data(data: bytes, expected: int) -> None:
    assert word_sum(data) == expected


@given(st.binary(max_size=100), st.integers(0, 0xFFFF))
def test_agrees_with_the_sum_word_by_word(data: bytes, initial: int) -> None:
    assert word_sum(data) == sum_of(data)
    even = data if len(data) % 2 == 0 else data + b"\0"
    assert sound(even + checksum(even, initial).to_bytes(2, "big"), initial)


def test_pseudo_header_of_both_families() -> None:
    v4 = bytes((192, 0, 2, 1, 192, 0, 2, 2, 0, 17, 0, 9))
    assert pseudo_sum(v4[:4], v4[4:8], 17, 9) % 0xFFFF == sum_of(v4) % 0xFFFF
    v6 = bytes(range(32)) + bytes((0, 1, 0, 9, 0, 0, 0, 58))
    assert pseudo_sum(v6[:16], v6[16:32], 58, 65545) % 0xFFFF == sum_of(v6) % 0xFFFF


@given(st.one_of(st.binary(max_size=100), st.integers(0, 50).map(bytes)))
def test_a_checksum_is_the_complement_of_the_sum_whose_zeros_differ(data: bytes) -> None:
    assert checksum(data) == 0xFFFF - sum_of(data)
    even = data + b"\0" * (len(data) & 1)
    assert sound(even + checksum(data).to_bytes(2, "big"))
    assert sound(data) is (sum_of(data) == 0xFFFF)


def test_zeros_alone_have_the_checksum_ffff() -> None:
    for size in range(40):
        assert checksum(bytes(size)) == 0xFFFF
        assert not sound(bytes(size))
    assert checksum(b"\xff\xff") == 0
