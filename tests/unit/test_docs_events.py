"""docs/events.md has every event with its fields, and its receiver takes what is signed and nothing else."""

import http.client
import re
import threading
import time
import types
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from fastsip.config.model import Webhook
from fastsip.desk import attempt, webhooks
from fastsip.desk.attempt import headers_of
from fastsip.events import file
from fastsip.events.names import EVENTS

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
ALWAYS = {"id", "at", "event", "node", "initial"}


def test_every_event_is_there_with_its_fields():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+) \|", PAGE, re.M)
    assert {name: tuple(re.findall(r"`(\w+)`", fields)) for name, fields in rows} == EVENTS


def test_every_field_is_explained_once():
    table = PAGE.split("| field | says |")[1].split("\n\n")[0]
    found = [name for cells in re.findall(r"^\| ([^|]+) \|", table, re.M) for name in re.findall(r"`(\w+)`", cells)]
    assert sorted(found) == sorted(ALWAYS | {field for fields in EVENTS.values() for field in fields})


def test_the_bounds_are_those_of_the_code():
    assert f"{file.LONGEST_LINE:,} bytes with its end" in PAGE and f"{file.MOST_BYTES >> 20} MiB on" in PAGE
    assert (webhooks.FIRST_PAUSE_S, webhooks.LONGEST_PAUSE_S, webhooks.PATIENCE_S) == (0.5, 300, 86_400)
    assert (attempt.MOST_ANSWER >> 10, attempt.LONGEST_RETRY_AFTER_S, attempt.COME_AGAIN) == (64, 3600, (408, 429))


@pytest.fixture
def port(capsys):
    """Where the receiver of the page listens."""
    names: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert code.strip().count("\n") < 20
    exec(code, names)
    names["Receiver"].log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), names["Receiver"])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(20)


def post(port: int, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_receiver_of_the_page_takes_what_is_signed_once(port, capsys, monkeypatch):
    event = {"id": 7, "at": 1.5, "event": "destination.down", "destination": "media/a"}
    body = b'{"id":7,"event":"destination.down","destination":"media/a"}'
    hook = Webhook(name="h", url="", events=("*",), secret="sixteen letters or more", timeout_ms=100, headers=())
    headers = headers_of(hook, event, body, "0.1")
    assert [post(port, body, headers), post(port, body, headers)] == [204, 204]
    assert post(port, body.replace(b"down", b"up"), headers) == 403
    monkeypatch.setattr(attempt, "time", types.SimpleNamespace(time=lambda: time.time() - 301))
    old = headers_of(hook, event, body, "0.1")
    assert post(port, body, old) == 403
    assert capsys.readouterr().out == "destination.down media/a\n"
