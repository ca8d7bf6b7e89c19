"""desk.http over real sockets: what somebody can do there who has no token, or only the browser of somebody who has."""

import asyncio
import logging
import socket

import pytest

from fastsip.desk.http import limits
from fastsip.desk.http.page import entrance
from fastsip.log import Limited

from .test_http import BEARER, LIMIT_S, TOKEN, Client, ask, held, serve  # noqa: F401

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
OURS = f"{FORM}Origin: http://x\r\n"


async def by_control_sock(server, line: str, host: str | None, more: str = "") -> int:
    """The status of a request that comes by a connection of its own."""
    ours, theirs = socket.socketpair()
    server.visit([theirs.detach()])
    client = Client(*await asyncio.open_unix_connection(sock=ours))
    named = "" if host is None else f"Host: {host}\r\n"
    version = "1.0" if host is None else "1.1"
    client.writer.write(f"{line} HTTP/{version}\r\n{named}{more}\r\n".encode("latin-1"))
    try:
        return (await asyncio.wait_for(client.hear(), LIMIT_S))[0]
    finally:
        client.writer.close()


# ---------------------------------------------------------------- names that lead here


@pytest.mark.parametrize(("host", "is_ours"), [
    ("x", True), ("x:80", True), ("localhost:8060", True), ("LOCALHOST", True), ("127.0.0.1:8060", True),
    ("127.8.9.10", True), ("[::1]:8060", True), ("", True), ("evil.example:8060", False), ("evil.example", False),
    ("evil.", False), ("localhost.evil.example", False), ("10.0.0.1", False), ("[2001:db8::1]:8060", False),
    ("[fe80::1]", False), ("[", False), ("]", False), ("[]", False), ("x:y", False), ("x:1:2", False), (":80", False),
    ("x@evil.example", False), ("x/evil.example", False), ("x y", False), ("\u00e9vil", False), ("x" * 254, False),
])  # fmt: skip
def test_over_control_sock_one_comes_by_a_name_that_no_stranger_can_give(host, is_ours):
    assert entrance.is_own_name(host) is is_ours


def test_a_strange_name_opens_nothing_over_control_sock_although_no_page_says_that_it_asks(serve):  # noqa: F811
    """As a browser asks that was led here by DNS: from http://evil.example no Sec-Fetch-Site comes, and no Origin."""
    async def test(server, address):
        for line in ("GET /look", "GET /free", "POST /order", "GET /", "GET /page/stream", "GET /page/assets/page.js",
                     "GET /sign-in", "GET /nowhere"):  # fmt: skip
            assert await by_control_sock(server, line, "evil.example:8060") == 403
            assert await by_control_sock(server, line, "[") == 403
        for host in ("x", "localhost:8060", "127.0.0.1:8060", "[::1]:8060", None):
            assert await by_control_sock(server, "GET /look", host) == 200
        assert await by_control_sock(server, "GET /look", "x", "Origin: http://x\r\n") == 403   # a browser
        assert (await ask(address, "GET /look"))[0] == 200      # over TCP a token is asked for, and no name

    serve(test)


# ---------------------------------------------------------------- what cannot be read


ODD = (
    ("Origin: http://[\r\n", b""), ("Origin: ]\r\n", b""), ("Origin: http://\xff\r\n", b""),
    ("Sec-Fetch-Site: \xff\r\n", b""), ("Referer: http://[\r\n", b""), ("Cookie: =;;=\xff;\"\r\n", b""),
    ("Cookie: fastsip=\x01\r\n", b""), ("Authorization: Bearer \xff\r\n", b""), ("Authorization: Bearer\r\n", b""),
    ("Accept-Encoding: \xff\r\n", b""), ("Accept: ;;q=\r\n", b""), ("Content-Type: ;=\"\r\n", b""),
    ("HX-Request: \xff\r\n", b""), ("Transfer-Encoding: chunked\r\n" + OURS, b"zz\r\n\r\n"),
    ("Content-Encoding: gzip\r\nContent-Length: 3\r\n" + OURS, b"xyz"), (OURS + "Content-Length: 5\r\n", b"a=%ff"),
    (f"{OURS}Content-Length: 18\r\n", b"token=%ed%a0%80%00"), ("Expect: nothing\r\n", b""), ("Range: bytes=-\r\n", b""),
)  # fmt: skip
PATHS = ("/", "/sign-in", "/sign-out", "/page/order", "/page/assets/%ff", "/page/assets/%00",
         "/destination?id=%ed%a0%80", "/destination?id=%", "/fail/%ff%00", "/look?many=%ff", "//[")  # fmt: skip


@pytest.mark.parametrize("host", ["x", "[", "\xff", "x:y"])
def test_nothing_that_a_stranger_writes_is_a_fault_of_ours(serve, caplog, host):  # noqa: F811
    caplog.set_level("INFO", "fastsip")
    odd = [(f"{method} {path}", more, body) for more, body in ODD for path in PATHS[:4] for method in ("GET", "POST")]
    odd += [(f"{method} {path}", "", b"") for path in PATHS for method in ("GET", "POST")]

    async def test(server, address):
        for line, more, body in odd:
            client = await Client.open(address)
            client.writer.write(f"{line} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode("latin-1") + body)
            client.writer.write_eof()
            answer = await asyncio.wait_for(client.ended(), LIMIT_S)
            assert b" 500 " not in answer.partition(b"\r\n")[0], (line, more)
            client.writer.close()

    serve(test)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_whose_origin_cannot_be_read_is_somebody_else(serve):  # noqa: F811
    async def test(server, address):
        for odd in ("http://[", "]", "//x", "null", "x", "http://"):
            assert (await ask(address, "POST /sign-in", f"{FORM}Origin: {odd}\r\n", b"token=x"))[0] == 403

    serve(test)


def test_a_fault_of_ours_is_logged_once_a_second_and_the_others_are_counted(caplog, monkeypatch):
    limited = Limited(per_second=1)
    for second, count in ((5.0, 4), (6.0, 1)):
        monkeypatch.setattr("fastsip.log.time.monotonic", lambda second=second: second)
        for _ in range(count):
            limited.error("it failed", {}, ZeroDivisionError("x"))
    first, second = caplog.records
    assert first.levelno == logging.ERROR and first.exc_info[0] is ZeroDivisionError
    assert second.fields == {"left_out": 3}


# ---------------------------------------------------------------- places


BEGUN = f"POST /sign-in HTTP/1.1\r\nHost: x\r\n{OURS}"


async def begun(address, server, head: str) -> Client:
    """Who has asked for something that he has not told to the end."""
    client, before = await Client.open(address), len(server.guests._busy)
    client.writer.write(f"{head}\r\n".encode())
    while len(server.guests._busy) == before:
        await asyncio.sleep(0.01)
    return client


def test_who_has_shown_no_token_gives_way(serve, held, monkeypatch):  # noqa: F811
    """Whoever came first, and none who has; also not to those who come all the time."""
    monkeypatch.setattr(limits, "MOST_REMOTE", 4)
    monkeypatch.setattr(limits, "SIGN_IN_S", 2 * LIMIT_S)

    async def test(server, address):
        known = asyncio.create_task(ask(address, "GET /held"))
        assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        strangers = [await begun(address, server, f"{BEGUN}Content-Length: 1000\r\n") for _ in range(3)]
        assert (await ask(address, "GET /free", ""))[0] == 200
        assert await asyncio.wait_for(strangers[0].ended(), LIMIT_S) == b""
        for number in range(20):
            strangers += [await hurried(address) for _ in range(3)]
            assert (await ask(address, "GET /free", ""))[0] == 200, number
        held.go.set()
        assert (await known)[0] == 200

    serve(test)


async def hurried(address) -> Client:
    """One more of them, of whom nobody knows how far he is."""
    client = await Client.open(address)
    client.writer.write(f"{BEGUN}Content-Length: 1000\r\n\r\n".encode())
    return client


@pytest.mark.parametrize(("head", "status"), [
    (f"Content-Length: {limits.MOST_SIGN_IN + 1}\r\n", 413), ("Content-Length: 9\r\n", 408),
    ("Transfer-Encoding: chunked\r\n", 408),
])  # fmt: skip
def test_whoever_signs_in_sends_little_and_soon(serve, monkeypatch, head, status):  # noqa: F811
    monkeypatch.setattr(limits, "SIGN_IN_S", 0.1)

    async def test(server, address):
        client = await Client.open(address)
        client.writer.write(f"{BEGUN}{head}\r\n".encode())
        assert (await asyncio.wait_for(client.hear(), LIMIT_S))[0] == status

    serve(test)


def test_of_a_form_that_is_too_long_none_is_kept(serve):  # noqa: F811
    async def test(server, address):
        token = b"token=" + TOKEN.replace(" ", "+").encode()
        for more, status in ((0, 303), (1, 413)):
            body = token + b"&x=" + b"y" * (limits.MOST_SIGN_IN - len(token) - 3 + more)
            assert (await ask(address, "POST /sign-in", OURS, body))[0] == status
            client = await Client.open(address)
            client.writer.write(f"{BEGUN}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n")
            client.writer.write(b"0\r\n\r\n")
            assert (await asyncio.wait_for(client.hear(), LIMIT_S))[0] == status

    serve(test)
