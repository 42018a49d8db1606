"""The Internet checksum (RFC 1071) as arithmetic on whole numbers. Not a CRC, and no incremental update (RFC 1624).

A one's complement sum of 16-bit words is the number they form modulo 0xffff, because 2^16 leaves 1. So a piece of
data is summed by one conversion and one remainder, however long it is; sums of several pieces are added as numbers,
as long as each piece but the last has an even length. One's complement has two zeros: only zeros sum to 0, all else
that leaves no remainder sums to 0xffff (minus zero).
"""


def word_sum(data: bytes | memoryview) -> int:
    """One's complement sum of `data` as big-endian 16-bit words, an odd last octet padded with zero: 0..0xffff."""
    number = int.from_bytes(data, "big")
    return _folded(number << 8 if len(data) & 1 else number)


def checksum(data: bytes | memoryview, initial: int = 0) -> int:
    """What goes into the checksum field of `data` (whose field is zero): 0xffff where all that is covered is zero.

    Args:
        data: header and payload that are covered.
        initial: sum of what is covered besides, such as a pseudo header.
    """
    return 0xFFFF - _folded(word_sum(data) + initial)


def sound(data: bytes | memoryview, initial: int = 0) -> bool:
    """Whether `data`, checksum field included, sums to minus zero: nothing but zeros does not."""
    return _folded(word_sum(data) + initial) == 0xFFFF


def pseudo_sum(source: bytes, target: bytes, protocol: int, length: int) -> int:
    """Sum of the pseudo header of UDP and ICMPv6 (RFC 768; RFC 8200 section 8.1); both families, not yet reduced.

    Args:
        source: 4 or 16 octets.
        target: as many.
        protocol: the upper-layer protocol's number.
        length: octets of upper-layer header and payload.
    """
    return int.from_bytes(source, "big") + int.from_bytes(target, "big") + protocol + length


def _folded(number: int) -> int:
    return (number - 1) % 0xFFFF + 1 if number else 0
