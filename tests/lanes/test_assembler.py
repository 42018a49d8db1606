"""Each instruction: its octets, its line in a listing, and what the kernel does with it."""

import os
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncnic.lanes.assembler import CONDITIONS, R0, R1, R2, R6, R7, R10, Assembler, Register
from asyncnic.linux.bpf import CounterMap, load_program
from tests.linux.trying import try_program

WORD = 0xFFFF_FFFF_FFFF_FFFF
words = st.one_of(st.integers(0, WORD), st.sampled_from((0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 63, WORD)))
immediates = st.one_of(st.integers(-0x8000_0000, 0x7FFF_FFFF), st.sampled_from((0, 1, -1, 0x7FFF_FFFF, -0x8000_0000)))


def signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def run(build: Callable[[Assembler, int], None], *inputs: int) -> list[int]:
    """Run a program whose map holds `inputs`; returns the program's result and the map's words afterwards.

    `build` is given the map's descriptor and leaves its result in r0.
    """
    counters = CounterMap(64)
    try:
        for index, value in enumerate(inputs):
            counters.words[index] = value
        code = Assembler()
        build(code, counters.descriptor)
        code.exit()
        program = load_program(code.encode(), "instruction")
        try:
            result = try_program(program, bytes(60)).result
        finally:
            os.close(program)
        return [result, *counters.words]
    finally:
        counters.close()


def operate(code: Assembler, descriptor: int, operator: str, operand: Register | int) -> None:
    """words[2] = words[0] operator (words[1] or an immediate)."""
    code.map_value(R6, descriptor)
    code.load(R1, R6, 0, 8)
    code.load(R2, R6, 8, 8)
    code.arithmetic(R1, operator, operand)
    code.store(R6, 16, R1, 8)
    code.arithmetic(R0, "=", 0)


ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "=": lambda left, right: right,
    "+=": lambda left, right: left + right,
    "-=": lambda left, right: left - right,
    "*=": lambda left, right: left * right,
    "&=": lambda left, right: left & right,
    "<<=": lambda left, right: left << (right & 63),
    ">>=": lambda left, right: left >> (right & 63),
}


@pytest.mark.parametrize("operator", ARITHMETIC)
@settings(max_examples=30)
@given(left=words, right=words)
def test_arithmetic_on_registers(operator: str, left: int, right: int) -> None:
    result = run(lambda code, descriptor: operate(code, descriptor, operator, R2), left, right)
    assert result[3] == ARITHMETIC[operator](left, right) & WORD


@pytest.mark.parametrize("operator", ["=", "+=", "-=", "*=", "&="])
@settings(max_examples=30)
@given(left=words, right=immediates)
def test_arithmetic_with_an_immediate_extends_its_sign(operator: str, left: int, right: int) -> None:
    result = run(lambda code, descriptor: operate(code, descriptor, operator, right), left)
    assert result[3] == ARITHMETIC[operator](left, right) & WORD


@pytest.mark.parametrize("operator", ["<<=", ">>="])
@pytest.mark.parametrize("places", [0, 1, 7, 31, 32, 63])
def test_shift_by_an_immediate(operator: str, places: int) -> None:
    left = 0x8123_4567_89AB_CDEF
    result = run(lambda code, descriptor: operate(code, descriptor, operator, places), left)
    assert result[3] == ARITHMETIC[operator](left, places) & WORD


COMPARISON: dict[str, Callable[[int, int], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
}


def compare(code: Assembler, descriptor: int, condition: str, right: Register | int, word: bool) -> None:
    """r0 = 1 if the condition holds, else 2."""
    code.map_value(R6, descriptor)
    code.load(R1, R6, 0, 8)
    code.load(R2, R6, 8, 8)
    (code.jump_if_word if word else code.jump_if)(R1, condition, right, "holds")
    code.arithmetic(R0, "=", 2)
    code.jump("end")
    code.label("holds")
    code.arithmetic(R0, "=", 1)
    code.label("end")


def holds(condition: str, left: int, right: int, bits: int) -> bool:
    if condition == "s<":
        return signed(left, bits) < signed(right, bits)
    mask = (1 << bits) - 1
    return COMPARISON[condition](left & mask, right & mask)


@pytest.mark.parametrize("word", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=30)
@given(left=words, right=words, same=st.booleans())
def test_jump_on_registers(condition: str, word: bool, left: int, right: int, same: bool) -> None:
    right = left if same else right
    result = run(lambda code, descriptor: compare(code, descriptor, condition, R2, word), left, right)
    assert (result[0] == 1) == holds(condition, left, right, 32 if word else 64)


@pytest.mark.parametrize("word", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
@settings(max_examples=30)
@given(left=words, right=immediates, same=st.booleans())
def test_jump_on_an_immediate_extends_its_sign(condition: str, word: bool, left: int, right: int, same: bool) -> None:
    left = right & WORD if same else left
    result = run(lambda code, descriptor: compare(code, descriptor, condition, right, word), left)
    assert (result[0] == 1) == holds(condition, left, right, 32 if word else 64)


@pytest.mark.parametrize("octets", [1, 2, 4, 8])
def test_load_takes_its_octets_and_zeroes_the_rest(octets: int) -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor)
        code.load(R1, R6, 8, octets)
        code.store(R6, 16, R1, 8)
        code.arithmetic(R0, "=", 0)

    value = 0xF1E2_D3C4_B5A6_9788
    expected = int.from_bytes(struct.pack("=Q", value)[:octets], sys.byteorder)
    assert run(build, WORD, value)[3] == expected


@pytest.mark.parametrize("octets", [1, 2, 4, 8])
@pytest.mark.parametrize("operand", [R1, -2])
def test_store_writes_its_octets_and_no_other(octets: int, operand: Register | int) -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor)
        code.arithmetic(R1, "=", -2)
        code.store(R6, 8, operand, octets)
        code.arithmetic(R0, "=", 0)

    before = 0x0102_0304_0506_0708
    image = struct.pack("=q", -2)
    low = image[:octets] if sys.byteorder == "little" else image[8 - octets :]
    expected = low + struct.pack("=Q", before)[octets:]
    assert run(build, 0, before)[2] == int.from_bytes(expected, sys.byteorder)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_big_endian_reads_network_byte_order(bits: int) -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor)
        code.load(R1, R6, 0, 8)
        code.big_endian(R1, bits)
        code.store(R6, 8, R1, 8)
        code.arithmetic(R0, "=", 0)

    image = bytes.fromhex("0102030405060708")
    if sys.byteorder == "little":
        expected = int.from_bytes(image[: bits // 8], "big")
    else:
        expected = int.from_bytes(image[8 - bits // 8 :], "big")
    assert run(build, int.from_bytes(image, sys.byteorder))[2] == expected


@given(start=words, addend=words)
@settings(max_examples=20)
def test_atomic_add_wraps_and_leaves_the_addend(start: int, addend: int) -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor)
        code.load(R1, R6, 8, 8)
        code.atomic_add(R6, 0, R1)
        code.store(R6, 16, R1, 8)
        code.arithmetic(R0, "=", 0)

    assert run(build, start, addend)[1:4] == [(start + addend) & WORD, addend, addend]


@given(start=words, addend=words)
@settings(max_examples=20)
def test_fetch_add_gives_what_was_there(start: int, addend: int) -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor)
        code.load(R1, R6, 8, 8)
        code.fetch_add(R6, 0, R1)
        code.store(R6, 16, R1, 8)
        code.arithmetic(R0, "=", 0)

    assert run(build, start, addend)[1:4] == [(start + addend) & WORD, addend, start]


def test_map_value_points_at_its_offset() -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.map_value(R6, descriptor, 24)
        code.load(R0, R6, 0, 4)

    assert run(build, 0, 0, 0, 77)[0] == 77


def test_call_runs_a_helper_and_keeps_r6_to_r9() -> None:
    def build(code: Assembler, descriptor: int) -> None:
        code.arithmetic(R7, "=", 41)
        code.call(8)  # the processor's number
        code.arithmetic(R0, "=", R7)

    assert run(build)[0] == 41


def test_encoding_is_that_of_rfc_9669() -> None:
    code = Assembler()
    code.arithmetic(R6, "=", R1)
    code.jump_if(R1, "==", 0x1234, "end")
    code.load(R2, R10, -8, 2)
    code.label("end")
    code.exit()
    slots = [(0xBF, 6, 1, 0, 0), (0x15, 1, 0, 1, 0x1234), (0x69, 2, 10, -8, 0), (0x95, 0, 0, 0, 0)]
    expected = b""
    for opcode, destination, source, offset, immediate in slots:
        pair = source << 4 | destination if sys.byteorder == "little" else destination << 4 | source
        expected += struct.pack("=BBhi", opcode, pair, offset, immediate)
    assert code.encode() == expected
    assert len(code.instructions()) == 4


def test_jumps_go_forward_to_a_label_that_is_set_once() -> None:
    code = Assembler()
    code.label("here")
    with pytest.raises(ValueError, match="jump back to here"):
        code.jump("here")
    with pytest.raises(ValueError, match="jump back to here"):
        code.jump_if(R1, "==", 0, "here")
    with pytest.raises(ValueError, match="set twice"):
        code.label("here")
    code.jump("nowhere")
    with pytest.raises(ValueError, match="nowhere is not set"):
        code.encode()


def test_what_does_not_fit_is_refused() -> None:
    code = Assembler()
    with pytest.raises(ValueError, match="32 bits"):
        code.arithmetic(R1, "=", 1 << 32)
    with pytest.raises(ValueError, match="16 bits"):
        code.load(R1, R6, 1 << 15, 8)
    with pytest.raises(ValueError, match="16, 32 or 64"):
        code.big_endian(R1, 8)
    code.jump("far")
    for _ in range(0x8000):
        code.exit()
    code.label("far")
    with pytest.raises(ValueError, match="too far"):
        code.encode()


def test_fresh_labels_differ() -> None:
    code = Assembler()
    assert code.fresh("no") != code.fresh("no")
