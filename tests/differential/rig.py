"""Two chips side by side: QEMU's, and our model imitating it. Whatever is done to one is done to the other.

After each stimulus both have looked at their transmit rings (QEMU does so at every register access, and every 2 ms on
its own), so that what is compared is at rest: DMA memory octet by octet, registers, the interrupt line, and what left
on the wire. Descriptors lie at the same bus addresses on both sides. This knows nothing of what is right.
"""

import select
import struct
from typing import ClassVar

from asyncnic.devices.qemu.machine import DMA_BUS, IO_BASE, Machine, Ram
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import InitBlock
from asyncnic.pcnet32.memory import DmaMemory
from asyncnic.pcnet32.model.chip import Am79C970A
from asyncnic.pcnet32.model.quirks import QEMU, Quirks
from tests.devices.qemu.socket_wire import SocketWire

MAC = bytes.fromhex("525400123456")
MEMORY = 1 << 18
INIT_BLOCK = 0x0
RX_RING = 0x1000
TX_RING = 0x4000
RX_BUFFERS = 0x10000
TX_BUFFERS = 0x30000

# Registers that stand for the chip's state. Left out: pointers into rings and FIFO state that no driver may use.
CSRS = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    24,
    25,
    30,
    31,
    58,
    72,
    74,
    76,
    78,
    80,
    88,
    89,
    112,
    114,
    122,
    124,
)
BCRS = (0, 1, 2, 4, 5, 6, 7, 9, 18, 19, 20, 22)


class Steps:
    """How many comparisons the whole run has made, for the summary."""

    compared: ClassVar[int] = 0


class Rig:
    """Both chips, fresh from power-on; `quirks` are what the model imitates."""

    def __init__(self, quirks: Quirks = QEMU) -> None:
        self._ram = Ram()
        self._wire = SocketWire()
        self._wire.peer.setblocking(False)
        self._machine = Machine(self._wire.netdev, self._wire.fileno(), MAC.hex(":"), self._ram)
        self._machine.set_up()
        self.qemu = self._machine.qtest
        self._real = self._ram.view(DMA_BUS, MEMORY)
        self.memory = DmaMemory.anonymous(MEMORY, DMA_BUS)
        self._sent: list[bytes] = []
        self.model = Am79C970A(self.memory, MAC, self._send, quirks)
        self.sound = True
        """False once the two differed: everything after that would differ too."""
        self._queue = select.poll()
        self._queue.register(self._wire.fileno(), select.POLLIN)

    def power_cycle(self) -> None:
        """As good as new, without the time that a new QEMU takes: soft reset, BCRs and memory as after power-on."""
        self.reset()
        for number, value in reg.BCR_RESET.items():
            self.write_bcr(number, value)
        self.write(reg.WIO_RAP, 2, 0)
        self.clear()
        self._drained()
        self._received()

    def close(self) -> None:
        self._machine.close()
        self._wire.close()
        self._real.release()
        self._ram.close()

    def _send(self, frame: memoryview) -> bool:
        self._sent.append(bytes(frame))
        return True

    # Stimuli.

    def read(self, offset: int, width: int) -> int:
        """Read a register of both; they must agree."""
        mine = self.model.read(offset, width)
        theirs = self.qemu.read_port(IO_BASE + offset, width)
        self._agree(f"read of {width} octets at {offset:#x}", mine, theirs)
        return theirs

    def write(self, offset: int, width: int, value: int) -> None:
        self.model.write(offset, width, value)
        self.qemu.write_port(IO_BASE + offset, width, value)

    def csr(self, number: int) -> int:
        self.write(reg.WIO_RAP, 2, number)
        return self.read(reg.WIO_RDP, 2)

    def write_csr(self, number: int, value: int) -> None:
        self.write(reg.WIO_RAP, 2, number)
        self.write(reg.WIO_RDP, 2, value)

    def bcr(self, number: int) -> int:
        self.write(reg.WIO_RAP, 2, number)
        return self.read(reg.WIO_BDP, 2)

    def write_bcr(self, number: int, value: int) -> None:
        self.write(reg.WIO_RAP, 2, number)
        self.write(reg.WIO_BDP, 2, value)

    def reset(self) -> None:
        """Soft reset in whichever mode, which leaves both in 16-bit mode."""
        self.read(reg.WIO_RESET, 2)
        self.read(reg.DWIO_RESET, 4)

    def put(self, offset: int, octets: bytes) -> None:
        """Write DMA memory."""
        self.memory.octets[offset : offset + len(octets)] = octets
        self._real[offset : offset + len(octets)] = octets

    def clear(self) -> None:
        """Zero the DMA memory."""
        self.put(0, bytes(MEMORY))

    def descriptor(self, ring: int, index: int, words: tuple[int, int, int, int]) -> None:
        """Write a descriptor of a 32-bit style."""
        self.put(ring + 16 * index, struct.pack("<4I", *words))

    def start(
        self,
        *,
        style: int = 2,
        mode: int = 0,
        rx: int = 4,
        tx: int = 4,
        ladrf: int = 0,
        command: int = reg.CSR0_INIT | reg.CSR0_STRT | reg.CSR0_INEA,
    ) -> None:
        """BCR20, init block and CSR0, for a chip that is stopped; `rx` and `tx` are RLEN and TLEN codes."""
        self.write_bcr(reg.BCR_SOFTWARE_STYLE, style)
        block = InitBlock(mode, MAC, ladrf, DMA_BUS + RX_RING, DMA_BUS + TX_RING, rx, tx)
        self.put(INIT_BLOCK, block.pack(style if style in (0, 1, 2, 3) else 0))
        self.write_csr(reg.INIT_BLOCK_LOW, DMA_BUS & 0xFFFF)
        self.write_csr(reg.INIT_BLOCK_HIGH, DMA_BUS >> 16)
        self.write_csr(reg.CSR_STATUS, command)

    def offer(self, frame: bytes) -> None:
        """Send a frame to both, and wait until both have dealt with it."""
        self.model.receive(frame)
        self._wire.peer.send(frame)
        while self._queue.poll(0):  # QEMU reads and receives in one go, so a round trip after the last read is enough
            pass
        self.compare()

    # Comparison.

    def compare(self) -> None:
        """Both chips at rest must look the same: status, position, line, wire and memory."""
        for number in (reg.CSR_STATUS, reg.FEATURES, reg.EXTENDED_CONTROL, reg.MISSED_FRAMES):
            self.csr(number)
        self.model.poll()
        self.qemu.drain()
        self._agree("the interrupt line", self.model.interrupt_line, self.qemu.raised)
        self._agree("frames on the wire", self._drained(), self._received())
        self._agree_on_memory()

    def compare_all(self) -> None:
        """Every register that stands for state too."""
        self.compare()
        for number in CSRS:
            self.csr(number)
        for number in BCRS:
            self.bcr(number)

    def _drained(self) -> list[bytes]:
        sent, self._sent = self._sent, []
        return sent

    def _received(self) -> list[bytes]:
        frames = []
        while True:
            try:
                frames.append(self._wire.peer.recv(65536))
            except BlockingIOError:
                return frames

    def _agree_on_memory(self) -> None:
        Steps.compared += 1
        if self.memory.octets == self._real:
            return
        self.sound = False
        pairs = zip(self.memory.octets.cast("I"), self._real.cast("I"), strict=True)
        differences = [
            f"{4 * i:#x}: {mine:#x} for QEMU's {theirs:#x}" for i, (mine, theirs) in enumerate(pairs) if mine != theirs
        ]
        raise AssertionError(f"memory differs: {'; '.join(differences[:8])}")

    def _agree(self, what: str, mine: object, theirs: object) -> None:
        Steps.compared += 1
        if mine != theirs:
            self.sound = False
            if isinstance(mine, int) and isinstance(theirs, int):
                mine, theirs = f"{mine:#x}", f"{theirs:#x}"
            raise AssertionError(f"{what}: {mine} for QEMU's {theirs} (RAP {self.model.read(reg.WIO_RAP, 2):#x})")
