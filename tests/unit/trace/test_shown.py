"""Ladders and lines, letter for letter, and that nothing of a stranger's moves a terminal."""

import pytest

from fastsip.trace.calls import Calls, Wanted
from fastsip.trace.shown import MOST_COLUMNS, ladder, last_rows, line_of
from tests.unit.trace.talk import ALICE, BOB, EDGE, INSIDE, Talk


def calls_of(*talks, **wanted):
    found = Calls(Wanted(**wanted))
    for talk in talks:
        for seen in talk.seen:
            found.take(seen)
    return list(found.followed.values())


def test_a_ladder_has_a_column_for_each_address():
    (call,) = calls_of(Talk().begin().fail_over().hang_up())
    lines = ladder(call)
    assert lines[0] == "Call-ID one@alice" and lines[1].split() == [
        "192.0.2.1:5060", "192.0.2.10:5060", "198.51.100.10:5060", "198.51.100.7:5060", "198.51.100.8:5070"]
    assert len(lines) == 2 + 16
    at = [lines[1].index(place) for place in lines[1].split()]
    for step, line in zip(call.steps, lines[2:], strict=True):
        ends = [lines[1].index(step.source), lines[1].index(step.target)]
        assert all(line[place] == "|" for place in ends), line
    invite, trying = lines[2], lines[3]
    assert invite.startswith("   0.000 |-") and invite[at[1] - 1] == ">" and " INVITE " in invite
    assert trying.startswith("   0.100 |<-") and " 100 Trying " in trying
    assert lines[5].count(" 503 Service Unavailable ") == 1 and lines[5][at[2] + 1] == "<"
    assert lines[6][at[3] - 1] == ">" and " ACK " in lines[6]
    assert len({len(line) for line in lines[2:]}) == 1


def test_on_a_narrow_terminal_addresses_are_letters():
    (call,) = calls_of(Talk().begin().fail_over())
    lines = ladder(call, 80)
    assert lines[1:6] == ["A = 192.0.2.1:5060", "B = 192.0.2.10:5060", "C = 198.51.100.10:5060",
                          "D = 198.51.100.7:5060", "E = 198.51.100.8:5070"]
    assert lines[0].endswith("(not over)") and lines[6].split() == list("ABCDE")
    assert max(map(len, lines)) <= 80 and any(" 503 Serv" in line and "... " in line for line in lines)
    assert ladder(call, 500) == ladder(call)


@pytest.mark.parametrize("count", [1, 2, MOST_COLUMNS, MOST_COLUMNS + 1])
def test_every_number_of_addresses_fits_every_terminal(count):
    """One alone: the router sends to itself."""
    talk, ours = Talk(), ("2001:db8:1111:2222:3333:4444:5555:0", 5060)
    for number in range(count):
        talk.request(True, ours, (f"2001:db8:1111:2222:3333:4444:5555:{number:x}", 5060), "INVITE", "z9hG4bKa")
    (call,) = calls_of(talk)
    for width in range(1, 120):
        lines = ladder(call, width)
        assert "A = [2001:db8:1111:2222:3333:4444:5555:0]:5060" in lines or lines == ladder(call)
        assert len(last_rows([call], width, 10)) <= 10


def test_repetitions_are_marked():
    talk = Talk().begin()
    talk.again()
    (call,) = calls_of(talk)
    assert [line.count("(again)") for line in ladder(call)[2:]] == [0, 0, 1]
    assert "100 Trying (again)" in line_of(call.steps[-1], call.call_id)


def test_nothing_of_a_stranger_moves_a_terminal_or_makes_a_line():
    talk = Talk("\x1b[2Jone\u202e\x85two-and-very-long-at-last@alice")
    talk.say(True, EDGE, ALICE, talk.message("SIP/2.0 486 \x1b]0;owned\x07\u202eBusy", "1 IN\x9bVITE", "z9hG4bKa"))
    talk.request(True, EDGE, ALICE, "INVI\u009bTE", "z9hG4bKa")
    (call,) = calls_of(talk, call_id=talk.call_id)
    assert len(call.steps) == 2
    for text in [*ladder(call), *(line_of(step, call.call_id) for step in call.steps)]:
        assert text.isprintable() and text.isascii(), text
    assert "486 \\u001b]0;owned\\u0007\\u202eBusy" in line_of(call.steps[0], "x")


def test_a_line_says_who_says_what_to_whom():
    (call,) = calls_of(Talk("0123456789" * 3).begin())
    line = line_of(call.steps[1], call.call_id)
    assert line[2] == ":" and line[8] == "." and line.split()[1:] == [
        "192.0.2.10:5060", ">", "192.0.2.1:5060", "100", "Trying", "1", "INVITE", "01234567890123456..."]


def test_more_addresses_than_columns_stand_beside_the_ladder():
    talk = Talk().begin()
    for number in range(MOST_COLUMNS):
        talk.request(False, EDGE, ("192.0.2.1", 7000 + number), "INVITE", f"z9hG4bK{number}")
    (call,) = calls_of(talk)
    lines = ladder(call)
    assert len(lines[1].split()) == MOST_COLUMNS
    assert lines[-3].endswith(">|") and lines[-2].endswith("192.0.2.10:5060 > 192.0.2.1:7014 INVITE")


def test_who_speaks_to_himself_has_his_words_beside_him():
    talk = Talk()
    talk.request(False, EDGE, EDGE, "INVITE", "z9hG4bK1")
    talk.request(False, EDGE, BOB, "INVITE", "z9hG4bK2")
    (call,) = calls_of(talk)
    assert ladder(call)[2].rstrip() == "   0.000 |~ INVITE          |"


def test_a_screen_shows_the_end_of_what_was_last_heard_of():
    calls = calls_of(Talk("old@alice").begin(), Talk("new@alice", 1_900_000_000.0).begin())
    rows = last_rows(calls, 60, 5)
    assert len(rows) == 5 and rows[-1].startswith("   0.100 |<") and all(len(row) <= 60 for row in rows)
    assert "new@alice" in rows[1] and rows[0] == ""
    assert last_rows([], 40, 5) == []
    assert len(last_rows(calls, 200, 100)) == 9


def test_what_is_not_kept_is_said():
    talk = Talk().begin()
    (call,) = calls_of(talk)
    call.left_out = 7
    assert ladder(call)[-1] == "(7 later messages are not kept)"
    assert INSIDE not in [step.source for step in call.steps]
