"""`fastsip events` of a record that is there, and where things stand as events."""

import json
import time
from collections import deque

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from fastsip.cli import main
from fastsip.events.file import EventFile, line_of
from fastsip.events.follow import position_at_end
from fastsip.events.names import EVENTS, OF_DESTINATION, fits
from fastsip.observe.destinations import UNSEEN, whole_sets
from fastsip.observe.states import states
from tests.unit.config_text import SMALL


@pytest.fixture
def record(scratch):
    """Of a router that has run: three events, an hour old but for the last one."""
    (scratch / "run").mkdir(mode=0o750)
    (scratch / "c.toml").write_text(f'[router]\nrun_dir = "{scratch}/run"\nstate_dir = "{scratch}/state"\n{SMALL}')
    one = EventFile(scratch / "run")
    one.begin()
    one.append(deque([
        line_of({"at": time.time() - 3600, "event": "router.started", "node": "edge1", "cause": "start"}),
        line_of({"at": time.time() - 3600, "event": "destination.down", "node": "edge1", "destination": "m/\u202ea",
                 "uri": "sip:1", "set": "m", "state": "down", "cause": "probe", "code": 408}),
        line_of({"at": time.time(), "event": "source.failed", "node": "edge1", "source": "db", "why": "a\nb"}),
    ]))  # fmt: skip
    return one


def shown(scratch, *words: object) -> list[dict]:
    done = CliRunner().invoke(main, ["events", str(scratch / "c.toml"), "--json", *map(str, words)])
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_since_an_id_or_a_time_by_name(scratch, record):
    every = shown(scratch)
    first = every[0]["id"]
    assert [event["event"] for event in every] == ["router.started", "destination.down", "source.failed"]
    assert shown(scratch, "--since", first) == every[1:] and shown(scratch, "--since", first + 2) == []
    assert shown(scratch, "--since", first + 99) == [] and shown(scratch, "--since", 0) == every
    assert shown(scratch, "--since", "30m") == every[2:] and shown(scratch, "--since", "2h") == every
    assert shown(scratch, "--event", "source.*", "--event", "router.started") == [every[0], every[2]]


def test_for_people_it_is_a_line_each_that_does_nothing_to_a_terminal(scratch, record):
    done = CliRunner().invoke(main, ["events", str(scratch / "c.toml")])
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and "\u202e" not in done.stdout
    assert "destination.down" in lines[1] and "m/\\u202ea" in lines[1] and lines[1].endswith("cause probe, code 408")
    assert lines[2].endswith("why a b")


@pytest.mark.parametrize("words, text", [
    (("--since", "x"), "allowed: a duration"), (("--since", "-1"), "allowed: a duration"),
    (("--event", "destination.dwn"), "is no event"), (("--event", ""), "is no event"),
])  # fmt: skip
def test_what_is_wrong_is_said(scratch, record, words, text):
    done = CliRunner().invoke(main, ["events", str(scratch / "c.toml"), *words])
    assert done.exit_code == 2 and text in done.stderr


def test_where_nothing_ever_ran_it_says_so(scratch, record):
    record.place.unlink()
    done = CliRunner().invoke(main, ["events", str(scratch / "c.toml")])
    assert done.exit_code == 3 and "none has left a record" in done.stderr


MEMBER = {"id": "m/a", "uri": "sip:192.0.2.1", "admin": "draining", "said_at": 5.0, "why": "memory"}


def test_where_things_stand_is_told_with_the_names_of_what_happens():
    status = {"node": "edge1", "router": 7, "routes_since_s": 3, "version": "0.1", "draining": True,
              "sources_away": ["db"]}  # fmt: skip
    sets = whole_sets([{"set": {"name": "m"}, "destinations": [MEMBER, {**MEMBER, "id": "m/b", "said_at": None}]}],
                      {"m/a": replace(UNSEEN, health="down", since=4.0, last_code=503)})  # fmt: skip
    found = list(states(status, sets, 100))
    assert all(event["initial"] and event["id"] == 99 and event["node"] == "edge1" for event in found)
    assert all(event.keys() <= {"id", "at", "event", "node", "initial", *EVENTS[event["event"]]} for event in found)
    assert [(event["event"], event.get("destination", event.get("source", ""))) for event in found] == [
        ("router.started", ""), ("router.draining", ""), ("source.failed", "db"), ("destination.down", "m/a"),
        ("destination.draining", "m/a"), ("destination.unknown", "m/b"), ("destination.draining", "m/b")]
    assert (found[3]["at"], found[3]["code"], found[4]["at"], found[4]["why"]) == (4.0, 503, 5.0, "memory")
    away = status | {"router": None, "routes_since_s": None, "draining": False, "sources_away": []}
    assert list(states(away, [], 1)) == []


def test_a_state_is_the_word_behind_the_dot():
    assert {name for name, fields in EVENTS.items() if fields == OF_DESTINATION} == {
        name for name in EVENTS if fits(name, ("destination.*",))}


def test_the_end_of_nothing_is_nowhere(scratch):
    assert position_at_end(scratch).number == 0
