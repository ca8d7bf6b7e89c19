"""Each source's share of questions about names and of room to wait (docs/names.md#shares-of-questions)."""

import itertools

import pytest

from tests.protocol.script import BOB, EDGE
from tests.protocol.test_names import NAME, TRUSTED, ack_from, source


@pytest.fixture
def stage(make_stage):
    return make_stage(max_transactions=10_000, **TRUSTED)


def message_to(stage, name, place, **parts):
    message = stage.make("MESSAGE", headers=[("Route", f"<sip:{name};lr>")], **parts)
    stage.rig.receive(message.to_bytes(), place)


def test_questions_are_limited_per_source(stage):
    """100 at once, then 20 a second; other sources, known names and names that were asked for are not affected."""
    for number in range(150):
        message_to(stage, f"n{number}.dead.example", source(0), call_id=f"{number}@alice")
    assert len(stage.questions()) == 100
    assert (stage.counter("names_refused"), stage.counter("parked")) == (50, 100)
    message_to(stage, "gw.good.example", source(1), call_id="good@alice")
    assert stage.questions() == ["gw.good.example"]
    message_to(stage, "gw.good.example", source(0), call_id="same@alice")
    stage.know("known.example", BOB[0])
    message_to(stage, "known.example", source(0), call_id="known@alice")
    stage.collect()
    assert len(stage.take_requests(BOB[0], "MESSAGE")) == 1
    assert (stage.counter("names_refused"), stage.counter("parked")) == (50, 102)
    stage.advance(1_000)
    for number in range(150, 200):
        message_to(stage, f"n{number}.dead.example", source(0), call_id=f"{number}@alice")
    assert len([name for name in stage.questions() if name.endswith("dead.example")]) == 20


def calls_of(stage, shards):
    """Call-IDs that the first of so many shards has."""
    names = (f"{number}@alice" for number in itertools.count())
    return (name for name in names if stage.rig.partition_of(name.encode()) % shards == 0)


@pytest.mark.parametrize(("shards", "at_once", "in_a_minute"), [(1, 100, 100), (4, 25, 25), (64, 1, 1)])
def test_the_share_of_a_source_is_divided_among_the_shards(make_stage, shards, at_once, in_a_minute):
    """All of them together let no more pass than one would, as long as each has one question."""
    stage = make_stage(max_transactions=10_000, shards=shards, **TRUSTED)
    calls = calls_of(stage, shards)

    def ask(times):
        for call_id in itertools.islice(calls, times):
            message_to(stage, f"n{call_id[:-6]}.dead.example", source(0), call_id=call_id)
        return len(stage.questions())

    assert ask(120) == at_once
    stage.advance(60_000)
    assert ask(120) == in_a_minute, "what is saved up is no more than the burst"


@pytest.mark.parametrize("shards", [1, 3, 64])
def test_questions_of_a_second_are_divided_likewise(make_stage, shards):
    """Asked for ever so often, a shard of many gives its part of 20 a second, to the question."""
    stage = make_stage(max_transactions=10_000, shards=shards, **TRUSTED)
    calls = calls_of(stage, shards)
    for call_id in itertools.islice(calls, 100):
        message_to(stage, f"n{call_id[:-6]}.dead.example", source(0), call_id=call_id)
    stage.questions()
    passed = 0
    for tick in range(640):
        stage.rig.advance(100)
        message_to(stage, f"t{tick}.dead.example", source(0), call_id=next(calls))
        passed += len([name for name in stage.questions() if name.startswith("t")])
    assert passed - min(640, 20 * 64 // shards) in (0, 1), "what the burst left of a question counts"


def test_one_source_does_not_take_all_room_to_wait(make_stage):
    """Half of the 4,096 places is anybody's; of the rest nobody has more who has a quarter already."""
    stage = make_stage(max_transactions=10_000, **TRUSTED)
    for number in range(4_096):
        message_to(stage, NAME, source(0), call_id=f"{number}@alice")
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (2_048, 2_048)
    message_to(stage, NAME, source(1), call_id="other@alice")
    assert stage.counter("parked") == 2_049


V6 = {"listeners": 2, "addresses": (("2001:db8::1", 5060), EDGE), "trusted": ["2001:db8::/32"]}


def v6_source(number: int, network: int = 7):
    """One of the many addresses that a host has of its /64."""
    return f"2001:db8:0:{network:x}:{number:x}::{number:x}", 5060


def test_over_ipv6_a_source_is_its_network(make_stage):
    """Whoever has one address of a /64 has all of it; the next network has a share of its own."""
    stage = make_stage(max_transactions=10_000, **V6)
    for number in range(150):
        message_to(stage, f"n{number}.dead.example", v6_source(number), call_id=f"{number}@alice")
    assert len(stage.questions()) == 100
    assert stage.counter("names_refused") == 50
    for network in (6, 8, 1 << 15):
        message_to(stage, f"n{network}.good.example", v6_source(1, network), call_id=f"good-{network}@alice")
    assert len(stage.questions()) == 3


def test_over_ipv6_a_network_does_not_take_all_room_to_wait(make_stage):
    stage = make_stage(max_transactions=10_000, **V6)
    for number in range(2_100):
        message_to(stage, NAME, v6_source(number), call_id=f"{number}@alice")
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (2_048, 52)
    message_to(stage, NAME, v6_source(1, 8), call_id="other@alice")
    assert stage.counter("parked") == 2_049


@pytest.mark.parametrize("table, of_one, other", [
    (TRUSTED, lambda number: source(0), source(1)),
    (V6, v6_source, v6_source(1, 8)),
])  # fmt: skip
def test_one_source_does_not_hold_all_acks(make_stage, table, of_one, other):
    stage = make_stage(**table)
    for number in range(64):
        ack_from(stage, of_one(number), f"sip:x@{NAME}", call_id=f"{number}@alice")
    assert stage.counter("parked") == 32
    ack_from(stage, other, f"sip:x@{NAME}", call_id="other@alice")
    assert stage.counter("parked") == 33
