"""Frames out of the kernel's receive ring (TPACKET_V2, packet(7)), as they were on the wire, one `readinto` each.

What the kernel hands to a packet socket is not always what a wire carries, and is made so again here: a checksum that
the sender left to its card is completed, a VLAN tag that was taken off is put back, and a super-frame, or any frame
longer than the chip takes, is cut (cutting.py). What lost its end on the way into a slot keeps its length, so that the
chip refuses it. Nothing here opens anything or knows a chip. asyncnic/hot/_packet.pyx has this class again in C;
`asyncnic.hot` chooses.
"""

import mmap
import socket
from collections.abc import Iterator

from asyncnic.devices.packet.cutting import ECN, RUNS, complete, cut

USER = 0x01
COPY = 0x02
VLAN_VALID = 0x10
VLAN_TPID_VALID = 0x40
"""Status bits of a slot (linux/if_packet.h)."""
VNET_HEADER = 10
"""Octets of the virtio_net_hdr before each frame, as PACKET_VNET_HDR asks for: flags, type and size of segments,
where a checksum begins and where it goes."""
NEEDS_CHECKSUM = 1
ASIDE = 65536 + 64
"""Octets of the longest frame that is read aside, with its virtio_net_hdr."""


class PacketRing:
    """Reads the slots of `mapped` in order; each is the kernel's again when its frame, or its last piece, is read.

    Args:
        mapped: the whole ring.
        slot_size, slots: its geometry; slots lie one behind the other.
        fd: the socket's: a frame that is longer than a slot waits there too, whole (TP_STATUS_COPY).
        longest: octets of the longest frame that is not cut, tag included.

    Attributes:
        slots_read: frames that the kernel has put into the ring and that are read, in one piece or several.
        extra: pieces beyond the first of each that was cut: the frames read are `slots_read` + `extra`, but for the one
            that is being cut.
    """

    __slots__ = (
        "_fd",
        "_halves",
        "_head",
        "_longest",
        "_mapped",
        "_pieces",
        "_slot_size",
        "_slots",
        "_words",
        "extra",
        "slots_read",
    )

    c_source = None
    """The compiled twin's C function, for other compiled code (asyncnic/hot/source.pxd)."""

    def __init__(self, mapped: mmap.mmap, slot_size: int, slots: int, fd: int, longest: int) -> None:
        self._mapped = memoryview(mapped)
        self._words = self._mapped.cast("I")
        self._halves = self._mapped.cast("H")
        self._slot_size, self._slots, self._fd, self._longest = slot_size, slots, fd, longest
        self._head = 0
        self._pieces: Iterator[tuple[bytes, bool]] | None = None
        self.slots_read = 0
        self.extra = 0

    def close(self) -> None:
        """Let go of the map; there are no more frames. Idempotent."""
        self._slots = 0
        self._pieces = None
        for view in (self._words, self._halves, self._mapped):
            view.release()

    @property
    def cutting(self) -> bool:
        """Whether a frame has been read in part."""
        return self._pieces is not None

    def waiting(self) -> int:
        """Slots that are filled and not read, or not to the end."""
        count = 0
        while count < self._slots:
            slot = (self._head + count) % self._slots
            if not self._words[slot * self._slot_size // 4] & USER:
                break
            count += 1
        return count

    def readinto(self, view: memoryview) -> int:
        """Fill `view` with one frame; its octets, 0 when there is none. One that fills `view` may have lost its end.

        Raises:
            ValueError: `view` is shorter than `longest`.
        """
        if len(view) < self._longest:
            raise ValueError(f"a buffer of {len(view)} octets: frames have up to {self._longest}")
        if self._pieces is not None and (size := self._next_piece(view)):
            self.extra += 1
            return size
        if not self._slots:
            return 0
        start = self._head * self._slot_size
        status = self._words[start // 4]
        if not status & USER:
            return 0
        frame, length, offload = self._frame(start, status)
        if len(frame) == length:
            if offload[0] & NEEDS_CHECKSUM and offload[1] & ~ECN not in RUNS:
                complete(frame, int.from_bytes(offload[6:8], "little"), int.from_bytes(offload[8:10], "little"))
            if status & VLAN_VALID and length >= 14:
                frame[12:12] = self._tag(start, status)
            pieces = cut(frame, offload, self._longest)
            if pieces is not None:
                self._pieces = pieces
                return self._next_piece(view)
            length = len(frame)
        size = min(length, len(view))
        view[:size] = frame[:size].ljust(size, b"\0")
        self._release()
        return size

    def _next_piece(self, view: memoryview) -> int:
        piece, last = next(self._pieces or iter(()), (b"", True))
        view[: len(piece)] = piece
        if last:
            self._pieces = None
            self._release()
        return len(piece)

    def _frame(self, start: int, status: int) -> tuple[bytearray, int, bytes]:
        """What there is of the frame in the slot at `start`, its length on the wire, and its virtio_net_hdr."""
        length, captured = self._words[start // 4 + 1], self._words[start // 4 + 2]
        data = start + self._halves[start // 2 + 6]
        if status & COPY:
            with socket.socket(fileno=self._fd) as sock:
                try:
                    whole = sock.recv(ASIDE, socket.MSG_DONTWAIT)
                except OSError:
                    whole = b""
                sock.detach()
            if len(whole) - VNET_HEADER == length:
                return bytearray(whole[VNET_HEADER:]), length, whole[:VNET_HEADER]
        return bytearray(self._mapped[data : data + captured]), length, bytes(self._mapped[data - VNET_HEADER : data])

    def _tag(self, start: int, status: int) -> bytes:
        """The 802.1Q tag that the kernel took off."""
        tci, tpid = self._halves[start // 2 + 12], self._halves[start // 2 + 13]
        return (tpid if status & VLAN_TPID_VALID else 0x8100).to_bytes(2, "big") + tci.to_bytes(2, "big")

    def _release(self) -> None:
        self._words[self._head * self._slot_size // 4] = 0
        self._head = (self._head + 1) % self._slots
        self.slots_read += 1
