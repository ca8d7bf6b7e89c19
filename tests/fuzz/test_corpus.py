"""The corpus, findings among it, and that a fuzzer sees what it is there to see."""

import sys

import pytest

from fastsip._core.harness.rig import Rig
from tests.fuzz import findings, run
from tests.fuzz.parser import RULES, one_round, wrong
from tests.fuzz.seeds import FORWARDED, LARGEST, corpus, seeds
from tests.kernels import fuzz_doors
from tests.kernels.audit import complaints, live_slots
from tests.kernels.damage import damaged
from tests.protocol.script import ALICE, ALL_CLOCKS, BOB, make_table
from tests.unit.messages import FOLDED, INVITE

CORPUS = corpus()


@pytest.mark.parametrize("name", CORPUS)
def test_what_was_found_is_found_no_more(name):
    assert wrong(CORPUS[name]) is None


@pytest.mark.parametrize("name", CORPUS)
def test_every_beginning_holds_as_well(name):
    text = CORPUS[name]
    found = {end: fuzz_doors.wrong(text[:end]) for end in range(len(text))}
    assert {end: complaint for end, complaint in found.items() if complaint} == {}


def test_the_running_kernels_bear_all_of_it(scratch):
    """From callers and from callees, in one store."""
    table, cells = make_table(dialog_rule=True)
    rig = Rig(scratch / "run", table, cells, 64)
    for source in (ALICE, BOB[0]):
        for text in seeds():
            rig.receive(text, source)
            rig.sent()
            assert complaints(rig) == []
        rig.advance(ALL_CLOCKS)
        rig.sent()
    assert live_slots(rig) == []


def test_the_corpus_is_small_and_of_many_kinds():
    assert 24 <= len(CORPUS) <= 200
    assert sum(map(len, CORPUS.values())) < 200_000
    assert all(len(text) <= LARGEST for text in seeds())


# ---------------------------------------------------------------- damage


def test_the_same_numbers_do_the_same_damage():
    assert damaged(INVITE, FOLDED, 7) == damaged(INVITE, FOLDED, 7)
    variants = {damaged(INVITE, FOLDED, seed) for seed in range(1000)}
    assert len(variants) > 900
    assert max(map(len, variants)) <= 65_535
    assert any(len(text) > 60_000 for text in (damaged(INVITE, FOLDED, seed) for seed in range(5000)))


def test_damage_borrows_from_the_other_message():
    assert any(b"pbx.example" in damaged(INVITE, FOLDED, seed) for seed in range(200))


def test_a_new_kind_of_message_joins_the_pool():
    fuzzer = fuzz_doors.Fuzzer([INVITE], 1, RULES)
    assert fuzzer.kinds == 1
    assert fuzzer.run(2000) is None
    assert fuzzer.kinds > 50 and fuzzer.runs == 2000


def test_rounds_find_nothing():
    for seed in range(3):
        assert one_round(seeds(), seed, None) is None


# ---------------------------------------------------------------- what would be found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"8c41f2d0", b"8c41f2d1"), (b"tag=9fe31c\r\nTo", b"tag=9fe31d\r\nTo"), (b"4711 INVITE", b"4712 INVITE"),
        (b"INVITE sip:+4930901820", b"INVITE sip:+4930901821"), (b"PCMA", b"PCMB"),
        (b"user=phone>\r\nC", b"user=phone>;tag=t\r\nC"),
    ],
)  # fmt: skip
def test_another_meaning_is_seen(old, new):
    changed = INVITE.replace(old, new)
    assert changed != INVITE
    assert fuzz_doors.different(INVITE, changed)
    assert not fuzz_doors.different(INVITE, INVITE.replace(b"Max-Forwards: 68", b"Max-Forwards: 67"))


def test_what_the_oracle_reads_otherwise_is_seen(monkeypatch):
    monkeypatch.setattr("tests.oracle.sip_oracle.read_cseq", lambda found, result: None)
    text, complaint = one_round([INVITE], 1, None)
    assert "oracle" in complaint and isinstance(text, bytes)


@pytest.mark.parametrize(
    ("ending", "left"),
    [("raise SystemExit(3)", 0), ("raise SystemExit(1)", 1), ("import os; os.kill(os.getpid(), 11)", 1), ("", 0)],
)
def test_a_target_that_dies_leaves_its_input(scratch, monkeypatch, capfd, ending, left):
    """The file is written and its path printed; the exit code tells."""
    module = scratch / "dying.py"
    module.write_text(
        "import sys\nfrom pathlib import Path\nfrom tests.fuzz.findings import note, open_current\n"
        "at = sys.argv.index('--current')\ncurrent = open_current(Path(sys.argv[at + 1]))\n"
        f"note(current, b'last words')\n{ending}\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{scratch}:{':'.join(sys.path)}")
    place = scratch / "findings"
    code = run.main(["--findings", str(place), "--seed", "5"], {"dying": "dying"})
    assert code == (1 if ending else 0)
    written = list(place.iterdir()) if place.exists() else []
    assert [path.read_bytes() for path in written] == [b"last words"] * left
    said = capfd.readouterr().out
    assert all(str(path) in said for path in written)


def test_the_current_message_is_noted(scratch):
    current = findings.open_current(scratch / "current")
    fuzzer = fuzz_doors.Fuzzer([FORWARDED], 3, current=current)
    text = fuzzer.sample()
    assert findings.read_current(scratch / "current") == text
    fuzzer.run(10)
    assert findings.read_current(scratch / "current") != text
