# cython: language_level=3, boundscheck=False, wraparound=False
# cython: annotation_typing=False
"""A histogram as plain integers: cheap enough for the packet path, read by the metrics collector.

It is not a prometheus_client histogram (whose `observe` costs ten times as much and takes a lock): one search, one
list element, one float. Counts are per bucket here and made cumulative when they are rendered. One text, interpreted as
it stands and compiled as `asyncnic.hot._histogram`.
"""


class Histogram:
    """Counts of observations in buckets.

    Args:
        bounds: the upper bounds of the buckets, ascending, in the unit of what is observed; a last bucket, +Inf,
            follows.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value` in the first bucket whose upper bound is not below it."""
        index = 0
        for bound in self.bounds:
            if value <= bound:
                break
            index += 1
        self.counts[index] += 1
        self.sum += value
