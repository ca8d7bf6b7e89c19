"""desk.http.page over real sockets: signing in, forms, streams, and what anybody can take up there."""

import asyncio
import contextlib
import socket
import ssl
import time
from urllib.parse import urlencode

import pytest

from fastsip.api.socket import NoAnswer
from fastsip.config.secrets import digest_of_token
from fastsip.desk.http import limits, router
from fastsip.desk.http.page import overview, stream
from fastsip.desk.http.page.stream import Stream
from fastsip.desk.http.routes import Call
from fastsip.desk.http.workers import Workers
from fastsip.process.messages import Serve
from tests.certificates import make_certificate

from .test_http import BEARER, LIMIT_S, LOOK, TOKEN, Client, ask, held, serve  # noqa: F401

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
OURS = f"{FORM}Origin: http://x\r\n"     # of Client.ask, whose host is x


def form(**fields: str) -> bytes:
    return urlencode(fields).encode()


async def signed_in(address, token: str = TOKEN) -> str:
    """The header of a cookie."""
    status, headers, _ = await ask(address, "POST /sign-in", OURS, form(token=token))
    assert status == 303 and headers["location"] == "/"
    return f"Cookie: {headers['set-cookie'].partition(';')[0]}\r\n"


# ---------------------------------------------------------------- signing in


def test_a_session_is_a_cookie_that_no_script_and_no_other_page_has(serve):  # noqa: F811
    async def test(server, address):
        _, headers, _ = await ask(address, "POST /sign-in", OURS, form(token=f" {TOKEN} "))
        name, *words = headers["set-cookie"].split("; ")
        assert name.startswith(f"fastsip-{address[1]}=order.") and TOKEN not in name
        assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={limits.ORDERING_S}"} == {*words}
        cookie = f"Cookie: {name}\r\n"
        assert (await ask(address, "GET /page/failures", cookie))[0] == 200
        assert (await ask(address, "GET /look", cookie))[0] == 401      # of programs, who bring a token
        status, headers, _ = await ask(address, "POST /sign-out", cookie + OURS, form(x=""))
        assert status == 303 and "Max-Age=0" in headers["set-cookie"]

    serve(test)


def test_over_tls_it_travels_in_secret_alone(serve, tmp_path):  # noqa: F811
    certificate, key = make_certificate(tmp_path)

    async def test(server, address):
        client = await Client.open(address, ssl=ssl.create_default_context(cafile=certificate))
        headers = f"{FORM}Origin: https://x\r\n"
        _, found, _ = await client.ask("POST /sign-in", headers, form(token=TOKEN))
        assert found["set-cookie"].startswith("__Host-fastsip-") and "Secure" in found["set-cookie"]
        client.writer.close()

    serve(test, str(certificate), str(key))


def test_wrong_tokens_are_counted_and_the_right_one_gets_in(serve, caplog):  # noqa: F811
    caplog.set_level("INFO", "fastsip")

    async def test(server, address):
        for _ in range(limits.WRONG_AT_ONCE):
            status, _, body = await ask(address, "POST /sign-in", OURS, form(token="wrong, but long enough"))
            assert status == 401 and b"not known" in body
        assert (await ask(address, "POST /sign-in", OURS, form(token="wrong, but long enough")))[0] == 429
        assert (await ask(address, "POST /sign-in", OURS, form(token=TOKEN)))[0] == 303
        assert (await ask(address, "POST /sign-in", OURS, form(token="wrong, but long enough")))[0] == 429
        assert (await ask(address, "GET /page/failures", BEARER))[0] == 200      # a program is not kept from it

    serve(test)
    assert "wrong, but" not in caplog.text and "refused to sign in" in caplog.text


@pytest.mark.parametrize("headers", [
    FORM, f"{FORM}Origin: http://elsewhere\r\n", f"{OURS}Sec-Fetch-Site: cross-site\r\n",
])  # fmt: skip
def test_nobody_is_signed_in_by_the_page_of_another(serve, headers):  # noqa: F811
    async def test(server, address):
        assert (await ask(address, "POST /sign-in", headers, form(token=TOKEN)))[0] == 403

    serve(test)


# ---------------------------------------------------------------- who may


def test_without_a_session_nothing_is_shown(serve):  # noqa: F811
    async def test(server, address):
        for path in ("/", "/destination?id=x", "/explain", "/page/destinations", "/page/failures", "/page/stream"):
            status, headers, body = await ask(address, f"GET {path}", "")
            assert status == 401 and b'name="token"' in body
            assert "default-src 'none'" in headers["content-security-policy"]
        status, headers, body = await ask(address, "GET /page/failures", "HX-Request: true\r\n")
        assert (status, headers["hx-redirect"], body) == (401, "/sign-in", b"")
        for name in ("page.js", "page.css", "htmx.min.js", "uplot.min.js", "icon.svg"):
            status, headers, _ = await ask(address, f"GET /page/assets/{name}", "Accept-Encoding: gzip\r\n")
            assert status == 200 and headers["content-encoding"] == "gzip" and "immutable" in headers["cache-control"]
        assert (await ask(address, "GET /page/assets/htmx.LICENSE", ""))[0] == 404
        assert (await ask(address, "GET /page/assets/..%2Fpages.py", ""))[0] == 404

    serve(test)


def test_who_only_looks_orders_nothing(serve):  # noqa: F811
    async def test(server, address):
        cookie = await signed_in(address, LOOK)
        status, _, body = await ask(address, "POST /page/order", cookie + OURS, form(drain="media/one"))
        assert status == 403 and b"only look" in body

    serve(test)


@pytest.mark.parametrize(("headers", "body", "status"), [
    (OURS, form(nothing="x"), 422), (OURS, form(drain="media/one", why="x" * 201), 422),
    ("Origin: http://x\r\n", b"{}", 415), (OURS, b"drain=" + b"x" * (200 << 10), 413),
    (OURS, b"&".join([b"a=b"] * 21), 400), (OURS, b"drain=%ff", 400), (OURS, b"drain=\xff", 400),
    (OURS, form(drain="media/one", once="a", drawn="0"), 422), (OURS, form(drain="enabled media/one"), 422),
    (OURS, form(drain="enabled media/one", once="a", drawn="-1e9"), 409),
    (OURS, form(drain="enabled media/one", once="a", pressed="1e15"), 409),
    (OURS, form(drain="enabled media/one", once="a", drawn="NOW"), 503),
])  # fmt: skip
def test_what_is_no_order_is_said(serve, headers, body, status):  # noqa: F811
    body = body.replace(b"NOW", str(time.monotonic()).encode())

    async def test(server, address):
        cookie = await signed_in(address)
        found, _, text = await ask(address, "POST /page/order", cookie + headers, body)
        assert found == status and text.startswith(b"<!doctype html>")
        found, _, text = await ask(address, "POST /page/order", f"{cookie}{headers}HX-Request: true\r\n", body)
        assert found == status and text.startswith(b'<p class="bad">')

    serve(test)


# ---------------------------------------------------------------- streams


@pytest.fixture
def quick(monkeypatch):
    """Looks follow each other at once."""
    monkeypatch.setattr(limits, "TICK_S", 0.01)
    monkeypatch.setattr(limits, "IDLE_SHARE", 0)


async def opened(address, head: str) -> Client:
    """A stream, of which the beginning was read."""
    return await begun(await Client.open(address), head)


async def opened_here(server) -> Client:
    """The same over control.sock."""
    ours, theirs = socket.socketpair()
    server.visit([theirs.detach()])
    return await begun(Client(*await asyncio.open_unix_connection(sock=ours)), "")


async def begun(client: Client, head: str) -> Client:
    client.writer.write(f"GET /page/stream HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    begin = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert "200 ok" in begin and "text/event-stream" in begin
    await client.reader.readuntil(b"event: history\nretry: 2000\n")
    return client


def test_a_stream_says_why_there_are_no_numbers(serve, quick):  # noqa: F811
    async def test(server, address):
        client = await opened(address, BEARER)
        await client.reader.readuntil(b"event: now")
        assert b"cannot be read" in await client.reader.readuntil(b"}\n")
        client.writer.close()

    serve(test)


def test_viewers_have_a_bound_and_make_room(serve, quick, monkeypatch):  # noqa: F811
    monkeypatch.setattr(limits, "MOST_REMOTE_VIEWERS", 2)

    async def test(server, address):
        clients = [await opened(address, BEARER) for _ in range(2)]
        status, _, body = await ask(address, "GET /page/stream", BEARER)
        assert status == 503 and b"others watch already" in body
        (await opened_here(server)).writer.close()      # control.sock has places of its own
        clients[0].writer.transport.abort()
        while server.stream.viewers == 2:
            await asyncio.sleep(0.01)
        await opened(address, BEARER)

    serve(test)


def test_a_viewer_who_does_not_read_is_let_go(serve, quick, monkeypatch):  # noqa: F811
    """What he does not take is not kept for him."""
    monkeypatch.setattr(limits, "VIEW_S", 0.2)
    monkeypatch.setattr(Stream, "_now", lambda stream, point: {"much": "x" * 100_000})

    async def test(server, address):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        asked = f"GET /page/stream HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode()
        await asyncio.get_running_loop().sock_sendall(sock, asked)
        while not server.stream.viewers:
            await asyncio.sleep(0.01)
        while server.stream.viewers or server.guests._server.connections:
            await asyncio.sleep(0.01)
        sock.close()

    serve(test)


@pytest.mark.parametrize("way", ["TCP", "control.sock"])
def test_of_what_a_viewer_does_not_read_little_is_kept_and_then_he_is_let_go(serve, quick, monkeypatch, way):  # noqa: F811
    """With messages as large as they are: hours of them would find room in buffers that are as large as they may be."""
    monkeypatch.setattr(limits, "VIEW_S", 0.5)
    monkeypatch.setattr(limits, "GONE_S", 0.5)
    monkeypatch.setattr(Stream, "_now", lambda stream, point: {"much": "x" * 400})

    async def test(server, address):
        if way == "TCP":
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(address)
        else:
            sock, theirs = socket.socketpair()
            server.visit([theirs.detach()])
        sock.sendall(f"GET /page/stream HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode())
        while not server.stream.viewers:
            await asyncio.sleep(0.01)
        while server.stream.viewers:
            await asyncio.sleep(0.01)
        sock.settimeout(LIMIT_S)
        assert len(await asyncio.to_thread(taken, sock)) < 2 * limits.STREAM_BUFFER + 8192

    serve(test)


def taken(sock: socket.socket) -> bytes:
    found = b""
    with sock, contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            found += piece
    return found


def test_who_watches_over_tls_and_reads_is_not_let_go(serve, quick, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr(limits, "VIEW_S", 0.5)
    monkeypatch.setattr(Stream, "_now", lambda stream, point: {"much": "x" * 400})
    certificate, key = make_certificate(tmp_path)

    async def test(server, address):
        context = ssl.create_default_context(cafile=certificate)
        client = await begun(await Client.open(address, ssl=context), BEARER)
        first = server.stream._tick.number
        while server.stream._tick.number < first + 100:
            await asyncio.wait_for(client.reader.readuntil(b"event: now"), LIMIT_S)
        assert server.stream.viewers == 1
        client.writer.close()

    serve(test, str(certificate), str(key))


def test_a_stream_ends_after_a_while_and_whoever_is_there_comes_again(serve, quick, monkeypatch):  # noqa: F811
    monkeypatch.setattr(limits, "STREAM_S", 0.05)

    async def test(server, address):
        client = await opened(address, BEARER)
        assert (await client.ended()).endswith(b"0\r\n\r\n")      # its end is said
        assert server.stream.viewers == 0
        (await opened(address, BEARER)).writer.close()

    serve(test)


def test_a_look_that_fails_by_a_fault_of_ours_is_not_the_last_one(serve, quick, monkeypatch, caplog):  # noqa: F811
    broken = iter(range(3))

    def now(stream, point):
        if next(broken, None) is not None:
            raise ZeroDivisionError
        return {}

    monkeypatch.setattr(Stream, "_now", now)

    async def test(server, address):
        client = await opened(address, BEARER)
        await asyncio.wait_for(client.reader.readuntil(b"event: now"), LIMIT_S)
        client.writer.close()

    serve(test)
    assert "no new numbers, by a fault of fastsip" in caplog.text


# ---------------------------------------------------------------- a supervisor that is silent


def test_pages_that_wait_for_a_supervisor_keep_no_program_waiting(serve, held, monkeypatch):  # noqa: F811
    """Nor is he asked by one after the other when he does not answer."""
    asked = []

    def silent(*arguments):
        asked.append(1)
        held(None)
        raise NoAnswer("silence")

    monkeypatch.setattr(overview.Destinations, "look", silent)
    monkeypatch.setattr(limits, "FAILED_S", 2 * LIMIT_S)

    async def test(server, address):
        pages = [asyncio.create_task(ask(address, "GET /")) for _ in range(2 * limits.PAGES)]
        for _ in range(limits.PAGES):
            assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        assert (await ask(address, "GET /look"))[0] == 200
        held.go.set()
        answers = await asyncio.gather(*pages)
        assert {status for status, *_ in answers} == {200} and all(b"silence" in body for *_, body in answers)
        assert len(asked) == limits.PAGES

    serve(test)


def test_whether_it_is_there_is_answered_without_a_thread(monkeypatch):
    """However many of them wait."""
    healthz = next(route for route in router.ROUTES if route.path == "/healthz")
    pools = Workers()
    monkeypatch.setattr(pools, "_pools", {})
    answer = asyncio.run(pools.answer(healthz, Call(run_dir="", file=""), "GET", "/healthz", ""))
    assert answer.status == 200 and answer.body == b'{"ok":true}\n'


def test_a_session_that_ends_ends_its_streams(serve, quick):  # noqa: F811
    async def test(server, address):
        client = await opened(address, await signed_in(address))
        other = Serve(file="", run_dir="/nowhere", token=digest_of_token("another token of many"))
        server.serve(other, [socket.dup(server._door.sock.fileno())])
        await client.ended()
        while server.stream.viewers:
            await asyncio.sleep(0.01)

    serve(test)


def test_at_the_end_viewers_are_let_go_at_once(serve, quick):  # noqa: F811
    async def test(server, address):
        client = await opened(address, BEARER)
        await server.close()
        await client.ended()

    serve(test)


def test_nobody_who_watches_costs_another_look(serve, quick, monkeypatch):  # noqa: F811
    """Of each look all get the same bytes, which are made once."""
    looks, made, look, event = [], [], Stream._look, stream.event
    monkeypatch.setattr(Stream, "_look", lambda stream: looks.append(1) or look(stream))
    monkeypatch.setattr(stream, "event", lambda name, value: made.append(event(name, value)) or made[-1])

    async def test(server, address):
        clients = [await opened(address, BEARER) for _ in range(5)]
        seen = []
        for client in clients:
            for _ in range(3):
                await client.reader.readuntil(b"event: now")
                seen.append(b"event: now" + await asyncio.wait_for(client.reader.readuntil(b"}\n"), LIMIT_S))
        assert len(looks) - server.stream._tick.number in (0, 1)       # one may be under way
        assert {*seen} <= {one.removesuffix(b"\n") for one in made} and len({*made}) == len(made) - 4    # histories

    serve(test)
