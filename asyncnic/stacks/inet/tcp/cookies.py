"""What an attacker must not guess: initial sequence numbers, SYN cookies, time stamp bases, from one secret a host.

A cookie is an initial sequence number from which the final ACK of a handshake brings back what the SYN said, so that
nothing has to be kept (RFC 4987 section 3.6): 24 bits of MAC, 5 of time, 3 of the segment size. Window scale and
SACK travel in the low 6 bits of our time stamp, where the peer has time stamps.
"""

import os
from hashlib import blake2s

from asyncnic.stacks.inet.tcp.sequence import MASK

SIZES = (536, 1220, 1300, 1360, 1400, 1440, 1460, 3960)
"""Segment sizes that a cookie can say; the largest that is not above the peer's."""
PERIOD = 64.0
"""Seconds: a cookie is taken in the period in which it was made and in the next."""
_NO_SCALE = 15


class Secrets:
    """One host's.

    Args:
        key: up to 32 octets.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes = b"") -> None:
        self._key = key or os.urandom(32)

    def initial(self, connection: bytes, now: float) -> int:
        """RFC 6528 section 3: a clock of 4 us plus a hash of addresses and ports."""
        return (int(now * 250_000) + self._hash(b"i" + connection)) & MASK

    def stamp_base(self, hosts: bytes) -> int:
        """What is added to the clock in time stamps between two hosts (RFC 7323 section 5.4: one base a peer)."""
        return self._hash(b"s" + hosts)

    def cookie(self, connection: bytes, peer: int, mss: int, now: float) -> int:
        """An initial sequence number for the answer to a SYN of number `peer`."""
        index = max((i for i, size in enumerate(SIZES) if size <= mss), default=0)
        return self._cookie(connection, peer, int(now / PERIOD), index)

    def check(self, connection: bytes, peer: int, cookie: int, now: float) -> int | None:
        """The segment size that a cookie of ours says; None: it is none, or too old."""
        period = int(now / PERIOD)
        index = cookie >> 24 & 7
        for then in (period, period - 1):
            if self._cookie(connection, peer, then, index) == cookie:
                return SIZES[index]
        return None

    def _cookie(self, connection: bytes, peer: int, period: int, index: int) -> int:
        head = (period & 31) << 3 | index
        data = b"c" + connection + peer.to_bytes(4, "big") + period.to_bytes(8, "big") + bytes((index,))
        return head << 24 | self._hash(data) & 0xFF_FFFF

    def _hash(self, data: bytes) -> int:
        return int.from_bytes(blake2s(data, digest_size=4, key=self._key).digest(), "big")


def mark(stamp: int, scale: int | None, sack: bool) -> int:
    """`stamp`, or one up to 64 ticks older, with what the SYN said in its low bits."""
    word = (_NO_SCALE if scale is None else scale) << 1 | sack
    marked = stamp & ~0x3F | word
    return (marked if marked <= stamp else marked - 64) & MASK


def marks(echo: int) -> tuple[int | None, bool]:
    """Window scale and SACK as an echoed time stamp of `mark` says them."""
    scale = echo >> 1 & 15
    return (None if scale == _NO_SCALE else scale), bool(echo & 1)
