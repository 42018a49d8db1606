"""The model's receiver: frames into descriptors (section 7 of the chip's fact sheet).

Two ways lead through it. `receive` is the chip as the data sheet has it: one whole frame, any descriptor style,
chaining, every error. `fill` is the same for the usual case, many frames at a time: the wire writes straight into the
buffers of descriptors that are armed exactly as they were the last time round (hot/reader.py). Whatever is not usual,
`fill` hands to the first way. Nothing here answers register accesses or transmits.
"""

from zlib import crc32

from asyncnic import hot
from asyncnic.hot.reader import MIN_FRAME, FrameReader, Read
from asyncnic.pcnet32 import descriptors as desc
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.address_filter import REJECTED, AddressFilter
from asyncnic.pcnet32.model.core import BusFault, Core
from asyncnic.pcnet32.model.quirks import SILICON

MAX_FRAME = 65535  # what a TAP can give
EMULATOR_MAX_FRAME = 4092
FAST_BUFFER = 1522  # a descriptor's buffer must hold any tagged Ethernet frame and its FCS to be read into directly
_MATCH = desc.PAM | desc.LAFM | desc.BAM
_COMPLETE = desc.STP | desc.ENP
_NO_FCS = bytes(desc.FCS_SIZE)
_FrameReader = hot.choose(FrameReader)


class ReceiveUnit:
    """The receiving half of a chip.

    `silent` says whether the last `fill` or `drain` ended because the wire had no more frames.
    """

    __slots__ = ("_core", "_filter", "_ring", "_scratch", "_slots", "reader", "silent")

    def __init__(self, core: Core) -> None:
        self._core = core
        self._filter = AddressFilter(0, bytes(6), 0)
        self._scratch = memoryview(bytearray(MAX_FRAME + 1))
        self.silent = True
        self.reconfigure()

    def reconfigure(self) -> None:
        """Forget what was learnt: CSR8 to CSR15, the ring's place or length, or the style have changed."""
        core = self._core
        csr = core.csr
        padr = b"".join(half.to_bytes(2, "little") for half in csr[reg.PADR_FIRST : reg.PADR_LAST + 1])
        ladrf = sum(half << 16 * i for i, half in enumerate(csr[reg.LADRF_FIRST : reg.LADRF_LAST + 1]))
        self._filter = AddressFilter(csr[reg.MODE], padr, ladrf)
        words = 4 * core.rx_length
        start = -1
        if core.style != reg.STYLE_LANCE and core.quirks == SILICON:
            start = core.reach(core.rx_base, 4 * words)
        if start < 0 or start % 16:
            words = start = 0
        self._ring = core.memory.words[start // 4 : start // 4 + words]
        self._slots = words // 4
        message = 0 if core.style == reg.STYLE_PCNET_PCI_2 else 2
        self.reader = _FrameReader(core, self._ring, message, self._filter)

    # Many frames.

    def fill(self, read: Read, limit: int) -> int:
        """Read up to `limit` frames off the wire into descriptors; see `Am79C970A.fill`."""
        reader = self.reader
        taken = 0
        self.silent = False
        while True:
            taken += reader.fill(read, limit - taken)
            self.silent = reader.silent
            if reader.size:
                self.take_large()
                taken += 1
            elif self.silent or taken >= limit or not self._accepting():
                return taken
            elif reader.receiving() and self._learn_run(limit - taken):
                continue
            elif self._ready():
                taken += self._read_one(read)
            else:
                return taken
            if self.silent or taken >= limit:
                return taken

    def drain(self, read: Read, limit: int) -> int:
        """Read up to `limit` frames off the wire, whether there are descriptors or not; see `Am79C970A.drain`."""
        taken = self.fill(read, limit)
        while taken < limit and not self.silent:
            taken += self._read_one(read)
        return taken

    def take_large(self) -> None:
        """Take the frame that `reader` left in the current buffer: there is no room for its FCS, so that the chip would
        chain; or the wire cut it to the buffer.
        """
        reader = self.reader
        view = reader.view(self._core.rx_length - self._core.rx_count)
        self.receive(bytes(view[: reader.size]), cut=reader.size == len(view))

    def _learn_run(self, limit: int) -> int:
        """Take down how the descriptors from the chip's place on, up to `limit`, are armed. Returns how many could be
        taken down: are the chip's, with buffers to read into directly.
        """
        core = self._core
        first = core.rx_length - core.rx_count
        for slot in range(first, min(first + limit, core.rx_length)):
            if not self._ring[4 * slot + 1] & desc.OWN or not self._learn(slot):
                return slot - first
        return min(limit, core.rx_length - first)

    def _learn(self, slot: int) -> bool:
        """Take down how a descriptor is armed. False when its buffer is not one to read into directly."""
        core, word = self._core, 4 * slot
        words = self._ring[word : word + 4]
        address = words[2 if core.style == reg.STYLE_PCNET_PCI_2 else 0]
        size = desc.buffer_length(words[1])
        start = core.reach(address, size)
        if size < FAST_BUFFER or start < 0 or start % 8:
            return False
        finished = words[1] & ~(desc.OWN | _MATCH) | _COMPLETE | self._filter.own_flags
        self.reader.learn(slot, start, size, finished)
        return True

    def _read_one(self, read: Read) -> int:
        """Read one frame aside and take it as the chip would. Returns how many were read: 1, or 0 when silent."""
        size = read(self._scratch)
        if not size:
            self.silent = True
            return 0
        self.receive(self._scratch[:size])
        return 1

    # One frame.

    def receive(self, frame: bytes | bytearray | memoryview, cut: bool = False) -> None:
        """Take one frame (no FCS) off the wire. One that was `cut` has lost its end, as by an overflow of the FIFO."""
        core = self._core
        core.counters.read += 1
        if not self._accepting() or not frame:
            core.counters.discarded += 1
            return
        if len(frame) < MIN_FRAME:
            frame = bytes(frame) + bytes(MIN_FRAME - len(frame))
        elif core.quirks.cuts_long_frames:
            frame = frame[:EMULATOR_MAX_FRAME]
        kind = int.from_bytes(frame[12:14], "big")
        strips = core.csr[reg.FEATURES] & reg.CSR4_ASTRP_RCV and not core.quirks.features_missing
        if strips and kind < MIN_FRAME - 14:  # an 802.3 length: pad and FCS go (section 7.4)
            self._accept(memoryview(frame)[: 14 + kind], 0)
        else:
            self._accept(memoryview(b"".join((frame, _NO_FCS))), desc.OFLO | desc.ERR if cut else 0)

    def loop(self, frame: memoryview, with_fcs: bool) -> None:
        """Take a looped frame (section 8.7); without `with_fcs` its last 4 octets are its FCS, which is checked."""
        core = self._core
        core.counters.read += 1
        if not self._accepting(looped=True):
            core.counters.discarded += 1
            return
        data, error = bytes(frame), 0
        if core.quirks.emulator_loopback:
            data = data.ljust(MIN_FRAME, b"\0")
            if with_fcs or len(data) < MIN_FRAME + desc.FCS_SIZE:
                data += (~crc32(data) & 0xFFFF_FFFF).to_bytes(4, "big")
            else:
                error = desc.CRC | desc.ERR
        elif with_fcs:
            data += crc32(data).to_bytes(4, "little")
        elif crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
            error = desc.CRC | desc.ERR
        self._accept(memoryview(data), error)

    def _accepting(self, looped: bool = False) -> bool:
        """Whether frames are taken at all (section 7.2)."""
        csr = self._core.csr
        if self._core.quirks.receives_before_start:
            on = not (csr[reg.CSR_STATUS] & reg.CSR0_STOP or csr[reg.MODE] & reg.MODE_DRX)
        else:
            on = bool(csr[reg.CSR_STATUS] & reg.CSR0_RXON)
        if not on or csr[reg.EXTENDED_CONTROL] & reg.CSR5_SPND:
            return False
        return looped or (self._core.link_up and not csr[reg.MODE] & reg.MODE_LOOP)

    def _accept(self, data: memoryview, error: int) -> None:
        """Filter a frame (`data` has its FCS) and put it into descriptors; `error` are RMD1's bits for
        one that is bad: CRC, or OFLO when its end is lost."""
        tally = self._core.counters
        flags = self._filter.match(data)
        if flags == REJECTED:
            tally.filtered += 1
            return
        try:
            if not self._find():
                self._miss()
                return
            self._chain(data, flags | error)
            tally.stored += 1
        except BusFault:
            self._core.fault()
            tally.discarded += 1

    def _miss(self) -> None:
        """Lose a frame for want of a descriptor (section 7.5)."""
        core = self._core
        core.counters.missed += 1
        core.csr[reg.CSR_STATUS] |= reg.CSR0_MISS
        core.csr[reg.MISSED_FRAMES] = core.csr[reg.MISSED_FRAMES] + 1 & 0xFFFF
        if not core.csr[reg.MISSED_FRAMES] and not core.quirks.features_missing:
            core.csr[reg.FEATURES] |= reg.CSR4_MFCO

    def _usable(self, address: int) -> bool:
        core = self._core
        _, status, message = core.load(address)
        return core.usable(core.rx_base, address, status, message)

    def _find(self) -> bool:
        """Whether there is a descriptor to put a frame into. A chip that skips moves to it. Raises BusFault."""
        core = self._core
        if self._usable(core.rx_address()):
            return True
        if not core.quirks.skips_descriptors or not core.rx_base:
            return False
        count = core.rx_count
        for _ in range(core.rx_length - 1):
            count -= 1
            if count <= 1:  # so that the last descriptor is never looked at: section 7.3
                count = core.rx_length
            address = core.rx_base + (core.rx_length - count) * core.descriptor_size
            if core.load(address)[1] & desc.OWN:
                core.rx_count = count
                return self._usable(core.rx_address())
        return False

    def _ready(self) -> bool:
        """`_find` for those who have no frame yet: a bus that fails stops the chip."""
        try:
            return self._find()
        except BusFault:
            self._core.fault()
            return False

    def _chain(self, data: memoryview, flags: int) -> None:
        """Spread a frame over the current and the following descriptors (section 7.3). Raises BusFault."""
        core, quirks = self._core, self._core.quirks
        most = min(core.rx_length, 3) if quirks.three_descriptors else core.rx_length
        if flags & desc.OFLO:
            most = 1
        address, used, done = core.rx_address(), 1, 0
        buffer, status, message = core.load(address)
        status |= desc.STP
        while True:
            piece = data[done : done + desc.buffer_length(status)]
            core.put(buffer, piece)
            done += len(piece)
            status &= ~desc.OWN
            following = core.rx_address(ahead=used)
            if done == len(data) or used == most or not self._usable(following):
                break
            core.store(address, status, message)
            address, used = following, used + 1
            buffer, status, message = core.load(address)
        if flags & desc.OFLO:
            status |= flags & ~_MATCH
        elif done == len(data):
            status = status & ~_MATCH | desc.ENP | flags
            count, rest = len(data), message & ~desc.MCNT_MASK
            message = rest | count if quirks.cuts_long_frames else count & desc.MCNT_MASK
        else:
            status |= desc.BUFF | desc.ERR | (desc.OFLO if quirks.oflo_with_buff else 0)
        core.store(address, status, message)
        core.advance_rx(used)
        core.csr[reg.CSR_STATUS] |= reg.CSR0_RINT
