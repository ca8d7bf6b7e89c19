"""supervisor.databases: who is away is known of the sources that there are."""

import types

import pytest
from msgspec.structs import replace

from fastsip.config.model import Source
from fastsip.dispatcher.words import Word, read_words, write_words
from fastsip.sources.added import write_added
from fastsip.supervisor import databases
from fastsip.supervisor.destinations import drop_words
from tests.unit.config_text import read

TEXT = """
[[listen]]
uri = "udp:127.0.0.1:5060"
[set.m]
destinations = ["sip:192.0.2.1"]
"""


@pytest.fixture
def config():
    """With one database."""
    source = Source(name="db", kind="sql", origin="o", row_count=0, away="", left_out=(), url="", table="t",
                    columns="kamailio", interval_ms=1000)  # fmt: skip
    return replace(read(TEXT), sources=(source,))


def here_with(config):
    """A supervisor on it, and what it `told`."""
    told = []
    events = types.SimpleNamespace(tell=lambda event, **fields: told.append((event, fields["source"])))
    return types.SimpleNamespace(config=config, away={}, told_away={}, events=events, told=told)


def test_one_that_a_reload_removed_while_it_was_read_leaves_nothing(config):
    (source,) = config.sources
    without = replace(config, sources=())
    here = here_with(without)
    databases.note(here, source, "it does not answer")
    assert here.away == {}


def test_one_that_comes_back_is_not_away_because_it_was_when_it_went(config):
    (source,) = config.sources
    here = here_with(config)
    databases.note(here, source, "it does not answer")
    assert databases.with_away(here, config).sources[0].away == "it does not answer"
    here.config = replace(config, sources=())
    databases.forget_removed(here)
    assert here.away == {} and databases.with_away(here, config).sources[0].away == ""


def test_what_was_just_read_for_this_configuration_says_it_by_itself(config):
    away = replace(config.sources[0], away="not there")
    here = here_with(config)
    found = databases.with_away(here, replace(config, sources=(away,)))
    assert found.sources[0].away == "not there"


def test_a_source_is_told_to_fail_once_and_to_be_back_once(config):
    """Of whatever kind; one that goes while it is away is not back."""
    sql, = config.sources
    listed = replace(sql, name="list", kind="list", origin="p")
    here = here_with(replace(config, sources=(sql, listed)))
    for why in ("it does not answer", "it still does not", "", ""):
        databases.note(here, sql, why)
    assert here.told == [("source.failed", "db"), ("source.back", "db")]
    here.told.clear()
    for sources in ((sql, replace(listed, away="no file")), (sql, replace(listed, away="no file")), (sql, listed),
                    (sql, replace(listed, away="no file")), (sql,)):  # fmt: skip
        here.config = replace(config, sources=sources)
        databases.tell_away(here)
    assert here.told == [("source.failed", "list"), ("source.back", "list"), ("source.failed", "list")]


def test_words_stay_while_nobody_knows_which_destinations_operators_added(config, scratch):
    router = replace(config.router, state_dir=str(scratch))
    config, words = replace(config, router=router), {"m/added": Word(state="draining", configured="enabled", at=1.5)}
    write_words(scratch, words)
    write_added(scratch, [])
    (scratch / "added").chmod(0o660)
    drop_words(config)
    assert read_words(scratch) == words
    (scratch / "added").chmod(0o640)
    drop_words(config)
    assert read_words(scratch) == {}
