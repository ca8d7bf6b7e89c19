"""The transaction tables themselves: complete, no dead ends, and every action is done by somebody."""

import re
from pathlib import Path

import pytest

from fastsip._core.transaction import machines

CORE = Path(machines.__file__).parent
PXD = (CORE / "machines.pxd").read_text() + (CORE.parent / "store" / "records.pxd").read_text()


def enum(name: str) -> dict[str, int]:
    body = re.search(rf"cdef enum {name}:\n((?:    .*\n)+)", PXD)[1]
    return {word: int(number) for word, number in re.findall(r"^    (\w+) = (\d+)", body, re.MULTILINE)}


CLIENT_STATES, SERVER_STATES = enum("client_state"), enum("server_state")
CLIENT_EVENTS, SERVER_EVENTS = enum("client_event"), enum("server_event")
ACTIONS = {name: bit for name, bit in enum("action_bit").items() if bit}

TABLES = {
    "INVITE_CLIENT": (CLIENT_STATES, CLIENT_EVENTS),
    "OTHER_CLIENT": (CLIENT_STATES, CLIENT_EVENTS),
    "INVITE_SERVER": (SERVER_STATES, SERVER_EVENTS),
    "OTHER_SERVER": (SERVER_STATES, SERVER_EVENTS),
}
EVENT_COUNTS = ("CLIENT_EVENTS", "SERVER_EVENTS")


def arrows(name: str):
    """(state, event, next state, actions) of a table."""
    for state, events in getattr(machines, name).items():
        for event, (following, actions) in events.items():
            yield state, event, following, actions


def reachable(name: str, start: int) -> set[int]:
    found, waiting = set(), [start]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += [following for at, _, following, _ in arrows(name) if at == state]
    return found


@pytest.mark.parametrize("name", TABLES)
def test_each_arrow_leads_to_a_known_state(name):
    states, events = TABLES[name]
    known = set(events.values()) - {events[count] for count in EVENT_COUNTS if count in events}
    table = getattr(machines, name)
    for state, event, following, actions in arrows(name):
        assert state in states.values()
        assert event in known
        assert following in table or following == 0
        assert actions & ~sum(ACTIONS.values()) == 0


@pytest.mark.parametrize("name", TABLES)
def test_each_state_is_reached_and_left(name):
    """From the entry state every state, and from every state the end."""
    states, _ = TABLES[name]
    client = "CLIENT" in name
    entry = {"INVITE_SERVER": "SERVER_PROCEEDING", "OTHER_SERVER": "TRYING"}.get(name, "CALLING")
    end = states["CLIENT_ENDED" if client else "SERVER_ENDED"]
    table = getattr(machines, name)
    # A search may end without an answer (RFC 4320): SERVER_ENDED is entered from outside of the table.
    assert set(table) | {end} == reachable(name, states[entry]) | {end}
    waiting = {"SERVER_PROCEEDING", "TRYING"} if not client else set()
    for state in table:
        assert end in reachable(name, state), state
        leaves = {following for at, _, following, _ in arrows(name) if at == state} - {state}
        assert leaves or state in {states[word] for word in waiting}, state


@pytest.mark.parametrize("name", TABLES)
def test_each_state_has_a_clock_that_ends_it(name):
    """Every client state, and every server state behind the answer, has an arrow for its expiry."""
    states, events = TABLES[name]
    expire = events.get("EXPIRE", events.get("SERVER_EXPIRE"))
    # A server transaction waits for its branches until it has an answer.
    open_ended = {states[word] for word in ("TRYING", "SERVER_PROCEEDING") if word in states}
    for state, following in getattr(machines, name).items():
        assert expire in following or state in open_ended, state


@pytest.mark.parametrize("name", TABLES)
def test_ending_says_so(name):
    """END stands with the arrows that lead to the end, and with no others."""
    states, _ = TABLES[name]
    end = states["CLIENT_ENDED" if "CLIENT" in name else "SERVER_ENDED"]
    for state, event, following, actions in arrows(name):
        assert (following == end) == bool(actions & ACTIONS["END"]), (state, event)


def test_repetitions_stop_before_the_end():
    """No arrow into a state without RETRANSMIT keeps the INVITE's repetitions running."""
    repeat, stops = CLIENT_EVENTS["RETRANSMIT"], ACTIONS["STOP"] | ACTIONS["END"] | ACTIONS["SEND_CANCEL"]
    table = machines.INVITE_CLIENT
    for state, event, following, actions in arrows("INVITE_CLIENT"):
        if repeat in table[state] and repeat not in table.get(following, {}):
            assert actions & stops, (state, event)


def test_actions_are_single_bits():
    assert sorted(ACTIONS.values()) == [1 << n for n in range(len(ACTIONS))]
    for name, bit in ACTIONS.items():
        assert any(actions & bit for table in TABLES for _, _, _, actions in arrows(table)), name


# Done with the response that is sent: server commits its clocks together with it.
WITH_THE_RESPONSE = {"SEND_RESPONSE", "COMPLETED_CLOCKS", "LINGER"}


CONSUMERS = ("../proxy/context", "clocks", "server")


@pytest.mark.parametrize("action", sorted(set(ACTIONS) - WITH_THE_RESPONSE))
def test_each_action_has_a_consumer(action):
    sources = "".join((CORE / f"{name}.pyx").read_text() for name in CONSUMERS)
    assert re.search(rf"actions & {action}\b", sources), action


def test_responses_are_sent_with_their_clocks():
    """SEND_RESPONSE stands with each SEND_ event; the clocks that go with it only there."""
    sends = {SERVER_EVENTS[word] for word in ("SEND_1XX", "SEND_2XX", "SEND_FINAL")}
    acknowledged = SERVER_EVENTS["GOT_ACK"]
    for name in ("INVITE_SERVER", "OTHER_SERVER"):
        for _, event, _, actions in arrows(name):
            assert bool(actions & ACTIONS["SEND_RESPONSE"]) == (event in sends)
            if actions & (ACTIONS["COMPLETED_CLOCKS"] | ACTIONS["LINGER"]):
                assert event in sends or event == acknowledged


def test_a_non_invite_as_rfc_4320_wants_it():
    """No 1xx of a callee goes further; the 100 of our own comes by a clock; after a 1xx only Timer F runs."""
    table, got_1xx = machines.OTHER_CLIENT, CLIENT_EVENTS["GOT_1XX"]
    assert [state for state in table if got_1xx in table[state]] == [CLIENT_STATES["CALLING"]]
    following, actions = table[CLIENT_STATES["CALLING"]][got_1xx]
    assert following == CLIENT_STATES["CLIENT_PROCEEDING"]
    assert actions == ACTIONS["SLOW"] | ACTIONS["TIMER_F"]
    assert all(event != SERVER_EVENTS["SEND_1XX"] for _, event, _, _ in arrows("OTHER_SERVER"))
    said = [(state, event) for state, event, _, actions in arrows("OTHER_SERVER") if actions & ACTIONS["SEND_TRYING"]]
    assert said == [(SERVER_STATES["TRYING"], SERVER_EVENTS["SERVER_RETRANSMIT"])]
