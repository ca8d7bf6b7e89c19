"""How soon the operator's page is there, how large it is, and what it costs while somebody watches.

    python -m bench.page [--members 10000] [--rounds 9] [--seconds 20] [--viewers 10]

Chromium without a window loads the page with nothing kept from before, of a router with two destinations and of one
with so many: first paint, beside that of a line of text from the same process, and all bytes but the stream's.  Then
the CPU of that process in a second while nobody watches, one does, and several do; streams are read by the bench, and
lists are not asked for.
"""

import argparse
import asyncio
import shutil
import socket
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.load import write_report
from bench.processes import Process, RunFailed, scratch, take_ports, wait_until
from bench.procfs import descendants, read_cpu

if TYPE_CHECKING:
    from playwright.async_api import Browser

PAINT_BAR_MS, BYTES_BAR = 300, 150_000
TOKEN = "a token of the page's bench"
LIMIT_S = 60
SETTLE_S = 3.0


def config(files: Path, members: int, sip: int, http: int) -> str:
    (files / "token").write_text(TOKEN)
    listed = "".join(f'"sip:10.{place >> 16}.{place >> 8 & 255}.{place & 255}",\n' for place in range(members))
    return f"""
[router]
run_dir = "{files}/run"
state_dir = "{files}/state"
shards = 1
[[listen]]
uri = "udp:127.0.0.1:{sip}"
[api]
listen = "127.0.0.1:{http}"
token = "file:{files}/token"
[set.media]
algorithm = "call-id"
destinations = [
{listed}]
[[route]]
to = "media"
"""


class Site:
    """A router with so many destinations."""

    def __init__(self, files: Path, members: int):
        sip, self.http = take_ports(2)
        for name in ("run", "state"):
            (files / name).mkdir()
        place = files / "config.toml"
        place.write_text(config(files, members, sip, self.http))
        self.process = Process([sys.executable, "-m", "fastsip", "run", str(place)], files / "log", None, 600)
        wait_until(self._serves, LIMIT_S, "the page", self.process)

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.http), 1).close()
        except OSError:
            return False
        return "fastsip: ready" in self.process.output()

    def desk(self) -> int:
        for pid in descendants(self.process.pid):
            if b"fastsip.desk" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise RunFailed("no process serves the page")

    def cpu_s(self) -> float:
        return sum(read_cpu([self.desk()])[0].values()) / 1e9

    def viewer(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.http), LIMIT_S)
        found.sendall(f"GET /page/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        return found


async def paints(site: Site, rounds: int) -> tuple[list[float], list[float], int]:
    """Milliseconds until the first paint in each round, of the line and of the page, and bytes of the page."""
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium")
    if not chromium:
        raise RunFailed("Chromium is missing: apt-get install chromium")
    async with async_playwright() as player:
        browser = await player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        await painted(browser, site, "/")   # starts the browser's other processes
        found = [(await painted(browser, site, "/healthz"), await painted(browser, site, "/")) for _ in range(rounds)]
        await browser.close()
    return [line for (line, _), _ in found], [page for _, (page, _) in found], found[-1][1][1]


async def painted(browser: "Browser", site: Site, path: str) -> tuple[float, int]:
    """Milliseconds, and bytes."""
    context = await browser.new_context(extra_http_headers={"Authorization": f"Bearer {TOKEN}"})
    page, done = await context.new_page(), []
    page.on("requestfinished", lambda request: done.append(request))
    await page.goto(f"http://127.0.0.1:{site.http}{path}", wait_until="load")
    await page.wait_for_function("performance.getEntriesByType('paint').length > 0")
    found = await page.evaluate("performance.getEntriesByType('paint')[0].startTime")
    sizes = [await one.sizes() for one in done]
    await context.close()
    return found, sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)


async def watched(site: Site, viewers: int, seconds: float) -> float:
    """Milliseconds of a CPU in a second."""
    streams = [site.viewer() for _ in range(viewers)]
    loop = asyncio.get_running_loop()
    for each in streams:
        each.setblocking(False)
        loop.add_reader(each.fileno(), each.recv, 1 << 16)
    await asyncio.sleep(SETTLE_S)
    before = site.cpu_s()
    await asyncio.sleep(seconds)
    found = (site.cpu_s() - before) / seconds * 1000
    for each in streams:
        loop.remove_reader(each.fileno())
        each.close()
    return found


async def measure(members: int, args: argparse.Namespace) -> dict:
    with scratch() as files:
        site = Site(files, members)
        try:
            line, paint, size = await paints(site, args.rounds)
            cpu = {count: round(await watched(site, count, args.seconds), 2) for count in (0, 1, args.viewers)}
        finally:
            site.process.stop()
    return {"members": members, "paint_ms": round(median(paint), 1), "line_ms": round(median(line), 1), "bytes": size,
            "cpu_ms_by_viewers": cpu}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--viewers", type=int, default=10)
    args = parser.parse_args()
    try:
        found = [asyncio.run(measure(members, args)) for members in (2, args.members)]
    except (RunFailed, ImportError) as error:
        print(f"bench.page: {error}", file=sys.stderr)
        return 2
    worst = 0
    for one in found:
        watching = ", ".join(f"{cpu} ms with {count}" for count, cpu in one["cpu_ms_by_viewers"].items())
        print(f"{one['members']:,} destinations: first paint {one['paint_ms']} ms (a line: {one['line_ms']}), "
              f"{one['bytes']:,} bytes; CPU in a second: {watching} viewers")
        if one["paint_ms"] > PAINT_BAR_MS or one["bytes"] > BYTES_BAR:
            print(f"! first paint over {PAINT_BAR_MS} ms, or more than {BYTES_BAR:,} bytes")
            worst = 1
    print(f"written to {write_report({'page': found}, 'page', None)}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
