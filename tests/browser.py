"""Chromium without a window, Debian's, driven by Playwright; and axe, which says what somebody could not use."""

import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, Request, async_playwright, expect

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
LIMIT_MS = 60_000
PHONE = {"width": 390, "height": 800}
expect.set_options(timeout=LIMIT_MS)


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    place = shutil.which("chromium")
    if not place:
        pytest.fail("Chromium is missing: install Debian's chromium", pytrace=False)
    async with async_playwright() as player:
        # Tests may be root's, and its sandbox is not for root; what it loads here is ours.
        browser = await player.chromium.launch(executable_path=place, args=["--no-sandbox"], timeout=LIMIT_MS)
        try:
            yield browser
        finally:
            await browser.close()


class Looker:
    """A page, with what it asked for and what it complained of."""

    def __init__(self, page: Page):
        self.page = page
        self.asked: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._sizes: dict[str, int] = {}
        page.set_default_timeout(LIMIT_MS)
        page.on("request", lambda request: self.asked.update([request.url]))
        page.on("requestfinished", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if "Policy" in said.text else None)

    @classmethod
    async def open(cls, browser: Browser, **options) -> "Looker":
        """In a context of its own: with its own cookies."""
        context = await browser.new_context(**options)
        return cls(await context.new_page())

    async def _note(self, request: Request) -> None:
        sizes = await request.sizes()
        self._sizes[request.url] = sizes["responseBodySize"] + sizes["responseHeadersSize"]

    def bytes_of(self, *, without: str) -> int:
        return sum(size for url, size in self._sizes.items() if without not in url)

    async def violations(self) -> list[str]:
        """What axe finds, as rule and place."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found["violations"]
                for node in one["nodes"]]  # fmt: skip

    async def violations_everywhere(self) -> list[str]:
        """In the dark on a phone, in the light on a desk; as it was afterwards."""
        found, before = [], self.page.viewport_size
        for theme, size in (("dark", PHONE), ("light", before)):
            await self.page.emulate_media(color_scheme=theme)
            await self.page.set_viewport_size(size)
            found += [f"{theme}, {size['width']}: {one}" for one in await self.violations()]
        return found
