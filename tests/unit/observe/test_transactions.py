"""`fastsip transactions`: the store as readers outside see it, beside what the kernels know."""

import json
import random
import shutil

import pytest
from click.testing import CliRunner

from fastsip._core.store.partitions import Store
from fastsip.base.run_dir import REGISTRY
from fastsip.cli.transactions import command
from fastsip.observe import transactions
from fastsip.observe.transactions import Filter, NoStore, Reader, Transaction
from fastsip.routing.registry import read_names, write_record
from tests.kernels.audit import live_slots
from tests.protocol.script import BOB, PARALLEL, Stage


@pytest.fixture
def stage(scratch) -> Stage:
    made = Stage(scratch / "run", algorithm=PARALLEL, destinations=2, policy={"on": [500], "mark": "none"})
    records = [write_record(number, "destination", f"ms{number}") for number in (1, 2)]
    (scratch / "run" / REGISTRY).write_bytes(b"fastsip registry 1\n" + b"".join(records))
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
    known = {slot["ref"]: slot for slot in live_slots(stage.rig)}
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


def test_what_is_open_at_a_destination_is_what_has_no_final_response(stage):
    ring(stage, "one@alice")
    ring(stage, "two@alice")
    names = read_names(stage.run_dir / REGISTRY)
    assert transactions.count_open(stage.run_dir, names) == {"ms1": 2, "ms2": 2}
    stage.reply(stage.expect_request(BOB[1], "INVITE"), 200)
    branches = [each for one in read(stage) for each in one.branches]
    open_there = {name: sum(each.destination == name and each.state in ("calling", "proceeding", "cancelling")
                            for each in branches) for name in ("ms1", "ms2")}  # fmt: skip
    assert transactions.count_open(stage.run_dir, names) == open_there
    assert transactions.count_open(stage.run_dir, {}) == {}
    assert transactions.count_open(stage.run_dir / "nowhere", names) == {}


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


@pytest.mark.parametrize("damage", ["missing folder", "missing files", "other files"])
def test_no_store(stage, scratch, damage):
    folder = scratch / "copy"
    shutil.copytree(stage.run_dir, folder)
    if damage == "missing folder":
        shutil.rmtree(folder / "transactions")
        with pytest.raises(NoStore, match="there is no transaction store"):
            Reader(folder)
        return
    for path in (folder / "transactions").iterdir():
        path.unlink() if damage == "missing files" else path.write_bytes(b"not a partition" * 400)
    reader = Reader(folder)
    with pytest.raises(NoStore, match="transaction"):
        list(reader.transactions())
    assert len(reader.damaged) == 64


def test_a_slot_in_motion_is_copied_again_or_counted(stage):
    """Its commit word differs between the looks: never a row that is half of each."""
    ring(stage, "one@alice")
    place = next(path for path in sorted((stage.run_dir / "transactions").iterdir())
                 if transactions.Partition(path).header["high_water"])  # fmt: skip
    partition = transactions.Partition(place)
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
    assert torn.all() and Moving.looks > transactions.TRIES


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


NOISE = {"missing": None, "empty": b"", "short": b"x" * 100, "another": b"not a partition" * 400, "folder": "folder"}


@pytest.mark.parametrize("damage", NOISE)
@pytest.mark.parametrize("which", ["partition", "registry"])
def test_one_damaged_file_hides_no_other(stage, damage, which):
    """What can be read is shown, the rest is named: before the next start nothing else says what was going on."""
    ring(stage, "one@alice")
    place = next(path for path in sorted((stage.run_dir / "transactions").iterdir())
                 if not transactions.Partition(path).header["high_water"])  # fmt: skip
    if which == "registry":
        place = stage.run_dir / REGISTRY
    place.unlink()
    if NOISE[damage] == "folder":
        place.mkdir()
    elif NOISE[damage] is not None:
        place.write_bytes(NOISE[damage])
    shown = CliRunner().invoke(command, ["x", "--run-dir", str(stage.run_dir)])
    assert "one@alice" in shown.stdout and shown.stdout.endswith("\n1 transaction: 1 proceeding\n")
    if which == "partition" or damage == "folder":
        assert shown.exit_code == 1 and shown.stderr.startswith(f"fastsip: {place} is not shown: ")
        assert shown.stderr.count("\n") == 1
    else:  # its names are numbers now
        assert (shown.exit_code, shown.stderr) == (0, "")


def test_a_partition_full_of_noise_is_no_end(stage, scratch):
    """Whatever its slots say, the command comes to its end."""
    ring(stage, "one@alice")
    whole = next(path for path in sorted((stage.run_dir / "transactions").iterdir())
                 if transactions.Partition(path).header["high_water"]).read_bytes()  # fmt: skip
    folder = scratch / "noise" / "transactions"
    folder.mkdir(parents=True)
    dice = random.Random(1)
    for turn in range(60):
        content = bytearray(whole)
        first = 0 if turn < 10 else transactions.inspect.SLOTS_OFFSET
        for _ in range(40):
            content[dice.randrange(first, first + 2 * transactions.SLOT.itemsize)] = dice.randrange(256)
        (folder / "00.slots").write_bytes(content)
        shown = CliRunner().invoke(command, ["x", "--run-dir", str(folder.parent), *["--json"][: turn % 2]])
        assert shown.exit_code == 1 and isinstance(shown.exception, SystemExit), shown.exception


def test_drain_counts_what_is_shown(stage, scratch):
    """One unit: a transaction is open that still searches, or of which a branch does, however many they are."""
    for name in ("one@alice", "two@alice"):
        ring(stage, name)
    stage.send("MESSAGE", call_id="three@alice")
    stage.invite(call_id="four@alice")
    stage.reply(stage.expect_request(BOB[1], "INVITE"), 200)  # of the first call, whose other branch is cancelled
    shown = read(stage)
    still = {"calling", "proceeding", "cancel pending", "cancelling"}
    expected = [one for one in shown
                if one.state in ("trying", "proceeding") or still & {each.state for each in one.branches}]  # fmt: skip
    shutil.copytree(stage.run_dir, scratch / "copy")
    assert Store(scratch / "copy", 20_000).count_open() == len(expected) == len(shown) == 4
    assert sum(len(one.branches) for one in shown) > 4


@pytest.mark.parametrize("words", [["--state", "bogus"], ["--method", "PONG"], ["--most", "0"], ["--older", "x"]])
def test_a_word_that_nothing_can_have_is_refused(stage, words):
    shown = CliRunner().invoke(command, ["x", "--run-dir", str(stage.run_dir), *words])
    assert shown.exit_code == 2 and words[0] in shown.stderr
    if words[0] in ("--state", "--method"):
        assert "'proceeding'" in shown.stderr or "'SUBSCRIBE'" in shown.stderr


@pytest.mark.parametrize("word", ["INVITE", "invite"])
def test_a_method_as_one_likes(stage, word):
    ring(stage, "one@alice")
    shown = CliRunner().invoke(command, ["x", "--run-dir", str(stage.run_dir), "--method", word])
    assert shown.exit_code == 0 and "one@alice" in shown.stdout


def test_the_command_says_what_is_wrong(scratch):
    nothing = CliRunner().invoke(command, ["x", "--run-dir", str(scratch)])
    assert nothing.exit_code == 1 and "there is no transaction store" in nothing.output
    older = CliRunner().invoke(command, ["x", "--run-dir", str(scratch), "--older", "soon"])
    assert older.exit_code == 2 and "units ms, s, m, h" in older.output
