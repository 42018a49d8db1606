"""Which frames are for this card: own address, broadcast, multicast hash, or everything.

The order is that of section 7.1 of the chip's fact sheet; the first rule that accepts decides the flag. The model
filters with it, and the driver does where a chip does not count what it filters. It looks at six octets and knows
nothing of rings.
"""

from asyncnic.pcnet32 import registers as reg
from asyncnic.pcnet32.descriptors import BAM, LAFM, PAM, multicast_hash

REJECTED = -1
_BROADCAST = b"\xff" * 6
_ADDRESS_MASK = (1 << 48) - 1


class AddressFilter:
    """A filter as CSR8 to CSR15 set it.

    Args:
        mode: CSR15; PROM, DRCVBC and DRCVPA count here.
        padr: the own address, 6 octets in wire order.
        ladrf: multicast hash filter, bit n as an address's `multicast_hash` n.

    Most frames are for the own address, and one 64-bit word tells: a frame whose first eight octets, read as a
    little-endian number, give `head & own_mask == own` is accepted with the flags `own_flags`; `match` decides on the
    others. Promiscuous is the mask 0; a filter that refuses its own address has an `own` that no word gives.
    """

    __slots__ = ("_broadcast", "_ladrf", "_own_address", "_promiscuous", "own", "own_flags", "own_mask")

    def __init__(self, mode: int, padr: bytes, ladrf: int) -> None:
        self._promiscuous = bool(mode & reg.MODE_PROM)
        self._own_address = None if mode & reg.MODE_DRCVPA else bytes(padr)
        self._broadcast = not mode & reg.MODE_DRCVBC
        self._ladrf = ladrf
        if self._promiscuous:
            self.own, self.own_mask, self.own_flags = 0, 0, 0
        else:
            self.own = -1 if self._own_address is None else int.from_bytes(padr, "little")
            self.own_mask = _ADDRESS_MASK
            self.own_flags = PAM

    def match(self, frame: bytes | bytearray | memoryview) -> int:
        """How a frame's destination, its first 6 octets, matches.

        Returns PAM, BAM or LAFM (bits of RMD1), 0 when the card is promiscuous and takes everything, or `REJECTED`.
        """
        if self._promiscuous:
            return 0
        destination = bytes(frame[:6])
        if destination == self._own_address:
            return PAM
        if self._broadcast and destination == _BROADCAST:
            return BAM
        if self._ladrf and destination[0] & 1 and self._ladrf >> multicast_hash(destination) & 1:
            return LAFM
        return REJECTED
