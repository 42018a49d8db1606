"""What of the sent octets the peer has by its SACK blocks, and what is lost by RFC 6675. It decides nothing else.

`lost` is one position: everything below it that was not acknowledged is taken for lost. `again` is another: what is
lost and below it has been sent again. `threshold` is DupThresh in segments: 3, and more once the way was seen to
reorder, so that it does not look like loss again.
"""

from collections.abc import Sequence

from asyncnic.stacks.inet.tcp.sequence import Position

THRESHOLD = 3
LARGEST_THRESHOLD = 127
RANGES = 512
"""Disjoint ranges that are remembered; more are as good as not told of."""


class Scoreboard:
    """Positions between the oldest unacknowledged one and the next to be sent."""

    __slots__ = ("again", "lost", "ranges", "sacked", "threshold")

    def __init__(self, una: Position) -> None:
        self.ranges: list[tuple[Position, Position]] = []
        self.sacked = 0
        self.lost = una
        self.again = una
        self.threshold = THRESHOLD

    @property
    def highest(self) -> Position:
        """The end of the highest block, 0 without one."""
        return self.ranges[-1][1] if self.ranges else 0

    def add(self, blocks: Sequence[tuple[Position, Position]], una: Position, nxt: Position) -> int:
        """The peer has these; octets that are news. Blocks that are not between `una` and `nxt` say nothing."""
        before = self.sacked
        for left, right in blocks:
            if una < left < right <= nxt and len(self.ranges) < RANGES:
                self._insert(left, right)
        return self.sacked - before

    def release(self, una: Position) -> None:
        """Everything below `una` was acknowledged."""
        while self.ranges and self.ranges[0][0] <= una:
            left, right = self.ranges[0]
            if right > una:
                self.sacked -= una - left
                self.ranges[0] = una, right
                break
            self.sacked -= right - left
            del self.ranges[0]
        self.lost = max(self.lost, una)
        self.again = max(self.again, una)

    def forget(self, una: Position, lost: Position) -> None:
        """After a time-out what the peer told counts no more (RFC 2018 section 8); all below `lost` is lost."""
        self.ranges.clear()
        self.sacked = 0
        self.again = una
        self.lost = lost

    def find_lost(self, mss: int, outstanding: int) -> bool:
        """Move `lost` up to where DupThresh segments or ranges lie above (IsLost of RFC 6675 section 4); if it moved.

        Args:
            mss: octets of a segment.
            outstanding: octets sent and not acknowledged; of few segments no more can lie above one than there are.
        """
        threshold = max(THRESHOLD, min(self.threshold, outstanding // mss - 1))
        above = 0
        for count, (left, right) in enumerate(reversed(self.ranges), 1):
            above += right - left
            if above > (threshold - 1) * mss or (count >= threshold and self.threshold == THRESHOLD):
                if left > self.lost:
                    self.lost = left
                    return True
                return False
        return False

    def pipe(self, una: Position, nxt: Position) -> int:
        """Octets that are on their way by RFC 6675's SetPipe."""
        lost = max(self.lost, una)
        total = nxt - lost
        top = min(self.again, lost)
        if top > una:
            total += top - una
        for left, right in self.ranges:
            if right > lost:
                total -= right - max(left, lost)
            if left < top:
                total -= min(right, top) - left
        return total

    def hole(self) -> tuple[Position, Position] | None:
        """The next octets that are lost and were not sent again."""
        place, lost = self.again, self.lost
        if place >= lost:
            return None
        for left, right in self.ranges:
            if left > place:
                return place, min(left, lost)
            place = max(place, right)
            if place >= lost:
                self.again = place
                return None
        return place, lost

    def reordered(self, distance: int, mss: int) -> None:
        """Octets that were not sent again arrived so far behind later ones: do not take that for loss again."""
        self.threshold = min(LARGEST_THRESHOLD, max(self.threshold, distance // mss + 2))

    def _insert(self, left: Position, right: Position) -> None:
        kept: list[tuple[Position, Position]] = []
        for one, other in self.ranges:
            if other < left or one > right:
                kept.append((one, other))
            else:
                self.sacked -= other - one
                left, right = min(left, one), max(right, other)
        kept.append((left, right))
        kept.sort()
        self.ranges = kept
        self.sacked += right - left
