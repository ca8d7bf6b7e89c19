"""desk.http: who may, and how much of the desk anybody can take up; over real sockets, with paths of the test's own."""

import asyncio
import contextlib
import socket
import ssl
import sys
import threading
from pathlib import Path

import msgspec
import orjson
import pytest

from fastsip.api.answers import Unknown, Unreadable
from fastsip.api.socket import NoAnswer, NotRunning, Refused
from fastsip.config.secrets import digest_of_token
from fastsip.desk.http import application, explain, limits, workers
from fastsip.desk.http import server as server_module
from fastsip.desk.http.access import NOBODY, ORDER, READ, Access
from fastsip.desk.http.metrics import wants_openmetrics
from fastsip.desk.http.routes import Call, Query, Route, Text, Where
from fastsip.desk.http.server import HttpServer
from fastsip.desk.http.types import ToExplain
from fastsip.process.messages import Serve
from tests.certificates import make_certificate

TOKEN, LOOK = "the token of operators", "the token of lookers"
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
LIMIT_S = 20


class Body(msgspec.Struct, forbid_unknown_fields=True):
    text: str = ""


class Held:
    """An answer that waits until the test lets it go."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Semaphore(0), threading.Event()

    def __call__(self, call: Call) -> dict:
        self.begun.release()
        assert self.go.wait(LIMIT_S)
        return {}


RAISED = {
    "Unknown": (Unknown("who?"), 404), "Unreadable": (Unreadable("gone"), 503), "NotRunning": (NotRunning("none"), 503),
    "NoAnswer": (NoAnswer("silence"), 504), "Refused": (Refused("no"), 409), "Fault": (ZeroDivisionError("x"), 500),
}  # fmt: skip


def fail(call: Call) -> None:
    raise RAISED[call.parts["id"]][0]


def routes(held: Held) -> tuple[Route, ...]:
    def get(path: str, answer, **more) -> Route:
        return Route(**{"method": "GET", "path": path, "answer": answer, "help": "", **more})

    return (
        get("/look", lambda call: {"query": call.query}, query=(Query("many", "", many=True), Query("one", ""))),
        get("/free", lambda call: {"may": call.may}, needs=NOBODY),
        get("/order", lambda call: call.body.text, method="POST", needs=ORDER, body=Body),
        get("/raw", lambda call: {"bytes": len(call.body)}, method="POST", body=Body, raw=True),
        get("/held", held, where=Where.ORDERERS), get("/large", lambda call: Text("x" * (32 << 20), "text/plain")),
        get("/fail/{id}", fail), get("/count", held, method="POST", needs=ORDER, where=Where.ORDERERS),
        get("/explain", explain.explain, method="POST", where=Where.EXPLAINERS, body=ToExplain),
    )  # fmt: skip


@pytest.fixture
def held():
    found = Held()
    yield found
    found.go.set()


@pytest.fixture
def serve(held, monkeypatch):
    """A function that runs a coroutine with a server and the address of its socket."""
    monkeypatch.setattr(application, "all_routes", lambda: routes(held))

    def run(test, certificate: str = "", key: str = "") -> None:
        async def main() -> None:
            server = HttpServer()
            await server.start()
            with socket.create_server(("127.0.0.1", 0), backlog=200) as door:
                order = Serve(file="c.toml", run_dir="/nowhere", token=digest_of_token(TOKEN),
                              read_token=digest_of_token(LOOK), certificate=certificate, key=key)  # fmt: skip
                server.serve(order, [socket.dup(door.fileno())])
                try:
                    await test(server, door.getsockname())
                finally:
                    held.go.set()
                    await server.close()

        asyncio.run(asyncio.wait_for(main(), 60))

    return run


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, address, **more) -> "Client":
        return cls(*await asyncio.open_connection(*address, **more))

    async def ask(self, line: str, head: str = BEARER, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n".encode() + body)
        return await self.hear()

    async def hear(self) -> tuple[int, dict[str, str], bytes]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        return int(first.split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def ended(self) -> bytes:
        """What came last before the connection ended."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read()
        return b""


async def ask(address, line: str, head: str = BEARER, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    client = await Client.open(address)
    try:
        return await client.ask(line, head, body)
    finally:
        client.writer.close()


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize(("authorization", "may"), [
    ("", NOBODY), (f"Bearer {TOKEN}", ORDER), (f"bearer  {TOKEN} ", ORDER), (f"Bearer {LOOK}", READ),
    (f"Bearer {TOKEN}x", NOBODY), (f"Bearer {TOKEN[:-1]}", NOBODY), ("Bearer ", NOBODY), (TOKEN, NOBODY),
    (f"Basic {TOKEN}", NOBODY), ("Bearer \udcff", NOBODY), (f"Bearer {'x' * 8000}", NOBODY),
])  # fmt: skip
def test_what_a_header_lets_do(authorization, may):
    access = Access(token=digest_of_token(TOKEN), read_token=digest_of_token(LOOK))
    assert access.of(authorization) == may
    assert Access(local=True).of(authorization) == ORDER
    assert Access().of(authorization) == NOBODY


def test_who_may_what_over_tcp(serve):
    async def test(server, address):
        look, order = f"Authorization: Bearer {LOOK}\r\n", b'{"text": "x"}'
        assert (await ask(address, "GET /look", ""))[0] == 401
        assert (await ask(address, "GET /look", "Authorization: Bearer wrong\r\n"))[1]["www-authenticate"]
        assert (await ask(address, "GET /look", look))[0] == 200
        assert (await ask(address, "POST /order", look, order))[0] == 403
        assert (await ask(address, "POST /order", BEARER, order))[2] == b'"x"\n'
        assert (await ask(address, "GET /free", ""))[0] == 200

    serve(test)


def test_whoever_comes_by_the_other_socket_may_all(serve):
    async def test(server, address):
        ours, theirs = socket.socketpair()
        server.visit([theirs.detach()])
        client = Client(*await asyncio.open_unix_connection(sock=ours))
        assert (await client.ask("POST /order", "", b'{"text": "x"}'))[0] == 200
        client.writer.close()

    serve(test)


def test_another_token_counts_from_the_next_request_on(serve):
    """Also on a connection that is there; who was idle on one with the old token is sent away."""
    async def test(server, address):
        client = await Client.open(address)
        assert (await client.ask("GET /look"))[0] == 200
        server.serve(Serve(file="", run_dir="", token=digest_of_token("another token of many")), [])
        assert await client.ended() == b""
        client = await Client.open(address, limit=1 << 16) if server._door else None
        assert client is None       # nobody listens any more
        assert server.remote.access.of(f"Bearer {TOKEN}") == NOBODY

    serve(test)


# ---------------------------------------------------------------- what is said when it cannot be


@pytest.mark.parametrize("name", RAISED)
def test_a_problem_has_words_for_programs(serve, caplog, name):
    error, status = RAISED[name]

    async def test(server, address):
        found, headers, body = await ask(address, f"GET /fail/{name}")
        problem = orjson.loads(body)
        assert (found, headers["content-type"]) == (status, "application/problem+json")
        assert problem["status"] == status and problem["type"] == "about:blank" and problem["title"]
        assert str(error) in problem["detail"] or status == 500
        assert headers["server"] == "fastsip"

    serve(test)
    assert bool(caplog.records) == (status == 500)


@pytest.mark.parametrize(("line", "body", "status"), [
    ("GET /nowhere", b"", 404), ("DELETE /look", b"", 405), ("POST /order", b"{", 400), ("POST /order", b"5", 422),
    ("POST /order", b'{"text": 5}', 422), ("POST /order", b'{"tekst": ""}', 422),
    ("POST /order", b'{"text":"\xff"}', 400),
    ("GET /look?what=1", b"", 422), ("GET /look?one=1&one=2", b"", 422), ("GET /look?many=1&many=2", b"", 200),
    ("HEAD /look", b"", 200),
])  # fmt: skip
def test_what_is_asked_wrongly_is_said(serve, line, body, status):
    async def test(server, address):
        assert (await ask(address, line, body=body))[0] == status if line[:4] != "HEAD" else True
        assert (await ask(address, "GET /look"))[0] == 200

    serve(test)


@pytest.mark.parametrize("text", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n",
                                  b"GET /look HTTP/1.1\r\n" + b"x" * 70_000])  # fmt: skip
def test_what_is_no_http_harms_nobody_and_fills_no_log(serve, caplog, capfd, text):
    async def test(server, address):
        client = await Client.open(address)
        client.writer.write(text)
        client.writer.write_eof()
        await client.ended()
        assert (await ask(address, "GET /look"))[0] == 200

    serve(test)
    assert caplog.records == [] and capfd.readouterr().err == ""


# ---------------------------------------------------------------- bounds


def test_a_body_has_a_bound(serve, monkeypatch):
    async def test(server, address):
        status, _, body = await ask(address, "POST /raw", body=b"x" * limits.MOST_BODY)
        assert (status, orjson.loads(body)) == (200, {"bytes": limits.MOST_BODY})
        assert (await ask(address, "POST /raw", body=b"x" * (limits.MOST_BODY + 1)))[0] == 413

    serve(test)


def test_a_body_that_does_not_come_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(limits, "BODY_S", 0.1)

    async def test(server, address):
        client = await Client.open(address)
        client.writer.write(f"POST /raw HTTP/1.1\r\nHost: x\r\n{BEARER}Content-Length: 9\r\n\r\nslow".encode())
        assert (await client.hear())[0] == 408

    serve(test)


@pytest.mark.parametrize("said", [b"", b"GET /lo", b"GET /look HTTP/1.1\r\nHost: x\r\n"])
def test_who_says_nothing_or_never_ends_is_not_waited_for(serve, monkeypatch, said):
    monkeypatch.setattr(limits, "IDLE_S", 0.2)

    async def test(server, address):
        client = await Client.open(address)
        client.writer.write(said)
        assert await client.ended() == b""

    serve(test)


def test_an_answer_that_takes_too_long_is_not_waited_for(serve, held, monkeypatch):
    async def test(server, address):
        monkeypatch.setitem(workers.LIMITS, Where.ORDERERS, 0.1)
        assert (await ask(address, "GET /held"))[0] == 504

    serve(test)


def test_what_is_explained_to_nobody_ends_and_gives_up_its_place(serve, monkeypatch, tmp_path):
    """Each who has left had a process of his own, which would not end by itself."""
    endless = f"import os, signal; open(f'{tmp_path}/{{os.getpid()}}', 'w').close(); signal.pause()"
    monkeypatch.setattr(explain, "PROGRAM", (sys.executable, "-c", endless))

    async def test(server, address):
        clients = [await Client.open(address) for _ in range(limits.EXPLAINERS + 3)]
        for client in clients:
            client.writer.write(f"POST /explain HTTP/1.1\r\nHost: x\r\n{BEARER}Content-Length: 13\r\n\r\n".encode()
                                + b'{"uri":"sip"}')  # fmt: skip
        while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < limits.EXPLAINERS:
            await asyncio.sleep(0.01)
        for client in clients:
            client.writer.transport.abort()
        while any(map(is_there, pids)):
            await asyncio.sleep(0.01)
        monkeypatch.setattr(explain, "PROGRAM", (sys.executable, "-c", "print('{}')"))
        assert (await ask(address, "POST /explain", body=b'{"uri":"sip"}'))[::2] == (200, b"{}\n")
        assert len([*tmp_path.iterdir()]) == len(pids)      # whoever left while he waited was never begun with

    serve(test)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("line", ["POST /count", "GET /held"])     # an order, and what may have some in it, as /RPC
def test_what_is_ordered_is_done_also_when_nobody_waits_for_it(serve, held, line):
    async def test(server, address):
        clients = [await Client.open(address) for _ in range(limits.ORDERERS + 1)]
        for client in clients:
            client.writer.write(f"{line} HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode())
        for _ in range(limits.ORDERERS):
            assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        for client in clients:
            client.writer.transport.abort()
        while server.guests._server.connections or server.guests._coming:
            await asyncio.sleep(0.01)
        held.go.set()
        assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)     # the one that was in the queue

    serve(test)


def test_who_does_not_take_his_answer_loses_it(serve, monkeypatch):
    monkeypatch.setattr(limits, "SEND_S", 0.2)

    async def test(server, address):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        await asyncio.get_running_loop().sock_sendall(sock, f"GET /large HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode())
        while server.guests._busy or server.guests._server.connections or server.guests._coming:
            await asyncio.sleep(0.01)       # until it was let go, though nothing was read
        sock.close()
        assert (await ask(address, "GET /look"))[0] == 200

    serve(test)


def test_those_who_order_keep_nobody_waiting_who_looks(serve, held):
    async def test(server, address):
        slow = [asyncio.create_task(ask(address, "GET /held")) for _ in range(limits.ORDERERS + 5)]
        for _ in range(limits.ORDERERS):
            assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        assert (await ask(address, "GET /look"))[0] == 200
        held.go.set()
        assert {status for status, *_ in await asyncio.gather(*slow)} == {200}

    serve(test)


def test_a_new_one_takes_the_place_of_who_is_idle_longest(serve, monkeypatch):
    monkeypatch.setattr(limits, "MOST_REMOTE", 3)

    async def test(server, address):
        clients = [await Client.open(address) for _ in range(3)]
        for client in clients:
            assert (await client.ask("GET /look"))[0] == 200
        assert (await clients[0].ask("GET /look"))[0] == 200     # so the second one is idle longest
        assert (await ask(address, "GET /look"))[0] == 200
        assert await clients[1].ended() == b""
        assert (await clients[0].ask("GET /look"))[0] == 200 == (await clients[2].ask("GET /look"))[0]

    serve(test)


def test_when_all_are_busy_nobody_else_is_let_in(serve, held, monkeypatch):
    monkeypatch.setattr(limits, "MOST_REMOTE", 2)

    async def test(server, address):
        slow = [asyncio.create_task(ask(address, "GET /held")) for _ in range(2)]
        for _ in slow:
            assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        assert await (await Client.open(address)).ended() == b""
        held.go.set()
        assert {status for status, *_ in await asyncio.gather(*slow)} == {200}
        assert (await ask(address, "GET /look"))[0] == 200

    serve(test)


def test_who_is_at_it_when_all_end_is_answered(serve, held):
    async def test(server, address):
        asked = asyncio.create_task(ask(address, "GET /held"))
        assert await asyncio.to_thread(held.begun.acquire, timeout=LIMIT_S)
        closing = asyncio.create_task(server.close())
        held.go.set()
        assert (await asked)[0] == 200
        await closing

    serve(test)


# ---------------------------------------------------------------- TLS


def test_tls_and_a_certificate_that_is_renewed(serve, tmp_path, caplog):
    certificate, key = make_certificate(tmp_path)

    async def test(server, address):
        async def shown() -> bytes:
            context = ssl.create_default_context(cafile=certificate)
            client = await Client.open(address, ssl=context)
            assert (await client.ask("GET /look"))[0] == 200
            client.writer.close()
            return client.writer.get_extra_info("ssl_object").getpeercert(True)

        first = await shown()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old = ssl.create_default_context(cafile=certificate)
            old.maximum_version = ssl.TLSVersion.TLSv1_1
            await Client.open(address, ssl=old)
        door = server._door.sock
        order = Serve(file="", run_dir="", token=digest_of_token(TOKEN), certificate=str(certificate), key=str(key))
        make_certificate(tmp_path)
        server.serve(order, [socket.dup(door.fileno())])
        second = await shown()
        kept = certificate.read_bytes()
        certificate.write_text("half of it")
        server.serve(order, [socket.dup(server._door.sock.fileno())])
        certificate.write_bytes(kept)
        assert first != second == await shown() and "cannot be used" in caplog.text

    serve(test, str(certificate), str(key))


def test_without_a_certificate_that_can_be_used_nobody_is_served_in_clear(serve, tmp_path, caplog):
    async def test(server, address):
        assert server._door is None and "nobody is served over TCP" in str(caplog.records[0].fields)

    serve(test, str(tmp_path / "none.pem"), str(tmp_path / "none.key"))


def test_half_a_certificate_is_looked_at_again_and_said_once(serve, tmp_path, monkeypatch, caplog):
    """The key of one and the certificate of another, as while somebody renews them; whoever comes meanwhile waits."""
    monkeypatch.setattr(limits, "CERTIFICATE_S", 0.01)
    caplog.set_level("INFO", "fastsip")
    certificate, key = make_certificate(tmp_path)
    first = certificate.read_bytes()
    make_certificate(tmp_path)
    second = certificate.read_bytes()
    certificate.write_bytes(first)
    tries = count_calls(monkeypatch, server_module, "tls_context")

    async def test(server, address):
        while len(tries) < 3:
            await asyncio.sleep(0.01)
        assert server._door is None
        waiting = asyncio.create_task(asyncio.to_thread(socket.create_connection, address, LIMIT_S))
        (await waiting).close()
        certificate.write_bytes(second)
        client = await Client.open(address, ssl=ssl.create_default_context(cafile=certificate))
        assert (await client.ask("GET /look"))[0] == 200
        client.writer.close()
        certificate.write_text("half of it")
        count = len(tries)
        order = Serve(file="", run_dir="", certificate=str(certificate), key=str(key))
        server.serve(order, [socket.dup(server._door.sock.fileno())])
        assert server._door and server._look_again      # the one before counts, and the new one is looked for
        server.serve(Serve(file="", run_dir=""), [])
        assert server._look_again is None and len(tries) == count + 1

    serve(test, str(certificate), str(key))
    said = [record.getMessage() for record in caplog.records if "certificate" in record.getMessage()]
    assert said == ["the certificate of [api] cannot be used", "the certificate of [api] can be used now",
                    "the certificate of [api] cannot be used"]  # fmt: skip


def count_calls(monkeypatch, module, name: str) -> list:
    """Arguments of each call of a function of that module, which is called all the same."""
    found, inner = [], getattr(module, name)

    def counted(*arguments):
        found.append(arguments)
        return inner(*arguments)

    monkeypatch.setattr(module, name, counted)
    return found


def test_a_handshake_that_never_ends_is_not_waited_for(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "HANDSHAKE_S", 0.2)
    certificate, key = make_certificate(tmp_path)

    async def test(server, address):
        assert await (await Client.open(address)).ended() == b""

    serve(test, str(certificate), str(key))


# ---------------------------------------------------------------- what Prometheus accepts


@pytest.mark.parametrize(("accept", "openmetrics"), [
    ("", False), ("*/*", False), ("text/plain", False), ("application/openmetrics-text", True),
    ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
    ("application/openmetrics-text;q=0.2, text/plain;q=0.3", False), ("application/openmetrics-text;q=0", False),
    ("APPLICATION/OpenMetrics-Text ; Q=1", True), ("application/openmetrics-text;q=x", False),
])  # fmt: skip
def test_which_format_is_wanted(accept, openmetrics):
    assert wants_openmetrics(accept) is openmetrics


