"""Each source has its share of questions about names, and of the room for what waits (wire section 7)."""

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
