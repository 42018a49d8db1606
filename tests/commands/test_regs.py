"""`asyncnic regs` against a server in this loop."""

import asyncio
import json

import pytest

from asyncnic.cli import main
from tests.web.fakes import FakeNic, observe, serving


async def test_each_register_is_a_line_with_its_bits_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        assert await asyncio.to_thread(main, ["regs", "--url", url]) == 0
    first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert first[:2] == ["CSR0", "0x0073"]
    assert {"RXON", "TXON", "STRT", "INIT"} <= set(first)
    assert second[:2] == ["CSR112", "0x0014"]


async def test_json_is_what_the_service_serves(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        assert await asyncio.to_thread(main, ["regs", "--json", "--url", url]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == ["CSR0", "CSR112"]
