"""Families to text, a family at a time, so that a scrape never holds the event loop for long.

The client library renders a whole registry in one go, a millisecond and more: longer than the pause a small ring
survives. Here the values are read at one moment, and the text is made in between other work.
"""

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_END = b"# EOF\n"


class _Single(Collector):
    """A registry of one family, as the encoders want it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


async def render(families: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """The text of `families` and its content type, in the format that the Accept header asks for.

    Prometheus text is the default; OpenMetrics ends with its own mark, once.
    """
    encoder: Callable[[Collector], bytes]
    encoder, content_type = choose_encoder(accept)
    openmetrics = content_type.startswith("application/openmetrics-text")
    parts = []
    for family in families:
        text = encoder(_Single(family))
        parts.append(text.removesuffix(_END) if openmetrics else text)
        await asyncio.sleep(0)
    if openmetrics:
        parts.append(_END)
    return b"".join(parts), content_type
