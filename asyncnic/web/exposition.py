"""Families to text in a few pieces, so that a scrape never holds the event loop for long.

The client library renders a whole registry in one go, a millisecond and more: longer than the pause a small ring
survives. Here the values are read at one moment, and the text is made in between other work. The pieces are as large as
they may be: under a flood each turn that a scrape gives away costs it a burst's time.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

PIECE_SECONDS = 0.0005
_END = b"# EOF\n"


class _Single(Collector):
    """A registry of one family, as the encoders want it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


async def render(
    families: Iterable[Metric], accept: str, clock: Callable[[], float] = time.monotonic
) -> tuple[bytes, str]:
    """The text of `families` and its content type, in the format that the Accept header asks for.

    Prometheus text is the default; OpenMetrics ends with its own mark, once. `clock` gives seconds.
    """
    encoder: Callable[[Collector], bytes]
    encoder, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    parts = []
    piece_start = clock()
    for family in families:
        text = encoder(_Single(family))
        parts.append(text.removesuffix(_END) if openmetrics else text)
        if clock() - piece_start >= PIECE_SECONDS:
            await asyncio.sleep(0)
            piece_start = clock()
    if openmetrics:
        parts.append(_END)
    return b"".join(parts), content_type
