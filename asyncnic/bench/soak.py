"""`asyncnic bench soak`: a service grows old in minutes: flooded, scraped, tuned, called by TCP, its device taken away.

The service is a process of its own in a private network, and a second one beside it is started and ended all the time.
What must not grow is read each second: memory, descriptors, tasks; and what must not happen: frames unaccounted for, a
service that ends badly. Its parts fail alone: a scrape or a page that is refused while the device is away is counted.
"""

import http.client
import random
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from asyncnic.bench.report import console, show, table
from asyncnic.bench.running import RunningService, running_service
from asyncnic.bench.wires import loopback_up
from asyncnic.errors import Failed
from asyncnic.linux.netns import enter_private_network

TAP, OTHER_TAP = "soak0", "soak1"
WARM_UP = 60.0
"""Seconds after which nothing may grow; of a shorter run, half."""
SPAN = 10
"""Samples whose median stands for a moment."""
REST = 8
"""Samples, a second apart, of a service that is left alone."""
OPEN = ("established", "close-wait")
"""States of connections that have a task each: whose client was cut off with its device, and says no more, stand."""
CROWD = 5000
"""Peers at the beginning: more than any table has places, so that what is bounded is full before it is looked at."""
MOST_GROWTH = 2048
"""KiB: what an allocator may keep more of without anything growing."""
_FLOOD = 500
"""Datagrams in a batch."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment: KiB, counts, frames, seconds."""

    memory: int
    descriptors: int
    tasks: int
    imbalance: int
    lag: float


@dataclass(slots=True)
class Tally:
    """What was done to the service, and what went wrong with that."""

    done: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, worked: bool = True) -> None:
        """One more."""
        for counts, more in ((self.done, 1), (self.refused, not worked)):
            counts[what] = counts.get(what, 0) + more


class Soak:
    """The actors around one service.

    Args:
        service: running on TAP.
        config: what the other one is run with.
    """

    def __init__(self, service: RunningService, config: Path) -> None:
        self.tally = Tally()
        self.samples: list[Sample] = []
        self.at_rest: list[Sample] = []
        """Before anybody acts and after the last has: what counts requests under way must be the same again."""
        self.problems: list[str] = []
        self._service = service
        self._config = config
        self._over = threading.Event()
        self._chance = random.Random(1)

    def run(self, seconds: float) -> None:
        """Let all actors act for so long."""
        actors: list[tuple[str, Callable[[], None], float]] = [
            ("batches of datagrams", self._flood, 0.02),
            ("scrapes", self._scrape, 0.1),
            ("knobs turned", self._tune, 0.5),
            ("pages over TCP", self._page, 0.2),
            ("devices taken away", self._take_away, 15.0),
            ("services started and ended", self._restart, 1.0),
            ("samples", self._sample, 1.0),
        ]
        threads = [threading.Thread(target=self._act, args=actor, name=actor[0]) for actor in actors]
        for thread in threads:
            thread.start()
        self._over.wait(seconds)
        self._over.set()
        for thread in threads:
            thread.join()

    def _act(self, name: str, action: Callable[[], None], pause: float) -> None:
        while not self._over.wait(pause):
            try:
                action()
            except (OSError, http.client.HTTPException, ValueError):
                self.tally.count(name, worked=False)
            except Failed as error:
                self.problems.append(str(error))
            else:
                self.tally.count(name)

    def rest(self) -> None:
        """See the service while nobody asks it anything else; ends of connections have some seconds to be heard."""
        seen = []
        for _ in range(REST):
            with suppress(OSError):
                seen.append(self._seen())
            if seen and self.at_rest and _no_more(seen[-1], self.at_rest[0]):
                break
            time.sleep(1.0)
        if seen:
            self.at_rest.append(min(seen, key=lambda one: (one.tasks, one.descriptors)))

    def crowd(self) -> None:
        """Fill every table of peers. After each batch the service is asked something, so that it has read it."""
        for number in range(CROWD):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(bytes(18), ("192.0.2.2", 7))
            if number % _FLOOD == 0:
                with suppress(OSError):
                    self._service.stats()

    def _flood(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number in range(_FLOOD):
                sender.sendto(bytes(18 + number), ("192.0.2.2", 7))

    def _scrape(self) -> None:
        self._service.scrape()

    def _tune(self) -> None:
        budget, queue = self._chance.choice((8, 64, 512)), self._chance.choice((200, 1000))
        self._service.tune(
            {"rx_budget": budget, "tap_queue": queue, "overload": self._chance.choice(("leave", "drain"))}
        )

    def _page(self) -> None:
        connection = http.client.HTTPConnection("192.0.2.2", 80, timeout=2.0)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        finally:
            connection.close()

    def _take_away(self) -> None:
        """The TAP is deleted; the service waits until somebody makes another one."""
        subprocess.run(["ip", "link", "del", TAP], capture_output=True, check=False)
        subprocess.run(["ip", "tuntap", "add", TAP, "mode", "tap", "multi_queue"], capture_output=True, check=False)

    def _restart(self) -> None:
        flags = ("--device", f"tap:{OTHER_TAP}", "--address", "198.51.100.2/24", "--host-address", "198.51.100.1/24")
        with running_service(self._config, *flags) as other, suppress(OSError):
            other.stats()
        if other.code != 0:
            self.problems.append(f"a service ended with {other.code}")

    def _sample(self) -> None:
        self.samples.append(self._seen())

    def _seen(self) -> Sample:
        stats = self._service.stats()
        accounted = stats["delivered"] + stats["filtered"] + stats["in_flight"] + sum(stats["dropped"].values())
        lag = stats["loop_lag_seconds"]
        reached = [bound for bound, count in zip([*lag["bounds"], float("inf")], lag["counts"], strict=True) if count]
        return Sample(
            self._service.memory(),
            self._service.descriptors(),
            stats["tasks"] - sum(stats["tcp"]["connections"].get(state, 0) for state in OPEN),
            stats["offered"] - accounted,
            max(reached, default=0.0),
        )


def measure(minutes: float) -> dict[str, Any]:
    """Soak a service for so long.

    Raises:
        Failed: it does not start.
    """
    enter_private_network()
    loopback_up()
    with ExitStack() as held:
        directory = Path(held.enter_context(tempfile.TemporaryDirectory()))
        config = directory / "soak.toml"
        config.write_text('service = ["udp-echo:7", "tcp-echo:7", "http:80"]\ncontrol = ""\n')
        service = held.enter_context(running_service(config, "--device", f"tap:{TAP}"))
        soak = Soak(service, config)
        soak.crowd()
        soak.rest()
        soak.run(minutes * 60.0)
        soak.rest()
    if service.code != 0:
        soak.problems.append(f"the service ended with {service.code}")
    return judged(soak, min(WARM_UP, minutes * 30.0))


def judged(soak: Soak, warm_up: float) -> dict[str, Any]:
    """What the samples say, with those of the first `warm_up` seconds left out of what may not grow."""
    late = soak.samples[int(len(soak.samples) * warm_up / max(warm_up, len(soak.samples))) :] or soak.samples
    first, last = late[:SPAN], late[-SPAN:]
    growth = {"memory": _memory(last) - _memory(first)} | {
        name: getattr(soak.at_rest[-1], name) - getattr(soak.at_rest[0], name) if soak.at_rest else 0
        for name in ("descriptors", "tasks")
    }
    unaccounted = max((abs(one.imbalance) for one in soak.samples), default=0)
    well = bool(soak.samples) and not soak.problems and not unaccounted and growth["memory"] <= MOST_GROWTH
    return {
        "experiment": "soak",
        "samples": len(soak.samples),
        "last": asdict(soak.samples[-1]) | {"lag": _lag(soak.samples[-1].lag)} if soak.samples else {},
        "growth": growth,
        "memory_course": [_memory(part) for part in _parts(soak.samples)],
        "unaccounted": unaccounted,
        "worst_lag": _lag(max((one.lag for one in soak.samples), default=0.0)),
        "done": soak.tally.done,
        "refused": soak.tally.refused,
        "problems": soak.problems,
        "well": well and growth["descriptors"] <= 0 and growth["tasks"] <= 0,
    }


def _no_more(sample: Sample, than: Sample) -> bool:
    return sample.tasks <= than.tasks and sample.descriptors <= than.descriptors


def _memory(samples: list[Sample]) -> int:
    return round(median(one.memory for one in samples)) if samples else 0


def _parts(samples: list[Sample]) -> list[list[Sample]]:
    """Ten parts of about the same length, or fewer."""
    length = -(-len(samples) // 10) or 1
    return [samples[start : start + length] for start in range(0, len(samples), length)]


def _lag(bound: float) -> str:
    return "more than 1 s" if bound == float("inf") else f"up to {bound:g} s"


def show_soak(result: dict[str, Any]) -> None:
    """Print it."""
    out = console()
    acted = [(name, str(times), str(result["refused"].get(name, 0))) for name, times in result["done"].items()]
    show(out, "Done to the service", table(("", "times", "refused, or away"), acted))
    kept = [
        (name, f"{result['last'].get(name, 0)}{unit}", f"{result['growth'][name]:+}{unit}")
        for name, unit in (("memory", " KiB"), ("descriptors", ""), ("tasks", ""))
    ]
    show(out, "Of the service", table(("", "at the end", "growth"), kept))
    out.print(
        f"memory, tenth by tenth: {', '.join(map(str, result['memory_course']))} KiB\n"
        f"frames unaccounted for: {result['unaccounted']}; worst lag of the loop: {result['worst_lag']}; "
        f"{result['samples']} samples; {'; '.join(result['problems']) or 'nothing ended badly'}"
    )
