"""The marks of a transport's write buffer, as `asyncio.WriteTransport.set_write_buffer_limits` takes them. Pure."""

HIGH_WATER = 64 * 1024
"""Octets above which a protocol pauses, where nobody says another number; asyncio's own."""


def watermarks(high: int | None, low: int | None) -> tuple[int, int]:
    """(high, low) in octets, whichever of them was given.

    Raises:
        ValueError: not high >= low >= 0.
    """
    if high is None:
        high = HIGH_WATER if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return high, low
