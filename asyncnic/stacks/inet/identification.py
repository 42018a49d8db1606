"""Identifications of IPv4 packets and IPv6 fragments: a counter a destination, which others cannot read off theirs.

RFC 7739 section 5.3 for IPv6, and the same for IPv4, where RFC 6864 asks for no repetition among the same addresses and
protocol: a table of counters that start at random, which one told by a hash with a secret. One counter for all peers
would tell each of them how much is sent to the others. Bounded by the table.
"""

import os
from array import array

COUNTERS = 2048


class Identifications:
    """The next identification for a source, a target and a protocol.

    Args:
        bits: 16 for IPv4, 32 for IPv6.
    """

    __slots__ = ("_mask", "_secret", "_words")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._secret = os.urandom(16)
        self._words = memoryview(array({16: "H", 32: "I"}[bits], os.urandom(COUNTERS * bits // 8)))

    def word(self, source: bytes, target: bytes, protocol: int) -> memoryview:
        """The counter, one word: the last identification that was given to these addresses and this protocol."""
        place = hash((self._secret, source, target, protocol)) % COUNTERS
        return self._words[place : place + 1]

    def next(self, source: bytes, target: bytes, protocol: int) -> int:
        """One that was not used of late for these addresses (4 or 16 octets) and this protocol."""
        word = self.word(source, target, protocol)
        word[0] = identification = word[0] + 1 & self._mask
        return int(identification)
