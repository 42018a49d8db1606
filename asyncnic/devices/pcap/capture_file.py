"""Reads the frames of a capture file, pcap or pcapng, one after the other. Nothing is decoded and nothing written.

Both byte orders, microseconds and nanoseconds, several sections and interfaces; of pcapng the enhanced, simple and
obsolete packet blocks (draft-ietf-opsawg-pcapng 4.3, 4.4, appendix A). Only Ethernet (link type 1): frames of other
interfaces are passed over and counted. A file that is damaged ends where it is, and says so.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from asyncnic.pcapng import INTERFACE, LARGEST_BLOCK, LINKTYPE_ETHERNET, PACKET, SECTION_HEADER

_PCAP = {0xA1B2C3D4, 0xA1B23C4D}
_SIMPLE_PACKET, _OLD_PACKET = 3, 2
_BYTE_ORDER = 0x1A2B3C4D


class CaptureFile:
    """The frames of one file, by iteration, once.

    Args:
        file: open, at its beginning.

    Attributes:
        passed_over: packets of interfaces that are no Ethernet, so far.
        damage: what is wrong with the file from where iteration ended, in words; empty: nothing.

    Raises:
        ValueError: this is neither pcap nor pcapng, or a pcap file of another link type. In one line.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.passed_over = 0
        self.damage = ""
        head = file.read(24)
        if len(head) < 24:
            raise ValueError("is no capture: shorter than a header")
        orders = [order for order in "<>" if struct.unpack_from(order + "I", head)[0] in _PCAP]
        if orders:
            link_type = struct.unpack_from(orders[0] + "I", head, 20)[0] & 0xFFFF
            if link_type != LINKTYPE_ETHERNET:
                raise ValueError(f"has packets of link type {link_type}: only Ethernet (1) has frames")
            self._frames = self._pcap(orders[0])
        elif head[:4] == struct.pack("<I", SECTION_HEADER):
            file.seek(0)
            self._frames = self._pcapng()
        else:
            raise ValueError("is neither pcap nor pcapng")

    def __iter__(self) -> Iterator[bytes]:
        return self._frames

    def _pcap(self, order: str) -> Iterator[bytes]:
        """The records after the file's header."""
        while record := self._file.read(16):
            frame = b""
            if len(record) == 16:
                length = struct.unpack_from(order + "I", record, 8)[0]
                frame = self._file.read(length) if length <= LARGEST_BLOCK else b""
                if len(frame) == length:
                    yield frame
                    continue
            self.damage = "ends in the middle of a packet"
            return

    def _pcapng(self) -> Iterator[bytes]:
        """The frames of all packet blocks."""
        order = "<"
        ethernet: list[bool] = []
        while head := self._file.read(8):
            if len(head) == 8 and head[:4] == struct.pack("<I", SECTION_HEADER):
                order, ethernet = self._order(), []
            kind, length = struct.unpack(order + "II", head) if len(head) == 8 else (0, 0)
            if not 12 <= length <= LARGEST_BLOCK or length % 4:
                self.damage = "is damaged: a block of impossible length"
                return
            body = self._file.read(length - 12)
            if len(body) + len(self._file.read(4)) != length - 8:
                self.damage = "ends in the middle of a block"
                return
            if kind == INTERFACE and len(body) >= 8:
                ethernet.append(struct.unpack_from(order + "H", body)[0] == LINKTYPE_ETHERNET)
            elif kind in (PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                number, frame = _packet(kind, order, body)
                if number < len(ethernet) and ethernet[number] and frame is not None:
                    yield frame
                else:
                    self.passed_over += 1

    def _order(self) -> str:
        """The byte order that a section header states; the file stays where it is."""
        magic = self._file.read(4)
        self._file.seek(-len(magic), 1)
        return "<" if magic == struct.pack("<I", _BYTE_ORDER) else ">"


def _packet(kind: int, order: str, body: bytes) -> tuple[int, bytes | None]:
    """Interface and frame of a packet block; None where the block does not hold what it says."""
    start = 4 if kind == _SIMPLE_PACKET else 20
    if len(body) < start:
        return 0, None
    if kind == _SIMPLE_PACKET:  # as long as the packet was, or as much of it as there is
        return 0, body[start : start + struct.unpack_from(order + "I", body)[0]]
    number = struct.unpack_from(order + ("I" if kind == PACKET else "H"), body)[0]
    captured = struct.unpack_from(order + "I", body, 12)[0]
    return number, body[start : start + captured] if captured <= len(body) - start else None
