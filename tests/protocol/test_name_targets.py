"""A name leads to targets in tiers (RFC 3263): what is asked, whom a call takes, when the next one is tried, who rests.

docs/names.md#a-name-is-a-list, #targets-and-their-order and #resting-places; what is as it was with addresses alone
stands in test_addresses.
"""

import pytest

from tests.protocol.dialogs import Talk
from tests.protocol.script import BOB, EDGE, TICK, WHOLE, Stage, assert_times

NAME = "example.net"
KEY = f"n:sip:{NAME}"
FORWARD = {"trusted": ["10.0.0.0/24"], "rule": {"action": 2}, "destinations": 1}
TARGET_MS = 4_000
REST_MS = 30_000
ONE, TWO, THREE = BOB[5:8]
TIERS = [(*ONE, 0, 1), (*TWO, 1, 1), (*THREE, 2, 1)]  # in this order, whatever the Call-ID


@pytest.fixture
def stage(make_stage):
    """Of the name three targets are known, in an order."""
    made = make_stage(**FORWARD)
    made.know(KEY, *TIERS)
    return made


def send(stage, method="INVITE", **parts):
    return stage.send(method, f"sip:80123@{NAME}", **parts)


def arrived(stage, method="INVITE"):
    found = stage.take(lambda m: m.method == method)
    assert len({m.to for m in found}) == 1, found
    return found[0]


def first_of_a_call(stage, method="INVITE"):
    """Where a call of its own goes; it is refused there, so that nothing is left."""
    call = send(stage, method)
    request = arrived(stage, method)
    stage.reply(request, 404)
    stage.waiting.clear()
    if method == "INVITE":
        call.cancel()
    stage.waiting.clear()
    return request.to


def refuse(stage, request):
    stage.rig.take_error(request.to_bytes(), request.to, 111)
    stage.collect()


# ---------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    "uri, key",
    [
        (f"sip:x@{NAME}", f"n:sip:{NAME}"),
        (f"sip:x@{NAME};transport=UDP", f"s:udp:{NAME}"),
        (f"sip:x@{NAME}:5060", f"a:{NAME}"),
        (f"sip:x@{NAME}:5070;transport=udp", f"a:{NAME}"),
        (f"sip:x@10.0.9.9;maddr={NAME}", f"n:sip:{NAME}"),
    ],
)
@pytest.mark.parametrize("way", ["request-uri", "route", "dialog"])
def test_what_the_uri_leaves_open(make_stage, uri, key, way):
    """RFC 3263 4.1 and 4.2: a port is asked for nothing but addresses, a transport for SRV, neither for NAPTR."""
    stage = make_stage(**FORWARD if way != "dialog" else {})
    if way == "dialog":
        Talk(stage).send("INFO", uri=uri)
    elif way == "route":
        stage.send("INFO", "sip:80123@example.org", headers=[("Route", f"<{uri};lr>")])
    else:
        stage.send("INFO", uri)
    assert stage.asked_keys() == [key]
    stage.know(key, ONE)
    assert arrived(stage, "INFO").to == (ONE[0], 5070 if ":5070" in uri else ONE[1])


def test_two_questions_of_one_name_are_asked_at_once(make_stage):
    """What each of them leaves open is its own; an answer to one is none to the other."""
    stage = make_stage(**FORWARD)
    stage.send("INFO", f"sip:x@{NAME}")
    stage.send("INFO", f"sip:x@{NAME}:5070")
    assert stage.asked_keys() == [f"n:sip:{NAME}", f"a:{NAME}"]
    stage.know(KEY, ONE)
    assert [m.to for m in stage.take(lambda m: m.method == "INFO")] == [ONE]
    stage.know(f"a:{NAME}", TWO)
    assert arrived(stage, "INFO").to == (TWO[0], 5070)


def test_a_name_that_does_not_resolve_is_asked_no_more_than_its_one_question(make_stage):
    """Many calls at once, of all of which the first asks."""
    stage = make_stage(**FORWARD)
    for number in range(20):
        send(stage, "INFO", call_id=f"{number}@alice")
    assert stage.asked_keys() == [KEY]
    stage.know(KEY)
    assert len(stage.take(lambda m: m.status == 500)) == 20


# ---------------------------------------------------------------- whom a call takes


def test_the_port_of_a_target_counts_and_that_of_the_uri_before_it(make_stage):
    stage = make_stage(**FORWARD)
    stage.know(KEY, ("10.0.1.9", 5099, 0, 1))
    send(stage)
    assert arrived(stage).to == ("10.0.1.9", 5099)
    stage.rig.names.set_static({NAME: [("10.0.1.9", 5099)]})
    stage.send("INVITE", f"sip:x@{NAME}:5077")
    assert arrived(stage).to == ("10.0.1.9", 5077)


def test_addresses_of_the_configuration_are_tried_in_their_order(make_stage):
    stage = make_stage(**FORWARD)
    stage.rig.names.set_static({NAME: [(*place, tier, 1) for tier, place in enumerate((TWO, ONE, THREE))]})
    send(stage)
    for place in (TWO, ONE, THREE):
        request = arrived(stage)
        assert request.to == place
        stage.reply(request, 503)
        stage.take(lambda m: m.method == "ACK")
    stage.expect_response(500)


def test_calls_are_spread_by_weight_and_what_belongs_to_one_call_stays_together(make_stage):
    """10 : 20 : 70; the CANCEL and the ACK of a 2xx that have no transaction go where the INVITE went."""
    stage = make_stage(**FORWARD)
    stage.know(KEY, (*ONE, 0, 10), (*TWO, 0, 20), (*THREE, 0, 70), ttl_ms=10**9)
    went = {}
    for number in range(300):
        of_call = {"call_id": f"{number}@alice"}
        send(stage, **of_call)
        invite = arrived(stage)
        stage.reply(invite, 200)
        stage.waiting.clear()
        send(stage, "ACK", to_tag="bob", **of_call)
        assert arrived(stage, "ACK").to == invite.to
        send(stage, "CANCEL", **of_call)
        assert all(m.to == invite.to for m in stage.take_requests(invite.to, "CANCEL"))
        stage.waiting.clear()
        went[invite.to] = went.get(invite.to, 0) + 1
    assert went[ONE] < went[TWO] < went[THREE]
    assert 180 < went[THREE] < 240


def test_a_name_with_more_targets_than_are_kept_is_counted(make_stage):
    stage = make_stage(**FORWARD)
    stage.rig.names.put(KEY, TIERS, 60_000, stage.now, cut=True)
    send(stage)
    stage.reply(arrived(stage), 503)
    stage.reply(arrived(stage), 486)
    assert stage.counter("names_cut") == 1, "once for a request"


# ---------------------------------------------------------------- when the next one is tried


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_silence_counts_after_four_seconds_while_there_is_another(stage, method):
    """The last one has its whole time, as if it were the only one."""
    start = stage.now
    send(stage, method)
    times = []
    for place in (ONE, TWO, THREE):
        while not (found := stage.take_requests(place, method)):
            stage.advance(100)
        times.append(found[0])
    assert_times(times, start, [0, TARGET_MS, 2 * TARGET_MS])
    stage.advance(WHOLE - 1_000)
    assert not stage.take(lambda m: m.status >= 300)
    stage.advance(1_000 + TICK)
    assert len(stage.take(lambda m: m.status == 408)) == (method == "INVITE")


@pytest.mark.parametrize("timeout_ms, after_ms", [(1_000, 1_000), (9_000, TARGET_MS)])
def test_the_policys_timeout_counts_when_it_is_shorter(make_stage, timeout_ms, after_ms):
    stage = make_stage(**FORWARD, policy={"on": [], "timeout_ms": timeout_ms})
    stage.know(KEY, *TIERS)
    send(stage)
    arrived(stage)
    stage.advance(after_ms - TICK)
    assert not stage.take_requests(TWO, "INVITE")
    stage.advance(2 * TICK)
    assert stage.take_requests(TWO, "INVITE")


def test_the_time_is_the_configurations(make_stage):
    stage = make_stage(**FORWARD, target_ms=700)
    stage.know(KEY, *TIERS)
    send(stage)
    arrived(stage)
    stage.advance(700 + TICK)
    assert stage.take_requests(TWO, "INVITE")


@pytest.mark.parametrize("others", [[], [(*EDGE, 1, 1)], [("0.0.0.0", 5060, 1, 1)], [("2001:db8::1", 5060, 1, 1)],
                                    [(ONE[0], 0, 1, 1)]])  # fmt: skip
def test_who_is_the_only_one_that_somebody_can_be_sent_to_is_waited_for(make_stage, others):
    """Others that are ourselves, no host, of a family without listener, or the same place again are none."""
    stage = make_stage(**FORWARD)
    stage.know(KEY, (*ONE, 0, 1), *others)
    assert ONE[1] == 5060
    send(stage)
    arrived(stage)
    stage.advance(WHOLE - 500)
    assert not stage.take(lambda m: m.status >= 300)


def test_a_stranger_who_may_go_to_destinations_alone_waits_for_the_only_one(make_stage):
    stage = make_stage()
    stage.know(KEY, (*BOB[0], 0, 1), (*ONE, 1, 1))
    stage.send("BYE", f"sip:x@{NAME}", to_tag="bob")
    stage.expect_request(BOB[0], "BYE")
    stage.advance(WHOLE + TICK)
    assert {m.to for m in stage.take(lambda m: m.method == "BYE")} == {BOB[0]}


def test_what_does_not_move_on_is_waited_for(make_stage):
    """A PRACK (docs/names.md#a-name-is-a-list)."""
    stage = make_stage()
    stage.know(KEY, *TIERS)
    Talk(stage).send("PRACK", uri=f"sip:bob@{NAME}")
    first = arrived(stage, "PRACK")
    stage.advance(WHOLE - 500)
    assert {m.to for m in stage.take(lambda m: m.method == "PRACK")} == {first.to}
    assert not stage.take(lambda m: m.status >= 300)


def test_a_ringing_target_is_left_alone(stage):
    send(stage)
    stage.ring(ONE)
    stage.advance(60_000)
    assert not stage.take(lambda m: m.method == "INVITE")


def test_the_budget_of_the_policy_ends_it(make_stage):
    stage = make_stage(**FORWARD, policy={"on": [], "budget_ms": 5_000})
    stage.know(KEY, *TIERS)
    send(stage)
    stage.advance(3 * TARGET_MS)
    assert {m.to for m in stage.take(lambda m: m.method == "INVITE")} == {ONE, TWO}
    stage.expect_response(408)


def test_of_thirty_two_targets_sixteen_are_tried(make_stage):
    stage = make_stage(**FORWARD)
    stage.know(KEY, *((f"10.0.2.{number}", 5060, number, 1) for number in range(32)))
    send(stage)
    for number in range(16):
        request = arrived(stage)
        assert request.to == (f"10.0.2.{number}", 5060)
        stage.reply(request, 503)
        stage.take(lambda m: m.method == "ACK")
    stage.expect_response(500)
    assert not stage.take(lambda m: m.method == "INVITE")


def test_the_last_of_sixteen_has_its_whole_time(make_stage):
    stage = make_stage(**FORWARD)
    stage.know(KEY, *((f"10.0.2.{number}", 5060, number, 1) for number in range(32)))
    send(stage)
    for _ in range(15):
        stage.reply(arrived(stage), 503)
        stage.take(lambda m: m.method == "ACK")
    last = arrived(stage)
    stage.advance(WHOLE - 500)
    assert {m.to for m in stage.take(lambda m: m.method == "INVITE")} == {last.to}
    assert not stage.take(lambda m: m.status >= 300)


def test_an_answer_that_changes_meanwhile_is_gone_by(stage):
    """There is no list that could grow stale: the next one is the first untried one of what the name is by then."""
    send(stage)
    request = arrived(stage)
    stage.know(KEY, (*BOB[1], 0, 1), (*ONE, 1, 1))
    stage.reply(request, 503)
    stage.take(lambda m: m.method == "ACK")
    second = arrived(stage)
    assert second.to == BOB[1]
    stage.reply(second, 503)
    stage.expect_response(500)


@pytest.mark.parametrize("failure", ["refused", "silent", 503])
def test_after_a_death_the_order_goes_on(scratch, failure):
    stage = Stage(scratch / "run", **FORWARD)
    stage.know(KEY, *TIERS)
    send(stage)
    first = arrived(stage)
    again = Stage(scratch / "run", now_ms=stage.now + 10, **FORWARD)
    again.rig.names.put(KEY, TIERS, 60_000, again.now)
    again.rig.recover()
    again.collect()
    again.take(lambda m: m.method == "INVITE")
    if failure == "refused":
        refuse(again, first)
    elif failure == "silent":
        again.advance(TARGET_MS)
    else:
        again.reply(first, failure)
    assert again.take_requests(TWO, "INVITE")


# ---------------------------------------------------------------- who rests


def test_who_cannot_be_reached_is_tried_after_the_others_for_half_a_minute(stage):
    send(stage)
    refuse(stage, arrived(stage))
    assert arrived(stage).to == TWO
    start = stage.now
    assert stage.counter("targets_rested") == 1
    assert {first_of_a_call(stage) for _ in range(5)} == {TWO}
    stage.advance(start + REST_MS - stage.now + TICK)
    stage.waiting.clear()
    assert first_of_a_call(stage) == ONE


def test_who_is_silent_twice_in_a_row_rests(stage):
    for expected in (ONE, ONE, TWO):
        send(stage)
        assert arrived(stage).to == expected
        if expected == ONE:
            stage.advance(TARGET_MS + TICK)
            stage.reply(arrived_at(stage, TWO), 404)
            stage.waiting.clear()
    assert stage.counter("targets_rested") == 1


def arrived_at(stage, place):
    return stage.take_requests(place, "INVITE")[0]


@pytest.mark.parametrize("status", [100, 180, 404, 486, 503])
def test_any_answer_breaks_the_silence(stage, status):
    for _ in range(2):
        send(stage)
        stage.advance(TARGET_MS + TICK)
        stage.reply(arrived_at(stage, TWO), 404)
        stage.waiting.clear()
        call = send(stage)
        stage.reply(arrived(stage), status)
        call.cancel()
        stage.waiting.clear()
    assert stage.counter("targets_rested") == 0
    assert first_of_a_call(stage) == ONE


def test_an_answer_wakes_who_rests(stage):
    """A late one of the call that he was given up for is as good."""
    send(stage)
    first = arrived(stage)
    stage.advance(TARGET_MS + TICK)
    stage.waiting.clear()
    send(stage)
    stage.advance(TARGET_MS + TICK)
    stage.waiting.clear()
    assert stage.counter("targets_rested") == 1 and first_of_a_call(stage) == TWO
    stage.reply(first, 180)
    stage.waiting.clear()
    assert first_of_a_call(stage) == ONE


@pytest.mark.parametrize("value, rests_ms", [("5", 5_000), ("17 (in a while);duration=9", 17_000), ("3600", 60_000),
                                             ("0", 0), ("soon", 0), (None, 0)])  # fmt: skip
def test_a_503_rests_as_long_as_its_retry_after_says_and_a_minute_at_most(stage, value, rests_ms):
    send(stage)
    stage.reply(arrived(stage), 503, headers=[("Retry-After", value)] if value else [])
    stage.take(lambda m: m.method == "ACK")
    assert arrived(stage).to == TWO, "this request goes on, whatever it says"
    assert first_of_a_call(stage) == (TWO if rests_ms else ONE)
    if rests_ms:
        stage.advance(rests_ms - 1_000)
        stage.waiting.clear()
        assert first_of_a_call(stage) == TWO
        stage.advance(1_000 + TICK)
        stage.waiting.clear()
        assert first_of_a_call(stage) == ONE


def test_what_belongs_to_a_call_goes_to_who_is_busy(make_stage):
    """His dialogs are there; a busy server says nothing of these."""
    stage = make_stage(trusted=["10.0.0.0/24"])
    stage.know(KEY, *TIERS)
    talk = Talk(stage)
    stage.send("MESSAGE", "sip:80123@example.org", headers=[("Route", f"<sip:{NAME};lr>")])
    stage.reply(arrived(stage, "MESSAGE"), 503, headers=[("Retry-After", "30")])
    assert arrived(stage, "MESSAGE").to == TWO
    for method in ("INFO", "ACK"):
        talk.send(method, uri=f"sip:bob@{NAME}")
        assert arrived(stage, method).to == ONE
    stage.send("CANCEL", "sip:80123@example.org", headers=[("Route", f"<sip:{NAME};lr>")])
    assert {m.to for m in stage.take(lambda m: m.method == "CANCEL")} <= {ONE}


@pytest.mark.parametrize("status", [500, 480, 486, 600])
def test_a_retry_after_of_another_answer_is_the_callees(stage, status):
    send(stage)
    stage.reply(arrived(stage), status, headers=[("Retry-After", "60")])
    stage.waiting.clear()
    assert first_of_a_call(stage) == ONE


def test_when_all_rest_all_are_tried_in_their_order(stage):
    for place in (ONE, TWO, THREE):
        stage.rig.refuse(place)
    send(stage)
    stage.expect_response(500)
    assert stage.counter("targets_rested") == 3
    send(stage)
    stage.expect_response(500)
    assert stage.counter("transport_failures") == 6, "each of them was tried again"


def test_what_rests_rests_for_each_name_that_leads_there(stage):
    stage.know("n:sip:other.example.net", (*ONE, 0, 1), (*THREE, 1, 1))
    send(stage)
    refuse(stage, arrived(stage))
    stage.waiting.clear()
    stage.send("INVITE", "sip:x@other.example.net")
    assert arrived(stage).to == THREE


def test_a_numeric_next_hop_does_not_look_at_who_rests(stage):
    send(stage)
    refuse(stage, arrived(stage))
    stage.waiting.clear()
    stage.send("INVITE", f"sip:x@{ONE[0]}")
    assert arrived(stage).to == ONE


def test_in_a_dialog_a_node_that_died_is_replaced(make_stage):
    stage = make_stage()
    stage.know(KEY, *TIERS)
    talk = Talk(stage)
    talk.send("INFO", uri=f"sip:bob@{NAME}")
    refuse(stage, arrived(stage, "INFO"))
    second = arrived(stage, "INFO")
    assert second.to == TWO
    stage.reply(second, 200)
    stage.expect_response(200, "INFO")
    talk.send("BYE", uri=f"sip:bob@{NAME}")
    assert arrived(stage, "BYE").to == TWO, "and at once from then on"


def test_after_a_cancel_no_other_target_and_nobody_rests_by_it(stage):
    call = send(stage)
    stage.ring(ONE)
    call.cancel()
    stage.reply(stage.expect_request(ONE, "CANCEL"), 200)
    stage.advance(WHOLE + TICK)
    assert not stage.take(lambda m: m.method == "INVITE")
    assert stage.counter("targets_rested") == 0


def test_one_source_cannot_put_all_places_to_rest(make_stage):
    """A quarter of the table is all that one has; what others found dead keeps its place."""
    stage = make_stage(trusted=["10.0.0.0/24", "10.9.0.0/16"], rule={"action": 2}, destinations=1)
    stage.know(KEY, *TIERS)
    send(stage)
    refuse(stage, arrived(stage))
    stage.waiting.clear()
    evil = ("10.9.0.1", 5060)
    for number in range(100):
        stage.know("n:sip:evil.test", *((f"10.8.{number}.{n}", 5060, n, 1) for n in range(15)))
        stage.inject(stage.make("MESSAGE", "sip:x@evil.test", call_id=f"{number}@evil"), evil)
        while requests := stage.take(lambda m: m.method == "MESSAGE"):
            refuse(stage, requests[0])
        stage.waiting.clear()
    assert stage.counter("targets_rested") > 1_024
    assert first_of_a_call(stage) == TWO, f"{ONE} still rests"
