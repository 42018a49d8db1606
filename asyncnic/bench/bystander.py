"""Who shares the event loop with the flood: a 1 ms timer, and a server of metrics that somebody scrapes.

Both only measure how late they come. The scraper is a process of its own (``python -m asyncnic.bench.bystander
URL``), since a thread would compete for the interpreter that it watches.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from prometheus_client import REGISTRY, Metric

from asyncnic.bench import scrape, wires
from asyncnic.bench.ages import Ages
from asyncnic.bench.trial import Trial
from asyncnic.linux.thread import in_thread
from asyncnic.web.exposition import render

TICK_SECONDS = 0.001


class Bystander:
    """A timer and a scraped metrics page on the running loop. Made by `start`."""

    def __init__(self, trial: Trial, runner: web.AppRunner, scraper: asyncio.subprocess.Process) -> None:
        self._trial = trial
        self._lag = Ages()
        self._runner = runner
        self._scraper = scraper
        self._ticking = asyncio.create_task(self._tick())

    @classmethod
    async def start(cls, trial: Trial, collect: Callable[[], Iterable[Metric]] = REGISTRY.collect) -> "Bystander":
        """Serve the metrics that `collect` returns on the loopback interface, and begin to scrape them and to tick."""
        await in_thread(wires.loopback_up)

        async def metrics(request: web.Request) -> web.Response:
            body, _ = await render(collect(), request.headers.get("Accept", ""))
            return web.Response(body=body)

        application = web.Application()
        application.router.add_get("/metrics", metrics)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        scraper = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", scrape.__file__, f"http://{host}:{port}/metrics"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert scraper.stdout is not None
        await scraper.stdout.readline()
        return cls(trial, runner, scraper)

    async def stop(self) -> dict[str, Any]:
        """End both; what they saw, in seconds."""
        self._ticking.cancel()
        output, _ = await self._scraper.communicate(b"stop\n")
        await self._runner.cleanup()
        answers = json.loads(output)
        scrapes = Ages()
        for nanoseconds in answers["nanoseconds"]:
            scrapes.add(nanoseconds)
        return {"timer_lag": self._lag.as_json(), "scrapes": {"failed": answers["failed"], **scrapes.as_json()}}

    async def _tick(self) -> None:
        # Not the loop's clock: uvloop's counts whole milliseconds and stands still while callbacks run.
        clock, tick, trial = time.monotonic_ns, round(TICK_SECONDS * 1e9), self._trial
        while True:
            ended, due = trial.ended, clock() + tick
            await asyncio.sleep(TICK_SECONDS)
            if trial.begun and not ended:  # a quiet loop is not what is measured
                self._lag.add(clock() - due)
