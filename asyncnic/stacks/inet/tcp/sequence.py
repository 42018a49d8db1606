"""Sequence numbers: 32 bits on the wire, unbounded positions inside. Not a window, and no state.

A number off the wire is made a position once, at the door, by what it must be near to. From there on positions are
ordinary integers: `<` is right, whatever wraps. Only time stamps (RFC 7323) stay numbers and are compared modulo 2^32.
"""

Number = int
"""0 to 2^32 - 1, as it stands in a header."""
Position = int
"""A place in one direction's stream of octets, SYN and FIN included; its low 32 bits are the number."""

MASK = 0xFFFF_FFFF
_HALF = 0x8000_0000


def position(number: Number, near: Position) -> Position:
    """The position with this number that is nearest to `near`: from 2^31 below it to 2^31 - 1 above."""
    return near + ((number - near + _HALF) & MASK) - _HALF


def number(place: Position) -> Number:
    """What goes into a header."""
    return place & MASK


def before(one: Number, other: Number) -> bool:
    """Whether a time stamp is older than another (RFC 7323 section 5.2)."""
    return (one - other) & MASK > _HALF
