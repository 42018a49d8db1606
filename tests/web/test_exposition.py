"""Rendering in pieces gives what rendering in one go gives, and lets others run in between."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from asyncnic.web.collector import NicCollector
from asyncnic.web.exposition import PIECE_SECONDS, render
from tests.web.fakes import FakeNic, observe


async def test_the_pieces_make_the_whole() -> None:
    collector = NicCollector(observe(FakeNic()))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    for accept in ("", "text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0"):
        encoder, content_type = choose_encoder(accept)
        assert await render(collector.collect(), accept) == (encoder(registry), content_type)


async def turns_given_away(family_seconds: float) -> tuple[int, int]:
    """Turns of the loop that others got in a rendering, and the families that were rendered."""
    turns = 0
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return looks * family_seconds

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    families = NicCollector(observe(FakeNic())).collect()
    await render(families, "", clock)
    counting.cancel()
    return turns, len(families)


async def test_others_run_between_pieces_that_take_long() -> None:
    turns, families = await turns_given_away(2 * PIECE_SECONDS)
    assert turns == families


async def test_quick_families_make_one_piece() -> None:
    turns, _ = await turns_given_away(PIECE_SECONDS / 1000)
    assert turns == 0
