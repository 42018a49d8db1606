"""The live page's server side: its files, and the events it listens to. What it looks like is tested in a browser."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from asyncnic.web import page
from tests.waiting import PATIENCE
from tests.web.fakes import FakeNic, get, observe, serving


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PERIOD", 0.02)


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[aiohttp.StreamReader]:
    async with aiohttp.ClientSession() as session, session.get(url + "/api/v1/events") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield response.content


async def next_event(stream: aiohttp.StreamReader) -> tuple[str, Any]:
    """Name and data of the next event; ("", None) when the stream is over."""
    text = (await asyncio.wait_for(stream.readuntil(b"\n\n"), 10)).decode()
    if not text:
        return "", None
    name, data = text.rstrip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def history_of(url: str, fits: Callable[[Any], object]) -> Any:
    """What a page that is opened gets to begin with, once it `fits`."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with listening(url) as stream:
                _, history = await next_event(stream)
                if fits(history):
                    return history
                await next_event(stream)  # there is more now


async def test_the_page_is_served_with_everything_it_asks_for() -> None:
    async with serving(observe(FakeNic())) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/") as response:
            text = await response.text()
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        for name in ("live.css", "live.js", "flow.js", "plot.js", "knobs.js"):
            status, body = await get(f"{url}/static/{name}")
            assert status == 200, name
            assert "http://" not in body.replace("http://www.w3.org/2000/svg", ""), "an outside asset"
        assert "static/live.css" in text
        assert "static/live.js" in text


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage.py", "live", "index.html%00"])
async def test_nothing_else_is_served(name: str) -> None:
    async with serving(observe(FakeNic())) as url:
        assert (await get(f"{url}/static/{name}"))[0] == 404


async def test_events_begin_with_the_history_and_go_on_with_the_numbers() -> None:
    async with serving(observe(FakeNic())) as url:
        await history_of(url, lambda history: history)
        async with listening(url) as stream:
            name, history = await next_event(stream)
            assert name == "history"
            assert history[0][1] == {
                "offered": 1000,
                "delivered": 900,
                "filtered": 12,
                "transmitted": 70,
                "kernel": 60,
                "card": 20,
                "driver": 6,
                "queue": 0,
            }
            for _ in range(3):
                name, numbers = await next_event(stream)
                assert name == "message"
                assert numbers["delivered"] == 900
        assert numbers.keys() == json.loads((await get(url + "/api/v1/stats"))[1]).keys()


async def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "REMEMBERED", 3)
    monkeypatch.setattr(page, "MOST_LISTENERS", 1000)  # one that has left counts until it is written to
    async with serving(observe(FakeNic())) as url:
        first = (await history_of(url, lambda history: history))[0][0]
        history = await history_of(url, lambda history: history[0][0] > first)  # the oldest has made room
    assert len(history) == 3
    assert history[0][0] < history[1][0] < history[2][0]


async def test_listeners_are_bounded_and_leave_room_when_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_LISTENERS", 1)
    async with serving(observe(FakeNic())) as url:
        async with listening(url) as stream:
            await next_event(stream)
            assert (await get(url + "/api/v1/events"))[0] == 503
        for _ in range(100):
            async with aiohttp.ClientSession() as session, session.get(url + "/api/v1/events") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.05)
        assert response.status == 200


async def test_one_page_that_is_closed_does_not_end_another() -> None:
    async with serving(observe(FakeNic())) as url, listening(url) as staying:
        async with listening(url) as leaving:
            await next_event(leaving)
        for _ in range(10):
            name, _ = await next_event(staying)
        assert name == "message"


async def test_streams_end_when_the_service_stops() -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(observe(FakeNic())) as url:
            response = await session.get(url + "/api/v1/events")
            name, _ = await next_event(response.content)
        while name:
            name, _ = await next_event(response.content)
