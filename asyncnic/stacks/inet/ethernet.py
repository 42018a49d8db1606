"""Ethernet II: the header in, the header out. No 802.3 LLC, and no VLANs.

A frame with one 802.1Q tag is accepted whatever its VLAN, as on an access port whose switch leaves the tag on;
replies go untagged.
"""

from collections import deque
from collections.abc import Callable, Sequence

from asyncnic.stacks.inet.outcomes import Totals

HEADER = 14
BROADCAST = b"\xff" * 6
IPV4, ARP, IPV6, TAGGED = 0x0800, 0x0806, 0x86DD, 0x8100


def parse(frame: memoryview) -> tuple[bytes, bytes, int, memoryview] | None:
    """Split a frame (without FCS) into target MAC, source MAC, EtherType and payload (padding included).

    Returns None for a frame that ends inside its header or tag.
    """
    if len(frame) < HEADER:
        return None
    addresses = bytes(frame[:12])
    kind, start = frame[12] << 8 | frame[13], HEADER
    if kind == TAGGED:
        if len(frame) < HEADER + 4:
            return None
        kind, start = frame[16] << 8 | frame[17], HEADER + 4
    return addresses[:6], addresses[6:], kind, frame[start:]


def is_station(mac: bytes) -> bool:
    """Whether a MAC address can be a single station's: neither a group's nor all zero."""
    return not mac[0] & 1 and any(mac)


def multicast_mac(group: bytes) -> bytes:
    """MAC address of an IPv4 (RFC 1112 section 6.4) or IPv6 (RFC 2464 section 7) multicast group of 4 or 16 octets."""
    if len(group) == 4:
        return b"\x01\x00\x5e" + bytes((group[1] & 0x7F,)) + group[2:]
    return b"\x33\x33" + group[-4:]


class Link:
    """The transmitting side: one MAC address, one transmit ring behind `send`.

    Args:
        mac: 6 octets, ours.
        send: takes a frame without FCS; False when there is no room.
        totals: counts `transmit_full`.
        full: told each time there was no room, so that somebody waits for some and calls `drain`.

    What belongs together (the fragments of one datagram) is taken whole or not at all: once its first frame has found
    room, the rest may wait here. Nothing else is taken while something waits, so no more than one datagram ever does.
    """

    __slots__ = ("_full", "_send", "_totals", "mac", "waiting")

    def __init__(
        self, mac: bytes, send: Callable[[bytes], bool], totals: Totals, full: Callable[[], None] = lambda: None
    ) -> None:
        self.mac = mac
        self._send = send
        self._totals = totals
        self._full = full
        self.waiting: deque[bytes] = deque()
        """Frames that wait for room; until they are gone nothing else is sent."""

    def header(self, target: bytes, kind: int) -> bytes:
        """14 octets of header of a frame of ours."""
        return target + self.mac + kind.to_bytes(2, "big")

    def transmit(self, target: bytes, kind: int, packets: Sequence[bytes]) -> bool:
        """Send packets that belong together to one MAC address; False when not even the first found room."""
        header = self.header(target, kind)
        if not self.waiting and self._send(header + packets[0]):
            for index in range(1, len(packets)):
                if not self._send(header + packets[index]):
                    self.waiting.extend(header + packet for packet in packets[index:])
                    self._full()
                    break
            return True
        self._totals.transmit_full += 1
        self._full()
        return False

    def drain(self) -> bool:
        """There may be room again: send what waits. True when nothing waits any more."""
        while self.waiting:
            if not self._send(self.waiting[0]):
                self._full()
                return False
            self.waiting.popleft()
        return True

    def __len__(self) -> int:
        """Frames that wait for room."""
        return len(self.waiting)
