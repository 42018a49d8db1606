"""A small eBPF assembler: just the instructions that lane programs are made of, each with its meaning beside it.

It is not a compiler and not an eBPF library: there are no loops (jumps go forward only, so every program ends), no
sub-programs and no relocation. Numbers are those of RFC 9669 (BPF instruction set). An instruction is eight octets:
opcode, destination and source register (four bits each), a signed 16-bit offset, a signed 32-bit immediate, in the
byte order of the machine.
"""

import struct
import sys
from dataclasses import dataclass, replace
from enum import IntEnum


class Register(IntEnum):
    """The registers, 64 bits each: r0 result, r1-r5 arguments (lost by a call), r6-r9 kept, r10 end of the stack."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = Register

# Instruction classes: the low three bits of the opcode (RFC 9669, section 3.1).
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
IMMEDIATE, REGISTER = 0x00, 0x08  # second operand of arithmetic and jumps
MEM, ATOMIC = 0x60, 0xC0  # addressing mode of loads and stores
SIZES = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}  # octets moved
ARITHMETIC = {
    "+=": 0x00,  # dst += operand            modulo 2^64
    "-=": 0x10,  # dst -= operand            modulo 2^64
    "*=": 0x20,  # dst *= operand            modulo 2^64
    "&=": 0x50,  # dst &= operand
    "<<=": 0x60,  # dst <<= operand           zeros come in
    ">>=": 0x70,  # dst >>= operand           zeros come in
    "=": 0xB0,  # dst = operand
}
CONDITIONS = {
    "==": 0x10,  # equal
    ">": 0x20,  # greater, unsigned
    ">=": 0x30,  # greater or equal, unsigned
    "!=": 0x50,  # not equal
    "<": 0xA0,  # less, unsigned
    "<=": 0xB0,  # less or equal, unsigned
    "s<": 0xC0,  # less, signed
}
ALWAYS, CALL, EXIT = 0x00, 0x80, 0x90  # the other jumps
TO_BIG_ENDIAN = 0xD8  # swap on a little-endian machine; on both, zero what is above
LOAD_64 = 0x18  # two instruction slots: dst = 64-bit immediate, or the address of a map's value
MAP_VALUE = 2  # source field of LOAD_64: immediate is a map's descriptor, the second one an offset into its value
FETCH = 0x01  # atomic operation: the old value comes back in the source register

_FORMAT = struct.Struct("=BBhi")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One slot of a program."""

    code: int
    destination: int = 0
    source: int = 0
    offset: int = 0
    immediate: int = 0

    def encode(self) -> bytes:
        """The eight octets; the register nibbles swap with the byte order (RFC 9669, section 3)."""
        low, high = (self.destination, self.source) if sys.byteorder == "little" else (self.source, self.destination)
        return _FORMAT.pack(self.code, high << 4 | low, self.offset, self.immediate)


class Assembler:
    """Collects instructions, then names the jumps' distances. Every method appends what its docstring says, in order.

    Raises:
        ValueError: an operand does not fit, a label is unknown or set twice, or a jump would go backwards.
    """

    __slots__ = ("_fresh", "_instructions", "_jumps", "_labels")

    def __init__(self) -> None:
        self._instructions: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self._fresh = 0

    def arithmetic(self, destination: Register, operator: str, operand: Register | int) -> None:
        """``destination operator operand`` on 64 bits; an immediate is sign-extended. Operators: `ARITHMETIC`."""
        self._operate(ALU64 | ARITHMETIC[operator], destination, operand)

    def big_endian(self, destination: Register, bits: int) -> None:
        """Read the low `bits` (16, 32, 64) of `destination` as network byte order; zero the rest."""
        if bits not in (16, 32, 64):
            raise ValueError(f"big_endian: {bits} bits; 16, 32 or 64")
        self._append(Instruction(ALU | (TO_BIG_ENDIAN & 0xF8), destination, immediate=bits))

    def load(self, destination: Register, base: Register, offset: int, octets: int) -> None:
        """``destination = *(base + offset)``: 1, 2, 4 or 8 octets, zero-extended, in the machine's byte order."""
        self._append(Instruction(LDX | MEM | SIZES[octets], destination, base, offset))

    def store(self, base: Register, offset: int, operand: Register | int, octets: int) -> None:
        """``*(base + offset) = operand``: the low 1, 2, 4 or 8 octets; an immediate is sign-extended."""
        if isinstance(operand, Register):
            self._append(Instruction(STX | MEM | SIZES[octets], base, operand, offset))
        else:
            self._append(Instruction(ST | MEM | SIZES[octets], base, 0, offset, operand))

    def atomic_add(self, base: Register, offset: int, addend: Register) -> None:
        """``*(u64 *)(base + offset) += addend``, indivisible among processors."""
        self._append(Instruction(STX | ATOMIC | SIZES[8], base, addend, offset))

    def fetch_add(self, base: Register, offset: int, addend: Register) -> None:
        """As `atomic_add`, and `addend` becomes what was there before."""
        self._append(Instruction(STX | ATOMIC | SIZES[8], base, addend, offset, FETCH))

    def map_value(self, destination: Register, descriptor: int, offset: int = 0) -> None:
        """``destination`` = address of octet `offset` of the only value of the array map `descriptor` (two slots)."""
        self._append(Instruction(LOAD_64, destination, MAP_VALUE, 0, descriptor))
        self._append(Instruction(0, immediate=offset))

    def call(self, helper: int) -> None:
        """``r0 = helper(r1, ..., r5)``; r1-r5 are lost."""
        self._append(Instruction(JMP | CALL, immediate=helper))

    def exit(self) -> None:
        """End of the program; r0 is its result."""
        self._append(Instruction(JMP | EXIT))

    def jump(self, label: str) -> None:
        """Go on at `label`."""
        self._jump(Instruction(JMP | ALWAYS), label)

    def jump_if(self, left: Register, condition: str, right: Register | int, label: str) -> None:
        """Go on at `label` if the condition holds on 64 bits; an immediate is sign-extended. See `CONDITIONS`."""
        self._jumps.append((len(self._instructions), self._ahead(label)))
        self._operate(JMP | CONDITIONS[condition], left, right)

    def jump_if_word(self, left: Register, condition: str, right: Register | int, label: str) -> None:
        """As `jump_if`, on the low 32 bits of both sides."""
        self._jumps.append((len(self._instructions), self._ahead(label)))
        self._operate(JMP32 | CONDITIONS[condition], left, right)

    def label(self, name: str) -> None:
        """The next instruction is called `name`."""
        if name in self._labels:
            raise ValueError(f"label {name} is set twice")
        self._labels[name] = len(self._instructions)

    def fresh(self, stem: str) -> str:
        """A label's name that no one else has; it is not set yet."""
        self._fresh += 1
        return f"{stem}.{self._fresh}"

    def instructions(self) -> list[Instruction]:
        """The program with all distances filled in: from the slot after the jump to the label."""
        resolved = list(self._instructions)
        for index, label in self._jumps:
            if label not in self._labels:
                raise ValueError(f"label {label} is not set")
            distance = self._labels[label] - index - 1
            if distance > 0x7FFF:
                raise ValueError(f"label {label} is too far: {distance} instructions")
            resolved[index] = replace(resolved[index], offset=distance)
        return resolved

    def encode(self) -> bytes:
        """The program as the kernel takes it."""
        return b"".join(instruction.encode() for instruction in self.instructions())

    def _operate(self, code: int, left: Register, right: Register | int) -> None:
        if isinstance(right, Register):
            self._append(Instruction(code | REGISTER, left, right))
        else:
            self._append(Instruction(code | IMMEDIATE, left, immediate=right))

    def _ahead(self, label: str) -> str:
        if label in self._labels:
            raise ValueError(f"jump back to {label}: jumps go forward only")
        return label

    def _jump(self, instruction: Instruction, label: str) -> None:
        self._jumps.append((len(self._instructions), self._ahead(label)))
        self._append(instruction)

    def _append(self, instruction: Instruction) -> None:
        if not -0x8000 <= instruction.offset <= 0x7FFF:
            raise ValueError(f"offset {instruction.offset} does not fit 16 bits")
        immediate = instruction.immediate
        if not -0x8000_0000 <= immediate <= 0xFFFF_FFFF:
            raise ValueError(f"immediate {immediate} does not fit 32 bits")
        if immediate > 0x7FFF_FFFF:  # the same 32 bits, written as the field's signed number
            instruction = replace(instruction, immediate=immediate - 0x1_0000_0000)
        self._instructions.append(instruction)
