"""`fastsip transactions`: the store as readers outside see it, beside what the kernels know."""

import json
import shutil

import pytest
from click.testing import CliRunner

from fastsip import inspection
from fastsip.cli.transactions import command
from fastsip.dispatcher.registry import FILE_NAME, write_record
from fastsip.inspection import Filter, NoStore, Reader, Transaction
from tests.protocol.script import BOB, PARALLEL, Stage


@pytest.fixture
def stage(scratch) -> Stage:
    made = Stage(scratch / "run", algorithm=PARALLEL, destinations=2, policy={"on": [500], "mark": "none"})
    records = [write_record(number, "destination", f"ms{number}") for number in (1, 2)]
    (scratch / "run" / FILE_NAME).write_bytes(b"fastsip registry 1\n" + b"".join(records))
    return made


def read(stage: Stage, **parts) -> list[Transaction]:
    return list(Reader(stage.run_dir).transactions(Filter(**parts)))


def ring(stage: Stage, call_id: str) -> None:
    stage.invite(call_id=call_id)
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 180)
    stage.expect_response(180)


def test_a_ringing_call(stage):
    ring(stage, "one@alice")
    (one,) = read(stage)
    assert (one.method, one.state, one.call_id, one.last_status) == ("INVITE", "proceeding", "one@alice", 180)
    assert one.flags == ("progressed",) and not one.in_dialog
    assert [(each.destination, each.state, each.last_status) for each in one.branches] == [
        ("ms1", "proceeding", 180), ("ms2", "calling", 0),
    ]  # fmt: skip


def test_each_state_by_itself(stage):
    """What is shown is what the kernels say, for all that lives."""
    ring(stage, "one@alice")
    stage.send("MESSAGE", call_id="two@alice")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)
    stage.send("BYE", to_tag="x", call_id="three@alice", headers=[("Route", f"<sip:{BOB[0][0]};lr>")])
    stage.invite(call_id="four@alice")
    stage.reply(stage.expect_request(BOB[1], "INVITE"), 200)  # of the first call
    known = {slot["ref"]: slot for slot in stage.rig.live()}
    servers = [slot for slot in known.values() if slot["kind"].startswith("server")]
    assert sorted(one.state for one in read(stage)) == sorted(slot["state"] for slot in servers)
    assert sum(len(one.branches) for one in read(stage)) == len(known) - len(servers)
    invites = {one.call_id: one.state for one in read(stage, method="INVITE")}
    assert invites == {"one@alice": "accepted", "four@alice": "proceeding"}


def test_filters(stage):
    for name in ("one@alice", "two@alice"):
        ring(stage, name)
    stage.send("MESSAGE", call_id="three@alice")
    assert len(read(stage)) == 3
    assert [one.call_id for one in read(stage, call_id="two")] == ["two@alice"]
    assert {one.call_id for one in read(stage, method="INVITE")} == {"one@alice", "two@alice"}
    assert [one.state for one in read(stage, state="trying")] == ["trying"]
    assert len(read(stage, destination="ms2")) == 3
    assert read(stage, destination="ms9") == read(stage, state="nonsense") == read(stage, method="PING") == []


def test_age_is_counted_by_the_clock_of_the_store(stage, monkeypatch):
    ring(stage, "one@alice")
    now = stage.now + 61_000
    monkeypatch.setattr(Reader, "now_ms", lambda self, header: now)
    (one,) = read(stage)
    assert one.age_ms == 61_000
    assert read(stage, older_ms=61_000) and not read(stage, older_ms=61_001)
    deadline = one.branches[0].deadline_ms
    assert 119_000 <= deadline <= 120_000  # Timer C has 181 s


def test_a_copy_of_the_files_is_enough(stage, scratch):
    """Of a dead router, on another machine: all that is needed stands in run_dir."""
    ring(stage, "one@alice")
    shutil.copytree(stage.run_dir, scratch / "copy")
    assert [one.call_id for one in Reader(scratch / "copy").transactions()] == ["one@alice"]


@pytest.mark.parametrize("damage", ["missing folder", "missing file", "other file"])
def test_no_store(stage, scratch, damage):
    folder = scratch / "copy"
    shutil.copytree(stage.run_dir, folder)
    if damage == "missing folder":
        shutil.rmtree(folder / "transactions")
    elif damage == "missing file":
        (folder / "transactions" / "07.slots").unlink()
    else:
        (folder / "transactions" / "07.slots").write_bytes(b"not a partition" * 400)
    with pytest.raises(NoStore, match="transaction"):
        list(Reader(folder).transactions())


def test_a_slot_in_motion_is_copied_again_or_counted(stage):
    """Its commit word differs between the looks: never a row that is half of each."""
    ring(stage, "one@alice")
    place = next(path for path in sorted((stage.run_dir / "transactions").iterdir())
                 if inspection.Partition(path).header["high_water"])  # fmt: skip
    partition = inspection.Partition(place)
    moving = partition.live.copy()

    class Moving:
        """A live array whose commit words change with every look at them."""

        looks = 0

        def __getitem__(self, key):
            if isinstance(key, str):
                Moving.looks += 1
                return moving[key] + Moving.looks if key == "commit" else moving[key]
            return moving[key]

        def copy(self):
            return moving.copy()

    partition.live = Moving()
    _, torn = partition._copy()
    assert torn.all() and Moving.looks > inspection.TRIES


def test_the_command(stage):
    ring(stage, "one@alice")
    ring(stage, "two@alice")
    shown = CliRunner().invoke(command, ["x", "--run-dir", str(stage.run_dir), "--most", "1"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("INVITE    proceeding  180") and "@alice  progressed" in lines[0]
    assert lines[1].startswith("  to ms1: proceeding 180")
    assert lines[-1] == "2 transactions: 2 proceeding; 1 not shown (--most)"
    found = CliRunner().invoke(command, ["x", "--run-dir", str(stage.run_dir), "--json", "--call-id", "two"])
    (one,) = [json.loads(line) for line in found.output.splitlines()]
    assert (one["call_id"], one["branches"][0]["destination"]) == ("two@alice", "ms1")


def test_the_command_says_what_is_wrong(scratch):
    nothing = CliRunner().invoke(command, ["x", "--run-dir", str(scratch)])
    assert nothing.exit_code == 1 and "there is no transaction store" in nothing.output
    older = CliRunner().invoke(command, ["x", "--run-dir", str(scratch), "--older", "soon"])
    assert older.exit_code == 2 and "units ms, s, m, h" in older.output
