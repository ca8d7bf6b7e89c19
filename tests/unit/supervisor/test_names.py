"""supervisor.names: how many are asked for at once, and what is taken of what they say."""

import asyncio
import time
import types

import pytest

from fastsip.config.targets import with_answers
from fastsip.resolve.answers import Answer, read_answers
from fastsip.resolve.asking import Outcome, Question
from fastsip.resolve.targets import WHOLE, Target
from fastsip.supervisor import asking, names
from fastsip.supervisor.known_names import KnownNames
from fastsip.supervisor.names import MOST_AT_ONCE, begin, can_take, end, keep, take
from fastsip.supervisor.state import StartError
from tests.unit.config_text import read

TARGET = Target("10.0.0.1", 5060, "udp", 0, WHOLE)
GOOD = Outcome(targets=(TARGET,), ttl_s=60)


def config_of(*hosts: str):
    uris = ", ".join(f'"sip:{host}"' for host in hosts)
    return read(f'[[listen]]\nuri = "udp:127.0.0.1:5060"\n[set.m]\ndestinations = [{uris}]\n')


@pytest.fixture
def here():
    """A supervisor whose router takes every configuration."""
    return types.SimpleNamespace(
        config=config_of("gw.test"), text="", names=KnownNames({}), busy=asyncio.Lock(), version=1, lives=1,
        router=object(), planned=None, underway=None, stopping=False,
        events=types.SimpleNamespace(tell=lambda event, **fields: None),
    )  # fmt: skip


@pytest.fixture
def applied(monkeypatch):
    """What was made the configuration in force; an exception in it is raised instead."""
    found: list = []

    async def apply(here, fresh, text):
        if found and isinstance(found[-1], Exception):
            raise found[-1]
        found.append(fresh)
        here.config = fresh

    monkeypatch.setattr(names.changes, "apply", apply)
    return found


def note(here, outcome: Outcome, host: str = "gw.test") -> None:
    here.names.note(Question(host), outcome, 60.0, time.monotonic(), time.time())


async def test_so_many_are_asked_for_at_once_and_the_others_then(here, monkeypatch):
    asked, go_on = [], asyncio.Event()

    async def ask(here, question, config):
        asked.append(question)
        await asyncio.wait_for(go_on.wait(), 20)
        note(here, GOOD, question.host)

    monkeypatch.setattr(names, "ask", ask)
    here.config = config_of(*(f"h{number}.test" for number in range(40)))
    tasks: names.Tasks = {}
    for _ in range(3):
        begin(here, tasks)
        await asyncio.sleep(0)
        assert len(tasks) == len(asked) == MOST_AT_ONCE
    go_on.set()
    while tasks:
        await end(tasks)
        begin(here, tasks)
    assert len(asked) == len(set(asked)) == 40


async def test_a_change_is_taken_once(here, applied):
    note(here, GOOD)
    assert here.names.changed
    assert await take(here, "") == "" and not here.names.changed
    assert [one.host for one in applied[0].sets[0].destinations] == ["10.0.0.1"] and here.version == 2
    here.names.changed = True
    assert await take(here, "") == "" and len(applied) == 1, "what is in force already is no change"


async def test_what_cannot_be_taken_is_tried_again_and_said_once(here, applied, caplog):
    note(here, GOOD)
    applied.append(StartError("no room"))
    failed = ""
    for _ in range(3):
        failed = await take(here, failed)
        assert failed == "no room" and here.names.changed
    assert [record.message for record in caplog.records].count(
        "other targets of names are not taken, the old ones count") == 1
    applied.clear()
    assert await take(here, failed) == "" and not here.names.changed


@pytest.mark.parametrize("state", [{"router": None}, {"lives": 0}, {"planned": 1}, {"underway": 1}, {"stopping": True}])
def test_nothing_is_taken_while_nobody_can_be_told(here, state):
    assert can_take(here)
    vars(here).update(state)
    assert not can_take(here)


async def test_answers_are_kept_and_a_full_disk_is_said(here, scratch, caplog, monkeypatch):
    here.config = types.SimpleNamespace(router=types.SimpleNamespace(state_dir=str(scratch)))
    note(here, GOOD)
    await keep(here)
    assert set(read_answers(scratch, 60)) == {Question("gw.test")} and not here.names.unwritten
    (scratch / "targets").unlink()
    await keep(here)
    assert not (scratch / "targets").exists(), "nothing was said meanwhile"
    note(here, Outcome(targets=(TARGET._replace(host="10.0.0.2"),), ttl_s=60))
    here.config.router.state_dir = str(scratch / "nowhere")
    await keep(here)
    assert "is not kept" in caplog.text


async def test_a_reload_asks_for_new_names_alone_and_goes_on_without_an_answer(here, monkeypatch):
    """One that is silent keeps it for so long once; the next reload does not wait for it again."""
    asked = []

    async def ask(here, question, config):
        asked.append(question.host)
        if question.host == "silent.test":
            here.names.of(question)
            await asyncio.wait_for(asyncio.Event().wait(), 20)
        note(here, GOOD, question.host)

    monkeypatch.setattr(asking, "ask", ask)
    monkeypatch.setattr(asking, "FIRST_S", 0.05)
    note(here, GOOD, "old.test")
    fresh = config_of("old.test", "new.test", "silent.test")
    assert await asking.ask_first(here, fresh)
    assert sorted(asked) == ["new.test", "silent.test"]
    assert not await asking.ask_first(here, fresh) and len(asked) == 2
    hosts = {one.parent for one in with_answers(fresh, here.names.answers, time.time()).sets[0].destinations}
    assert hosts == {"m/sip:old.test", "m/sip:new.test"}


async def test_a_desk_that_dies_is_a_failure_of_the_question(here, monkeypatch):
    async def ask_desk(*_):
        return "the program that waits for databases and DNS ended with -9"

    monkeypatch.setattr(asking.desks, "ask", ask_desk)
    here.names = KnownNames({Question("gw.test"): Answer(targets=(TARGET,), at=time.time())})
    await asking.ask(here, Question("gw.test"), here.config)
    resolved, why = here.names.state_of(Question("gw.test"))
    assert resolved and why.endswith("ended with -9")
