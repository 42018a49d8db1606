"""The live page in a real browser, on the real service: what a person sees, and does with keys alone.

Each test keeps its last picture in LIVE_PAGE_SCREENSHOTS, if that is set, for eyes.
"""

import asyncio
import os
from pathlib import Path

import pytest

from tests.system.browser import Page, chromium
from tests.system.flood import flood
from tests.system.service import HOST, Run

pytestmark = pytest.mark.heavy

INET = ("--address", f"{HOST}/24", "--host-address", "192.0.2.1/24", "--service", "udp-discard:9")
NUMBER = "Number(document.querySelector('#ledger-{row}')?.cells[{column}].textContent.replaceAll(',', ''))"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def look(page: Page, name: str) -> None:
    """Keep a picture for eyes, where somebody asked for it; nothing may have gone wrong in the page."""
    folder = os.environ.get("LIVE_PAGE_SCREENSHOTS")
    if folder:
        picture = await page.screenshot()
        await asyncio.to_thread(Path(folder, f"{name}.png").write_bytes, picture)
    assert page.complaints == []


def test_idle_page_tells_what_runs_and_that_the_law_holds(run: Run, tmp_path: Path) -> None:
    async def visit(url: str) -> None:
        async with chromium(tmp_path / "profile") as page:
            await page.open(url)
            await page.wait_for("document.querySelector('#status').dataset.state === 'ready'")
            assert await page.text("#law") == "Every frame is accounted for."
            assert "tap:" in await page.text("#device")
            names = "[...document.querySelectorAll('#flow text.name')].map((text) => text.textContent).join(' ')"
            assert await page.value(names) == "wire card driver stack"
            assert await page.value("document.querySelector('#rx_budget').value") == "64"
            assert await page.value("document.querySelector('#rx_budget').disabled"), "HTTP may not turn knobs here"
            await look(page, "idle")

    with run(*INET) as service:
        asyncio.run(visit(service.url + "/"))


def test_flood_is_drawn_where_it_goes_and_drops_where_they_fall(run: Run, tmp_path: Path) -> None:
    async def visit(url: str) -> None:
        async with chromium(tmp_path / "profile") as page:
            await page.open(url, dark=True)
            with flood(400_000):
                await page.wait_for(NUMBER.format(row="kernel", column=2) + " > 1000")
                await page.wait_for(
                    "document.querySelectorAll('#flow g.c-kernel:not(.still) path.moving').length === 1"
                )
                assert await page.value("document.querySelectorAll('#flow g.c-delivered:not(.still)').length") == 4
                assert await page.value("document.querySelectorAll('#flow g.c-driver.still').length") == 1
                assert await page.value("document.querySelectorAll('#flow text.name').length") == 5, "with a queue"
                await page.wait_for("document.querySelector('#law').textContent === 'Every frame is accounted for.'")
                await look(page, "flood-dark")

    with run(*INET, "--delivery", "queue", "--queue-limit", "64") as service:
        asyncio.run(visit(service.url + "/"))


def test_narrow_window_stands_the_drawing_up_and_needs_no_sideways_scrolling(run: Run, tmp_path: Path) -> None:
    async def visit(url: str) -> None:
        async with chromium(tmp_path / "profile") as page:
            with flood(20_000):
                await page.open(url, width=360, height=740, motion=False)
                await page.wait_for(NUMBER.format(row="delivered", column=2) + " > 1000")
                assert await page.value(OVERFLOW) <= 0
                assert await page.value(
                    "(({ width, height }) => height > width)(document.querySelector('#flow svg').viewBox.baseVal)"
                )
                # A rate is a difference: the first numbers have a sum already, but nothing moves before the second.
                moving = "document.querySelector('#flow path.moving')"
                animated = await page.wait_for(f"((path) => path && getComputedStyle(path).animationName)({moving})")
                assert animated == "none", "the visitor asked for no motion"
                await look(page, "narrow")

    with run(*INET) as service:
        asyncio.run(visit(service.url + "/"))


def test_keys_pause_the_page_and_turn_a_knob(run: Run, tmp_path: Path) -> None:
    async def visit(url: str) -> None:
        async with chromium(tmp_path / "profile") as page:
            await page.open(url)
            await page.wait_for("document.querySelector('#status').dataset.state === 'ready'")
            await page.press("p")
            assert await page.value("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"
            await page.press("p")
            await page.press("k")
            assert await page.value("document.activeElement.id") == "rx_budget"
            await page.value("document.activeElement.select()")
            for key in ("1", "7", "Enter"):
                await page.press(key)
            await page.wait_for("document.querySelector('#knobs-answer').textContent === 'rx_budget is now 17'")
            await page.value("document.activeElement.select()")
            for key in ("0", "Enter"):
                await page.press(key)
            refusal = await page.wait_for("document.querySelector('#knobs-answer.bad')?.textContent")
            assert "rx_budget" in refusal
            page.complaints.clear()  # The browser reports the refused PUT as one; that is its way of saying 400.
            await look(page, "knobs")

    with run(*INET, "--enable-lifecycle") as service:
        asyncio.run(visit(service.url + "/"))
        assert service.stats()["settings"]["rx_budget"] == 17


def test_page_says_when_the_service_is_gone_and_comes_back_with_it(run: Run, tmp_path: Path) -> None:
    async def visit() -> None:
        async with chromium(tmp_path / "profile") as page:
            with run(*INET) as service:
                listen = service.url.removeprefix("http://")
                await page.open(service.url + "/")
                await page.wait_for("document.querySelector('#status').dataset.state === 'ready'")
            await page.wait_for("document.querySelector('#status').textContent.startsWith('no answer')")
            with run(*INET, "--listen", listen):
                await page.wait_for("document.querySelector('#status').dataset.state === 'ready'")

    asyncio.run(visit())
