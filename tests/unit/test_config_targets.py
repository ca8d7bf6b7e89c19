"""Names among destinations: what the language takes, and what the targets of an answer become."""

import time

import msgspec
import pytest

from fastsip.config import Config, ConfigError, load_text
from fastsip.config.language import MAX_ID_BYTES, MAX_NAMED_DESTINATIONS, MAX_TARGET_BYTES
from fastsip.config.targets import ids_of, lines_of, parent_of, questions_of, target_id, with_answers
from fastsip.resolve.answers import Answer, Gone, write_answers
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import WHOLE, Target
from fastsip.router.outlook import outlook

GW = Question("gw.test")
HEAD = """
[router]
name = "edge1"
shards = 1
run_dir = "{place}/run"
state_dir = "{place}/state"
[[listen]]
uri = "udp:192.0.2.1:5060"
"""
INSIDE = '[[listen]]\nuri = "udp:192.0.2.9:5060"\ntag = "inside"\n'
SIX = '[[listen]]\nuri = "udp:[2001:db8::1]:5060"\ntag = "six"\n'


def target(host: str = "10.0.0.1", port: int = 5060, tier: int = 0) -> Target:
    return Target(host, port, "udp", tier, WHOLE)


def answer(*targets: Target, **facts) -> Answer:
    return Answer(targets=targets, at=time.time(), **facts)


def read(*destinations: str, answers=None, listeners="", more="", keys="", place="/nowhere") -> Config:
    text = HEAD.format(place=place) + listeners + f"[set.a]\ndestinations = [{', '.join(destinations)}]\n{keys}\n{more}"
    return load_text(text, f"{place}/c.toml", make_secret=False, answers=answers)


def hosts(config: Config) -> list[str]:
    return [one.host for one in config.set_named("a").destinations]


def problem(*destinations: str, **parts) -> str:
    with pytest.raises(ConfigError) as raised:
        read(*destinations, **parts)
    return str(raised.value)


# ---------------------------------------------------------------- the language


@pytest.mark.parametrize(("uri", "question"), [
    ("sip:gw.test", Question("gw.test")),
    ("sip:GW.Test.", Question("gw.test")),
    ("sip:user@gw.test:5070;x=y", Question("gw.test", 5070)),
    ("sip:gw.test;transport=UDP", Question("gw.test", 0, "udp")),
    ("sip:a", Question("a")),
])  # fmt: skip
def test_a_uri_says_what_dns_is_asked(uri, question):
    assert questions_of(read(f'"{uri}"')) == {question}


def test_ids_of_names_are_unique_as_all_are():
    assert '"sip:gw.test" twice' in problem('"sip:gw.test"', '"sip:gw.test"')
    assert "an id of its own" in problem('{ uri = "sip:gw.test", id = "x" }', '{ uri = "sip:192.0.2.7", id = "x" }')


def test_the_id_of_a_name_leaves_room_for_its_targets():
    most = MAX_ID_BYTES - MAX_TARGET_BYTES
    config = read(f'{{ uri = "sip:gw.test", id = "{"x" * most}" }}', listeners=SIX,
                  answers={GW: answer(target("2001:1db8:ffff:ffff:ffff:ffff:ffff:ffff", 65_535))})
    (one,) = config.set_named("a").destinations
    assert len(one.id) == MAX_ID_BYTES
    assert f"at most {most} bytes" in problem(f'{{ uri = "sip:gw.test", id = "{"x" * (most + 1)}" }}')


def test_names_are_so_many_and_no_more():
    names = [f'"sip:h{number}.test"' for number in range(MAX_NAMED_DESTINATIONS)]
    assert len(questions_of(read(*names))) == MAX_NAMED_DESTINATIONS
    assert f"at most {MAX_NAMED_DESTINATIONS} of them are names" in problem(*names, '"sip:one.more.test"')


def test_rows_of_sources_have_the_names_that_are_left(tmp_path):
    rows = "".join(f"1 h{number}.test\n" for number in range(MAX_NAMED_DESTINATIONS))
    (tmp_path / "list").write_text(f"{rows}1 192.0.2.77\n")
    more = '[[source]]\nkind = "list"\npath = "list"\n[[route]]\nto = "a"\n'
    config = read('"sip:gw.test"', more=more, place=tmp_path, answers={Question("h0.test"): answer(target())})
    made = config.set_named("1")
    assert len(made.names) == MAX_NAMED_DESTINATIONS - 1 and [one.host for one in made.destinations] == ["10.0.0.1",
                                                                                                         "192.0.2.77"]
    (left,) = config.sources[0].left_out
    assert left.where == "line 1000" and left.why == "there are 1,000 names among the destinations already"


def test_answering_sets_have_no_names():
    assert "loopback addresses only" in problem('"sip:localhost"', keys="answering = true")


def test_a_listener_of_a_name_is_one_that_there_is():
    assert 'the tag of a [[listen]], or its address: "udp:192.0.2.1:5060"' in problem(
        '{ uri = "sip:gw.test", listen = "outside" }')


@pytest.mark.parametrize(("stale", "words"), [('"169h"', "from"), ("5", "say the unit"), ('"x"', "a duration")])
def test_what_stale_may_be(stale, words):
    assert words in problem('"sip:gw.test"', more=f"[resolve]\nstale = {stale}\n")
    assert read('"sip:gw.test"', more='[resolve]\nstale = "168h"\n').resolve.stale_ms == 7 * 86_400_000


# ---------------------------------------------------------------- targets


def test_a_target_says_what_its_name_says():
    keys = ('uri = "sip:u@gw.test;x=y", id = "gw", weight = 7, priority = 3, attrs = { site = "east" }, '
            'listen = "inside", admin = "draining", starts_down = true, probe = { interval = "3s" }')
    config = read(f"{{ {keys} }}", listeners=INSIDE, answers={GW: answer(target(port=5070, tier=2))})
    (one,) = config.set_named("a").destinations
    assert (one.id, one.parent, one.named, one.uri) == ("gw=udp:10.0.0.1:5070", "gw", "gw.test", "sip:u@gw.test;x=y")
    assert (one.host, one.port, one.family, one.tier, one.share) == ("10.0.0.1", 5070, 4, 2, WHOLE)
    assert (one.weight, one.priority, one.attrs) == (7, 3, (("site", "east"),))
    assert (one.admin, one.starts_down, one.listener) == ("draining", True, 1)
    assert one.probe.interval_ms == 3_000 and one.probe.from_uri == "sip:edge1@192.0.2.9:5060"


def test_targets_stand_at_the_place_of_their_name():
    answers = {GW: answer(target("10.0.0.1"), target("10.0.0.2")), Question("b.test", 5070): answer(target("10.0.0.3"))}
    destinations = ('"sip:192.0.2.21"', '"sip:gw.test"', '"sip:none.test"', '"sip:192.0.2.22"', '"sip:b.test:5070"')
    config = read(*destinations, answers=answers)
    assert hosts(config) == ["192.0.2.21", "10.0.0.1", "10.0.0.2", "192.0.2.22", "10.0.0.3"]
    assert [one.uri for one in outlook(config).sets[0].destinations] == [each.strip('"') for each in destinations]
    again = with_answers(config, {GW: answer(target("10.0.0.9"))}, time.time())
    assert hosts(again) == ["192.0.2.21", "10.0.0.9", "192.0.2.22"]
    assert with_answers(again, answers, time.time()) == config


def test_names_comes_before_dns_with_its_ports_unless_the_uri_has_one():
    more = '[names]\n"gw.test" = ["10.9.0.1:5090", "10.9.0.2"]\n'
    answers = {GW: answer(target()), Question("gw.test", 5070): answer(target())}
    config = read('"sip:gw.test"', '"sip:gw.test:5070"', '"sip:b.test"', answers=answers, more=more)
    assert [(one.host, one.port) for one in config.set_named("a").destinations] == [
        ("10.9.0.1", 5090), ("10.9.0.2", 5060), ("10.9.0.1", 5070), ("10.9.0.2", 5070)]
    assert questions_of(config) == {Question("b.test")}
    assert questions_of(read('"sip:gw.test"', more='[names]\n"*" = "10.9.0.1"\n')) == set()


LEFT_OUT = {
    "10.0.0.1:5060: another destination has its id, or its short id":
        {"destinations": ('"sip:gw.test"', '{ uri = "sip:192.0.2.7", id = "a/sip:gw.test=udp:10.0.0.1:5060" }')},
    "192.0.2.1:5060: it is our own [[listen]] address: calls would go round in a loop": {"host": "192.0.2.1"},
    "[2001:db8::7]:5060: no [[listen]] has an IPv6 address to send from": {"host": "2001:db8::7"},
    "10.0.0.1:5060: no [[listen]] six has an IPv4 address to send from":
        {"destinations": ('{ uri = "sip:gw.test", listen = "six" }',), "listeners": SIX},
    "5 more targets than a name may have": {"cut": 5},
}


@pytest.mark.parametrize("why", LEFT_OUT)
def test_no_answer_makes_a_configuration_wrong(why):
    parts = dict(LEFT_OUT[why])
    answers = {GW: answer(target(parts.pop("host", "10.0.0.1")), cut=parts.pop("cut", 0))}
    config = read(*parts.pop("destinations", ('"sip:gw.test"',)), answers=answers, **parts)
    assert config.set_named("a").names[0].left_out == (why,)
    assert f"a/sip:gw.test: {why}; left out" in outlook(config).warnings


def test_a_name_without_an_answer_has_no_targets_and_the_set_is_there():
    config = read('"sip:gw.test"', answers={})
    assert hosts(config) == [] and list(ids_of(config)) == ["a/sip:gw.test"]
    assert "a/sip:gw.test has no target yet: they come from DNS, which is asked when a router runs" in (
        outlook(config).warnings)


def test_who_rests_keeps_what_was_learned():
    resting = answer(target(), gone=(Gone(target=target("10.0.0.2"), at=time.time() - 599),
                                     Gone(target=target("10.0.0.3"), at=time.time() - 601)))
    config = read('"sip:gw.test"', '"sip:192.0.2.7"', answers={GW: resting})
    assert sorted(lines_of(config)) == ["a/sip:192.0.2.7", "a/sip:gw.test=udp:10.0.0.1:5060",
                                        "a/sip:gw.test=udp:10.0.0.2:5060"]


def test_what_is_kept_counts_when_nobody_says_more(tmp_path):
    (tmp_path / "state").mkdir()
    write_answers(tmp_path / "state", {GW: answer(target())})
    assert hosts(read('"sip:gw.test"', place=tmp_path)) == ["10.0.0.1"]
    assert hosts(read('"sip:gw.test"', place=tmp_path, answers={})) == []
    write_answers(tmp_path / "state", {GW: msgspec.structs.replace(answer(target()), at=time.time() - 61)})
    assert hosts(read('"sip:gw.test"', place=tmp_path, more='[resolve]\nstale = "60s"\n')) == []
    assert hosts(read('"sip:gw.test"', place=tmp_path, more='[resolve]\nstale = "70s"\n')) == ["10.0.0.1"]


@pytest.mark.parametrize("parent", ["a/sip:gw.test", "gw", "x=udp:y", "a/sip:gw.test@udp:10.0.0.1:5060"])
def test_a_target_knows_its_parent(parent):
    for one in (target(), target("2001:db8::1")):
        assert parent_of(target_id(parent, one)) == parent
    assert parent_of("a/sip:gw.test") == ""
