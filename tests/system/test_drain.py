"""Draining: new calls are refused, those in set-up come to their end, and then the router may go."""

import asyncio
import signal
from itertools import pairwise

import pytest
from ua import UserAgent

from tests.conftest import READY_LINE

from .edge import NUMBER, connect, edge_config, expect_call, ringing, sip_uri
from .lives import Life, command

PATIENT = 'on = [500, "timeout", "transport"]\ntimeout = "20s"'


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def drain(home, *words):
    return asyncio.create_task(asyncio.to_thread(command, "drain", home.config, *words))


async def refused_anew(alice: UserAgent, edge) -> None:
    """The router refuses new calls, and says when to ask again; and it says so of itself."""
    call = alice.invite(NUMBER, edge)
    assert 2 <= int((await call.refused(503)).get("Retry-After")) <= 8
    asked = alice.request("OPTIONS", sip_uri(edge), edge)
    answer = await alice.expect(lambda m: m.call_id == asked.call_id)
    assert answer.status == 503 and answer.get("Retry-After")


async def taken_anew(alice: UserAgent, bob: UserAgent, edge) -> None:
    call = alice.invite(NUMBER, edge)
    bob.reply(await expect_call(bob, call), 486)
    await call.refused(486)


async def until_draining(alice: UserAgent, edge) -> None:
    """New calls are refused from some moment on."""
    while True:
        asked = alice.request("OPTIONS", sip_uri(edge), edge)
        if (await alice.expect(lambda m, asked=asked: m.call_id == asked.call_id)).status == 503:
            return


async def test_new_calls_are_refused_and_those_in_progress_come_to_their_end(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT, shards=2)).ready()
        alice_leg, bob_leg = await connect(alice, bob, edge)
        left, cancelled = alice.invite(NUMBER, edge), alice.invite(NUMBER, edge)
        invites = [await expect_call(bob, call) for call in (cancelled, left)]
        for call, invite in zip((cancelled, left), invites, strict=True):
            bob.ring(invite)
            await call.expect(180)
        draining = drain(home)
        await until_draining(alice, edge)
        await refused_anew(alice, edge)
        # In-dialog requests and CANCEL pass, and so does the answer.
        bob_leg.send("INFO")
        alice.reply(await alice_leg.expect("INFO"), 200)
        await bob_leg.expect(200)
        cancelled.cancel()
        cancel = await bob.expect("CANCEL")
        bob.reply(cancel, 200)
        for call, invite, status in zip((cancelled, left), invites, (487, 486), strict=True):
            assert not draining.done()
            bob.reply(invite, status)
            await call.refused(status)
        done = await draining
        assert (done.returncode, done.stdout) == (0, "drained; new calls get 503 until `fastsip drain --undo`\n")
        assert done.stderr.splitlines()[-1].startswith("0 transactions open")
        assert any(line.startswith("2 transactions open") for line in done.stderr.splitlines())
        assert all(one != other for one, other in pairwise(done.stderr.splitlines()))
        assert [len(life.records(event)) for event in ("draining", "drained", "new calls are taken")] == [1, 1, 0]
        # The router is still there: it takes the BYE, and on demand new calls.
        await refused_anew(alice, edge)
        alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200)
        await alice_leg.expect(200)
        undone = await asyncio.to_thread(command, "drain", home.config, "--undo")
        assert (undone.returncode, undone.stdout) == (0, "new calls are taken\n")
        await life.logged("new calls are taken")
        await taken_anew(alice, bob, edge)
        assert life.process.poll() is None


async def test_the_deadline_ends_the_patience(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call, invite = await ringing(alice, bob, edge)
        done = await drain(home, "--deadline", "1s")
        assert (done.returncode, done.stdout) == (
            1, "the time is over, 1 transaction open; new calls get 503 until `fastsip drain --undo`\n"
        )  # fmt: skip
        assert life.records("the time to drain is over")[0]["open"] == 1
        done = await drain(home, "--deadline", "1s", "--then", "stop")
        assert done.returncode == 1
        assert "the router leaves all the same, the next start takes up what is open" in done.stdout
        assert await asyncio.to_thread(life.ended) == 0
        # What rang is not lost, only late.
        again = home.start()
        await asyncio.to_thread(again.ready)
        bob.reply(invite, 486)
        await call.refused(486)


async def test_then_stop(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        draining = drain(home, "--then", "stop")
        await until_draining(alice, edge)
        bob.reply(invite, 486)
        await call.refused(486)
        done = await draining
        assert (done.returncode, done.stdout) == (0, "drained; the router leaves\n")
        assert await asyncio.to_thread(life.ended) == 0


@pytest.mark.parametrize("patient", [True, False])
async def test_a_router_that_drains_on_sigterm(home, edge, patient):
    """stop_mode = "drain"; a second SIGTERM is not as patient."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT)
        life = home.start(text.replace("[router]", '[router]\nstop_mode = "drain"')).ready()
        call, invite = await ringing(alice, bob, edge)
        life.process.send_signal(signal.SIGTERM)
        await until_draining(alice, edge)
        await refused_anew(alice, edge)
        await life.logged("draining")
        assert life.process.poll() is None and len(life.records("draining")) == 1
        if patient:
            bob.reply(invite, 486)
            await call.refused(486)
        else:
            life.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(life.ended) == 0
        assert len(life.records("drained")) == int(patient)


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
async def test_whoever_drains_hears_that_it_was_stopped_meanwhile(home, edge, how):
    """The end of the process answers every order that is open, and leaves no traceback."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        await ringing(alice, bob, edge)
        draining = [drain(home), drain(home, "--then", "stop")]
        await life.logged("draining", 2)
        if how == "stop":
            assert (await asyncio.to_thread(command, "stop", home.config)).returncode == 0
        else:
            life.process.send_signal(signal.SIGTERM)
        for done in await asyncio.gather(*draining):
            assert done.returncode == 1 and done.stderr.endswith("fastsip: the router was stopped meanwhile\n")
        assert await asyncio.to_thread(life.ended) == 0
        assert all(line.startswith("{") or line == READY_LINE for line in life.lines)


async def test_draining_outlives_the_router_and_an_upgrade(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life: Life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        assert (await drain(home)).returncode == 0
        life.kill_router()
        await life.logged("router took over", 2)
        await refused_anew(alice, edge)
        assert (await asyncio.to_thread(command, "upgrade", home.config)).returncode == 0
        await refused_anew(alice, edge)
        await asyncio.to_thread(command, "drain", home.config, "--undo")
        await taken_anew(alice, bob, edge)


@pytest.mark.parametrize("deadline", ["soon", "0s", "60"])
def test_a_wrong_deadline(home, edge, deadline):
    home.write(edge_config(edge, [("127.0.0.1", 9)]))
    done = command("drain", home.config, "--deadline", deadline)
    assert done.returncode == 2 and "duration" in done.stderr


@pytest.mark.parametrize("name", ["status", "reload", "drain", "upgrade", "stop"])
def test_without_a_router(home, edge, name):
    home.write(edge_config(edge, [("127.0.0.1", 9)]))
    done = command(name, home.config)
    assert (done.returncode, done.stderr) == (3, f"fastsip: no router runs in {home.place / 'run'}\n")


async def test_who_undoes_it_while_somebody_waits_for_its_end_has_the_last_word(home, edge):
    """Whoever waits asks the router from time to time how much is open: that must not begin the draining anew."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call, invite = await ringing(alice, bob, edge)
        draining = drain(home, "--deadline", "20s")
        await until_draining(alice, edge)
        assert (await asyncio.to_thread(command, "drain", home.config, "--undo")).returncode == 0
        await taken_anew(alice, bob, edge)      # what is answered has happened
        assert (await draining).returncode == 1
        await taken_anew(alice, bob, edge)
        bob.reply(invite, 486)
        await call.refused(486)
        assert life.process.poll() is None
