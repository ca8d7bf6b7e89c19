"""Events of a real router, as the command line and as receivers of webhooks see them: each once, in order, over
deaths of whoever writes and of whoever sends."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from ua import UserAgent

from tests.conftest import ROOT

from .edge import NUMBER, edge_config, refuse, sip_uri
from .lives import command
from .receiver import Receiver, hang, reset, status, taken
from .test_probes import Responder

# Who is up is not probed: on a machine that stalls nobody goes down but by what the test does.
PROBE = '{ interval = "150ms", timeout = "150ms", rise = 1, mode = "only-failed" }'
POLICY = 'on = [503, "timeout", "transport"]\nmark = "down"'
SECRET = "a secret that both of us know"


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def webhook(url: str, *keys: str, name: str = "hook") -> str:
    return "\n".join(["[[webhook]]", f'name = "{name}"', f'url = "{url}"', *keys, ""])


async def run(*words: object):
    return await asyncio.to_thread(command, *words)


async def events_of(home, *words: object) -> list[dict]:
    done = await run("events", home.config, "--json", *words)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def status_of(home, name: str) -> dict:
    (one,) = [one for one in json.loads((await run("status", home.config, "--json")).stdout)["webhooks"]
              if one["name"] == name]
    return one


def desk_of(life) -> int | None:
    """The process that tells webhooks, if it is there."""
    children = Path(f"/proc/{life.process.pid}/task/{life.process.pid}/children").read_text().split()
    for pid in map(int, children):
        with contextlib.suppress(FileNotFoundError):
            if b"fastsip.desk" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


async def kill_desk(life) -> None:
    pid = desk_of(life)
    assert pid
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():    # until it is reaped; the test's own limit ends it
        await asyncio.sleep(0)


class Followed:
    """`fastsip events --follow`, whose events are expected one after the other."""

    async def begin(self, home, *words: str) -> "Followed":
        argv = ("-m", "fastsip", "events", str(home.config), "--follow", "--json", *words)
        self.process = await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=ROOT,
                                                            stdout=asyncio.subprocess.PIPE)
        self.seen: list[dict] = []
        return self

    async def until(self, name: str, **fields: object) -> dict:
        while True:
            event = json.loads(await self.process.stdout.readline())
            self.seen.append(event)
            if event["event"] == name and fields.items() <= event.items():
                return event

    async def end(self) -> None:
        self.process.kill()
        await self.process.wait()


def is_signed(said: str, body: bytes) -> bool:
    fields = dict(part.split("=") for part in said.split(","))
    return fields["v1"] == hmac.new(SECRET.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()


async def see_a_list_go_and_come_back(home, followed: Followed, place: Path) -> None:
    away = place.rename(place.with_name("away"))
    assert (await run("reload", home.config)).returncode == 0
    assert (await followed.until("source.failed", source="list"))["origin"] == str(place)
    assert (await run("upgrade", home.config)).returncode == 0
    assert (await followed.until("config.reloaded", cause="upgrade"))["version"] == 3
    away.rename(place)
    assert (await run("reload", home.config)).returncode == 0
    await followed.until("source.back", source="list")
    assert [one["event"] for one in followed.seen if "source" in one] == ["source.failed", "source.back"]


async def test_a_destination_that_dies_and_comes_back_is_told_to_all(home, edge):
    """To the command line, to a receiver that checks what is signed, and over the deaths of router and desk."""
    key = home.place / "key"
    key.write_text(SECRET + "\n")
    key.chmod(0o600)
    async with (Receiver() as receiver, UserAgent(name="alice") as alice, UserAgent(name="bob") as bob,
                UserAgent(name="carol") as carol, Responder(bob, None) as responder):  # fmt: skip
        hook = webhook(receiver.url("/a?token=s3cret"), 'events = "destination.*"', 'secret = "file:key"',
                       'headers = { X-From = "edge" }')
        listed = home.place / "dispatcher.list"
        listed.write_text("7 sip:127.0.0.1:9\n")
        source = '[[source]]\nkind = "list"\nname = "list"\npath = "dispatcher.list"\n'
        text = edge_config(edge, [bob.address, carol.address], probe=PROBE, policy=POLICY)
        life = home.start(text + source + hook).ready()
        identity = f"media/{sip_uri(bob.address)}"
        about = {"destination": identity, "uri": sip_uri(bob.address), "set": "media"}
        followed = await Followed().begin(home, "--initial")
        first = await followed.until("destination.unknown", initial=True, state="unknown", **about)
        assert first["node"] and await followed.until("destination.enabled", initial=True, **about)

        call = alice.invite(NUMBER, edge)
        bob.reply(await bob.expect("INVITE"), 503)
        await refuse(carol, call)
        down = await receiver.event("destination.down", cause="response", code=503, state="down", **about)
        assert await followed.until("destination.down") == down and down["id"] > first["id"]
        life.kill_router()
        started = await followed.until("router.started")
        assert started["cause"] == "crash" and started["pid"] == life.router_pid()
        await kill_desk(life)
        responder.status = 200
        assert await followed.until("destination.up") == await receiver.event("destination.up", cause="probe", **about)
        done = await run("dispatcher", "drain", identity, "--why", "new memory", "--config", home.config)
        assert done.returncode == 0, done.stderr
        draining = await receiver.event("destination.draining", cause="operator", why="new memory", **about)
        assert await followed.until("destination.draining") == draining
        await see_a_list_go_and_come_back(home, followed, listed)
        await followed.end()

        told = [event for event in await events_of(home, "--event", "destination.*")]
        assert told == receiver.events == sorted(told, key=lambda event: event["id"])
        headers, body = receiver.asked[-1]
        assert is_signed(headers["Fastsip-Signature"], body) and headers["X-From"] == "edge"
        assert (headers["Fastsip-Event-Id"], headers["Fastsip-Event"]) == (str(draining["id"]), "destination.draining")
        assert "s3cret" not in life.text and SECRET not in life.text
        since = await events_of(home, "--since", down["id"], "--event", "destination.*")
        assert [event["event"] for event in since] == ["destination.up", "destination.draining"]
        plain = (await run("events", home.config, "--event", "destination.down")).stdout
        assert identity in plain and "cause response" in plain and plain.count("\n") == 1


async def test_what_is_not_taken_is_sent_again_and_keeps_no_other_one(home, edge):
    """A reset, a redirect, 429 with its pause, 404; and one that hangs beside it."""
    async with Receiver() as receiver, Receiver() as hanging, Receiver() as elsewhere:
        receiver.answers = [reset, status(302, Location=elsewhere.url()), status(429, **{"Retry-After": "1"})]
        hanging.last = hang
        hooks = (webhook(receiver.url(), 'events = ["config.*", "router.started"]'),
                 webhook(hanging.url(), 'timeout = "60s"', name="hanging"))
        text = edge_config(edge, [("127.0.0.1", 9)]) + "".join(hooks)
        life = home.start(text).ready()
        started = await receiver.event("router.started", cause="start")
        assert [json.loads(body) for _, body in receiver.asked] == [started] * 4 and elsewhere.asked == []

        receiver.answers = [status(404)]
        assert (await run("reload", home.config)).returncode == 0
        home.write(text + "half an edit")
        assert (await run("reload", home.config)).returncode == 1
        refused = await receiver.event("config.refused", cause="reload")
        assert "not TOML" in refused["why"]
        assert receiver.names() == ["router.started", "config.refused"]     # of config.reloaded it wanted nothing
        await life.logged("a webhook refuses an event")
        while (one := await status_of(home, "hook"))["sent"] < 2:
            pass
        assert (one["failed"], one["dropped"], one["waiting"], one["why"]) == (4, 1, 0, "")
        assert len(hanging.asked) == 1
        while (await status_of(home, "hanging"))["waiting"] < 3:
            pass
        text = (await run("status", home.config)).stdout
        assert "hook: 2 sent 4 failed 1 dropped 0 waiting" in text


async def test_what_waits_outlives_all_of_us(home, edge):
    """The receiver is away while the whole is killed; what comes then is what was before, and nothing twice."""
    async with Receiver() as receiver:
        receiver.last = status(503)
        hook = webhook(receiver.url(), 'events = ["router.*", "source.*"]')
        source = '[[source]]\nkind = "list"\nname = "list"\npath = "dispatcher.list"\n'
        listed = home.place / "dispatcher.list"
        listed.write_text("7 sip:127.0.0.1:9\n")
        life = home.start(edge_config(edge, [("127.0.0.1", 9)]) + hook + source).ready()
        await receiver.until(lambda r: len(r.asked) >= 1)
        listed.unlink()
        assert (await run("reload", home.config)).returncode == 0
        assert (await run("drain", home.config)).returncode == 0
        assert (await run("upgrade", home.config)).returncode == 0
        assert (await run("drain", home.config, "--undo")).returncode == 0
        while (await events_of(home))[-1]["event"] != "router.resumed":     # a thread writes it beside the answer
            pass
        assert await asyncio.to_thread(life.end, signal.SIGKILL) == -signal.SIGKILL
        receiver.last = taken
        listed.write_text("7 sip:127.0.0.1:9\n")
        again = home.start()
        await asyncio.to_thread(again.ready)
        await receiver.until(lambda r: r.names().count("router.started") == 3 and "source.back" in r.names())
        assert [(event["event"], event.get("cause")) for event in receiver.events] == [
            ("router.started", "start"), ("source.failed", None), ("router.draining", None), ("router.drained", None),
            ("router.started", "upgrade"), ("router.resumed", None), ("source.back", None), ("router.started", "start")]
        ids = [event["id"] for event in receiver.events]
        assert ids == sorted(set(ids))
