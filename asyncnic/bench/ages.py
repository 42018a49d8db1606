"""Durations in buckets: every one of millions counted, quantiles to 3 per cent, constant memory.

The buckets are those of HdrHistogram's kind: each power of two of nanoseconds is split into 32. It is for experiments;
what the service exports to Prometheus is `asyncnic.nic.histogram`.
"""

SPLIT_BITS = 5
LONGEST = (1 << 40) - 1
"""18 minutes in nanoseconds; longer durations count as this long, negative ones as 0."""


def bucket(nanoseconds: int) -> int:
    """The bucket that a duration of 0..LONGEST falls into."""
    shift = nanoseconds.bit_length() - SPLIT_BITS - 1
    return nanoseconds if shift <= 0 else (shift << SPLIT_BITS) + (nanoseconds >> shift)


def longest_in(index: int) -> int:
    """The longest duration, in nanoseconds, that falls into a bucket."""
    shift = (index >> SPLIT_BITS) - 1
    return index if shift <= 0 else ((index - (shift << SPLIT_BITS) + 1) << shift) - 1


class Ages:
    """Counts of durations, taken in nanoseconds and read in seconds."""

    __slots__ = ("buckets", "count", "longest")

    def __init__(self) -> None:
        self.buckets = [0] * (bucket(LONGEST) + 1)
        self.count = 0
        self.longest = 0

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        nanoseconds = min(max(nanoseconds, 0), LONGEST)
        self.buckets[bucket(nanoseconds)] += 1
        self.count += 1
        if nanoseconds > self.longest:
            self.longest = nanoseconds

    def quantile(self, share: float) -> float | None:
        """Seconds that at least `share` (0..1) of the durations do not exceed; None when there are none."""
        if not self.count:
            return None
        rank = max(1, share * self.count)
        seen = 0
        for index, count in enumerate(self.buckets):
            seen += count
            if seen >= rank:
                return min(longest_in(index), self.longest) / 1e9
        raise AssertionError("buckets and count disagree")

    def as_json(self) -> dict[str, float | None]:
        """Count, and seconds at the usual quantiles."""
        return {
            "count": self.count,
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p99": self.quantile(0.99),
            "p999": self.quantile(0.999),
            "max": self.longest / 1e9 if self.count else None,
        }
