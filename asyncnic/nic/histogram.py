"""A histogram as plain integers: cheap enough for the packet path, read by the metrics collector.

It is not a prometheus_client histogram (whose `observe` costs ten times as much and takes a lock): one bisection, one
list element, one float. Counts are per bucket here and made cumulative when they are rendered.
"""

from bisect import bisect_left


class Histogram:
    """Counts of observations in buckets.

    Args:
        bounds: the upper bounds of the buckets, ascending, in the unit of what is observed; a last bucket, +Inf,
            follows.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in the first bucket whose upper bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


BURST_FRAMES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Bounds for frames in a burst: powers of two up to the largest ring."""

SECONDS = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 1.0)
"""Bounds for times on the packet path: the library's default buckets start where this one is nearly over."""
