"""`asyncnic ring` against a server in this loop."""

import asyncio
import json

import pytest

from asyncnic.cli import main
from tests.web.fakes import FakeNic, observe, serving


async def test_each_descriptor_is_a_line_with_its_bits_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        assert await asyncio.to_thread(main, ["ring", "--url", url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "rx ring: 2 descriptors, 1 the card's, 1 ours" in lines
    assert "tx ring: 1 descriptors, 0 the card's, 1 ours" in lines
    free, full = (line.split() for line in lines[2:4])
    assert free[:3] == ["0", "card", "0x00001000"]
    assert full[:3] == ["1", "host", "0x00002000"]
    assert full[-2:] == ["STP", "ENP"]


async def test_json_is_what_the_service_serves(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        assert await asyncio.to_thread(main, ["ring", "--json", "--url", url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["owner"] for entry in found["rx"]] == ["card", "host"]
