"""The router's life: start and refusal, stop, reload under traffic, kill -9 and what the next one knows."""

import asyncio
import json
import signal
import socket

import pytest
from ua import UserAgent

from .edge import NUMBER, edge_config, expect_call, refuse, settle
from .lives import Home, Life, command, killed_and_back

STOP_S = 5
SECOND_SET = """
[set.other]
algorithm = "priority"
destinations = ["sip:127.0.0.1:{port}"]
probe = false

[[route]]
to = "other"
failure = "next"
"""
PATIENT = 'on = [500, "timeout", "transport"]'
MARKING = 'on = [500, "timeout", "transport"]\ntimeout = "300ms"\nmark = "down"'


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


# ---------------------------------------------------------------- start and stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_at_once_and_well(home, edge, number):
    """Also with a call in the middle, which is kept for the next one."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT, shards=2)).ready()
        call = alice.invite(NUMBER, edge)
        bob.ring(await expect_call(bob, call))
        await call.expect(180)
        assert await asyncio.to_thread(life.end, number, STOP_S) == 0
        assert life.records("router stopped")[0]["transactions_kept"] == 2
        assert not bob.waiting("CANCEL") and not alice.waiting(lambda m: m.status >= 200)


def test_a_second_router_on_the_run_dir_is_refused(home, edge, free_port):
    callee = ("127.0.0.1", free_port())
    first = home.start(edge_config(edge, [callee])).ready()
    second = home.start(edge_config(("127.0.0.1", free_port()), [callee]))
    assert second.ended() == 2
    assert f"fastsip: another router runs on router.run_dir = {home.place / 'run'}" in second.lines
    assert first.process.poll() is None
    assert first.end(signal.SIGTERM) == 0
    home.start().ready()  # the lock went with its holder


@pytest.mark.parametrize("option", [None, socket.SO_REUSEPORT])
def test_a_port_that_somebody_has_is_refused(home, edge, free_port, option):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        if option:
            stranger.setsockopt(socket.SOL_SOCKET, option, 1)
        stranger.bind(edge)
        life = home.start(edge_config(edge, [("127.0.0.1", free_port())]))
        assert life.ended() == 2
    (said,) = [line for line in life.lines if line.startswith("fastsip: ")]
    assert f"cannot listen on udp:127.0.0.1:{edge[1]}: it is in use" in said


def test_a_run_dir_that_cannot_be_made_is_refused(home, edge, free_port):
    text = edge_config(edge, [("127.0.0.1", free_port())])
    (home.place / "file").write_text("not a directory")
    life = home.start(text.replace("@RUN_DIR@", str(home.place / "file" / "run")))
    assert life.ended() == 2
    assert any("router.run_dir" in line for line in life.lines), life.text


# ---------------------------------------------------------------- reload


async def reload(life: Life, home: Home, text: str, event: str, count: int = 1) -> dict:
    """Writes the file, sends SIGHUP and waits for what the log says of it."""
    home.write(text)
    life.process.send_signal(signal.SIGHUP)
    return await life.logged(event, count)


async def test_a_reload_changes_the_rules_under_traffic(home, edge):
    """Calls go on all the time; each ends well, and from some moment on all go to the new set."""
    placed = {"bob": 0, "carol": 0}
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        common = {"max_transactions": 20_000, "shards": 2, "timers": 't1 = "500ms"'}
        text = edge_config(edge, [bob.address], **common)
        changed = edge_config(edge, [bob.address], **common, rules=SECOND_SET.format(port=carol.address[1]))
        life = home.start(text).ready()

        async def answer(ua):
            while True:
                ua.reply(await ua.expect("INVITE", 60), 486)
                placed[ua.name] += 1

        async def place(stop):
            while not stop.is_set():
                await alice.invite(NUMBER, edge).refused(486)

        stop = asyncio.Event()
        callees = [asyncio.create_task(answer(ua)) for ua in (bob, carol)]
        callers = [asyncio.create_task(place(stop)) for _ in range(4)]
        for turn, wanted in enumerate(("carol", "bob", "carol"), 1):
            await reload(life, home, changed if wanted == "carol" else text, "reloaded", turn)
            before = dict(placed)
            await asyncio.wait_for(grown(placed, wanted, before[wanted] + 20), 20)
            other = "bob" if wanted == "carol" else "carol"
            assert placed[other] <= before[other] + len(callers)  # those that were on their way
        stop.set()
        await asyncio.gather(*callers)
        for task in callees:
            task.cancel()
        assert [record["version"] for record in life.records("reloaded")] == [2, 3, 4]


async def grown(placed, name, count) -> None:
    while placed[name] < count:
        await asyncio.sleep(0.01)


async def test_a_reload_keeps_what_was_learned(home, edge):
    """A destination that was found dead stays so, also when its set is written differently."""
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        both = [bob.address, carol.address]
        life = home.start(edge_config(edge, both, policy=MARKING)).ready()
        call = alice.invite(NUMBER, edge)
        await expect_call(bob, call)  # and is silent
        await refuse(carol, call)
        await life.logged("destination down")
        bob.inbox.clear()
        rewritten = edge_config(edge, both, policy=MARKING, timers='t1 = "200ms"', set_keys="limit = 2")
        await reload(life, home, rewritten, "reloaded")
        for _ in range(3):
            await refuse(carol, alice.invite(NUMBER, edge))
        await settle(alice, edge)
        assert not bob.waiting("INVITE")


async def test_destinations_may_come_and_go_for_ever(home, edge):
    """Many more than fit at once: the lines of those that went are used again, by a restart, too."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:

        def generation(number: int) -> str:
            others = [(f"127.{1 + number}.0.{1 + host}", 5060) for host in range(100)]
            return edge_config(edge, [bob.address, *others])

        life = home.start(edge_config(edge, [bob.address])).ready()
        for number in range(6):
            await reload(life, home, generation(number), "reloaded", number + 1)
            await refuse(bob, alice.invite(NUMBER, edge))
        home.write(generation(7))
        await killed_and_back(life, home)
        await refuse(bob, alice.invite(NUMBER, edge))


@pytest.mark.parametrize(
    "wrong",
    ["[router", 'nonsense = 1\n[set.media]\nalgorithm = "coin"', "restart-only"],
    ids=["no-toml", "many-errors", "needs-a-restart"],
)
async def test_a_wrong_file_is_refused_whole(home, edge, wrong):
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        life = home.start(edge_config(edge, [bob.address])).ready()
        if wrong == "restart-only":  # a good file whose set is another one, but its calls would be elsewhere
            wrong = edge_config(edge, [carol.address]).replace("@STATE_DIR@", str(home.place))
        record = await reload(life, home, wrong, "reload refused")
        assert record["level"] == "error" and "the old configuration runs on" in record["event"]
        await refuse(bob, alice.invite(NUMBER, edge))
        assert not carol.waiting("INVITE")
        # and the next good one is taken
        await reload(life, home, edge_config(edge, [carol.address]), "reloaded")
        await refuse(carol, alice.invite(NUMBER, edge))


# ---------------------------------------------------------------- kill -9


@pytest.mark.parametrize("shards", [(1, 1), (1, 2), (2, 1)], ids=lambda pair: f"{pair[0]}-then-{pair[1]}")
async def test_cancel_of_a_ringing_call_after_kill(home, edge, shards):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT, shards=shards[0])).ready()
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        bob.ring(invite)
        await call.expect(180)
        home.write(edge_config(edge, [bob.address], policy=PATIENT, shards=shards[1]))
        again = await killed_and_back(life, home)
        started = again.records("router started")[0]
        # a server and a client transaction
        assert (started["transactions_taken_up"], started["shards"]) == (2, shards[1])
        call.cancel()
        assert (await call.expect(200)).cseq_method == "CANCEL"
        cancel = await bob.expect("CANCEL")
        assert cancel.branch == invite.branch
        bob.reply(cancel, 200)
        bob.reply(invite, 487)
        assert (await bob.expect("ACK")).branch == invite.branch
        await call.refused(487)


async def test_a_silent_callee_is_given_up_after_kill(home, edge):
    """The timer of the first life fires in the second; its policy is still known."""
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        life = home.start(edge_config(edge, [bob.address, carol.address])).ready()
        call = alice.invite(NUMBER, edge)
        await expect_call(bob, call)
        await killed_and_back(life, home)
        bob.inbox.clear()
        await refuse(carol, call)


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_after_kill(home, edge, status):
    """A 200 finds its way back; a 500 lets the next one ring."""
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=PATIENT)).ready()
        call = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, call)
        bob.ring(invite)
        await call.expect(180)
        await killed_and_back(life, home)
        if status == 500:
            bob.reply(invite, 500)
            assert (await bob.expect("ACK")).branch == invite.branch
            bob, invite = carol, await expect_call(carol, call)
        bob_leg = bob.answer(invite)
        alice_leg = await call.established()
        await bob_leg.expect("ACK")
        alice_leg.bye()
        bob.reply(await bob_leg.expect("BYE"), 200)
        await alice_leg.expect(lambda m: m.status == 200 and m.cseq_method == "BYE")


async def test_a_repeated_request_after_kill_is_no_new_call(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call = alice.invite(NUMBER, edge)
        bob.ring(await expect_call(bob, call))
        await call.expect(180)
        await killed_and_back(life, home)
        bob.inbox.clear()
        alice.inbox.clear()
        call.again()
        await call.expect(180)
        await settle(alice, edge)
        assert not bob.waiting("INVITE")


async def test_health_outlives_kill(home, edge):
    async with (
        UserAgent(name="alice") as alice,
        UserAgent(name="bob") as bob,
        UserAgent(name="carol") as carol,
    ):
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=MARKING)).ready()
        call = alice.invite(NUMBER, edge)
        await expect_call(bob, call)
        await refuse(carol, call)
        await life.logged("destination down")
        await killed_and_back(life, home)
        bob.inbox.clear()
        await refuse(carol, alice.invite(NUMBER, edge))
        assert not bob.waiting("INVITE")


# ---------------------------------------------------------------- fastsip stats


async def test_stats_show_what_was_counted(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], shards=2)).ready()
        for _ in range(3):
            await refuse(bob, alice.invite(NUMBER, edge))
        await settle(alice, edge)
        shown = await asyncio.to_thread(command, "stats", home.config, "--json")
        assert (shown.returncode, shown.stderr) == (0, "")
        counted = json.loads(shown.stdout)
        assert counted["invites"] == 3 and counted["failovers"] == 0
        assert counted["requests"] >= 3 + 3 + 1  # INVITE, ACK, OPTIONS
        assert counted["store_bytes"] > 0 and "slots" in counted
        plain = await asyncio.to_thread(command, "stats", "--all", home.config)
        rows = dict(line.split() for line in plain.stdout.splitlines() if len(line.split()) == 2)
        assert rows["invites"] == "3" and rows["failovers"] == "0"
        assert (await asyncio.to_thread(command, "stop", home.config)).returncode == 0
        assert await asyncio.to_thread(life.ended) == 0
        gone = await asyncio.to_thread(command, "stats", home.config, "--json")
        assert gone.returncode == 3 and json.loads(gone.stdout)["invites"] == 3
        assert gone.stderr.startswith("fastsip: no router runs in ") and gone.stderr.count("\n") == 1


def test_stats_without_a_router(home, edge, free_port):
    config = home.write(edge_config(edge, [("127.0.0.1", free_port())]))
    shown = command("stats", config)
    assert shown.returncode == 3 and f"no router runs in {home.place / 'run'}" in shown.stderr
    config.write_text("[router")
    assert command("stats", config, "--json").returncode == 2
