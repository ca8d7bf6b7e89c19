"""desk.attempt and desk.webhooks: what is sent, what an answer means, and what a receiver that is away costs."""

import asyncio
import datetime
import socket
import ssl
import subprocess
from collections import deque
from email.utils import format_datetime

import pytest
from aiohttp import web

from fastsip.base.run_dir import WEBHOOKS
from fastsip.config.model import Webhook
from fastsip.desk import attempt as module
from fastsip.desk import webhooks
from fastsip.desk.attempt import (
    LONGEST_RETRY_AFTER_S,
    MOST_ANSWER,
    attempt,
    judged,
    open_session,
    seconds_of,
    signature,
)
from fastsip.desk.webhooks import serve
from fastsip.events import file
from fastsip.events.counts import Counts, read_counts, write_counts
from fastsip.events.file import EventFile, line_of
from fastsip.events.follow import Position, position_at_end
from fastsip.events.positions import highest_number, read_positions, write_positions
from fastsip.process.webhooks import Webhooks
from tests.system.receiver import Receiver, hang, status, taken

EVENT = {"id": 7, "at": 1.5, "event": "destination.down"}


def hook(url: str, name: str = "hook", **more) -> Webhook:
    keys = {"events": ("*",), "secret": "", "timeout_ms": 20_000, "headers": ()} | more
    return Webhook(name=name, url=url, **keys)


async def once(one: Webhook):
    async with open_session(one) as session:
        return await attempt(session, one, EVENT, "0.1")


# ---------------------------------------------------------------- one attempt


def test_the_signature_is_what_other_programs_make_of_it():
    """As `printf '12.{}' | openssl dgst -sha256 -hmac sixteen` prints it."""
    done = subprocess.run(["openssl", "dgst", "-sha256", "-hmac", "sixteen"], input=b"12.{}", capture_output=True,
                          check=True, timeout=20)  # fmt: skip
    assert signature("sixteen", 12, b"{}") == f"t=12,v1={done.stdout.decode().split()[-1]}"


@pytest.mark.parametrize("code, taken, final", [
    (200, True, False), (299, True, False), (199, False, False), (300, False, False), (302, False, False),
    (399, False, False), (400, False, True), (404, False, True), (408, False, False), (429, False, False),
    (499, False, True), (500, False, False), (599, False, False),
])  # fmt: skip
def test_what_a_status_means(code, taken, final):
    found = judged(code, "")
    assert (found.taken, found.final, bool(found.why)) == (taken, final, not taken)


@pytest.mark.parametrize("text, seconds", [
    ("", 0), ("0", 0), ("7", 7), ("-1", 0), ("1.5", 0), ("x", 0), ("3600", 3600), ("3601", 3600), ("9" * 400, 3600),
    ("Fri, 32 Jan 2026 00:00:00 GMT", 0), ("Fri, 02 Jan 1970 00:00:00 GMT", 0),
])  # fmt: skip
def test_how_long_a_receiver_may_ask_for_silence(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("ahead_s", [60, 10**6])
def test_a_date_is_as_good_as_seconds(ahead_s):
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_s)
    assert 0 < seconds_of(format_datetime(at, usegmt=True)) <= min(ahead_s, LONGEST_RETRY_AFTER_S)


async def test_no_answer_is_no_exception(free_port):
    async with Receiver() as receiver:
        receiver.last = hang
        assert (await once(hook(receiver.url(), timeout_ms=100))).why == "no answer within 0.1 s"
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    found = await once(hook(f"http://u:s3cret@127.0.0.1:{port}/s3cret"))
    assert not found.taken and not found.final and found.why and "s3cret" not in found.why and "Errno" not in found.why


async def test_a_name_and_a_password_in_the_url_are_credentials():
    async with Receiver() as receiver:
        assert (await once(hook(receiver.url().replace("//", "//u:p@")))).taken
        assert receiver.asked[0][0]["Authorization"] == "Basic dTpw"


async def test_nothing_of_an_answer_is_kept_or_waited_for():
    """Neither a body without an end, nor one that stops: the status was there before it."""
    sent = []

    async def endless(request):
        answer = web.StreamResponse()
        await answer.prepare(request)
        while len(sent) < 10_000:
            await answer.write(bytes(16 << 10))
            sent.append(1)
        return answer

    async def stops(request):
        answer = web.StreamResponse(headers={"Content-Length": "10", "Set-Cookie": "a=b"})
        await answer.prepare(request)
        return await hang(request)

    async with Receiver() as receiver:
        receiver.answers = [endless, stops]
        assert (await once(hook(receiver.url()))).taken and len(sent) < 1000 and MOST_ANSWER == 65_536
        assert (await once(hook(receiver.url(), timeout_ms=300))).taken


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "crt",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=tmp_path,
                   capture_output=True, check=True, timeout=60)  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    heard = []

    async def serve_one(reader, writer):
        heard.append(await reader.read(10))
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    async with server:
        found = await once(hook(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))
    assert not found.taken and "ertificate" in found.why and heard in ([], [b""])


# ---------------------------------------------------------------- webhooks


@pytest.fixture
def record(scratch):
    one = EventFile(scratch)
    one.begin()
    return one


def tell(record: EventFile, *names: str) -> None:
    record.append(deque(line_of({"at": 1.5, "event": name, "node": "edge1"}) for name in names))


class Told:
    """The desk's loop, given one order after the other."""

    def __init__(self, scratch, since: int):
        self.scratch, self.since = scratch, since
        self.orders: asyncio.Queue[Webhooks] = asyncio.Queue()

    def order(self, *hooks: Webhook, node: str = "edge1") -> None:
        place, since = str(self.scratch), {one.name: self.since for one in hooks}
        self.orders.put_nowait(Webhooks(run_dir=place, state_dir=place, node=node, release="0.1", since=since,
                                        webhooks=hooks))

    async def __aenter__(self):
        self.before = asyncio.all_tasks()
        self.serving = asyncio.create_task(serve(self.orders))
        return self

    async def __aexit__(self, *_):
        """As a SIGKILL would: nothing is said to anybody."""
        ours = asyncio.all_tasks() - self.before
        for task in ours:
            task.cancel()
        await asyncio.wait(ours)


@pytest.fixture
def told(scratch, record, monkeypatch):
    monkeypatch.setattr(webhooks, "LOOK_S", 0.005)
    monkeypatch.setattr(webhooks, "COUNT_S", 0.005)
    monkeypatch.setattr(webhooks, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(webhooks, "LONGEST_PAUSE_S", 0.01)
    return lambda: Told(scratch, position_at_end(scratch).number)


async def until(found) -> None:
    """The test's own limit ends it."""
    while not found():
        await asyncio.sleep(0.001)


async def test_in_order_by_pattern_and_from_where_it_was(record, told, scratch):
    async with Receiver() as receiver:
        async with told() as first:
            tell(record, "destination.up", "router.started", "destination.down")
            first.order(hook(receiver.url(), events=("destination.*",)))
            await receiver.event("destination.down")
            await until(lambda: read_positions(scratch)["hook"].number == position_at_end(scratch).number)
        tell(record, "destination.up")
        async with told() as second:
            second.order(hook(receiver.url(), events=("destination.*",)))
            await receiver.until(lambda r: len(r.events) == 3)
        assert receiver.names() == ["destination.up", "destination.down", "destination.up"]
        assert highest_number(scratch) > 0


@pytest.mark.parametrize("dies", range(6))
async def test_a_death_repeats_at_most_what_was_under_way(record, told, scratch, dies):
    """It dies while the event of this number is answered; the receiver has taken it all the same."""
    names = [f"destination.{name}" for name in ("up", "down", "trying", "up", "down", "enabled")]
    async with Receiver() as receiver:
        receiver.answers = [taken] * dies + [hang]
        async with told() as first:
            since = first.since
            tell(record, *names)
            first.order(hook(receiver.url()))
            await receiver.until(lambda r: len(r.asked) == dies + 1)
        async with told() as second:
            second.since = since
            second.order(hook(receiver.url()))
            await receiver.event("destination.enabled")
        assert receiver.names() == names and len(receiver.asked) == len(names) + 1


async def test_one_that_hangs_keeps_no_other_one(record, told):
    async with Receiver() as receiver, Receiver() as hanging, told() as one:
        hanging.last = hang
        one.order(hook(hanging.url(), "hanging"), hook(receiver.url()))
        for number in range(1, 6):
            tell(record, "destination.up")
            await receiver.until(lambda r, number=number: len(r.events) == number)
        assert len(hanging.asked) == 1


async def test_what_was_overrun_is_counted_and_told(record, told, scratch, monkeypatch):
    """The record goes on while the receiver is away: two files are kept, what was before is missed."""
    monkeypatch.setattr(file, "MOST_BYTES", 1)
    async with Receiver() as receiver, told() as one:
        receiver.last = status(503)
        tell(record, "destination.down")
        first = position_at_end(scratch).number - 1
        one.order(hook(receiver.url(), events=("destination.*",)))
        await receiver.until(lambda r: len(r.asked) >= 2)
        for _ in range(5):
            record.follow_on()
            tell(record, "destination.up")
        receiver.last = taken
        await receiver.until(lambda r: len(r.events) == 4)
        lost = receiver.events[1]
        assert receiver.names() == ["destination.down", "events.lost", "destination.up", "destination.up"]
        assert (lost["count"], lost["webhook"], lost["id"], lost["node"]) == (3, "hook", first + 3, "edge1")
        await until(lambda: read_counts(scratch).get("hook", Counts()).sent == 4)
        counts = read_counts(scratch)["hook"]
        assert (counts.dropped, counts.waiting, counts.why) == (3, 0, "") and counts.failed >= 2


async def test_an_event_that_a_receiver_cannot_take_is_given_up(record, told, scratch, monkeypatch):
    monkeypatch.setattr(webhooks, "PATIENCE_S", 0.0)
    async with Receiver() as receiver, told() as one:
        receiver.answers = [status(500)]
        tell(record, "destination.down", "destination.up")
        one.order(hook(receiver.url()))
        await receiver.event("destination.up")
        assert receiver.names() == ["events.lost", "destination.up"]
        lost, after = receiver.events
        assert (lost["count"], lost["webhook"], lost["id"]) == (1, "hook", after["id"] - 1)


async def test_one_that_changes_goes_on_and_one_that_goes_is_forgotten(record, told, scratch):
    async with Receiver() as receiver, Receiver() as other, told() as one:
        receiver.last = status(503)
        one.order(hook(receiver.url()), hook(other.url(), "other"))
        tell(record, "destination.down")
        await receiver.until(lambda r: len(r.asked) >= 2)
        await other.event("destination.down")
        receiver.last = taken
        one.order(hook(receiver.url("/new")), hook(other.url(), "other"))
        await receiver.event("destination.down")
        one.order(hook(receiver.url("/new")))
        await until(lambda: set(read_positions(scratch)) == {"hook"})
        tell(record, "destination.up")
        await receiver.event("destination.up")
        assert other.names() == ["destination.down"]


async def test_a_disk_without_room_costs_no_event(record, told, scratch, monkeypatch):
    (scratch / WEBHOOKS).mkdir()
    async with Receiver() as receiver, told() as one:
        tell(record, "destination.down", "destination.up")
        one.order(hook(receiver.url()))
        await receiver.until(lambda r: len(r.events) == 2)


def test_what_is_kept_is_read_again_or_put_aside(scratch):
    positions = {"a": Position(number=7, first=5, offset=90, life=5), "b": Position(number=9)}
    write_positions(scratch, positions)
    write_counts(scratch, {"a": Counts(sent=1, why="x")})
    assert read_positions(scratch) == positions and highest_number(scratch) == 9
    assert read_counts(scratch) == {"a": Counts(sent=1, why="x")}
    for name in ("webhooks", "sent"):
        (scratch / name).write_text("{")
    assert read_positions(scratch) == {} == read_counts(scratch) and highest_number(scratch) == 0


def test_a_secret_is_signed_with_and_never_sent():
    one = hook("http://u:p@h/", secret="sixteen letters or more", headers=(("User-Agent", "me"),))
    found = module.headers_of(one, EVENT, b"{}", "0.1")
    assert found["User-Agent"] == "me" and found["Fastsip-Signature"].startswith("t=")
    assert "sixteen" not in str(found) + repr(one) and "u:p" not in repr(one)
