"""The model's receiver: frames into descriptors (section 7 of the chip's fact sheet).

Two ways lead through it. `receive` is the chip as the data sheet has it: one whole frame, any descriptor style,
chaining, every error. `fill` is the same for the usual case, many frames at a time: the wire writes straight into the
buffers of descriptors that are armed exactly as they were the last time round, which one comparison of ring words
tells, and their words are written back as a vector. Whatever is not usual, `fill` hands to the first way. Nothing here
answers register accesses or transmits.
"""

from array import array
from zlib import crc32

from asyncnic import hot
from asyncnic.pcnet32 import descriptors as desc
from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.address_filter import REJECTED, AddressFilter
from asyncnic.pcnet32.model.core import BusFault, Core
from asyncnic.pcnet32.model.direct_reader import MIN_FRAME, DirectReader, Read
from asyncnic.pcnet32.model.quirks import SILICON

MAX_FRAME = 65535  # what a TAP can give
EMULATOR_MAX_FRAME = 4092
FAST_BUFFER = 1522  # a descriptor's buffer must hold any tagged Ethernet frame and its FCS to be read into directly
_MATCH = desc.PAM | desc.LAFM | desc.BAM
_COMPLETE = desc.STP | desc.ENP
_NO_FCS = bytes(desc.FCS_SIZE)
_DirectReader = hot.choose(DirectReader)
_hand_over = hot.choose(desc.hand_over)


class ReceiveUnit:
    """The receiving half of a chip.

    `silent` says whether the last `fill` or `drain` ended because the wire had no more frames.
    """

    __slots__ = (
        "_armed",
        "_armed_quads",
        "_core",
        "_direct",
        "_filter",
        "_finished",
        "_ring",
        "_ring_quads",
        "_scratch",
        "_slots",
        "silent",
    )

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
        self._ring_quads = core.memory.quads[start // 8 : start // 8 + words // 2]
        self._armed = memoryview(array("I", bytes(4 * words)))
        self._armed_quads = self._armed.cast("B").cast("Q") if words else self._armed
        self._finished = memoryview(array("I", bytes(words)))
        self._slots = words // 4
        self._direct = _DirectReader(core.memory, self._slots, self._filter)

    # Many frames.

    def fill(self, read: Read, limit: int) -> int:
        """Read up to `limit` frames off the wire into descriptors; see `Am79C970A.fill`."""
        core = self._core
        taken = 0
        self.silent = False
        direct = bool(self._slots) and core.bus_master and not core.csr[reg.FEATURES] & reg.CSR4_ASTRP_RCV
        while taken < limit and not self.silent and self._accepting():
            slot = core.rx_length - core.rx_count
            end = self._armed_run(slot, min(slot + limit - taken, core.rx_length)) if direct else slot
            if end > slot:
                taken += self._fill_run(read, slot, end, limit - taken)
            elif self._ready():
                taken += self._read_one(read)
            else:
                break
        return taken

    def drain(self, read: Read, limit: int) -> int:
        """Read up to `limit` frames off the wire, whether there are descriptors or not; see `Am79C970A.drain`."""
        taken = self.fill(read, limit)
        while taken < limit and not self.silent:
            taken += self._read_one(read)
        return taken

    def _armed_run(self, slot: int, end: int) -> int:
        """Descriptors `slot` up to the returned one are the card's, and their buffers can be read into directly."""
        if self._ring_quads[2 * slot : 2 * end] == self._armed_quads[2 * slot : 2 * end]:
            return end
        ring, armed = self._ring, self._armed
        while slot < end:
            word = 4 * slot
            if not ring[word + 1] & desc.OWN:
                break
            if ring[word : word + 4] != armed[word : word + 4] and not self._learn(slot):
                break
            slot += 1
        return slot

    def _learn(self, slot: int) -> bool:
        """Take down how a descriptor is armed. False when its buffer is not one to read into directly."""
        core, word = self._core, 4 * slot
        words = self._ring[word : word + 4]
        address = words[2 if core.style == reg.STYLE_PCNET_PCI_2 else 0]
        size = desc.buffer_length(words[1])
        start = core.reach(address, size)
        if size < FAST_BUFFER or start < 0 or start % 8:
            return False
        self._armed[word : word + 4] = words
        self._direct.learn(slot, start, size)
        self._finished[slot] = words[1] & ~(desc.OWN | _MATCH) | _COMPLETE | self._filter.own_flags
        return True

    def _fill_run(self, read: Read, first: int, end: int, limit: int) -> int:
        """Read frames into the armed descriptors `first` to `end`. Returns how many were read."""
        core, direct = self._core, self._direct
        slot = direct.read(read, first, end, limit)
        stored, filtered = slot - first, direct.filtered
        self.silent = direct.silent
        if stored:
            self._give_back(first, slot, direct.odd)
        tally = core.counters
        tally.stored += stored
        tally.filtered += filtered
        tally.read += stored + filtered
        if direct.size:  # no room for the FCS, so that the chip would chain; or the wire cut the frame to the buffer
            view = direct.view(slot)
            self.receive(bytes(view[: direct.size]), cut=direct.size == len(view))
            return stored + filtered + 1
        return stored + filtered

    def _give_back(self, first: int, end: int, odd: list[tuple[int, int]]) -> None:
        """Return descriptors, the words with OWN last. `odd` has slot and flags of frames not for the own address."""
        core = self._core
        finished = self._finished[first:end]
        if odd:
            finished = memoryview(array("I", finished))
            for slot, flags in odd:
                finished[slot - first] = finished[slot - first] & ~_MATCH | flags
        message = 0 if core.style == reg.STYLE_PCNET_PCI_2 else 2
        _hand_over(self._ring, first, end, message, self._direct.counts[first:end], finished)
        core.rx_count = core.rx_length - end or core.rx_length
        core.csr[reg.CSR_STATUS] |= reg.CSR0_RINT

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
