"""`asyncnic stats` against a server in this loop: once, and again and again."""

import asyncio
import json
from dataclasses import replace

import pytest

from asyncnic.cli import main
from tests.web.fakes import FakeNic, observe, serving


async def stats(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    code = await asyncio.to_thread(main, ["stats", *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


async def test_for_people_it_is_two_row_tables_and_flat_names(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        code, text = await stats(capsys, "--url", url)
    lines = text.splitlines()
    assert code == 0
    assert lines[0].startswith("tap:golden0: <UP,READY> mtu 1500 delivery direct stack inet ")
    at = next(number for number, line in enumerate(lines) if line.startswith("    RX:"))
    shown = dict(zip(lines[at].replace("in flight", "in_flight").split()[1:], lines[at + 1].split(), strict=True))
    assert shown == {"bytes": "54000", "offered": "1000", "delivered": "900", "filtered": "12", "in_flight": "2"}
    assert "     offered: 1000" in lines
    assert "/s)" not in text


async def test_for_programs_it_is_what_the_service_serves(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(observe(FakeNic())) as url:
        code, text = await stats(capsys, "--json", "--url", url)
    assert code == 0
    assert json.loads(text)["dropped"] == {"kernel": 60, "card": 20, "driver": 6, "queue": 0}


async def test_watching_shows_rates_of_what_changed_and_ends_well_when_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nic = FakeNic()
    observed = observe(nic)
    watched = iter([True, False])

    def wait(seconds: float) -> None:
        if not next(watched):
            raise KeyboardInterrupt
        observed.started -= 10.0  # what the service has counted meanwhile took it so long
        nic.counters = replace(nic.counters, transmitted_frames=140)

    monkeypatch.setattr("asyncnic.commands.stats.time.sleep", wait)
    async with serving(observed) as url:
        code, text = await stats(capsys, "--watch", "--url", url)
    first, second = (part for part in text.split("tap:golden0: ") if part)
    assert code == 0
    assert "/s)" not in first
    rate = next(line for line in second.splitlines() if "transmitted_frames: " in line)
    assert rate.strip().startswith("transmitted_frames: 140  (")


async def test_watching_for_programs_is_a_document_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = iter([True, True, False])

    def wait(seconds: float) -> None:
        if not next(watched):
            raise KeyboardInterrupt

    monkeypatch.setattr("asyncnic.commands.stats.time.sleep", wait)
    async with serving(observe(FakeNic())) as url:
        code, text = await stats(capsys, "--watch", "--json", "--url", url)
    assert code == 0
    assert [json.loads(line)["offered"] for line in text.splitlines()] == [1000] * 3
