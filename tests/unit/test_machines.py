"""The page of the transaction machines says what their tables say, all of it, and nothing else."""

import pytest

from fastsip._core.transaction import inspect, machines
from tests.tools.machines import MACHINES, NOTHING, PAGE, page, parts, rows

ALL_ACTIONS = set(inspect.ACTIONS.values())


def test_the_page_is_what_the_tables_say():
    _, between, behind = parts(PAGE.read_text())
    assert behind, "ARCHITECTURE.md has lost the marks between which the machines stand"
    assert between == page(), "run: make machines ARGS=--write"


def test_all_four_stand_there_with_each_arrow():
    tables = [machines.INVITE_CLIENT, machines.OTHER_CLIENT, machines.INVITE_SERVER, machines.OTHER_SERVER]
    assert [machine.table for machine in MACHINES] == tables
    for machine in MACHINES:
        arrows = sum(len(events) for events in machine.table.values())
        assert len({row[:2] for row in rows(machine)}) == arrows, machine.title


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title.partition(" t")[0])
def test_nothing_that_a_step_does_is_left_out(machine):
    """Each action is said by what is sent, which clock follows, who hears of it, or where it leads."""
    said = {"pass up", "end", "resend", *machine.sent, *machine.timers}
    for events in machine.table.values():
        for _, actions in events.values():
            assert {word for bit, word in inspect.ACTIONS.items() if actions & bit} <= said


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title.partition(" t")[0])
def test_no_word_is_about_an_arrow_that_is_gone(machine):
    arrows = {
        (machine.events[event], machine.states[state]) for state, events in machine.table.items() for event in events
    }
    assert {(what, state) for what, by_state in machine.clocks.items() for state in by_state} <= arrows
    done = 0
    for events in machine.table.values():
        for _, actions in events.values():
            done |= actions
    spoken = {bit for bit, word in inspect.ACTIONS.items() if word in machine.timers}
    assert all(done & bit for bit in spoken)


def test_actions_have_words_of_their_own():
    assert len(ALL_ACTIONS) == len(inspect.ACTIONS) == 16


def test_an_arrow_that_stays_says_so():
    """As RFC 3261 figure 5: Timer A fires in Calling, the INVITE is sent again."""
    assert ("calling", "retransmit: A", NOTHING, "the request again", NOTHING, NOTHING) in [*rows(MACHINES[0])]
    assert ("proceeding", "send 2xx", "accepted", "the response", "G stops, L", NOTHING) in [*rows(MACHINES[2])]
