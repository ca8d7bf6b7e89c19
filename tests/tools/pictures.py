"""The pictures of the page in README and docs/page.md, made anew: a router, calls by SIPp, a destination that dies.

    PYTHONPATH=tests python -m tests.tools.pictures     # writes docs/page-light.png and docs/page-dark.png
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.async_api import Page, expect

from bench.processes import take_ports
from tests.browser import chromium
from tests.system.edge import edge_config, sip_uri
from tests.system.lives import Home
from tests.system.test_http import TOKEN, api

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "system" / "scenarios"
SECONDS, RATE = 75, 25
SIZE = {"width": 1180, "height": 1180}


def sipp(scenario: str, port: int, *more: str, folder: Path) -> subprocess.Popen:
    command = [shutil.which("sipp") or "sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-p",
               str(port), "-nostdin", "-timeout", f"{2 * SECONDS}s", *more]  # fmt: skip
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def take(page: Page) -> None:
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme)
        await page.screenshot(path=ROOT / "docs" / f"page-{theme}.png", animations="disabled")


async def main() -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        home, (edge, caller, http, *ports) = Home(Path(place)), take_ports(6)
        text = edge_config(("127.0.0.1", edge), [("127.0.0.1", port) for port in ports], algorithm="round-robin")
        life = home.start(text + api(home, http)).ready()
        stack.callback(life.kill)
        callees = [sipp("uas", port, folder=home.place) for port in ports]
        calls = sipp("uac", caller, "-r", str(RATE), f"127.0.0.1:{edge}", folder=home.place)
        for process in (*callees, calls):
            stack.callback(process.kill)
        async with chromium() as browser:
            page = await browser.new_page(viewport=SIZE)
            await page.goto(f"http://127.0.0.1:{http}/")
            await page.get_by_label("Token").fill(TOKEN)
            await page.keyboard.press("Enter")
            await asyncio.sleep(SECONDS)
            await page.get_by_label("Reason").fill("new memory")
            await page.get_by_role("button", name=f"Drain media/{sip_uri(('127.0.0.1', ports[1]))}").click()
            callees[0].kill()
            await expect(page.locator(".state.down")).to_be_visible()
            await asyncio.sleep(5)
            await page.mouse.move(5, 5)
            await take(page)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
