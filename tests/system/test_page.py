"""The operator's page in a browser: what it shows while calls come and a destination dies, what may be ordered there,
by whom, and that whatever others write stays text.
"""

import asyncio
import contextlib
import os
import re
import secrets
import signal
import time
import urllib.parse
from http.client import HTTPConnection
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.browser import LIMIT_MS, PHONE, Looker, chromium

from .edge import edge_config, sip_uri
from .lives import Home, Life
from .test_http import LOOK, TOKEN, Door, api, ask, edge, tcp_port  # noqa: F401
from .test_sql_life import desk_of

MOST_BYTES = 150_000        # what it may ever be
NEAR_BYTES = 64_000         # what docs/page.md says, and a little
ZONE = "Asia/Tokyo"         # of the browser, and of no router that this is tried at
HOSTILE = "odd/<script>hacked=1</script>"
WHY = """<img src=x onerror="hacked=1">"""
# A set that no call goes to, whose words are nobody's.
ODD = f"""
[set.odd]
destinations = [{{ id = "{HOSTILE}", uri = "sip:127.0.0.1:9", attrs = {{ note = "</td><script>hacked=1</script>" }} }}]
"""


async def test_the_page_in_a_browser(home, edge, tcp_port, sipp, free_port):  # noqa: F811
    ports = free_port(), free_port()
    text = edge_config(edge, [("127.0.0.1", port) for port in ports], algorithm="round-robin", rules=ODD)
    life = home.start(text + api(home, tcp_port)).ready()
    callees = [sipp("uas", port=port) for port in ports]
    sipp("uac", edge, rate=20, limit_s=90)
    async with chromium() as browser:
        seen = await Looker.open(browser, timezone_id=ZONE)
        await sign_in(seen, tcp_port)
        await expect(seen.page.locator("[data-number=ok]")).to_have_text(re.compile("[1-9]"))
        assert seen.bytes_of(without="/stream") < NEAR_BYTES < MOST_BYTES
        await charts_have_the_routers_time(seen.page)
        await who_does_not_look_takes_no_connection(seen.page)
        await a_destination_dies(seen.page, callees[0], f"media/{sip_uri(('127.0.0.1', ports[0]))}")
        await orders_by_keyboard(seen.page, home, life)
        await somebody_else_orders_meanwhile(seen.page, home)
        await an_order_gets_lost(seen.page)
        await the_desk_dies(seen.page, life)
        await others_text_stays_text(seen.page)
        await everybody_can_use_it(seen, tcp_port)
        await without_scripts(browser, seen, home, tcp_port)
        await who_only_looks(browser, tcp_port)
        assert seen.complaints == [] and {urllib.parse.urlsplit(url).netloc for url in seen.asked} == {here(tcp_port)}
        await seen.page.get_by_role("button", name="Sign out").click()
        await expect(seen.page.get_by_label("Token")).to_be_visible()
    await asyncio.to_thread(by_control_sock, home, life)
    await asyncio.to_thread(from_elsewhere, tcp_port)


def here(port: int) -> str:
    return f"127.0.0.1:{port}"


async def sign_in(seen: Looker, port: int, token: str = TOKEN) -> None:
    """Nothing is shown before that, and a wrong token is refused."""
    page = seen.page
    answer = await page.goto(f"http://{here(port)}/")
    assert answer.status == 401 and "media" not in await page.content()
    assert await seen.violations() == []
    await page.get_by_label("Token").fill(f"{token}, almost")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("This token is not known here.")
    await page.get_by_label("Token").fill(token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Destinations")).to_be_visible()
    cookie, = await page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and token not in cookie["value"]


def row_of(page: Page, identity: str):
    return page.locator(".destinations tbody tr").filter(has=page.get_by_role("link", name=identity, exact=True))


async def a_destination_dies(page: Page, callee: Any, identity: str) -> None:
    """The page says so by itself, why, and reads it out; the calls that failed there stand below, and lead on."""
    await expect(row_of(page, identity).locator(".state")).to_have_text("up")
    await asyncio.to_thread(callee.kill)
    await expect(row_of(page, identity).locator(".state")).to_have_text("down")
    await expect(row_of(page, identity).locator(".why")).to_contain_text(re.compile("transport|timeout"))
    await expect(page.locator("#told")).to_contain_text(f"{identity} is down: ")
    await expect(row_of(page, identity).locator("rect.down title")).to_have_text(re.compile("down since .*(tr|time)"))
    failed = page.locator("#failures tbody tr").filter(has_text=identity).first
    await expect(page.locator("#status")).to_contain_text("Routes since")
    await expect(failed).to_contain_text(re.compile("cannot be reached|no answer"))
    await failed.get_by_role("link", name="a request to its URI").click()
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_role("region", name="List of destinations")).to_contain_text(identity)
    await page.get_by_role("link", name="fastsip").click()


async def orders_by_keyboard(page: Page, home: Home, life: Life) -> None:
    """Found by what is typed, drained with a reason, enabled again."""
    await page.get_by_label("Find").focus()
    await page.keyboard.type("odd/")
    rows = page.locator(".destinations tbody tr")
    await expect(rows).to_have_count(1)
    await page.get_by_label("Reason").fill(WHY)
    await page.keyboard.press("Enter")      # orders nothing: no button was pressed
    await page.get_by_role("button", name=f"Drain {HOSTILE}").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#said")).to_have_text(f"{HOSTILE} is draining. Nobody is left in odd.")
    await expect(rows.locator(".state")).to_have_text("draining")
    await expect(rows.locator(".why")).to_contain_text(WHY)
    odd = (await asyncio.to_thread(ask, home, "/v1/dispatcher?set=odd"))[1]["sets"][0]["destinations"][0]
    assert odd["admin"] == "draining" and odd["why"] == WHY
    assert [record["why"] for record in life.records("an operator says")] == [WHY]
    assert "q=odd" in page.url
    await expect(page.locator("a:focus")).to_have_text(HOSTILE)     # and not the button that takes it back


async def charts_have_the_routers_time(page: Page) -> None:
    await expect(page.locator("#status")).to_contain_text(f"machine: {time.strftime('%Z')}, UTC")
    await page.locator("#chart-calls .u-over").hover()
    place = page.locator("#chart-calls .u-legend .u-value").first
    await expect(place).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
    hours, minutes, _ = (await place.inner_text()).split(":")
    now = time.localtime()
    late = (now.tm_hour * 60 + now.tm_min - int(hours) * 60 - int(minutes)) % (24 * 60)
    assert late < 60 or late > 23 * 60


async def who_does_not_look_takes_no_connection(page: Page) -> None:
    """A browser has six of them to a place, for all its tabs."""
    seen = """(hidden) => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    for leave in (lambda: page.evaluate(seen, True), lambda: page.evaluate("dispatchEvent(new Event('pagehide'))")):
        async with page.expect_event("requestfailed", lambda one: one.url.endswith("/page/stream"), timeout=LIMIT_MS):
            await leave()
        async with page.expect_response("**/page/stream", timeout=LIMIT_MS):
            await page.evaluate(seen, False)


async def somebody_else_orders_meanwhile(page: Page, home: Home) -> None:
    """What is below the mouse stands still, and an order of a state that is no more is refused in words."""
    def order(word: str) -> None:
        assert ask(home, f"/v1/dispatcher/{word}", {"ids": [HOSTILE]})[0] == 200

    drain = page.get_by_role("button", name=f"Drain {HOSTILE}")
    for point in (drain.hover, drain.focus):
        await asyncio.to_thread(order, "enable")
        await expect(drain).to_be_enabled()
        await drain.scroll_into_view_if_needed()
        place = await drain.bounding_box()
        await point()
        await asyncio.to_thread(order, "drain")
        await expect(page.locator("#waits")).to_contain_text("stands still")
        await expect(drain).to_be_enabled()
        assert await drain.bounding_box() == place      # no note moves it
        await (page.keyboard.press("Enter") if point == drain.focus else page.mouse.down())
        await page.mouse.up()
        await expect(page.locator("#said")).to_contain_text("is draining, and no longer enabled as it was shown")
        await expect(drain).to_be_disabled()
        await page.mouse.move(0, 0)


async def an_order_gets_lost(page: Page) -> None:
    """What was said before does not stand there any more."""
    enable, held = page.get_by_role("button", name=f"Enable {HOSTILE}"), asyncio.Event()

    async def lose(route: Any) -> None:
        await held.wait()
        await route.abort()

    await page.route("**/page/order", lose)
    await enable.click()
    await expect(page.locator("#said")).to_have_text("Ordering \u2026")
    held.set()
    await expect(page.locator("#said .bad")).to_contain_text("No answer came.")
    await page.unroute("**/page/order")
    await page.mouse.move(0, 0)


async def the_desk_dies(page: Page, life: Life) -> None:
    """The browser comes again by itself, and whoever had signed in goes on."""
    async with page.expect_response("**/page/stream", timeout=LIMIT_MS):
        os.kill(desk_of(life), signal.SIGKILL)
    await expect(page.locator("#trouble")).to_have_text("")
    await page.get_by_role("button", name=f"Enable {HOSTILE}").click()
    await expect(page.locator("#said")).to_have_text(f"{HOSTILE} is enabled.")


async def others_text_stays_text(page: Page) -> None:
    await page.locator(".destinations").get_by_role("link", name=HOSTILE).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    await expect(page.get_by_text("note=</td><script>hacked=1</script>")).to_be_visible()
    await expect(page.get_by_role("region", name="List of changes")).to_contain_text(WHY)
    for button, state in (("Disable", "disabled"), ("Enable", "enabled")):
        await page.get_by_role("button", name=button).click()
        await expect(page.locator(f".status .state.{state}")).to_be_visible()
    await page.get_by_role("link", name="Explain a request for").click()
    await page.get_by_label("Or a whole request").fill(
        f"INVITE sip:1@x SIP/2.0\nFrom: <sip:a@x>;tag={HOSTILE}\nSubject: {WHY}\nCSeq: 1 INVITE\n\n")  # fmt: skip
    await page.get_by_label("Request-URI").fill("")
    await page.get_by_role("button", name="Explain").click()
    await expect(page.get_by_role("heading", name="Answer")).to_be_visible()
    assert await page.evaluate("typeof hacked") == "undefined"


async def everybody_can_use_it(seen: Looker, port: int) -> None:
    page, found = seen.page, []
    for path in ("/explain", f"/destination?{urllib.parse.urlencode({'id': HOSTILE})}", "/"):
        await page.goto(f"http://{here(port)}{path}")
        found += await seen.violations_everywhere()
    assert found == []
    await page.set_viewport_size(PHONE)
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await page.set_viewport_size({"width": 1280, "height": 800})


async def without_scripts(browser: Browser, seen: Looker, home: Home, port: int) -> None:
    """Numbers, destinations, finding and ordering."""
    plain = await Looker.open(browser, java_script_enabled=False, storage_state=await seen.page.context.storage_state())
    page = plain.page
    await page.goto(f"http://{here(port)}/")
    await expect(page.locator("[data-number=calls]")).to_have_text(re.compile(r"\d"))
    await page.get_by_label("Find").fill("odd/")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator(".destinations tbody tr")).to_have_count(1)
    await page.get_by_role("button", name=f"Drain {HOSTILE}").click()
    await expect(page.get_by_role("button", name=f"Enable {HOSTILE}")).to_be_enabled()
    await expect(page.get_by_role("link", name="Load again")).to_have_attribute("href", "/?q=odd%2F")
    assert "q=odd" in page.url and plain.complaints == []


async def who_only_looks(browser: Browser, port: int) -> None:
    seen = await Looker.open(browser)
    await sign_in(seen, port, LOOK)
    await expect(row_of(seen.page, HOSTILE)).to_be_visible()
    assert await seen.page.get_by_role("button", name=re.compile("Drain|Enable")).count() == 0
    status = await seen.page.evaluate(
        """(id) => fetch("/page/order", {method: "POST", body: new URLSearchParams({drain: `enabled ${id}`})})
                   .then((answer) => answer.status)""", HOSTILE)  # fmt: skip
    assert status == 403


# ---------------------------------------------------------------- without a browser


def asked(connection: HTTPConnection, path: str, form: dict | None = None, method: str = "",
          **headers: str) -> tuple[int, str]:
    """Status and text; names of headers with - as _."""
    body = None if form is None else urllib.parse.urlencode(form)
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
    fields = {name.replace("_", "-"): value for name, value in headers.items()} | kind
    with contextlib.closing(connection):
        connection.request(method or ("GET" if form is None else "POST"), path, body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def order_of(identity: str, word: str = "drain", was: str = "draining") -> dict[str, str]:
    """A form without a script."""
    return {word: f"{was} {identity}", "once": secrets.token_hex(8), "drawn": str(time.monotonic())}


def by_control_sock(home: Home, life: Life) -> None:
    """Whoever may open it needs no token; somebody's page that has a browser go there gets nothing.  What a browser
    sends twice is done once.
    """
    form, local = order_of(HOSTILE, "disable"), {"Host": "localhost:8060", "Origin": "http://localhost:8060"}
    status, text = asked(Door(home), "/", Host="localhost")
    assert status == 200 and "Drain" in text and "Sign out" not in text
    ordered = len(life.records("an operator says"))
    for _ in range(2):
        assert asked(Door(home), "/page/order", form, **local)[0] == 303
    assert len(life.records("an operator says")) == ordered + 1
    status, text = asked(Door(home), "/page/order", order_of(HOSTILE), **local)
    assert status == 409 and "is disabled, and no longer draining" in text
    assert asked(Door(home), "/page/order", form, Host="localhost:8060")[0] == 403
    assert asked(Door(home), "/page/order", form, **local | {"Origin": "http://elsewhere"})[0] == 403
    assert asked(Door(home), "/page/order", form, Host="elsewhere", Origin="http://elsewhere")[0] == 403
    for path, body in (("/v1/status", None), ("/v1/dispatcher/drain", {})):
        assert asked(Door(home), path, body, Host="elsewhere", Sec_Fetch_Site="same-origin")[0] == 403
        assert asked(Door(home), path, body, Host="localhost", Sec_Fetch_Site="cross-site")[0] == 403


def from_elsewhere(port: int) -> None:
    """Over TCP: a session is no token for programs, and a program needs none of it."""
    def tcp() -> HTTPConnection:
        return HTTPConnection("127.0.0.1", port, timeout=LIMIT_MS / 1000)

    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert asked(tcp(), "/page/stream")[0] == asked(tcp(), "/page/destinations")[0] == 401
    assert asked(tcp(), "/", **bearer)[0] == asked(tcp(), "/", method="HEAD", **bearer)[0] == 200
    assert asked(tcp(), "/page/order", order_of(HOSTILE), **bearer)[0] == 403
    assert asked(tcp(), "/page/order", order_of(HOSTILE), **bearer, Origin="http://elsewhere")[0] == 403
    assert asked(tcp(), "/page/order", order_of("nobody"), **bearer, Origin=f"http://{here(port)}")[0] == 409
    assert asked(tcp(), "/destination?id=nobody", **bearer)[0] == 404
