"""What two routers died of is not touched by a third: a datagram is refused, a slot is dropped."""

import ctypes
import os
import signal
import struct
from pathlib import Path

import pytest
from ua import UserAgent

from fastsip.observe import counters
from fastsip.process.marks import Marks

from .edge import NUMBER, edge_config, expect_call, settle
from .lives import Life

PATIENT = 'on = [500, "timeout", "transport"]\ntimeout = "20s"'
HEADER_BYTES, SLOT_BYTES, SLOT_BITS = 4096, 448, 26
SERVER_INVITE = 1


class PoisonedRouter(Life):
    program = (str(Path(__file__).with_name("poison_router.py")),)


@pytest.fixture
def edge(free_port):
    return "127.0.0.1", free_port()


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_datagram_that_kills_is_refused_the_third_time(home, edge, monkeypatch, shards):
    poison = home.place / "poison"
    monkeypatch.setenv("FASTSIP_TEST_POISON", str(poison))
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT, shards=shards), PoisonedRouter).ready()
        ringing = alice.invite(NUMBER, edge)
        invite = await expect_call(bob, ringing)
        bob.ring(invite)
        await ringing.expect(180)
        deadly = alice.make("INVITE", NUMBER)
        poison.write_bytes(deadly.to_bytes())
        os.kill(life.router_pid(), signal.SIGKILL)  # the next one knows what to die of
        await life.logged("router took over", 2)
        for death in (1, 2):
            alice.send(deadly, edge)
            record = await life.logged("the router died", 1 + death)
            assert record["status"] == "SIGABRT"
            await life.logged("router took over", 2 + death)
        (said,) = life.records("two routers died of this")
        assert said["what"].startswith(f"datagram of {len(deadly.to_bytes())} bytes: b'INVITE ")
        alice.send(deadly, edge)
        await settle(alice, edge)
        assert len(life.records("the router died")) == 3
        assert counters.read(home.place / "run")["quarantined"] == 1
        (kept,) = (home.place / "state" / "quarantine").iterdir()
        assert kept.read_bytes() == deadly.to_bytes()
        assert not [m for m in alice.inbox if m.call_id == deadly.call_id]
        # Everybody else's calls went on all the time.
        bob.reply(invite, 486)
        await ringing.refused(486)


async def test_the_quarantine_outlives_a_restart_and_ends_with_its_file(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        text = edge_config(edge, [bob.address], policy=PATIENT)
        refused = alice.make("INVITE", NUMBER)
        folder = home.place / "state" / "quarantine"
        folder.mkdir()
        file = folder / f"0-{len(refused.to_bytes())}.datagram"
        file.write_bytes(refused.to_bytes())
        life = home.start(text).ready()
        alice.send(refused, edge)
        other = alice.invite(NUMBER, edge)
        bob.reply(await expect_call(bob, other), 486)
        await other.refused(486)
        assert not bob.waiting("INVITE")
        file.unlink()
        assert life.end(signal.SIGTERM) == 0
        home.start().ready()
        alice.send(refused, edge)
        assert (await bob.expect("INVITE")).call_id == refused.call_id


def server_slots(run_dir: Path) -> list[tuple[int, int]]:
    """(reference, generation) of each INVITE server transaction in the store."""
    found = []
    for partition in range(64):
        raw = (run_dir / "transactions" / f"{partition:02d}.slots").read_bytes()
        (high_water,) = struct.unpack_from("=I", raw, 112)
        for index in range(high_water):
            (word,) = struct.unpack_from("=Q", raw, HEADER_BYTES + index * SLOT_BYTES)
            if word >> 24 & 0xFF == SERVER_INVITE:
                found.append((partition << SLOT_BITS | index, word >> 32))
    return found


def hold(pid: int) -> None:
    """SIGSTOP, and no thread of it runs any more when this returns."""
    os.kill(pid, signal.SIGSTOP)
    for task in Path(f"/proc/{pid}/task").iterdir():
        while (task / "stat").read_text().rpartition(")")[2].split()[0] != "T":
            os.sched_yield()


def shard_thread(pid: int) -> int:
    """The thread of its only shard."""
    (found,) = (int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()
                if (task / "comm").read_text() == "shard-0\n")
    return found


async def die_at(life: Life, run_dir: Path, ref: int, generation: int) -> None:
    """As if the shard had fallen over at that slot: its own thread gets the signal before it can go on."""
    pid = life.router_pid()
    deaths, starts = len(life.records("router took over")), len(life.records("router started"))
    hold(pid)
    page = Marks(str(run_dir)).page(1).cast("B")
    struct.pack_into("=IIII", page, 8, 2, 0, ref, generation)
    assert ctypes.CDLL(None).tgkill(pid, shard_thread(pid), signal.SIGSEGV) == 0
    os.kill(pid, signal.SIGCONT)
    await life.logged("router took over", deaths + 1)
    await life.logged("router started", starts + 1)  # said by the router itself, the other by the supervisor


async def test_a_slot_that_kills_is_dropped_the_second_time(home, edge):
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        run_dir = home.place / "run"
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        sick, well = alice.invite(NUMBER, edge), None
        sick_invite = await expect_call(bob, sick)
        bob.ring(sick_invite)
        await sick.expect(180)
        ((ref, generation),) = server_slots(run_dir)
        well = alice.invite(NUMBER, edge)
        well_invite = await expect_call(bob, well)
        bob.ring(well_invite)
        await well.expect(180)
        await die_at(life, run_dir, ref, generation)
        assert life.records("router started")[-1]["transactions_taken_up"] == 4
        await die_at(life, run_dir, ref, generation)
        assert "slot" in life.records("two routers died of this")[0]["what"]
        assert life.records("router started")[-1]["transactions_taken_up"] == 2
        (kept,) = (home.place / "state" / "quarantine").iterdir()
        assert kept.suffix == ".slot" and len(kept.read_bytes()) == SLOT_BYTES
        bob.reply(well_invite, 486)
        await well.refused(486)
        # In the log: where it was when it fell.
        assert any(line.startswith("Fatal Python error: Segmentation fault") for line in life.lines)


async def test_killed_from_outside_is_nobodys_fault(home, edge):
    """An operator's or the kernel's SIGKILL says nothing of what was at hand."""
    async with UserAgent(name="alice") as alice, UserAgent(name="bob") as bob:
        life = home.start(edge_config(edge, [bob.address], policy=PATIENT)).ready()
        for turn in range(3):
            pid = life.router_pid()
            hold(pid)
            page = Marks(str(home.place / "run")).page(1).cast("B")
            struct.pack_into("=IIII", page, 8, 2, 0, 1, 1)
            os.kill(pid, signal.SIGKILL)
            await life.logged("router took over", 2 + turn)
        assert not life.records("two routers died") and not (home.place / "state" / "quarantine").exists()
        call = alice.invite(NUMBER, edge)
        bob.reply(await expect_call(bob, call), 486)
        await call.refused(486)
