"""dispatcher.words: what operators said of destinations, and when it counts no more."""

import json
import os

import pytest

from fastsip.config.targets import with_answers
from fastsip.dispatcher.words import Word, admin_of, read_words, said, standing, state_of, write_words
from fastsip.resolve.answers import Answer
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import WHOLE, Target
from tests.unit.config_text import read

TEXT = """
[[listen]]
uri = "udp:127.0.0.1:5060"
[set.m]
destinations = ["sip:192.0.2.1", "sip:192.0.2.2"]
"""
ONE, TWO = "m/sip:192.0.2.1", "m/sip:192.0.2.2"
DRAINED = Word(state="draining", configured="enabled", at=1.5, why="new memory")


@pytest.fixture
def config():
    return read(TEXT)


def said_in(caplog) -> str:
    return caplog.records[-1].fields["why"]


def test_words_are_kept(scratch):
    assert read_words(scratch) == {}
    write_words(scratch, {ONE: DRAINED})
    assert read_words(scratch) == {ONE: DRAINED}
    assert os.stat(scratch / "words").st_mode & 0o777 == 0o640


DAMAGED = [b"", b"{", b"[]", b"\xff", b'{"layout":2,"words":{}}', b'{"layout":1,"words":{"a":{"state":1}}}',
           b"[" * 9000]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_kept_aside_and_said(scratch, caplog, content):
    (scratch / "words").write_bytes(content)
    assert read_words(scratch) == {}
    (aside,) = scratch.glob("words.damaged-*")
    assert aside.read_bytes() == content and str(aside) in said_in(caplog)
    write_words(scratch, {ONE: DRAINED})
    assert read_words(scratch) == {ONE: DRAINED}


def test_a_file_that_cannot_be_read_is_said(scratch, caplog):
    (scratch / "words").mkdir()
    assert read_words(scratch) == {} and "cannot be read" in said_in(caplog)
    with pytest.raises(OSError, match=r"cannot be read: .*not a plain file"):
        read_words(scratch, needed=True)


def test_fields_of_a_later_release_harm_nobody(scratch):
    words = {ONE: {"state": "draining", "configured": "enabled", "at": 1.5, "why": "new memory", "until": 5}}
    (scratch / "words").write_text(json.dumps({"layout": 1, "words": words, "more": 1}))
    assert read_words(scratch) == {ONE: DRAINED}


@pytest.mark.parametrize(("configured", "word", "counts"), [
    ("enabled", None, "enabled"), ("disabled", None, "disabled"), ("enabled", DRAINED, "draining"),
    ("disabled", DRAINED, "disabled"),
])  # fmt: skip
def test_the_configuration_has_the_last_word_when_it_changes_its_mind(configured, word, counts):
    assert state_of(configured, word) == counts


def test_only_words_on_what_there_is_stand(config):
    words = {ONE: DRAINED, "m/gone": DRAINED, TWO: Word(state="enabled", configured="disabled", at=1)}
    assert standing(words, config) == {ONE: DRAINED}


def test_a_word_that_repeats_the_configuration_needs_none(config):
    words = said({}, config, [ONE, TWO], "disabled", "broken")
    assert {one: (word.state, word.configured, word.why) for one, word in words.items()} == {
        ONE: ("disabled", "enabled", "broken"), TWO: ("disabled", "enabled", "broken")}
    assert set(said(words, config, [ONE], "enabled", "")) == {TWO}
    assert words[ONE].state == "disabled"   # what was given is not changed


# ---------------------------------------------------------------- names

NAME, OTHER = "m/sip:gw.test", "m/sip:192.0.2.9"
FIRST, SECOND, AWAY = (f"{NAME}=udp:10.0.0.{number}:5060" for number in (1, 2, 3))


@pytest.fixture
def named():
    text = TEXT.replace('"sip:192.0.2.1", "sip:192.0.2.2"', '"sip:gw.test", "sip:192.0.2.9"')
    targets = tuple(Target(f"10.0.0.{number}", 5060, "udp", 0, WHOLE) for number in (1, 2))
    config = read(text)
    return with_answers(config, {Question("gw.test"): Answer(targets=targets, at=1.0)}, 1.0)


def counting(words, config) -> dict[str, str]:
    return {one.id: admin_of(one, words) for group in config.sets for one in group.destinations}


def test_a_word_on_a_name_holds_for_its_targets_and_one_on_a_target_for_it_alone(named):
    words = said({}, named, [NAME], "draining", "")
    assert set(words) == {NAME}
    assert counting(words, named) == {FIRST: "draining", SECOND: "draining", OTHER: "enabled"}
    words = said(words, named, [FIRST], "enabled", "")
    assert set(words) == {NAME, FIRST}
    assert counting(words, named) == {FIRST: "enabled", SECOND: "draining", OTHER: "enabled"}


def test_a_word_on_a_target_that_repeats_the_one_on_its_name_needs_none(named):
    words = said(said({}, named, [NAME], "draining", ""), named, [FIRST], "enabled", "")
    assert set(said(words, named, [FIRST], "draining", "")) == {NAME}


def test_a_word_on_a_name_is_the_last_one_on_all_of_its_targets(named):
    words = {FIRST: DRAINED, AWAY: DRAINED, OTHER: DRAINED}
    assert set(said(words, named, [NAME], "enabled", "")) == {OTHER}
    assert set(said(words, named, [NAME], "disabled", "")) == {OTHER, NAME}


def test_a_word_on_a_target_stands_while_it_is_away_and_its_name_is_there(named):
    words = {NAME: DRAINED, FIRST: DRAINED, AWAY: DRAINED, "m/sip:no.test=udp:10.0.0.1:5060": DRAINED}
    assert set(standing(words, named)) == {NAME, FIRST, AWAY}
    changed = {key: Word(state="enabled", configured="disabled", at=1) for key in words}
    assert standing(changed, named) == {}
