"""What came out of order, until the gap before it is filled; and the SACK blocks that tell of it (RFC 2018 section 4).

Bounded by what it really costs: every piece counts with the object that holds it, so that one-octet segments are no way
to exhaust memory. What is beyond the bound is not taken, and not told of: the peer sends it again.
"""

from asyncnic.stacks.inet.tcp.sequence import Position

OVERHEAD = 128
"""Octets that a piece costs besides its data: a bytes object, its key, its range."""
BLOCKS = 4


class StreamReassembly:
    """Pieces above the next expected position.

    Args:
        limit: octets it may cost.
    """

    __slots__ = ("_limit", "_pieces", "_recent", "cost", "ranges")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: dict[Position, bytes] = {}
        self._recent: list[tuple[Position, Position]] = []
        self.ranges: list[tuple[Position, Position]] = []
        """Disjoint, ascending, none touching the next."""
        self.cost = 0

    def add(self, start: Position, data: bytes | memoryview) -> int:
        """Keep what is new of `data`, which begins above the next expected position; octets kept."""
        end, place, kept = start + len(data), start, 0
        pieces, room = self._pieces, self._limit - self.cost
        fresh = []
        for left, right in self.ranges:
            if right <= place:
                continue
            if left >= end:
                break
            if left > place:
                fresh.append((place, left))
            place = max(place, right)
        if place < end:
            fresh.append((place, end))
        if sum(right - left + OVERHEAD for left, right in fresh) > room:
            return 0
        for left, right in fresh:
            pieces[left] = bytes(data[left - start : right - start])
            kept += right - left
            self.cost += right - left + OVERHEAD
        self._merge(start, end)
        return kept

    def take(self, place: Position) -> list[bytes]:
        """Pieces that now follow on `place` without a gap, taken out; what lies below is dropped."""
        found: list[bytes] = []
        if not self.ranges or self.ranges[0][0] > place:
            return found
        while self.ranges and self.ranges[0][0] <= place:
            left, right = self.ranges.pop(0)
            while left < right:
                piece = self._pieces.pop(left)
                self.cost -= len(piece) + OVERHEAD
                left += len(piece)
                if left > place:
                    found.append(piece[place - left :])
                    place = left
        self._recent = [block for block in self._recent if block[1] > place]
        return found

    def blocks(self, limit: int) -> list[tuple[Position, Position]]:
        """At most `limit` blocks, the one that the last segment fell into first."""
        return self._recent[:limit]

    def _merge(self, start: Position, end: Position) -> None:
        merged, others = [start, end], []
        for left, right in self.ranges:
            if right < merged[0] or left > merged[1]:
                others.append((left, right))
            else:
                merged = [min(left, merged[0]), max(right, merged[1])]
        block = merged[0], merged[1]
        self.ranges = sorted([*others, block])
        recent = [known for known in self._recent if known[1] < block[0] or known[0] > block[1]]
        self._recent = [block, *recent[: BLOCKS - 1]]
