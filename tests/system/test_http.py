"""HTTP of a router that runs: by both sockets, while all that may go wrong beside it does, and no call hears of it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ua import UserAgent

from tests.certificates import make_certificate
from tests.conftest import ROOT, wait_until

from .edge import NUMBER, connect, edge_config, refuse, sip_uri
from .lives import Home, Life, command
from .test_dispatcher import kamailio
from .test_sql_life import desk_of

TOKEN, LOOK = "the token of operators", "the token of lookers"
LIMIT_S = 60


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


@pytest.fixture
def tcp_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Door(HTTPConnection):
    """control.sock."""

    def __init__(self, home: Home):
        super().__init__("x", timeout=LIMIT_S)
        self.place = home.place / "run" / "control.sock"

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(str(self.place))


def ask(home: Home, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, Any]:
    """Status and JSON, or text, by a connection of its own to control.sock."""
    with contextlib.closing(Door(home)) as door:
        raw = None if body is None else json.dumps(body).encode()
        door.request(method or ("GET" if raw is None else "POST"), path, raw, headers)
        return read(door.getresponse())


def read(answer) -> tuple[int, Any]:
    raw, kind = answer.read(), answer.headers.get("Content-Type", "")
    return answer.status, json.loads(raw) if "json" in kind else raw.decode()


def over_tcp(port: int, path: str, token: str = TOKEN, body: Any = None, ca: Path | None = None) -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=ca) if ca else None
    url = f"{'https' if ca else 'http'}://127.0.0.1:{port}{path}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S, context=context) as answer:
            return read(answer)
    except urllib.error.HTTPError as error:
        with error:
            return read(error)


def api(home: Home, port: int, more: str = "") -> str:
    """The table, with the tokens that it names; behind all others."""
    (home.place / "token").write_text(TOKEN)
    (home.place / "look").write_text(LOOK)
    return f'\n[api]\nlisten = "127.0.0.1:{port}"\ntoken = "file:token"\nread_token = "file:look"\n{more}'


def shown(*words: object) -> Any:
    """What the command line says with --json."""
    done = command(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---------------------------------------------------------------- what is answered


def schema_of(document: dict, method: str, path: str, status: int) -> dict:
    """Of what is answered there, strictly: fields that are not named are none."""
    answers = document["paths"][path][method.lower()]["responses"]
    kinds = answers.get(str(status), answers["default"])["content"]
    components = json.loads(json.dumps(document["components"]))
    for one in components["schemas"].values():
        if "properties" in one:
            one["additionalProperties"] = False
    return {**next(iter(kinds.values()))["schema"], "components": components}


# Method, path of the table, path that is asked, body, status; in this order.
ASKED = (
    ("GET", "/v1/status", "/v1/status", None, 200),
    ("GET", "/v1/counters", "/v1/counters", None, 200),
    ("GET", "/v1/dispatcher", "/v1/dispatcher", None, 200),
    ("GET", "/v1/dispatcher", "/v1/dispatcher?set=7&set=nobody", None, 200),
    ("GET", "/v1/dispatcher", "/v1/dispatcher?set=nobody", None, 404),
    ("POST", "/v1/dispatcher/drain", "/v1/dispatcher/drain", {"ids": ["@BOB@"], "why": "memory"}, 200),
    ("POST", "/v1/dispatcher/disable", "/v1/dispatcher/disable", {"ids": ["@BOB@"]}, 200),
    ("POST", "/v1/dispatcher/disable", "/v1/dispatcher/disable", {}, 422),
    ("POST", "/v1/dispatcher/drain", "/v1/dispatcher/drain", {"sets": ["media"], "why": "x" * 201}, 422),
    ("POST", "/v1/dispatcher/enable", "/v1/dispatcher/enable", {"sets": ["media", "7"], "why": "x" * 200}, 200),
    ("POST", "/v1/dispatcher/enable", "/v1/dispatcher/enable", {"ids": ["nobody"]}, 409),
    ("POST", "/v1/dispatcher/probe", "/v1/dispatcher/probe", {"sets": ["media"]}, 200),
    ("POST", "/v1/dispatcher", "/v1/dispatcher",
     {"set": 7, "destination": "sip:127.0.0.9", "flags": 8, "attrs": "duid=nine"}, 201),
    ("POST", "/v1/dispatcher", "/v1/dispatcher", {"set": "7", "destination": "sip:no sense"}, 409),
    ("GET", "/v1/dispatcher/{id}", "/v1/dispatcher/@BOB_QUOTED@", None, 200),
    ("GET", "/v1/dispatcher/{id}", "/v1/dispatcher/nobody", None, 404),
    ("DELETE", "/v1/dispatcher/{id}", "/v1/dispatcher/media/nine", None, 200),
    ("DELETE", "/v1/dispatcher/{id}", "/v1/dispatcher/media/nine", None, 409),
    ("POST", "/v1/explain", "/v1/explain", {"uri": "sip:1000@example.net", "from": "sip:-x@y"}, 200),
    ("POST", "/v1/explain", "/v1/explain", {"message": "OPTIONS sip:1@x SIP/2.0\nCSeq: 1 OPTIONS\n\n"}, 200),
    ("POST", "/v1/explain", "/v1/explain", {"uri": "sip:1@x", "listen": "nowhere"}, 422),
    ("POST", "/v1/explain", "/v1/explain", {"uri": "sip:1@x", "source": "--help"}, 422),
    ("POST", "/v1/explain", "/v1/explain", {"uri": "sip:\0@x"}, 422),
    ("POST", "/v1/explain", "/v1/explain", {"uri": "sip:1@x", "method": "x" * 500_000}, 503),
    ("POST", "/v1/explain", "/v1/explain", {}, 422),
    ("POST", "/v1/reload", "/v1/reload", {}, 200),
    ("GET", "/metrics", "/metrics", None, 200),
    ("GET", "/metrics", "/metrics?names=kamailio", None, 200),
    ("GET", "/metrics", "/metrics?names=nobody", None, 422),
    ("GET", "/healthz", "/healthz", None, 200),
    ("GET", "/readyz", "/readyz", None, 200),
    ("POST", "/RPC", "/RPC", {"jsonrpc": "2.0", "method": "core.version", "id": 1}, 200),
    ("POST", "/RPC", "/RPC", [{"jsonrpc": "2.0", "method": "core.version", "id": 1}], 200),
    ("GET", "/v1/openapi.json", "/v1/openapi.json", None, 200),
)


# While we look.
MOVING = ("since", "routes_since_s", "waits", "wakes", "round", "timer_lag", "probe", "rtt_ms", "latency_ms", "send",
          "sent", "receive")  # fmt: skip


def timeless(value: Any) -> Any:
    """Without moments, which each process reckons from the clock anew."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key != "since"}
    return [timeless(each) for each in value] if isinstance(value, list) else value


async def test_every_path_answers_as_it_is_described_and_as_the_command_line(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], probe='{ mode = "marked", timeout = "500ms" }', set_keys="setid = 7")
        home.start(text).ready()
        await refuse(bob, alice.invite(NUMBER, edge))
        probes = asyncio.create_task(answer_probes(bob))
        try:
            await asyncio.to_thread(look_at_every_path, home, f"media/{sip_uri(bob.address)}")
        finally:
            probes.cancel()


async def answer_probes(bob: UserAgent) -> None:
    while True:
        bob.reply(await bob.expect("OPTIONS", timeout=LIMIT_S), 200)


def look_at_every_path(home: Home, bob: str) -> None:
    document = ask(home, "/v1/openapi.json")[1]
    assert {(method, path) for method, path, *_ in ASKED} == {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods}  # fmt: skip
    for method, path, asked, body, status in ASKED:
        asked = asked.replace("@BOB_QUOTED@", urllib.parse.quote(bob, safe=""))
        body = json.loads(json.dumps(body).replace("@BOB@", bob))
        found, answer = ask(home, asked, body, method)
        assert found == status, (asked, answer)
        jsonschema.validate(answer, schema_of(document, method, path, status))
    config = home.config
    same = {"/v1/status": ("status", config), "/v1/counters": ("stats", config),
            f"/v1/dispatcher/{bob}": ("dispatcher", "show", bob, "--config", config)}  # fmt: skip
    for path, words in same.items():
        ours, theirs = ask(home, path)[1], shown(*words)
        still = {key for key in ours if not key.startswith(MOVING)}
        assert ours.keys() == theirs.keys() and {key: ours[key] for key in still} == {key: theirs[key] for key in still}
    listed = {"sets": [shown("dispatcher", "list", "--config", config)]}
    assert timeless(ask(home, "/v1/dispatcher")[1]) == timeless(listed)
    explained = shown("explain", "--uri", "sip:1000@example.net", "--config", config)
    assert ask(home, "/v1/explain", {"uri": "sip:1000@example.net"})[1] == explained
    assert "# EOF" in ask(home, "/metrics", Accept="application/openmetrics-text")[1]
    assert command("drain", config, "--deadline", "1s").returncode == 0
    assert ask(home, "/readyz")[0] == 503 and ask(home, "/healthz")[0] == 200


async def test_the_lines_of_the_page(home, edge):
    lines = re.findall(r"^curl .*", (ROOT / "docs" / "api.md").read_text(), re.M)
    text = edge_config(edge, [], set_keys="setid = 7").replace(
        "destinations = []", 'destinations = [{ id = "media/one", uri = "sip:127.0.0.1:9" }]')  # fmt: skip
    home.start(text).ready()
    assert len(lines) > 10
    for line in lines:
        done = await asyncio.to_thread(run_line, line, str(home.place / "run"))
        assert done.returncode == 0 and done.stdout and "problem" not in done.stderr, (line, done)
        assert '"error"' not in done.stdout and '"detail"' not in done.stdout, (line, done.stdout)


def run_line(line: str, run_dir: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("curl -s", f"curl -s -m {LIMIT_S}")
    return subprocess.run(["sh", "-c", line], env={**os.environ, "RUN": run_dir}, capture_output=True, text=True,
                          timeout=2 * LIMIT_S, check=False)  # fmt: skip


# ---------------------------------------------------------------- over TCP


async def test_tokens_tls_and_a_reload_of_all_that(home, edge, tcp_port):
    certificate, key = make_certificate(home.place)
    base, tls = edge_config(edge, [("127.0.0.1", 9)]), f'certificate = "{certificate}"\nkey = "{key}"\n'
    with socket.create_server(("127.0.0.1", tcp_port)):
        done = await asyncio.to_thread(home.start(base + api(home, tcp_port)).ended)
        assert done == 2 and f"api.listen: 127.0.0.1 port {tcp_port}: Address already in use" in home.lives[0].text
    life = home.start(base + api(home, tcp_port)).ready()

    def test() -> None:
        drain = {"sets": ["media"]}
        assert over_tcp(tcp_port, "/v1/status")[1]["pid"] == life.process.pid
        assert over_tcp(tcp_port, "/v1/status", "")[0] == over_tcp(tcp_port, "/v1/status", "wrong")[0] == 401
        assert over_tcp(tcp_port, "/v1/status", LOOK)[0] == 200
        assert over_tcp(tcp_port, "/v1/dispatcher/drain", LOOK, drain)[0] == 403
        assert over_tcp(tcp_port, "/v1/dispatcher/drain", TOKEN, drain)[0] == 200
        assert over_tcp(tcp_port, "/readyz", "")[0] == 200
        batch = [{"jsonrpc": "2.0", "method": method, "id": 1} for method in ("dispatcher.reload", "core.version")]
        assert ["error" in one for one in over_tcp(tcp_port, "/RPC", LOOK, batch)[1]] == [True, False]

        with socket.create_server(("127.0.0.1", 0)) as used:    # refused whole, and nothing has changed
            home.write(base + api(home, used.getsockname()[1]))
            refused = command("reload", home.config)
            assert refused.returncode == 1 and "Address already in use" in refused.stderr
            assert over_tcp(tcp_port, "/v1/status")[1]["configuration"] == 1

        home.write(base + api(home, tcp_port, tls))
        (home.place / "look").write_text("another token to look with")
        assert command("reload", home.config).returncode == 0
        wait_until(lambda: served_by_tls(tcp_port, certificate), LIMIT_S)
        assert over_tcp(tcp_port, "/v1/status", LOOK, ca=certificate)[0] == 401
        with pytest.raises((OSError, urllib.error.URLError)):
            over_tcp(tcp_port, "/v1/status")

        home.write(base)
        assert command("reload", home.config).returncode == 0
        wait_until(lambda: is_closed(tcp_port), LIMIT_S)
        assert ask(home, "/v1/status")[0] == 200

    await asyncio.to_thread(test)


def served_by_tls(port: int, certificate: Path) -> bool:
    with contextlib.suppress(OSError):
        return over_tcp(port, "/v1/status", ca=certificate)[0] == 200
    return False


def is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return True
    return False


# ---------------------------------------------------------------- while all goes wrong


async def test_a_desk_that_dies_and_an_upgrade_lose_no_call_and_refuse_nobody(home, edge, tcp_port):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address]) + api(home, tcp_port)).ready()
        alice_leg, _ = await connect(alice, bob, edge)
        await asyncio.to_thread(kill_desks, home, life, tcp_port)
        await asyncio.to_thread(upgrade_under_requests, home, tcp_port)
        await refuse(bob, alice.invite(NUMBER, edge))
        bye = alice_leg.bye()
        bob.reply(await bob.expect("BYE"), 200)
        await alice.expect(lambda m: m.status == 200 and m.call_id == bye.call_id and m.cseq_method == "BYE")
        assert await asyncio.to_thread(many_at_once, tcp_port, 60) == [200] * 60


class HastyLife(Life):
    program = (str(Path(__file__).with_name("hasty_router.py")),)


async def test_a_desk_that_hangs_is_replaced_and_no_order_is_done_twice(home, edge, tcp_port):
    """It stands still with a request before it, and others wait at both sockets; calls go on."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address]) + api(home, tcp_port)
        life = home.start(text, HastyLife).ready()
        alice_leg, _ = await connect(alice, bob, edge)
        kept = HTTPConnection("127.0.0.1", tcp_port, timeout=LIMIT_S)
        assert await asyncio.to_thread(order_on, kept, "before") == 200
        gone = desk_of(life)
        os.kill(gone, signal.SIGSTOP)
        asked = [asyncio.to_thread(order_on, kept, "kept"), asyncio.to_thread(order_by_socket, home, "socket"),
                 *(asyncio.to_thread(order_on, HTTPConnection("127.0.0.1", tcp_port, timeout=LIMIT_S), f"new {number}")
                   for number in range(3))]  # fmt: skip
        waiting = asyncio.gather(*asked)
        await refuse(bob, alice.invite(NUMBER, edge))
        bye = alice_leg.bye()
        bob.reply(await bob.expect("BYE"), 200)
        await alice.expect(lambda m: m.status == 200 and m.call_id == bye.call_id and m.cseq_method == "BYE")
        lost, by_socket, *new = await waiting
        assert (lost, new) == (0, [200] * 3) and by_socket in (0, 200)
        assert life.records("the desk hangs") and desk_of(life) != gone
        for path in ("/v1/status", "/"):
            assert (await asyncio.to_thread(over_tcp, tcp_port, path))[0] == ask(home, path, Host="localhost")[0] == 200
        said = sorted(record["why"] for record in life.records("an operator says"))
        assert said == sorted(["before", *(f"new {number}" for number in range(3)), *["socket"] * (by_socket == 200)])


def order_on(connection: HTTPConnection, why: str) -> int:
    """Status, 0: the connection ended before there was any."""
    body = json.dumps({"sets": ["media"], "why": why})
    try:
        connection.request("POST", "/v1/dispatcher/enable", body, {"Authorization": f"Bearer {TOKEN}"})
        return read(connection.getresponse())[0]
    except (ConnectionError, RemoteDisconnected):
        connection.close()
        return 0


def order_by_socket(home: Home, why: str) -> int:
    with contextlib.closing(Door(home)) as door:
        return order_on(door, why)


def kill_desks(home: Home, life: Life, port: int) -> None:
    for _ in range(2):
        assert over_tcp(port, "/healthz", "")[0] == 200
        gone = desk_of(life)
        os.kill(gone, signal.SIGKILL)
        assert over_tcp(port, "/v1/status")[0] == 200 == ask(home, "/v1/status")[0]
        assert desk_of(life) != gone


def upgrade_under_requests(home: Home, port: int) -> None:
    """Each comes by a connection of its own; some while nobody serves."""
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(command("upgrade", home.config).returncode))
    thread.start()
    answers = []
    while thread.is_alive() or len(answers) < 3:
        answers.append((over_tcp(port, "/healthz", "")[0], ask(home, "/v1/status")[0]))
    thread.join(LIMIT_S)
    assert done == [0] and set(answers) == {(200, 200)}


def many_at_once(port: int, count: int) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        return [status for status, _ in pool.map(lambda _: over_tcp(port, "/v1/status"), range(count))]


# ---------------------------------------------------------------- Kamailio


KAMAILIO_RPC = """
listen=tcp:127.0.0.1:{tcp}
tcp_accept_no_cl=yes
loadmodule "xhttp.so"
loadmodule "jsonrpcs.so"
modparam("jsonrpcs", "transport", 1)
modparam("dispatcher", "reload_delta", 0)
event_route[xhttp:request] {{ jsonrpc_dispatch(); }}
"""
LIST = "1 sip:127.0.0.1:7001 0 0 duid=a;weight=30\n1 sip:127.0.0.1:7002 0 2\n7 sip:127.0.0.1:7003\n"
CALLS = (
    ("dispatcher.list", []), ("dispatcher.list", ["short"]),
    ("dispatcher.set_state", ["dp", 1, "sip:127.0.0.1:7001"]), ("dispatcher.set_state", ["d", 7, "all"]),
    ("dispatcher.set_state", ["q", 1, "all"]), ("dispatcher.set_state", ["i", 1, "sip:127.0.0.1:7999"]),
    ("dispatcher.set_state", ["i", 9, "sip:127.0.0.1:7001"]), ("dispatcher.set_state", ["d"]),
    ("dispatcher.list", []),
    ("dispatcher.set_state", ["ap", 1, "sip:127.0.0.1:7001"]), ("dispatcher.set_state", ["A", 7, "all"]),
    ("dispatcher.add", [7, "sip:127.0.0.1:7006", 0, 3, "duid=q"]), ("dispatcher.add", [7]), ("dispatcher.list", []),
    ("dispatcher.remove", [7, "sip:127.0.0.1:7006"]), ("dispatcher.remove", ["x"]), ("dispatcher.list", []),
    ("dispatcher.reload", []),
)  # fmt: skip


async def test_json_rpc_is_answered_as_kamailio_answers_it(home, edge, free_port, tcp_port):
    (home.place / "dispatcher.list").write_text(LIST)
    text = edge_config(edge, [("127.0.0.1", 9)])
    home.start(f'{text}\n[[source]]\nkind = "list"\npath = "dispatcher.list"\n').ready()

    def ours(body: Any) -> Any:
        return ask(home, "/RPC", body)[1]

    def theirs(body: Any) -> Any:
        asked = urllib.request.Request(f"http://127.0.0.1:{tcp_port}/RPC", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def compare() -> None:
        with kamailio(home.place, free_port(), KAMAILIO_RPC.format(tcp=tcp_port)):
            wait_until(lambda: not is_closed(tcp_port), LIMIT_S)
            for number, (method, params) in enumerate(CALLS):
                body = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
                mine, other = plain(ours(body)), plain(theirs(body))
                assert mine == other, (method, params)
            for method in ("core.uptime", "tm.stats"):
                body = {"jsonrpc": "2.0", "method": method, "id": "x"}
                mine, other = ours(body)["result"], theirs(body)["result"]
                assert mine.keys() <= other.keys() and {type(one) for one in mine.values()} <= {int, str}
            body = {"jsonrpc": "2.0", "method": "system.listMethods", "id": 1}
            assert set(ours(body)["result"]) <= set(theirs(body)["result"])

    await asyncio.to_thread(compare)
    await asyncio.to_thread(speak_json_rpc, home)


def plain(answer: dict) -> dict:
    """Without our reasons; sets by number, whose order is Kamailio's tree's; the letter of probes is left out."""
    found = json.loads(re.sub(r'("FLAGS": ?"[A-Z])[PX]"', r'\1"', json.dumps(answer)))
    found.get("error", {}).pop("data", None)
    result = found.get("result")
    if isinstance(result, dict) and "RECORDS" in result:
        result["RECORDS"].sort(key=lambda one: one["SET"]["ID"])
    return found


def speak_json_rpc(home: Home) -> None:
    """What is no call, or wants no answer; by the rules, which Kamailio has its own of."""
    call = {"jsonrpc": "2.0", "method": "core.version"}

    def code(body: Any) -> int:
        return ask(home, "/RPC", body)[1]["error"]["code"]

    with contextlib.closing(Door(home)) as door:
        door.request("POST", "/RPC", b'{"jsonrpc": "2.0",')
        assert read(door.getresponse()) == (
            200, {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None})  # fmt: skip
    assert code({**call, "method": "no.such", "id": 1}) == -32601
    for wrong in (5, [], "x", {**call, "method": 5}, {**call, "jsonrpc": "1.0"}, {**call, "params": 5, "id": 1},
                  {**call, "id": [1]}, {**call, "id": True}, [call] * 101):  # fmt: skip
        assert code(wrong) == -32600, wrong
    assert ask(home, "/RPC", call) == (204, "")
    assert ask(home, "/RPC", [call] * 100) == (204, "")
    answers = ask(home, "/RPC", [{**call, "id": 1}, call, 5, {**call, "id": None}])[1]
    assert [one["id"] for one in answers] == [1, None, None] and "error" in answers[1]
    state = {"jsonrpc": "2.0", "method": "dispatcher.set_state", "id": 1}
    refused = ask(home, "/RPC", {**state, "params": ["t", 1, "all"]})[1]["error"]
    assert refused["message"] == "State Update Failed" and "nobody can say it" in refused["data"]
    assert "result" in ask(home, "/RPC", {**state, "params": {"state": "i", "group": 1, "address": "all"}})[1]
    members = ask(home, "/v1/dispatcher?set=1")[1]["sets"][0]["destinations"]
    assert {one["admin"] for one in members} == {"draining"} and {one["why"] for one in members} == {"by JSON-RPC"}
    unknown = {"jsonrpc": "2.0", "method": "dispatcher.remove", "params": [1, "sip:127.0.0.1:7999"], "id": 1}
    assert "has no destination" in ask(home, "/RPC", unknown)[1]["error"]["data"]
