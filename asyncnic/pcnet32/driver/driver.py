"""The driver: brings a chip up through its `Port`, keeps its rings, acknowledges it, and shuts it down.

Every register access of the project's drivers is in this file; every ring word is in receive_ring.py and
transmit_ring.py. It has no event loop, no file descriptor and no clock: the nic calls it, and passes a `pause` for
where silicon wants time.
"""

from collections.abc import Callable
from dataclasses import dataclass

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.address_filter import REJECTED, AddressFilter
from asyncnic.pcnet32.descriptors import InitBlock, multicast_hash, ring_length_code
from asyncnic.pcnet32.driver.receive_ring import BUFFER_SIZE, ReceiveRing
from asyncnic.pcnet32.driver.transmit_ring import TransmitRing
from asyncnic.pcnet32.port import Port

_PAGE = 4096
_INIT_READS = 1000
"""How often a register is read until INIT or a suspension is done: the bound for a chip with which it never is."""
_GONE = 0xFFFF
_UNKNOWN = -1


class ChipError(Exception):
    """The chip does not behave as a PCnet32 must. The message is one line that says what it did."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies in the DMA memory, in octets from its start; `size` is what a device must provide."""

    rx_ring: int
    tx_ring: int
    rx_buffers: int
    tx_buffers: int
    scratch: int
    size: int

    INIT_BLOCK = 0

    @classmethod
    def of(cls, rx_ring: int, tx_ring: int) -> "Layout":
        """Lay out rings of `rx_ring` and `tx_ring` descriptors (powers of two, 1..512).

        Raises:
            ValueError: a length that the init block cannot say (fact sheet 5).
        """
        for length in (rx_ring, tx_ring):
            if not 1 <= length <= 512 or length & (length - 1):
                raise ValueError(f"a ring has a power of two from 1 to 512 descriptors, not {length}")
        rings = _PAGE
        buffers = -(-(rings + 16 * (rx_ring + tx_ring)) // _PAGE) * _PAGE
        tx_buffers = buffers + BUFFER_SIZE * rx_ring
        scratch = tx_buffers + BUFFER_SIZE * tx_ring
        return cls(rings, rings + 16 * rx_ring, buffers, tx_buffers, scratch, scratch + 2 * BUFFER_SIZE)


class Driver:
    """One chip's driver.

    Args:
        port: the chip's registers, and DMA memory of at least ``Layout.of(rx_ring, tx_ring).size`` octets.
        rx_ring: receive descriptors.
        tx_ring: transmit descriptors.
        max_frame: largest frame that is not oversize, octets without FCS.
        mac: the address to use; None takes the chip's own.
        filters: True where the driver must do the address filter's work, since the card would not count what it
            rejects.
        pause: sleeps for some seconds; silicon wants 1 ms after a reset (fact sheet 2.2).
        promiscuous: take every frame, whoever it is for; then nobody filters.
        doorbell: what to call in place of a write of TDMD, where the chip has such a thing.
    """

    def __init__(
        self,
        port: Port,
        *,
        rx_ring: int,
        tx_ring: int,
        max_frame: int,
        mac: bytes | None,
        filters: bool,
        pause: Callable[[float], None],
        promiscuous: bool = False,
        doorbell: Callable[[], None] | None = None,
    ) -> None:
        layout = Layout.of(rx_ring, tx_ring)
        self._port = port
        self._layout = layout
        self._pause = pause
        self._filters = filters and not promiscuous
        self._all = filters or promiscuous  # what the chip itself lets in
        self._ladrf = 0
        self._missed_before = 0
        self._interrupts_on = False
        self._selected = _UNKNOWN  # what RAP points at: register accesses are dear on real buses, so not set twice
        self._use_words(wide=False)
        self.rx = ReceiveRing(port.memory, layout.rx_ring, layout.rx_buffers, layout.scratch, rx_ring, max_frame)
        self.tx = TransmitRing(port.memory, layout.tx_ring, layout.tx_buffers, tx_ring)
        self.tx.slots.tell = self._demand if doorbell is None else doorbell
        self._mac = mac
        self.chip = ""
        self.missed = 0
        """Frames that the card lost for want of a descriptor: CSR112, accumulated."""
        self.fault: str | None = None
        """Why the chip must be brought up again, once it must; one line."""

    # -- Bring-up and shutdown (fact sheet 10) ------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Reset, identify, initialise and start the chip. Interrupts stay off until `enable_interrupts`.

        Raises:
            ChipError: the chip is gone, is no PCnet32, or does not come up.
        """
        self._selected = _UNKNOWN
        if self.chip and self._knows_us():
            self.sample_missed()
        self._reset()
        if self._mac is None:
            self._mac = self._station_address()
        identity = self.read_csr(reg.CHIP_ID_HIGH) << 16 | self.read_csr(reg.CHIP_ID_LOW)
        if identity & reg.CHIP_SANITY_MASK != reg.CHIP_SANITY:
            raise ChipError(f"chip id {identity:#010x} is not a PCnet32's")
        part = identity >> 12 & 0xFFFF
        self.chip = reg.CHIP_NAMES.get(part, f"PCnet32 part {part:#x}")
        # Whoever ran before may have left another style, and no reset restores it.
        self.write_bcr(reg.BCR_SOFTWARE_STYLE, reg.STYLE_PCNET_PCI)
        if self.read_bcr(reg.BCR_SOFTWARE_STYLE) != reg.BCR20_OF_STYLE[reg.STYLE_PCNET_PCI]:
            raise ChipError("the chip does not take software style 2")
        bursts = reg.BCR18_BREADE | reg.BCR18_BWRITE
        self.write_bcr(reg.BCR_BURST_CONTROL, self.read_bcr(reg.BCR_BURST_CONTROL) | bursts)
        # Transmissions are reaped when their room is needed: TINT would only cost an interrupt.
        self.write_csr(reg.INTERRUPT_MASK, reg.CSR3_DXSUFLO | reg.CSR3_TINTM)
        masks = reg.CSR4_MFCOM | reg.CSR4_RCVCCOM | reg.CSR4_TXSTRTM | reg.CSR4_JABM
        self.write_csr(reg.FEATURES, reg.CSR4_APAD_XMT | masks)
        self.write_csr(reg.EXTENDED_CONTROL, 0)
        self._missed_before = self.read_csr(reg.MISSED_FRAMES)
        self._initialise()
        self.fault = None

    def shut_down(self) -> None:
        """Stop and reset the chip; it touches no memory afterwards. A chip that is gone is left alone.

        What it was given and did not send counts as `carrier`.
        """
        if self.read_csr(reg.CSR_STATUS) != _GONE:
            self.sample_missed()
            self.write_csr(reg.CSR_STATUS, 0)
            self.write_csr(reg.CSR_STATUS, reg.CSR0_STOP)
            self._soft_reset()
            # Successors may know only the 16-bit style that the chip had at power-on.
            self.write_bcr(reg.BCR_SOFTWARE_STYLE, reg.STYLE_LANCE)
        self.tx.disarm_all()

    def stop_receiving(self) -> None:
        """Take no more frames off the wire, and go on sending. What the ring holds can still be collected.

        By STOP, DRX, STRT: without INIT the chip goes on where its rings stand (fact sheet 10.2). Interrupts are off.
        """
        self._interrupts_on = False
        self.write_csr(reg.CSR_STATUS, reg.CSR0_STOP)
        self.write_csr(reg.MODE, self.read_csr(reg.MODE) | reg.MODE_DRX)
        self.write_csr(reg.CSR_STATUS, reg.CSR0_STRT)

    def accept_multicast(self, groups: set[bytes]) -> None:
        """Program the hash filter for these group addresses (6 octets each), by suspending the chip (fact sheet 10.2).

        Raises:
            ChipError: the chip does not suspend.
        """
        self._ladrf = 0
        for group in groups:
            self._ladrf |= 1 << multicast_hash(group)
        self._set_filter()
        if self._all:
            return  # the chip is promiscuous, and while it is suspended it would lose frames that nobody counts
        self.write_csr(reg.EXTENDED_CONTROL, reg.CSR5_SPND)
        for _ in range(_INIT_READS):
            if self.read_csr(reg.EXTENDED_CONTROL) & reg.CSR5_SPND:
                break
        else:
            raise ChipError("the chip does not suspend")
        for i in range(4):
            self.write_csr(reg.LADRF_FIRST + i, self._ladrf >> 16 * i & 0xFFFF)
        self.write_csr(reg.EXTENDED_CONTROL, 0)

    @property
    def address(self) -> bytes:
        """The station address, 6 octets.

        Raises:
            ChipError: none was given and the chip was never brought up.
        """
        if self._mac is None:
            raise ChipError("the chip was not brought up")
        return self._mac

    # -- Interrupts (fact sheet 9) ------------------------------------------------------------------------------------

    def acknowledge(self) -> int:
        """Read and acknowledge the chip's causes, leaving its line low. Returns CSR0 as it was read.

        Acknowledging comes before the rings are looked at: what happens later latches again, and nothing is lost.
        """
        status = self.read_csr(reg.CSR_STATUS)
        if status == _GONE:
            self.fault = "the chip reads all ones: it is gone"
            return status
        self._interrupts_on = False
        self.write_csr(reg.CSR_STATUS, status & (reg.CSR0_WRITE_ONE_CLEARS))
        if status & reg.CSR0_MISS:
            self.sample_missed()
        if status & reg.CSR0_MERR:
            self.fault = "the chip could not reach its memory (MERR)"
        else:
            self._judge(status)
        return status

    def enable_interrupts(self) -> None:
        """Let the chip raise its line again, for causes latched meanwhile too. Nothing where it may already."""
        if not self._interrupts_on:
            self._interrupts_on = True
            self.write_csr(reg.CSR_STATUS, reg.CSR0_INEA)

    def sample_missed(self) -> None:
        """Accumulate CSR112, which wraps after 65,536 losses: call it more often than that many frames can be lost."""
        now = self.read_csr(reg.MISSED_FRAMES)
        if now == _GONE and self.read_csr(reg.CSR_STATUS) == _GONE:
            self.fault = "the chip reads all ones: it is gone"
            return
        self.missed += (now - self._missed_before) & 0xFFFF
        self._missed_before = now

    def check_running(self) -> None:
        """Look whether the chip still runs: one that has stopped itself raises no interrupt."""
        self._judge(self.read_csr(reg.CSR_STATUS))

    def _judge(self, status: int) -> None:
        if status == _GONE:
            self.fault = "the chip reads all ones: it is gone"
        elif not status & reg.CSR0_RXON or not status & reg.CSR0_TXON:
            self.fault = "the chip has switched itself off"

    # -- Frames -------------------------------------------------------------------------------------------------------

    def collect(self, limit: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths of up to `limit` frames for us at the head of the ring; see `ReceiveRing.collect`."""
        if not self._filters:
            return self.rx.collect(limit)
        match, octets = self._filter.match, self._port.memory.octets
        for _ in range(self.rx.size):
            offsets, lengths = self.rx.collect(limit)
            wanted = 0
            for offset in offsets:
                if match(octets[offset : offset + 6]) == REJECTED:
                    break
                wanted += 1
            if wanted or not offsets:
                return offsets[:wanted], lengths[:wanted]
            self.rx.filter_out()
        return [], []

    def transmit(self, frame: bytes | bytearray | memoryview) -> bool:
        """Put a frame (no FCS) on the transmit ring; see `TransmitRing.put`.

        `kick` makes the card look.
        """
        return self.tx.put(frame)

    def kick(self) -> None:
        """Make the card look at the transmit ring now. INEA rides on every CSR0 write, so it is kept as it is."""
        self.tx.slots.unseen = 0
        self.tx.slots.tell()

    def _demand(self) -> None:
        self.write_csr(reg.CSR_STATUS, reg.CSR0_TDMD | (reg.CSR0_INEA if self._interrupts_on else 0))

    # -- Registers ----------------------------------------------------------------------------------------------------

    def read_csr(self, number: int) -> int:
        """Read a CSR: 16 bits, all ones when the chip is gone."""
        self._select(number)
        return self._port.read(self._rdp, self._width) & 0xFFFF

    def write_csr(self, number: int, value: int) -> None:
        """Write a CSR."""
        self._select(number)
        self._port.write(self._rdp, self._width, value)

    def read_bcr(self, number: int) -> int:
        """Read a BCR: 16 bits."""
        self._select(number)
        return self._port.read(self._bdp, self._width) & 0xFFFF

    def write_bcr(self, number: int, value: int) -> None:
        """Write a BCR."""
        self._select(number)
        self._port.write(self._bdp, self._width, value)

    def _select(self, number: int) -> None:
        """Point RAP at a register."""
        if number != self._selected:
            self._port.write(self._rap, self._width, number)
            self._selected = number

    def _use_words(self, *, wide: bool) -> None:
        """Use the 32-bit window (DWIO) or the 16-bit one (WIO)."""
        self._selected = _UNKNOWN
        self._width = 4 if wide else 2
        self._rdp = reg.DWIO_RDP if wide else reg.WIO_RDP
        self._rap = reg.DWIO_RAP if wide else reg.WIO_RAP
        self._bdp = reg.DWIO_BDP if wide else reg.WIO_BDP

    def _soft_reset(self) -> None:
        """Read RESET at both places, since the mode is unknown, and give silicon its millisecond."""
        self._port.read(reg.WIO_RESET, 2)
        self._port.read(reg.DWIO_RESET, 4)
        self._selected = _UNKNOWN
        self._pause(0.001)

    def _reset(self) -> None:
        """Reset the chip and find out which I/O mode it is in: 16 bits are tried first (fact sheet 2.1)."""
        self._interrupts_on = False
        before = self._width == 4
        self._soft_reset()
        status = 0
        for wide in (False, True):
            self._use_words(wide=wide)
            status = self.read_csr(reg.CSR_STATUS)
            if status == reg.CSR0_STOP:
                self._select(reg.CHIP_ID_LOW)
                if self._port.read(self._rap, self._width) & reg.RAP_MASK == reg.CHIP_ID_LOW:
                    return
        self._use_words(wide=before)  # should it answer again, this is how
        raise ChipError(f"no PCnet32 answers after a reset (CSR0 reads {status:#06x})")

    def _station_address(self) -> bytes:
        """The MAC of the APROM, octet by octet; where that is none, what the chip has loaded into CSR12 to 14."""
        address = bytes(self._port.read(reg.APROM + i, 1) & 0xFF for i in range(6))
        if self._width == 4 or address[0] & 1 or not any(address):
            words = (self.read_csr(reg.PADR_FIRST + i) for i in range(3))
            address = b"".join(word.to_bytes(2, "little") for word in words)
        if address[0] & 1 or not any(address):
            raise ChipError(f"the chip has no usable address ({address.hex(':')}): give one with --mac")
        return address

    def _set_filter(self) -> None:
        self._filter = AddressFilter(0, self.address, self._ladrf)

    def _knows_us(self) -> bool:
        """Whether it is the chip that we brought up, running or stopped, and not one that came in its place: that one's
        CSR1 and CSR2 are not our init block's address.
        """
        status = self.read_csr(reg.CSR_STATUS)
        if status == _GONE or status & reg.CSR0_INIT:
            return status != _GONE
        address = self.read_csr(reg.INIT_BLOCK_HIGH) << 16 | self.read_csr(reg.INIT_BLOCK_LOW)
        return address == self._port.memory.bus + self._layout.INIT_BLOCK

    def _initialise(self) -> None:
        """Arm the rings, write the init block, INIT, wait for IDON, STRT."""
        self.rx.arm_all()
        self.tx.disarm_all()
        self._set_filter()
        memory, layout = self._port.memory, self._layout
        mode = reg.MODE_PROM if self._all else 0
        block = InitBlock(
            mode=mode,
            padr=self.address,
            ladrf=self._ladrf,
            rx_ring=memory.bus + layout.rx_ring,
            tx_ring=memory.bus + layout.tx_ring,
            rx_code=ring_length_code(self.rx.size),
            tx_code=ring_length_code(self.tx.size),
        ).pack()
        memory.octets[layout.INIT_BLOCK : layout.INIT_BLOCK + len(block)] = block
        address = memory.bus + layout.INIT_BLOCK
        self.write_csr(reg.INIT_BLOCK_LOW, address & 0xFFFF)
        self.write_csr(reg.INIT_BLOCK_HIGH, address >> 16)
        self.write_csr(reg.CSR_STATUS, reg.CSR0_INIT)
        for _ in range(_INIT_READS):
            status = self.read_csr(reg.CSR_STATUS)
            if status & (reg.CSR0_IDON | reg.CSR0_MERR):
                break
        if status == _GONE or status & reg.CSR0_MERR or not status & reg.CSR0_IDON:
            raise ChipError(f"the chip did not initialise (CSR0 reads {status:#06x}): is bus mastering on?")
        self.write_csr(reg.CSR_STATUS, reg.CSR0_IDON | reg.CSR0_STRT)
        status = self.read_csr(reg.CSR_STATUS)
        if status & (reg.CSR0_RXON | reg.CSR0_TXON) != reg.CSR0_RXON | reg.CSR0_TXON:
            raise ChipError(f"the chip did not start (CSR0 reads {status:#06x})")
