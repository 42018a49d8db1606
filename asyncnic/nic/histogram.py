"""The histogram in the form that runs (hot/histogram.py), and the bounds of those on the packet path."""

from typing import TYPE_CHECKING

from asyncnic import hot
from asyncnic.hot import histogram

if TYPE_CHECKING:
    from asyncnic.hot.histogram import Histogram
else:
    Histogram = hot.choose(histogram.Histogram)

__all__ = ["BURST_FRAMES", "SECONDS", "Histogram"]

BURST_FRAMES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Bounds for frames in a burst: powers of two up to the largest ring."""

SECONDS = (5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 1.0)
"""Bounds for times on the packet path: the library's default buckets start where this one is nearly over."""
