"""Rendering in pieces gives what rendering in one go gives, and lets others run in between."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from asyncnic.web.collector import NicCollector
from asyncnic.web.exposition import render
from tests.web.fakes import FakeNic, observe


async def test_the_pieces_make_the_whole() -> None:
    collector = NicCollector(observe(FakeNic()))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    for accept in ("", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"):
        encoder, content_type = choose_encoder(accept)
        assert await render(collector.collect(), accept) == (encoder(registry), content_type)


async def test_others_run_between_two_families() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    families = NicCollector(observe(FakeNic())).collect()
    await render(families, "")
    counting.cancel()
    assert turns >= len(families) - 1
