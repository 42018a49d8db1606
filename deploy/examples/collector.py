"""A UDP collector that knows its losses: counts datagrams by source, and can say what never reached it, and where.

    asyncnic run --device tap:syslog0 --service collector:Collector:514      (from the folder of this file)

What the kernel's queue dropped is in asyncnic_dropped_frames_total: nothing has to be guessed from gaps.
"""

import asyncio
from collections import Counter
from typing import Any

MOST_SOURCES = 10_000


class Collector(asyncio.DatagramProtocol):
    """Counts datagrams of each source, the ten thousand first ones by themselves."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One datagram."""
        source = addr[0]
        self.seen[source if source in self.seen or len(self.seen) < MOST_SOURCES else "others"] += 1
