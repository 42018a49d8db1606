# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: annotation_typing=False
"""The way of almost every answer: known headers and a payload straight into a transmit descriptor's buffer.

One text, interpreted as it stands and compiled as `asyncnic.hot._transmit`, with the C types of _transmit.pxd; only
where octets are moved and summed do the two part. It is not a second UDP: it sends whole datagrams on ways that the
slow way has gone before, writes what that would write, and leaves everything else (first datagrams, fragments, full
rings, errors) to it. When the card is told is the nic's business, what became of a frame the driver's.
"""

import struct
from array import array
from collections.abc import Callable, Sized
from typing import Any

try:
    import cython
except ImportError:
    from asyncnic.hot import shadow as cython

if cython.compiled:
    from cython.cimports.asyncnic.hot.primitives import (
        clear_octets,
        copy_octets,
        fold16,
        load32,
        net16,
        put16,
        put32,
        put_check,
        store32,
        sum_octets,
    )

BUFFER_SIZE = 2048
MIN_FRAME = 60
_OWN = 0x8000_0000
_ERR = 0x4000_0000
_SEND = 0xA300_F000  # OWN, ADD_FCS, STP, ENP, ONES
_BCNT_MASK = 0xFFF
_FOUR, _SIX = 34, 54  # where the UDP header starts
_UDP = 8
_TCP, _STAMPED = 20, 32
_STAMPS = 0x0101_080A
_ACK = 0x10
_ZEROS = bytes(MIN_FRAME)
_TWO = struct.Struct("!HH")
_SEGMENT = struct.Struct("!IIHHHH")
_OPTION = struct.Struct("!III")


class Template:
    """A flow's headers but for what each datagram or segment has of its own: lengths, identification, checksums; and
    all of a TCP header behind the ports.

    Args:
        link: Ethernet header, 14 octets.
        ip: IPv4 header without options, or IPv6 header without extension headers.
        ports: source and target, 4 octets.
        most: octets of payload that need no fragments.
        identifications: one 16-bit word, the last identification that IPv4 has given; IPv6 needs none.
    """

    def __init__(self, link: bytes, ip: bytes, ports: bytes, most: int, identifications: memoryview) -> None:
        four = len(ip) == 20
        protocol = bytes((0, ip[9 if four else 6]))
        if four:
            addresses, ip = ip[12:20], ip[:2] + bytes(4) + ip[6:10] + bytes(2) + ip[12:]
        else:
            addresses, ip = ip[8:40], ip[:4] + bytes(2) + ip[6:]
        self.headers = link + ip + ports + bytes(4)
        self.transport = _FOUR if four else _SIX
        self.most = min(most, BUFFER_SIZE - len(self.headers))
        self.ip_sum = _sum(ip)
        self.sum = _sum(addresses + ports + protocol)
        self.identifications = identifications


def _sum(data: bytes) -> int:
    """Sum of 16-bit words, an odd last octet padded with zero: as they lie in memory where compiled, else as numbers of
    network order. A one's complement sum does not mind, if its result is stored the same way (RFC 1071 section 2 B).
    """
    if cython.compiled:
        return int(sum_octets(data, len(data)))
    number = int.from_bytes(data, "big")
    return (number << 8 if len(data) & 1 else number) % 0xFFFF


class TransmitSlots:
    """The descriptors of a transmit ring as its driver fills them, and takes them back.

    Args:
        octets, words: the DMA memory.
        bus: bus address of its first octet.
        ring: offset of the ring in 32-bit words.
        buffers: offset of `size` buffers of 2048 octets.
        size: descriptors, a power of two. One stays free, so that the card never meets an all-owned ring (fact sheet
            8.5), but for a ring of one.

    Attributes:
        frames, octets_sent: that left, without padding and FCS. Monotonic.
        pending: descriptors given to the card and not taken back.
        unseen: of those, the ones that the card was not told of.
        open: whether there is a card.
        tell: tells the card that there is something to send.
        on_first: called when a frame is put that is the first the card was not told of, unless `follows`.
        follows: while a burst is taken whose end tells the card.
    """

    def __init__(self, octets: memoryview, words: memoryview, bus: int, ring: int, buffers: int, size: int) -> None:
        self._view = octets
        self._octets = octets
        self._words = words
        self._bus = bus
        self._ring = ring
        self._buffers = buffers
        self._mask = size - 1
        self._capacity = max(1, size - 1)
        self._lengths = memoryview(array("I", bytes(4 * size)))
        self._head = 0
        self.open = False
        self.pending = 0
        self.unseen = 0
        self.frames = 0
        self.octets_sent = 0
        self.tell: Callable[[], None] = _nothing
        self.on_first: Callable[[], None] = _nothing
        self.follows = False

    def kick(self) -> None:
        """Tell the card, where there is one and something that it was not told of."""
        if self.unseen and self.open:
            self.unseen = 0
            self.tell()

    def room(self) -> int:
        """Frames that can be put now without taking any back."""
        return self._capacity - self.pending

    def disarm_all(self) -> None:
        """Take every descriptor back and start over at the first, as after INIT."""
        words = self._words
        for index in range(self._mask + 1):
            word = self._ring + 4 * index
            words[word] = self._bus + self._buffers + index * BUFFER_SIZE
            words[word + 1] = _SEND & 0xF000
            words[word + 2] = 0
        self._head = self.pending = self.unseen = 0

    def put(self, frame: bytes | bytearray | memoryview) -> bool:
        """Copy a frame (up to 2048 octets, no FCS) into the next descriptor and give it to the card. False: no room."""
        if self.pending == self._capacity and not self.reap():
            return False
        at = self._buffers + self._head * BUFFER_SIZE
        self._view[at : at + len(frame)] = frame
        self._give(len(frame))
        return True

    def put_datagram(self, template: Template, data: bytes) -> bool:
        """Send one datagram by a template. False: it goes the slow way, for want of room or because it is too long."""
        size = len(data)
        if size > template.most or not self.open or (self.pending == self._capacity and not self._make_room()):
            return False
        at = self._buffers + self._head * BUFFER_SIZE
        length = template.transport + _UDP + size
        if cython.compiled:
            frame = cython.address(self._octets[at])
            copy_octets(frame, cython.cast(cython.p_char, template.headers), template.transport + _UDP)
            payload = frame + template.transport + _UDP
            copy_octets(payload, cython.cast(cython.p_char, data), size)
            self._address(frame, template, length)
            put16(frame + template.transport + 4, size + _UDP)
            total = template.sum + 2 * net16(size + _UDP) + sum_octets(payload, size)
            check = 0xFFFF - fold16(total)
            put_check(frame + template.transport + 6, check if check else 0xFFFF)
        else:
            headers = bytearray(template.headers)
            self._address(headers, template, length)
            total = template.sum + 2 * (size + _UDP) + _sum(data)
            _TWO.pack_into(headers, template.transport + 4, size + _UDP, -total % 0xFFFF or 0xFFFF)
            self._octets[at : at + length] = headers + data
        self._give(length)
        return True

    def put_segments(
        self,
        template: Template,
        seq: int,
        ack: int,
        flags: int,
        window: int,
        stamp: int,
        echo: int,
        data: bytes,
        start: int,
        size: int,
        most: int,
    ) -> int:
        """Send `size` octets of `data` from `start` on, in TCP segments of at most `most`, as far as there is room.

        Args:
            template: of the connection.
            seq, ack, window: numbers, as they stand in the first header; seq goes on with the data.
            flags: of the last segment; the others have ACK alone.
            stamp, echo: the time stamps option; `stamp` -1: none.

        Returns:
            Segments put: with no data, one without data; 0: no room, or no card.
        """
        put = 0
        header = _TCP if stamp < 0 else _STAMPED
        while self.open and (self.pending < self._capacity or self._make_room()):
            piece = min(size, most)
            size -= piece
            length = template.transport + header + piece
            word = header << 10 | (flags if not size else _ACK)
            at = self._buffers + self._head * BUFFER_SIZE
            if cython.compiled:
                frame = cython.address(self._octets[at])
                copy_octets(frame, cython.cast(cython.p_char, template.headers), template.transport + 4)
                self._address(frame, template, length)
                tcp = frame + template.transport
                put32(tcp + 4, seq)
                put32(tcp + 8, ack)
                put16(tcp + 12, word)
                put16(tcp + 14, window)
                put32(tcp + 16, 0)
                if stamp >= 0:
                    put32(tcp + 20, _STAMPS)
                    put32(tcp + 24, stamp)
                    put32(tcp + 28, echo)
                copy_octets(tcp + header, cython.cast(cython.p_char, data) + start, piece)
                total = template.sum + net16(header + piece) + sum_octets(tcp + 4, header - 4 + piece)
                put_check(tcp + 16, 0xFFFF - fold16(total))
            else:
                payload = data[start : start + piece]
                extra = b"" if stamp < 0 else _OPTION.pack(_STAMPS, stamp, echo)
                rest = _SEGMENT.pack(seq, ack, word, window, 0, 0)
                total = template.sum + header + piece + _sum(rest) + _sum(extra) + _sum(payload)
                rest = _SEGMENT.pack(seq, ack, word, window, -total % 0xFFFF, 0)
                headers = bytearray(template.headers[: template.transport + 4])
                self._address(headers, template, length)
                self._octets[at : at + length] = headers + rest + extra + payload
            self._give(length)
            put += 1
            start += piece
            seq = (seq + piece) & 0xFFFF_FFFF
            if not size:
                break
        return put

    def _address(self, frame: Any, template: Template, length: int) -> None:
        """Write what the IP header of a frame of `length` octets has of its own."""
        if template.transport == _FOUR:
            identification = template.identifications[0] = (template.identifications[0] + 1) & 0xFFFF
            if cython.compiled:
                put16(frame + 16, length - 14)
                put16(frame + 18, identification)
                total = template.ip_sum + net16(length - 14) + net16(identification)
                put_check(frame + 24, 0xFFFF - fold16(total))
            else:
                total = template.ip_sum + length - 14 + identification
                _TWO.pack_into(frame, 16, length - 14, identification)
                frame[24:26] = (-total % 0xFFFF).to_bytes(2, "big")
        elif cython.compiled:
            put16(frame + 18, length - _SIX)
        else:
            frame[18:20] = (length - _SIX).to_bytes(2, "big")

    def reap(self) -> int:
        """Take back what the card has sent, up to the first that it has not, or not well. Returns how many."""
        reaped = 0
        while self.pending:
            index = (self._head - self.pending) & self._mask
            word = self._ring + 4 * index + 1
            if (load32(cython.address(self._words[word])) if cython.compiled else self._words[word]) & (_OWN | _ERR):
                break
            self.frames += 1
            self.octets_sent += self._lengths[index]
            self.pending -= 1
            reaped += 1
        return reaped

    def failed(self) -> int:
        """Take back the oldest descriptor if the card could not send it. Returns its errors (TMD2), or -1."""
        if self.pending:
            word = self._ring + 4 * ((self._head - self.pending) & self._mask)
            if self._words[word + 1] & (_OWN | _ERR) == _ERR:
                self.pending -= 1
                return int(self._words[word + 2])
        return -1

    def _make_room(self) -> bool:
        """Take descriptors back; where there are none, tell the card of what it has not seen."""
        if not self.reap() and self.unseen:
            self.kick()
            self.reap()
        return self.pending < self._capacity

    def _give(self, length: int) -> None:
        """Give the descriptor at the head, whose buffer holds a frame, to the card."""
        index = self._head
        self._lengths[index] = length
        if length < MIN_FRAME:
            at = self._buffers + index * BUFFER_SIZE
            if cython.compiled:
                clear_octets(cython.address(self._octets[at + length]), MIN_FRAME - length)
            else:
                self._octets[at + length : at + MIN_FRAME] = _ZEROS[length:]
            length = MIN_FRAME
        word = self._ring + 4 * index
        if cython.compiled:
            store32(cython.address(self._words[word + 2]), 0)
            store32(cython.address(self._words[word + 1]), _SEND | (-length & _BCNT_MASK))
        else:
            self._words[word + 2] = 0
            self._words[word + 1] = _SEND | (-length & _BCNT_MASK)
        self._head = (index + 1) & self._mask
        self.pending += 1
        self.unseen += 1
        if self.unseen == 1 and not self.follows:
            self.on_first()


class Way:
    """How the datagrams of one sender to one peer go; `peer` is kept so that its identity stays its own."""

    def __init__(self, sender: "Sender", peer: object, template: Template) -> None:
        self.sender = sender
        self.peer = peer
        self.template = template


class Sender:
    """An endpoint's `sendto`: by the way that is known, else by `slow`.

    Args:
        slots: where frames go.
        ways: by the identity of the peer (of the sender, for the one that it is connected to); forgotten whenever one
            of them may have changed.
        slow: the endpoint's own `sendto`.
        before: queues that must be empty, since what is in them goes first.
    """

    def __init__(
        self,
        slots: TransmitSlots,
        ways: dict[int, Way],
        slow: Callable[[Any, Any], None],
        *before: Sized,
    ) -> None:
        self._slots = slots
        self._ways = ways
        self._slow = slow
        self._held, self._link = before
        self.closed = False

    def __call__(self, data: Any, addr: Any = None) -> None:
        """Send one datagram; see `Endpoint.sendto`."""
        if type(data) is bytes and not self.closed:
            way = self._ways.get(id(self if addr is None else addr))
            if way is not None and not self._held and not self._link and self._goes(way, data):
                return
        self._slow(data, addr)

    def _goes(self, way: Way, data: bytes) -> bool:
        return way.sender is self and self._slots.put_datagram(way.template, data)

    def learn(self, peer: object, template: Template) -> None:
        """Send to `peer` (None: to the one that it is connected to) by `template` from now on."""
        self._ways[id(self if peer is None else peer)] = Way(self, peer, template)


def _nothing() -> None:
    pass
