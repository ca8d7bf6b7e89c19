"""The supervisor: what it holds, whom it replaces, what it refuses, and that there are never two."""

import asyncio
import contextlib
import json
import os
import re
import signal
import struct
import threading
from pathlib import Path

import pytest
from ua import UserAgent

from fastsip.observe import counters
from tests.conftest import READY_LINE

from .edge import NUMBER, connect, edge_config, expect_call, ringing, settle
from .lives import Home, Life, command
from .test_gil import HeldRouter

PATIENT = 'on = [500, "timeout", "transport"]\ntimeout = "20s"'
MAJOR_AT = 8  # in the header of a partition's file


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


def status(home: Home) -> dict:
    done = command("status", home.config, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int) -> None:
    """Somebody else's child: only looking tells.  pytest's own limit ends this."""
    while is_alive(pid):
        await asyncio.sleep(0.01)


async def warm_spare(home: Home, other_than: int) -> int:
    while (found := (await asyncio.to_thread(status, home))["spare"]) in (None, other_than):
        pass
    return found


# ---------------------------------------------------------------- processes


async def test_a_dead_router_is_replaced_by_the_spare(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        before = await asyncio.to_thread(status, home)
        assert (before["pid"], before["router"]) == (life.process.pid, life.router_pid())
        spare = await warm_spare(home, 0)
        life.kill_router()
        await life.logged("router took over", 2)
        after = await asyncio.to_thread(status, home)
        assert (after["pid"], after["router"]) == (life.process.pid, spare)
        assert await warm_spare(home, spare) != spare
        await settle(alice, edge)


async def test_a_dead_spare_is_no_loss(home, edge):
    async with UserAgent(name="alice") as alice:
        life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
        spare = await warm_spare(home, 0)
        os.kill(spare, signal.SIGKILL)
        life.kill_router()
        await life.logged("router took over", 2)
        await settle(alice, edge)


async def test_nobody_outlives_a_killed_supervisor(home, edge):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    found = await asyncio.to_thread(status, home)
    assert life.end(signal.SIGKILL) == -signal.SIGKILL
    await gone(found["router"])
    await gone(found["spare"])
    assert home.start().ready().end(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP])
async def test_only_the_supervisor_acts_on_signals(home, edge, number):
    """Ctrl-C in a terminal reaches the whole process group."""
    async with UserAgent(name="alice") as alice:
        life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
        before = status(home)
        os.kill(before["router"], number)
        os.kill(before["spare"], number)
        await settle(alice, edge)
        assert status(home)["router"] == before["router"] and is_alive(before["spare"])
        assert life.end(signal.SIGTERM) == 0


async def test_routers_that_die_at_once_are_replaced_at_once_three_times(home, edge):
    async with UserAgent(name="alice") as alice:
        life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
        for death in range(4):
            life.kill_router()
            await life.logged("router took over", 2 + death)
        assert life.records("routers die at once")[0]["seconds"] == 1.0
        await settle(alice, edge)


async def test_it_stops_while_it_waits(home, edge):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    for death in range(3):
        life.kill_router()
        await life.logged("the router died", 1 + death)
        if death < 2:
            await life.logged("router took over", 2 + death)
    await life.logged("routers die at once")
    assert life.end(signal.SIGTERM, 0.9) == 0


async def test_a_router_that_does_not_leave_is_killed(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call, invite = await ringing(alice, bob, edge)
        old = life.router_pid()
        os.kill(old, signal.SIGSTOP)
        home.write(edge_config(edge, [bob.address], policy=PATIENT, shards=2))
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 0, done.stderr
        assert life.records("the router does not leave") and not is_alive(old)
        bob.reply(invite, 486)
        await call.refused(486)


# ---------------------------------------------------------------- who hangs


async def test_a_router_that_stands_still_is_replaced(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT)
        life = home.start(text.replace("[router]", '[router]\nhang = "2s"')).ready()
        call, invite = await ringing(alice, bob, edge)
        os.kill(life.router_pid(), signal.SIGSTOP)
        await life.logged("router took over", 2)
        assert life.records("the router hangs: the loop, shard 0")
        bob.reply(invite, 486)
        await call.refused(486)


async def test_a_loop_that_hangs_says_where(home, edge, monkeypatch):
    monkeypatch.setenv("FASTSIP_TEST_HOLD_S", "60")
    async with UserAgent(name="alice") as alice:
        text = edge_config(edge, [("127.0.0.1", 9)])
        text = text.replace("[router]", '[router]\nhang = "2s"\nhang_loop = "2s"')
        life = home.start(text, HeldRouter).ready()
        life.kill_router(signal.SIGUSR1)
        await life.logged("router took over", 2)
        assert life.records("the router hangs: the loop")
        assert "Fatal Python error: Aborted" in life.lines
        assert any("hold_on_demand" in line for line in life.lines)
        await settle(alice, edge)


async def test_a_loop_that_stands_still_costs_no_router_while_shards_route(home, edge, monkeypatch):
    monkeypatch.setenv("FASTSIP_TEST_HOLD_S", "6")
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT)
        life = home.start(text.replace("[router]", '[router]\nhang = "2s"'), HeldRouter).ready()
        routes = life.router_pid()
        life.kill_router(signal.SIGUSR1)
        await life.logged("the router's loop stands still, its shards route on")
        call, invite = await ringing(alice, bob, edge)
        bob.reply(invite, 486)
        await call.refused(486)
        await life.logged("the router's loop goes round again")
        assert life.router_pid() == routes and not life.records("the router hangs")
        assert any("hold_on_demand" in line for line in life.lines)


async def test_an_idle_router_does_not_hang(home, edge):
    """Every shard goes round once a second, whether anything comes or not."""
    text = edge_config(edge, [("127.0.0.1", 9)], shards=3)
    life = home.start(text.replace("[router]", '[router]\nhang = "2s"')).ready()
    marks = home.place / "run" / "marks"

    def rounds() -> list[int]:
        raw = marks.read_bytes()
        return [struct.unpack_from("=Q", raw, 4096 * page)[0] for page in range(4)]

    before = rounds()
    while any(now < then + 4 for then, now in zip(before, rounds(), strict=True)):
        await asyncio.sleep(0.05)
    assert not life.records("the router hangs")


class StillbornRouter(Life):
    program = (str(Path(__file__).with_name("stillborn_router.py")),)


@pytest.mark.parametrize("how, why", [("refuse", "no memory for three shards"), ("die", "ended with -11")])
async def test_a_router_that_does_not_start_is_no_end(home, edge, free_port, monkeypatch, how, why):
    """The configuration asked for too much: what ran before goes on, on its own listeners, with its calls."""
    monkeypatch.setenv("FASTSIP_TEST_STILLBORN", how)
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        plain = edge_config(edge, [bob.address], policy=PATIENT, shards=2)
        life = home.start(plain, StillbornRouter).ready()
        call, invite = await ringing(alice, bob, edge)
        home.write(edge_config(("127.0.0.1", free_port()), [bob.address], policy=PATIENT, shards=3))
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 1 and why in done.stderr and "the old configuration runs on" in done.stderr
        bob.reply(invite, 486)
        await call.refused(486)
        await settle(alice, edge)
        home.write(edge_config(edge, [bob.address], policy=PATIENT, shards=1))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        await settle(alice, edge)
        assert life.end(signal.SIGTERM) == 0


# ---------------------------------------------------------------- a log that nobody reads


class UnreadRouter(Life):
    """From "ready" on nobody reads its log until read_on is set."""

    def _read(self) -> None:
        self.read_on = threading.Event()
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
            if line.startswith(READY_LINE):
                break
        self.read_on.wait(120)
        super()._read()


def fill_log(life: Life) -> None:
    """Not a byte more fits into the pipe."""
    pipe = os.open(f"/proc/{life.process.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK)
    try:
        with contextlib.suppress(BlockingIOError):
            while os.write(pipe, b"\n" * 512):
                pass
    finally:
        os.close(pipe)


async def test_nobody_waits_for_who_reads_the_log(home, edge):
    """A journal that stalls: routers die and are replaced as ever, and the log goes on when it is read again."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT), UnreadRouter).ready()
        fill_log(life)
        call, invite = await ringing(alice, bob, edge)
        for _ in range(2):
            first = (await asyncio.to_thread(status, home))["router"]
            life.kill_router()
            while (await asyncio.to_thread(status, home))["router"] in (None, first):
                pass
        bob.reply(invite, 486)
        await call.refused(486)
        assert not life.records("the router died")
        life.read_on.set()
        life.kill_router()
        await asyncio.to_thread(life.wait_for, lambda lines: any('"lines_dropped":' in line for line in lines))
        assert life.end(signal.SIGTERM) == 0


# ---------------------------------------------------------------- upgrade


async def test_an_upgrade_replaces_code_but_not_the_process(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        for turn in range(3):
            before = await asyncio.to_thread(status, home)
            done = await asyncio.to_thread(command, "upgrade", home.config)
            assert (done.returncode, done.stdout.startswith("upgraded")) == (0, True), done.stderr
            after = await asyncio.to_thread(status, home)
            assert after["pid"] == before["pid"] == life.process.pid and after["router"] != before["router"]
            await life.logged("upgraded", turn + 1)
            await settle(alice, edge)
        # Nothing is handed from life to life that nobody wants any more.
        descriptors = len(os.listdir(f"/proc/{life.process.pid}/fd"))
        assert (await asyncio.to_thread(command, "upgrade", home.config)).returncode == 0
        await warm_spare(home, 0)
        assert len(os.listdir(f"/proc/{life.process.pid}/fd")) <= descriptors
        # Its children are its own: a dead one is seen.
        life.kill_router()
        await life.logged("the router died")
        await settle(alice, edge)
        assert life.end(signal.SIGTERM) == 0


async def test_an_upgrade_that_cannot_take_over_is_refused(home, edge):
    """Not by the code that runs: the installed one is asked."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call, invite = await ringing(alice, bob, edge)
        before = await asyncio.to_thread(status, home)
        partition = home.place / "run" / "transactions" / "09.slots"
        with partition.open("r+b") as file:
            file.seek(MAJOR_AT)
            (major,) = struct.unpack("=I", file.read(4))
            file.seek(MAJOR_AT)
            file.write(struct.pack("=I", major + 1))
        done = await asyncio.to_thread(command, "upgrade", home.config)
        assert done.returncode == 1 and "layout" in done.stderr and "the old code runs on" in done.stderr
        assert (await asyncio.to_thread(status, home))["router"] == before["router"]
        assert life.records("upgrade refused")
        bob.reply(invite, 486)
        await call.refused(486)


async def test_a_stop_answers_an_upgrade_that_is_under_way(home, edge):
    """The new code is still being asked: its process goes, too."""
    text = edge_config(edge, [("127.0.0.1", 9)])
    life = home.start(text).ready()
    same = home.config.rename(home.place / "same.toml")
    os.mkfifo(home.config)  # whoever reads it waits
    upgrading = asyncio.create_task(asyncio.to_thread(command, "upgrade", same))
    writer = None
    while writer is None:
        with contextlib.suppress(OSError):
            writer = os.open(home.config, os.O_WRONLY | os.O_NONBLOCK)
        await asyncio.sleep(0.01)
    assert (await asyncio.to_thread(command, "stop", same)).returncode == 0
    done = await upgrading
    assert (done.returncode, done.stderr) == (1, "fastsip: the router was stopped meanwhile\n")
    assert await asyncio.to_thread(life.ended) == 0
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")  # nobody reads any more
    os.close(writer)


async def test_an_upgrade_to_a_wrong_configuration_is_refused(home, edge):
    async with UserAgent(name="alice") as alice:
        life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
        run_dir = home.place / "run"
        home.write(f'[router]\nrun_dir = "{run_dir}"\nnonsense = 1\n')
        done = await asyncio.to_thread(command, "check", "--takeover", home.config)
        assert done.returncode == 2 and "nonsense" in done.stderr
        # The command itself cannot say where the router is; the supervisor refuses the file as well.
        assert command("upgrade", home.config).returncode == 2
        home.write(f'[router]\nrun_dir = "{run_dir}"\n[set.x]\nnonsense = 1\n')
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 1 and "nonsense" in done.stderr and "runs on" in done.stderr
        done = await asyncio.to_thread(command, "upgrade", home.config)
        assert done.returncode == 1 and "nonsense" in done.stderr
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reload refused", 2)
        await settle(alice, edge)


# ---------------------------------------------------------------- reload by takeover


async def test_nothing_is_lost_while_the_sockets_change(home, edge):
    """More and fewer shards under a stream of calls from many ports; agents here repeat nothing."""
    async with UserAgent(name="bob") as bob:
        text = {n: edge_config(edge, [bob.address], policy=PATIENT, timers='t1 = "5s"\nt2 = "5s"', shards=n,
                               max_transactions=20_000) for n in (1, 2, 4)}
        life = home.start(text[2]).ready()
        stop, done = asyncio.Event(), 0

        async def answer():
            while True:
                bob.reply(await bob.expect("INVITE", 60), 486)

        async def place():
            nonlocal done
            while not stop.is_set():
                async with UserAgent(name="alice") as alice:
                    for _ in range(5):
                        await alice.invite(NUMBER, edge).refused(486)
                        done += 1

        answering = asyncio.create_task(answer())
        callers = [asyncio.create_task(place()) for _ in range(6)]
        for turn, shards in enumerate((4, 1, 4, 2, 1), 1):
            home.write(text[shards])
            life.process.send_signal(signal.SIGHUP)
            await life.logged("reloaded", turn)
            seen = done
            while done < seen + 30:
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*callers)
        answering.cancel()
        assert (await asyncio.to_thread(status, home))["shards"] == 1
        assert not life.records("the router does not leave")


async def test_listeners_come_and_go_with_a_reload(home, edge, free_port):
    other = ("127.0.0.1", free_port())
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        call, invite = await ringing(alice, bob, edge)
        home.write(edge_config(edge, [bob.address], policy=PATIENT, listeners=[other]))
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reloaded")
        await settle(alice, other)
        home.write(edge_config(other, [bob.address], policy=PATIENT, listeners=[edge]))
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reloaded", 2)
        bob.reply(invite, 486)
        await call.refused(486)
        home.write(edge_config(edge, [bob.address], policy=PATIENT))
        life.process.send_signal(signal.SIGHUP)
        await life.logged("reloaded", 3)
        await settle(alice, edge)
        async with UserAgent(port=other[1]):  # the address is free again
            pass


async def test_a_listener_that_cannot_be_had_is_refused_and_changes_nothing(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address])).ready()
        before = await asyncio.to_thread(status, home)
        home.write(edge_config(edge, [bob.address], listeners=[alice.address], shards=2))
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 1 and "it is in use" in done.stderr and "runs on" in done.stderr
        after = await asyncio.to_thread(status, home)
        assert (after["router"], after["shards"]) == (before["router"], 1)
        assert life.records("reload refused")
        await settle(alice, edge)


async def test_a_secret_is_changed_without_losing_a_talk(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT)
        for name in ("old", "new"):
            (home.place / name).write_text(f"the {name} secret of this test\n")
        keys = [f'secret = "file:{home.place}/old"', f'secret = ["file:{home.place}/new", "file:{home.place}/old"]']
        life = home.start(text.replace("[router]", f"[router]\n{keys[0]}")).ready()
        alice_leg, bob_leg = await connect(alice, bob, edge)
        call, invite = await ringing(alice, bob, edge)
        router = life.router_pid()
        home.write(text.replace("[router]", f"[router]\n{keys[1]}"))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        assert life.router_pid() == router
        bob.reply(invite, 486)
        await call.refused(486)
        bob_leg.bye()
        alice.reply(await alice_leg.expect("BYE"), 200)
        await bob_leg.expect(200)


async def test_more_destinations_than_there_is_room_for_come_with_a_new_router(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address])).ready()
        router = life.router_pid()
        many = [(f"127.0.{1 + n // 250}.{1 + n % 250}", 5060) for n in range(400)]
        home.write(edge_config(edge, [bob.address, *many]))
        assert (await asyncio.to_thread(command, "reload", home.config)).returncode == 0
        assert life.router_pid() != router
        call = alice.invite(NUMBER, edge)
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)


@pytest.mark.parametrize("change", ["run_dir", "state_dir"])
async def test_what_the_store_cannot_follow_is_refused(home, edge, change):
    async with UserAgent(name="alice") as alice:
        text = edge_config(edge, [("127.0.0.1", 9)])
        life = home.start(text).ready()
        (home.place / "elsewhere").mkdir()
        home.write(text.replace(f"@{change.upper()}@", str(home.place / "elsewhere")))
        life.process.send_signal(signal.SIGHUP)
        assert change in (await life.logged("reload refused"))["why"]
        await settle(alice, edge)


async def test_a_store_for_which_there_is_no_room_is_refused_before_anybody_leaves(home, edge):
    async with UserAgent(name="alice") as alice:
        life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
        router = life.router_pid()
        home.write(edge_config(edge, [("127.0.0.1", 9)], max_transactions=10_000_000))
        done = await asyncio.to_thread(command, "reload", home.config)
        assert done.returncode == 1 and re.search(r"the store needs [\d,]+ bytes and [\d,]+ are free", done.stderr)
        assert life.router_pid() == router
        await settle(alice, edge)


# ---------------------------------------------------------------- strange situations


def test_a_run_dir_without_room_is_refused_with_sizes(home, edge):
    text = edge_config(edge, [("127.0.0.1", 9)], max_transactions=10_000_000)
    life = home.start(text)
    assert life.ended() == 2
    (said,) = [line for line in life.lines if line.startswith("fastsip: ")]
    assert re.search(r"the store needs [\d,]+ bytes and [\d,]+ are free", said)
    assert not list((home.place / "run" / "transactions").glob("*.slots"))


@pytest.mark.parametrize("damage", ["cut", "foreign"])
async def test_a_damaged_store_is_moved_aside(home, edge, damage):
    """All of its files, cells and registry, too: nothing that lies in run_dir keeps a router from starting."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        await ringing(alice, bob, edge)
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        run = home.place / "run"
        files = [*(run / "transactions").glob("*.slots"), run / "cells", run / "registry", run / "stats", run / "marks"]
        for file in files:
            raw = file.read_bytes()
            file.write_bytes(raw[: len(raw) // 3] if damage == "cut" else b"x" * len(raw))
        again = home.start().ready()
        record = again.records("64 of 64 files of the store are lost")[0]
        assert record["level"] == "warning"
        assert len(list((run / "transactions").glob("*.slots.damaged-*"))) == 64
        (cells,) = run.glob("cells.damaged-*")
        assert again.records(str(run / "cells"))[0]["event"].find(str(cells)) > 0
        assert again.records("router started")[0]["transactions_taken_up"] == 0
        call = alice.invite(NUMBER, edge)
        bob.inbox.clear()
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)


async def test_calls_outlive_cells_and_registry(home, edge):
    """What a ringing call names by its ids is found again: it is answered, cancelled, fails over."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob, UserAgent(name="carol") as carol:
        life = home.start(edge_config(edge, [bob.address, carol.address], policy=PATIENT)).ready()
        calls = [await ringing(alice, bob, edge) for _ in range(3)]
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        for name in ("cells", "registry"):
            (home.place / "run" / name).write_bytes(b"somebody's")
        again = home.start().ready()
        assert again.records("router started")[0]["transactions_taken_up"] == 2 * len(calls)
        (answered, first), (cancelled, second), (failed, third) = calls
        bob.answer(first)
        await answered.established()
        cancelled.cancel()
        await bob.expect("CANCEL")
        bob.reply(second, 487)
        await cancelled.refused(487)
        bob.reply(third, 500)
        carol.answer(await expect_call(carol, failed))
        await failed.established()
        assert again.end(signal.SIGTERM) == 0


async def test_transactions_of_another_boot_are_dropped(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        await ringing(alice, bob, edge)
        assert await asyncio.to_thread(life.end, signal.SIGTERM) == 0
        for file in (home.place / "run" / "transactions").iterdir():
            with file.open("r+b") as content:
                content.seek(56)
                content.write(b"6d9b5d2e-0000-4000-8000-2f0b6f3c1a11")
        again = home.start().ready()
        assert again.records("the store was of another boot")
        assert again.records("router started")[0]["transactions_taken_up"] == 0
        assert not list((home.place / "run").rglob("*.damaged-*"))


def test_core_dumps_leave_the_store_out(home, edge):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    assert len(flags_of(life.router_pid(), ".slots")) == 64
    assert all("dd" in flags for flags in flags_of(life.router_pid(), ".slots"))


def flags_of(pid: int, ending: str) -> list[list[str]]:
    """VmFlags of the mappings whose file's name ends so."""
    found, wanted = [], False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            wanted = line.endswith(ending)
        elif wanted and line.startswith("VmFlags:"):
            found.append(line.split()[1:])
    return found


async def test_the_spare_has_nothing_of_the_store(home, edge):
    life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    spare = await warm_spare(home, 0)
    await asyncio.to_thread(command, "status", home.config)
    assert flags_of(spare, ".slots") == [] and flags_of(life.router_pid(), ".slots")
    opened = []
    for entry in Path(f"/proc/{spare}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            opened.append(os.readlink(entry))
    assert not [name for name in opened if name.endswith("/lock")]


async def test_counters_name_the_router_that_counts(home, edge):
    life: Life = home.start(edge_config(edge, [("127.0.0.1", 9)])).ready()
    life.kill_router()
    await life.logged("router took over", 2)
    assert counters.read_rows(home.place / "run")[0]["pid"] == status(home)["router"]
