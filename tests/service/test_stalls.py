"""A loop that stands still is told of, once, with the place; nobody watches where nobody is asked to."""

import asyncio
import logging
import threading
import time

import pytest

from asyncnic.nic.histogram import SECONDS, Histogram
from asyncnic.service.engine import measure_lag
from asyncnic.service.stalls import StallWatch
from asyncnic.tasks import beside

LIMIT = 1.0
"""Seconds: longer than a busy machine keeps a loop that does nothing from running."""


def does_not_give_the_loop_back(told: threading.Event) -> None:
    assert told.wait(20.0)


async def test_a_loop_that_stands_still_is_reported_once_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()
    times = []

    def tell() -> None:
        times.append(time.monotonic())
        told.set()

    with StallWatch(LIMIT, tell) as watch:
        async with beside(measure_lag(Histogram(SECONDS), watch)):
            await asyncio.sleep(0.02)
            does_not_give_the_loop_back(told)
            await asyncio.sleep(0.02)
            assert len(times) == 1
            told.clear()
            does_not_give_the_loop_back(told)
            await asyncio.sleep(0.02)
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(records) == len(times) == 2
    for record in records:
        assert record.getMessage() == "the event loop stands still"
        where = record.__dict__["fields"]["where"]
        assert "test_stalls.py" in where
        assert "does_not_give_the_loop_back" in where


async def test_a_loop_that_turns_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    with StallWatch(5.0, lambda: None) as watch:
        async with beside(measure_lag(Histogram(SECONDS), watch)):
            before = watch.turned
            while watch.turned == before:
                await asyncio.sleep(0.001)
    assert not caplog.records


async def test_nobody_watches_with_a_timeout_of_nothing() -> None:
    before = threading.active_count()
    with StallWatch(0.0, lambda: None):
        assert threading.active_count() == before
