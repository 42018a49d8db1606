"""One load on one receiver: lets it go, and takes time, CPU time and count while it lasts.

The receiver runs its own way, blocking or on an event loop, and says from time to time how many frames it has
delivered.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib import metadata
from typing import Any

from asyncnic.bench import dnsperf, wires
from asyncnic.bench.answers import Responder
from asyncnic.bench.case import SYSTEMS, Case, Figures
from asyncnic.bench.load import Offered
from asyncnic.bench.offer import Offer
from asyncnic.bench.receiver import Counter, Echo, StampReader
from asyncnic.hot import IMPLEMENTATION

LOOK_SECONDS = 0.01
QUIET_SECONDS = 0.1
SETTLE_SECONDS = 10.0
"""How long a receiver may go on delivering what is queued after the load has ended."""


class Trial:
    """A load that is ready to go.

    Args:
        case: what is measured.
        offer: the load generator, waiting.
        cpu: CPU seconds that the receiver has used so far.
    """

    def __init__(self, case: Case, offer: Offer, cpu: Callable[[], float] = time.process_time) -> None:
        self.case = case
        self.window: dict[str, float] = {}
        self._offer = offer
        self._processor_time = cpu
        self._start = 0.0
        self._cpu = 0.0

    @property
    def begun(self) -> bool:
        """Whether the load was let go."""
        return self._start > 0.0

    @property
    def ended(self) -> bool:
        """Whether the load is over."""
        return bool(self.window)

    def go(self) -> None:
        """Start the load, and the window."""
        self._cpu, self._start = self._processor_time(), time.monotonic()
        self._offer.go()

    def over(self, delivered: int) -> bool:
        """Whether the load has ended; the first time that it has, the window ends too, with `delivered` frames."""
        if not self._offer.finished:
            return False
        if not self.window:
            self.window = {
                "frames": delivered,
                "seconds": time.monotonic() - self._start,
                "cpu_seconds": self._processor_time() - self._cpu,
            }
        return True

    async def play(self, delivered: Callable[[], int], refresh: Callable[[], Awaitable[None]] | None = None) -> None:
        """Let the load go beside whatever the loop runs, and return when it is over and nothing more arrives.

        Args:
            delivered: frames so far.
            refresh: where others count them: awaited each time before `delivered` is asked.
        """

        async def look() -> int:
            if refresh is not None:
                await refresh()
            return delivered()

        self.go()
        while not self._offer.finished:  # noqa: ASYNC110 - what ends is another process's load
            await asyncio.sleep(LOOK_SECONDS)
        self.over(await look())
        end = time.monotonic() + SETTLE_SECONDS
        before = -1
        while (now := await look()) != before and time.monotonic() < end:
            before = now
            await asyncio.sleep(QUIET_SECONDS)

    def outcome(self, delivered: int, lost: dict[str, int], app: Counter | StampReader | None, **more: Any) -> Figures:
        """Everything together. What is missing beyond `lost` is added to it as "uncounted"."""
        sender: Offered = self._offer.result()
        if isinstance(app, StampReader):
            order = app.sequence.as_json() | {"lost": app.sequence.lost(sender.datagrams)}
            more |= {"order": order, "ages": app.ages.as_json()}
        return Figures(
            case=asdict(self.case),
            version=version(self.case.system),
            offered=sender.datagrams,
            delivered=delivered,
            lost=lost | {"uncounted": sender.datagrams - delivered - sum(lost.values())},
            window=self.window,
            sender=asdict(sender),
            **more,
        )


def offer_of(case: Case) -> Offer:
    """What offers a case's load, ready to go.

    Raises:
        LoadError: it does not come up.
    """
    arguments = [wires.RECEIVER, *case.load.arguments()]
    if case.load.outstanding:
        return Offer(arguments, dnsperf.__file__)
    return Offer([*arguments, "--answers"] if case.answer else arguments)


def application(case: Case) -> Counter | StampReader:
    """The protocol that a case's datagrams end in."""
    if case.answer:
        return Responder() if case.answer == "dns" else Echo()
    return StampReader(case.work) if case.check or case.work else Counter()


def version(system: str) -> str:
    """Name and version of what a system is made of; for asyncnic, which twin of its packet path runs besides."""
    package = SYSTEMS[system].package
    if package == "asyncnic":
        return f"asyncnic {metadata.version(package)} ({IMPLEMENTATION})"
    return f"{package} {metadata.version(package)}" if package else f"CPython {sys.version.split()[0]}"
