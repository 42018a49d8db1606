"""The model's transmitter: frames out of descriptors (section 8 of the chip's fact sheet).

It walks the transmit ring when it is told to look; when to look, on TDMD or after some time, is chip.py's and the
device's business. It puts no FCS on the wire: a TAP wants none. Two ways lead through it: where the wire is a file, the
usual frames, one descriptor each, are written in one loop from where they lie (hot/wire.py); whatever is not usual is
sent frame by frame as the data sheet has it.
"""

from collections.abc import Callable

from asyncnic import hot
from asyncnic.hot.reader import MIN_FRAME
from asyncnic.hot.wire import FrameWriter, UsualFrames
from asyncnic.pcnet32 import descriptors as desc
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.model.core import BusFault, Core
from asyncnic.pcnet32.model.quirks import SILICON
from asyncnic.pcnet32.model.receive import EMULATOR_MAX_FRAME, MAX_FRAME, ReceiveUnit

_MAX_ETHERNET = 1518  # octets with FCS; one more is babble
_FrameWriter = hot.choose(FrameWriter)
_UsualFrames = hot.choose(UsualFrames)


class Transmitter:
    """The transmitting half of a chip.

    Args:
        core: the chip's state.
        receiver: where looped frames go.
        send: takes a frame without FCS, valid only during the call; False when the wire refused it.

    Attributes:
        usual: sends what is usual, where the wire is a file.
    """

    __slots__ = ("_core", "_frame", "_receiver", "_send", "_size", "_with_fcs", "usual")

    def __init__(self, core: Core, receiver: ReceiveUnit, send: Callable[[memoryview], bool]) -> None:
        self._core = core
        self._receiver = receiver
        self._send = send
        self._frame = memoryview(bytearray(MAX_FRAME))
        self._size = -1  # octets of the frame in hand; -1: none
        self._with_fcs = False
        self.usual: UsualFrames = _UsualFrames(core)

    def reconfigure(self) -> None:
        """The ring's place or length, or the style have changed."""
        core = self._core
        start = -1
        if core.style == reg.STYLE_PCNET_PCI and core.quirks == SILICON:
            start = core.reach(core.tx_base, desc.DESCRIPTOR_SIZE * core.tx_length)
        memory = core.memory
        usable = start >= 0 and not start % desc.RING_ALIGNMENT
        writer = _FrameWriter(memory.octets, memory.words, memory.bus, start // 4) if usable else None
        self.usual.writer = writer

    def look(self) -> None:
        """Send what the chip owns, as on TDMD. Does nothing while the transmitter is off."""
        core, usual = self._core, self.usual
        if not core.csr[reg.CSR_STATUS] & reg.CSR0_TXON:
            core.csr[reg.CSR_STATUS] &= ~reg.CSR0_TDMD
            return
        if usual.busy or (core.csr[reg.EXTENDED_CONTROL] & reg.CSR5_SPND and not core.quirks.transmits_while_suspended):
            return
        usual.busy = True
        try:
            if not usual.burst():
                self._walk()
        except BusFault:
            core.fault()
        finally:
            usual.busy = False
        if not core.quirks.tdmd_sticks:
            core.csr[reg.CSR_STATUS] &= ~reg.CSR0_TDMD

    def has_work(self) -> bool:
        """Whether the current descriptor is the chip's. A bus that fails counts as no."""
        core = self._core
        try:
            return core.usable(core.tx_base, core.tx_address(), core.load(core.tx_address(), 16)[1])
        except BusFault:
            return False

    def _walk(self) -> None:
        """Take descriptors in order until one is not the chip's, each at most once (section 8.1). Raises BusFault."""
        core, quirks = self._core, self._core.quirks
        self._size = -1
        first = last = 0
        for _ in range(core.tx_length):
            address = core.tx_address()
            buffer, status, errors = core.load(address, 16)
            if not core.usable(core.tx_base, address, status):
                break
            if status & desc.STP:
                self._size, first = 0, address
                self._with_fcs = bool(status & desc.ADD_FCS)
            elif self._size < 0 and not quirks.returns_headless:
                core.advance_tx()
                continue
            last = address
            failed = self._take(buffer, status)
            if failed:
                status |= desc.ERR
                errors |= failed
            core.store(address, status & ~desc.OWN, errors, 16)
            if self._interrupts(status, bool(failed)):
                core.csr[reg.CSR_STATUS] |= reg.CSR0_TINT
            if status & desc.ENP:
                self._size = -1
            core.advance_tx()
        else:
            if quirks.underflow_in_first:  # a whole ring without an end: that chip just stops looking
                return
        if self._size >= 0:
            self._underflow(first if quirks.underflow_in_first else last)

    def _take(self, buffer: int, status: int) -> int:
        """Add a descriptor's buffer to the frame in hand, and send it if it ends there. Returns TMD2's error bits."""
        core, quirks = self._core, self._core.quirks
        ends = status & desc.ENP
        if (ends or quirks.lcar_per_descriptor) and not self._carrier():
            core.csr[reg.CSR_STATUS] |= reg.CSR0_CERR | (reg.CSR0_ERR if quirks.sticky_error_bit else 0)
            self._size = -1
            return desc.TMD2_LCAR
        if self._size < 0:
            return 0
        length = desc.buffer_length(status)
        if self._size + length > (EMULATOR_MAX_FRAME if quirks.drops_long_transmits else MAX_FRAME):
            self._size = -1
            return 0
        piece = core.fetch(buffer, length)
        if ends and not self._size:
            return self._emit(piece, status)
        self._frame[self._size : self._size + length] = piece
        self._size += length
        return self._emit(self._frame[: self._size], status) if ends else 0

    def _emit(self, frame: memoryview, status: int) -> int:
        """Put a whole frame on the wire, or into the own receiver. Returns TMD2's error bits."""
        core, quirks = self._core, self._core.quirks
        mode, features = core.csr[reg.MODE], core.csr[reg.FEATURES]
        pads = features & reg.CSR4_APAD_XMT and not quirks.features_missing
        if pads and len(frame) < MIN_FRAME:
            frame = memoryview(bytes(frame).ljust(MIN_FRAME, b"\0"))
        core.csr[reg.FEATURES] |= reg.CSR4_TXSTRTM if quirks.txstrt_sets_mask else reg.CSR4_TXSTRT
        if mode & reg.MODE_LOOP:
            asked = not status & desc.ADD_FCS if core.style == reg.STYLE_ILACC else self._with_fcs
            self._receiver.loop(frame, bool(asked or pads or not mode & reg.MODE_DXMTFCS))
        elif not self._send(frame):
            return desc.TMD2_RTRY | desc.TRC_MASK  # a wire that takes no frame is one where every attempt collides
        core.counters.transmitted += 1
        if len(frame) + desc.FCS_SIZE > _MAX_ETHERNET and not quirks.features_missing:
            core.csr[reg.CSR_STATUS] |= reg.CSR0_BABL
        core.csr[reg.CSR_STATUS] &= ~reg.CSR0_TDMD
        return 0

    def _carrier(self) -> bool:
        """Whether the wire is there, or not needed (sections 8.6 and 8.7)."""
        core = self._core
        mode = core.csr[reg.MODE]
        inside = mode & reg.MODE_INTL or core.bcr[reg.BCR_MISCELLANEOUS] & reg.BCR2_TMAULOOP
        return core.link_up or bool(mode & reg.MODE_LOOP and inside)

    def _interrupts(self, status: int, failed: bool) -> bool:
        """Whether returning a descriptor sets TINT (section 8.3)."""
        extended = self._core.csr[reg.EXTENDED_CONTROL]
        silent, last_only = extended & reg.CSR5_TOKINTD, extended & reg.CSR5_LTINTEN
        marked = bool(status & desc.LTINT)
        if self._core.quirks.tint_per_descriptor:
            return not silent or bool(last_only and marked)
        if failed or not status & desc.ENP:
            return failed
        return marked if last_only else not silent

    def _underflow(self, address: int) -> None:
        """The frame in hand has no end: mark a returned descriptor of it; stop unless DXSUFLO. Raises BusFault."""
        core = self._core
        _, status, errors = core.load(address, 16)
        core.store(address, status & ~desc.OWN | desc.ERR, errors | desc.TMD2_BUFF | desc.TMD2_UFLO, 16)
        self._size = -1
        core.csr[reg.CSR_STATUS] |= reg.CSR0_TINT
        if not core.csr[reg.INTERRUPT_MASK] & reg.CSR3_DXSUFLO:
            core.csr[reg.CSR_STATUS] &= ~reg.CSR0_TXON
