"""A model chip on a bench: memory with rings laid out, registers by number, a wire that keeps what it is given.

Receive descriptors are armed with `rig.arm` and read back with `rig.rx`, transmit ones with `rig.post` and `rig.tx`.
"""

import struct
from collections.abc import Callable

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import ENP, OWN, STP, InitBlock, byte_count, ring_length_code
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.model.quirks import SILICON, Quirks

MAC = bytes.fromhex("525400123456")
PEER = bytes.fromhex("525400aabbcc")
BROADCAST = b"\xff" * 6
RX_RING, TX_RING, RX_BUFFERS, TX_BUFFERS, PITCH = 0x1000, 0x4000, 0x1_0000, 0x8_0000, 0x1000


def frame(length: int, to: bytes = MAC, kind: int = 0x0800) -> bytes:
    """A frame of `length` octets (no FCS) with contents that tell octets apart."""
    body = bytes(i * 7 & 0xFF for i in range(max(length - 14, 0)))
    return (to + PEER + kind.to_bytes(2, "big") + body)[:length]


def wire(*frames: bytes) -> Callable[[memoryview], int | None]:
    """A `read` as a TAP's: one frame a call, cut to the buffer, None when there are no more."""
    waiting = list(frames)

    def read(view: memoryview) -> int | None:
        if not waiting:
            return None
        data = waiting.pop(0)[: len(view)]
        view[: len(data)] = data
        return len(data)

    return read


class Rig:
    """A chip with rings of `rx` and `tx` descriptors, brought up with `mode`, unless `bring_up` is False."""

    def __init__(
        self,
        rx: int = 4,
        tx: int = 4,
        style: int = 2,
        mode: int = 0,
        ladrf: int = 0,
        quirks: Quirks = SILICON,
        bring_up: bool = True,
    ) -> None:
        self.memory = DmaMemory.anonymous(1 << 20)
        self.sent: list[bytes] = []
        self.wire_takes = True
        self.chip = Am79C970A(self.memory, MAC, self._send, quirks)
        self.style = style
        self.size = 8 if style == 0 else 16
        bus = self.memory.bus
        block = InitBlock(mode, MAC, ladrf, bus + RX_RING, bus + TX_RING, ring_length_code(rx), ring_length_code(tx))
        image = block.pack(style)
        self.memory.octets[: len(image)] = image
        self.set_bcr(20, style)
        self.set_csr(1, bus & 0xFFFF)
        self.set_csr(2, bus >> 16)
        for i in range(tx):
            self.tx_words(i, 0, 0, 0)
        if bring_up:
            self.init()
            self.start()

    def _send(self, view: memoryview) -> bool:
        if self.wire_takes:
            self.sent.append(bytes(view))
        return self.wire_takes

    def init(self) -> None:
        self.set_csr(0, reg.CSR0_INIT)
        self.set_csr(0, reg.CSR0_IDON)

    def start(self) -> None:
        self.set_csr(0, reg.CSR0_STRT | reg.CSR0_INEA)

    def stop(self) -> None:
        self.set_csr(0, reg.CSR0_STOP)

    # Registers, in WIO.

    def csr(self, number: int) -> int:
        self.chip.write(reg.WIO_RAP, 2, number)
        return self.chip.read(reg.WIO_RDP, 2)

    def set_csr(self, number: int, value: int) -> None:
        self.chip.write(reg.WIO_RAP, 2, number)
        self.chip.write(reg.WIO_RDP, 2, value)

    def bcr(self, number: int) -> int:
        self.chip.write(reg.WIO_RAP, 2, number)
        return self.chip.read(reg.WIO_BDP, 2)

    def set_bcr(self, number: int, value: int) -> None:
        self.chip.write(reg.WIO_RAP, 2, number)
        self.chip.write(reg.WIO_BDP, 2, value)

    @property
    def status(self) -> int:
        return self.csr(0)

    # Descriptors: (address, word 1, word 2) of style 2 in whatever style is set.

    def _write(self, at: int, address: int, status: int, message: int, shift: int) -> None:
        octets = self.memory.octets
        if self.style == 0:
            struct.pack_into("<IHH", octets, at, status & 0xFF00_0000 | address, status & 0xFFFF, message >> shift)
        elif self.style == 3:
            struct.pack_into("<3I", octets, at, message, status, address)
        else:
            struct.pack_into("<3I", octets, at, address, status, message)

    def _read(self, at: int, shift: int) -> tuple[int, int]:
        if self.style == 0:
            head, count, message = struct.unpack_from("<IHH", self.memory.octets, at)
            return head & 0xFF00_0000 | count, message << shift
        first, status, third = struct.unpack_from("<3I", self.memory.octets, at)
        return status, first if self.style == 3 else third

    def arm(self, slot: int, size: int = 2048, status: int = OWN, message: int = 0) -> None:
        address = self.memory.bus + RX_BUFFERS + PITCH * slot
        self._write(RX_RING + self.size * slot, address, status | byte_count(size), message, 0)

    def rx(self, slot: int) -> tuple[int, int]:
        """Upper half of RMD1, and RMD2."""
        status, message = self._read(RX_RING + self.size * slot, 0)
        return status >> 16, message

    def rx_data(self, slot: int, length: int) -> bytes:
        start = RX_BUFFERS + PITCH * slot
        return bytes(self.memory.octets[start : start + length])

    def tx_words(self, slot: int, address: int, status: int, errors: int) -> None:
        self._write(TX_RING + self.size * slot, address, status, errors, 16)

    def post(self, slot: int, data: bytes, status: int = OWN | STP | ENP) -> None:
        start = TX_BUFFERS + PITCH * slot
        self.memory.octets[start : start + len(data)] = data
        self.tx_words(slot, self.memory.bus + start, status | byte_count(len(data)), 0)

    def tx(self, slot: int) -> tuple[int, int]:
        """Upper half of TMD1, and TMD2."""
        status, errors = self._read(TX_RING + self.size * slot, 16)
        return status >> 16, errors

    def kick(self) -> None:
        self.set_csr(0, reg.CSR0_TDMD | reg.CSR0_INEA)

    def balanced(self) -> bool:
        """The law every frame obeys: read = stored + filtered + missed + discarded."""
        tally = self.chip.counters
        return tally.read == tally.stored + tally.filtered + tally.missed + tally.discarded


def stopped(quirks: Quirks = SILICON) -> Rig:
    """A rig that is not brought up."""
    return Rig(bring_up=False, quirks=quirks)


def enter_dwio(chip: Am79C970A) -> None:
    """Switch the register window to 32 bits."""
    chip.write(reg.WIO_RAP, 2, 0)
    chip.write(reg.DWIO_RDP, 4, 0)
