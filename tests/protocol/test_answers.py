"""Which final response the caller gets: RFC 3261 16.7 item 6, RFC 4320, docs/wire.md#the-answer-to-the-caller."""

import itertools

import pytest

from fastsip._core.routing.policies import pack_policy
from tests.kernels.audit import complaints, live_slots
from tests.protocol.script import ALICE, BOB, NUMBER, WHOLE

ALL = ["3xx", "4xx", "5xx"]


def answer_in_turn(stage, codes, method="INVITE"):
    """Each destination in turn answers with its code."""
    for bob, code in zip(BOB, codes, strict=False):
        stage.reply(stage.expect_request(bob, method), code)
        if method == "INVITE":
            stage.expect_request(bob, "ACK")


@pytest.mark.parametrize(
    "codes, best",
    [
        ([500, 404, 503], 404),  # the lowest class
        ([404, 302, 500], 302),
        ([404, 484, 486], 484),  # within 4xx what helps the caller to try again
        ([404, 415, 486], 415),
        ([404, 420, 486], 420),
        ([486, 500, 401], 401),
        ([486, 500, 407], 407),
        ([302, 486, 603], 603),  # a 6xx above all
        ([500, 503, 502], 500),
    ],
)
def test_best_response(make_stage, codes, best):
    """16.7 item 6."""
    stage = make_stage(policy={"on": ALL})
    call = stage.invite()
    answer_in_turn(stage, codes)
    call.ack(stage.expect_response(best))
    stage.nothing_sent()
    stage.finish()


def test_best_response_is_the_callees_own(make_stage):
    """Forwarded with its headers, not made anew (16.7 item 9)."""
    stage = make_stage(policy={"on": [404, 500]})
    stage.invite()
    stage.reply(
        stage.expect_request(BOB[0], "INVITE"), 404, headers=[("Warning", '399 bob "who?"')], tag="t0"
    )
    stage.reply(stage.expect_request(BOB[1], "INVITE"), 500)
    stage.reply(stage.expect_request(BOB[2], "INVITE"), 500)
    best = stage.expect_response(404)
    assert best.get("Warning") == '399 bob "who?"'
    assert best.to_tag == "t0"
    assert len(best.values("Via")) == 1


def test_503_that_wins_becomes_500(make_stage):
    """16.7 item 6: upstream a 503 would take us out of service; the rest of it stays."""
    stage = make_stage(policy={"on": ["5xx"]}, destinations=1)
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 503, headers=[("X-Why", "full")])
    stage.expect_request(BOB[0], "ACK")
    assert stage.expect_response(500).get("X-Why") == "full"


@pytest.mark.parametrize("code", [401, 407])
def test_challenges_never_fail_over(make_stage, code):
    """They are the caller's to answer, whatever class `on` names."""
    stage = make_stage(policy={"on": ALL})
    stage.invite()
    answer_in_turn(stage, [code])
    stage.expect_response(code)
    stage.nothing_sent()


def test_6xx_ends_the_search(make_stage):
    """16.7 item 5; 6xx in `on` is refused."""
    stage = make_stage(policy={"on": ALL})
    stage.invite()
    answer_in_turn(stage, [600])
    stage.expect_response(600)
    stage.nothing_sent()
    with pytest.raises(ValueError):
        pack_policy(1, on=[603])
    with pytest.raises(ValueError):
        pack_policy(1, on=["6xx"])


# ---------------------------------------------------------------- exhausted, unavailable


def test_exhausted_replaces_the_best_response(make_stage):
    stage = make_stage(policy={"on": [500], "exhausted": (480, "Nobody there")}, destinations=2)
    call = stage.invite()
    answer_in_turn(stage, [500, 500])
    final = stage.expect_response(480)
    assert final.reason == "Nobody there"
    assert final.to_tag
    call.ack(final)
    stage.nothing_sent()
    stage.finish()


def test_exhausted_by_timeouts(make_stage):
    policy = {"on": ["timeout"], "timeout_ms": 2_000, "exhausted": (503, "Later")}
    stage = make_stage(policy=policy, destinations=2)
    stage.invite()
    stage.advance(4_040)
    stage.expect_response(503)
    stage.finish()


@pytest.mark.parametrize("last", [401, 407, 600, 486])
def test_exhausted_leaves_these_as_they_are(make_stage, last):
    """401, 407, 6xx and codes that are not in `on`."""
    stage = make_stage(policy={"on": [500], "exhausted": (480, "Nobody")}, destinations=2)
    stage.invite()
    answer_in_turn(stage, [500, last])
    stage.expect_response(last)
    stage.nothing_sent()


def test_exhausted_of_a_non_invite(make_stage):
    stage = make_stage(policy={"on": [500], "exhausted": (480, "Nobody")}, destinations=2)
    stage.send("MESSAGE")
    answer_in_turn(stage, [500, 500], "MESSAGE")
    stage.expect_response(480, "MESSAGE")
    stage.finish()


def test_unavailable_is_500_by_default(make_stage):
    """Nothing could be tried: 500, since carriers upstream read more into 404 and 503."""
    stage = make_stage(destinations=2)
    for cell in (0, 1):
        stage.cells.set_admin(cell, 2)
    stage.send("INVITE")
    stage.expect_response(500)
    stage.nothing_sent()
    assert live_slots(stage.rig) == []


def test_unavailable_as_configured(make_stage):
    stage = make_stage(policy={"unavailable": (404, "No destination")}, destinations=1)
    stage.cells.set_admin(0, 2)
    stage.send("INVITE")
    assert stage.expect_response(404).reason == "No destination"
    stage.nothing_sent()


def test_503_of_our_own_has_retry_after(make_stage):
    """2 to 8 seconds at random (docs/wire.md#our-own-503)."""
    stage = make_stage(policy={"unavailable": (503, "Full")}, destinations=1)
    stage.cells.set_admin(0, 2)
    seen = set()
    for _ in range(60):
        stage.send("INVITE")
        seen.add(int(stage.expect_response(503).get("Retry-After")))
    assert seen <= set(range(2, 9)) and len(seen) > 2


def test_full_store_refuses_new_calls_without_state(make_stage):
    """503 with Retry-After, and its ACK is dropped; what lives goes on (docs/core.md#a-full-store)."""
    stage = make_stage(max_transactions=1)
    call_id = "same-partition@alice"
    refused = None
    for other in itertools.islice(stage.beside(call_id), 40):
        stage.send("INVITE", call_id=other)
        found = stage.take_responses(503)
        if stage.counter("store_full"):
            refused = found[0]
            break
    assert refused is not None
    assert 2 <= int(refused.get("Retry-After")) <= 8
    live = len(live_slots(stage.rig))
    stage.waiting.clear()
    bye = stage.make(
        "BYE", to_tag="x", call_id=call_id, headers=[("Route", f"<sip:10.0.0.254;lr>, <sip:{BOB[0][0]};lr>")]
    )
    stage.inject(bye)
    stage.expect_request(BOB[0], "BYE")
    assert len(live_slots(stage.rig)) == live, "the reserve is not for To tags that anybody may invent"
    stage.inject(bye.set("Via", f"SIP/2.0/UDP {BOB[1][0]};branch=z9hG4bKknown"), BOB[1])
    stage.expect_request(BOB[0], "BYE")
    assert len(live_slots(stage.rig)) > live
    stage.finish()


def test_what_only_absorbs_repetitions_makes_room(make_stage):
    """The oldest lingering non-INVITE go first, and no others (docs/core.md#a-full-store)."""
    stage = make_stage(max_transactions=1)
    call_id = "same-partition@alice"
    stage.invite(call_id=call_id)
    ringing = stage.expect_request(BOB[0], "INVITE")
    stage.reply(ringing, 180)
    stage.expect_response(180)
    messages = []
    while stage.counter("shed") == 0:
        assert len(messages) < 100
        messages.append(stage.send("MESSAGE", call_id=call_id))
        stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)
        stage.expect_response(200, "MESSAGE")
        stage.advance(500)      # older and younger ones
        stage.waiting.clear()
    assert stage.counter("store_full") == 0
    messages[-1].again()
    stage.expect_response(200, "MESSAGE")       # still absorbed
    messages[0].again()
    stage.expect_request(BOB[0], "MESSAGE")     # not known any more
    assert complaints(stage.rig) == []
    stage.reply(ringing, 200)
    stage.expect_response(200)
    stage.finish()


# ---------------------------------------------------------------- RFC 4320


def test_no_408_to_a_non_invite(make_stage):
    """RFC 4320 section 4.2: also when all destinations stay silent."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000}, destinations=2)
    stage.send("MESSAGE")
    stage.advance(2 * WHOLE)
    stage.expect_response(100, "MESSAGE")
    assert {message.method for message in stage.waiting} == {"MESSAGE"}
    assert live_slots(stage.rig) == []


def test_408_of_a_callee_is_not_forwarded_to_a_non_invite(stage):
    """RFC 4320 section 4.2: no element sends 408 to a non-INVITE."""
    stage.send("MESSAGE")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 408)
    stage.nothing_sent()
    stage.finish()


# ---------------------------------------------------------------- in a dialog


@pytest.fixture
def dialog(make_stage):
    """An established call, and a policy that would fail over."""
    policy = {"on": ["timeout", 500], "timeout_ms": 2_000, "exhausted": (480, "Nobody")}
    stage = make_stage(policy=policy)
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    return stage, call, ok


def test_in_dialog_requests_follow_their_route(dialog):
    """16.5: no rule, no new Record-Route, our Route is gone."""
    stage, call, ok = dialog
    call.in_dialog("INVITE", ok, 2)
    stage.expect_response(100)
    again = stage.expect_request(BOB[0], "INVITE")
    assert not again.values("Route") and not again.values("Record-Route")
    stage.nothing_sent()


def test_in_dialog_failure_is_passed_on(dialog):
    """No `exhausted`, no failover to a server that does not know the call."""
    stage, call, ok = dialog
    call.in_dialog("BYE", ok, 2)
    stage.reply(stage.expect_request(BOB[0], "BYE"), 500)
    stage.expect_response(500, "BYE")
    stage.nothing_sent()


@pytest.mark.parametrize("status", [200, 404, 500])
def test_in_dialog_responses_keep_their_to(dialog, status):
    """16.7 item 6: no tag is touched, whatever the class."""
    stage, call, ok = dialog
    request = call.in_dialog("INFO", ok, 2).message
    stage.reply(stage.expect_request(BOB[0], "INFO"), status)
    assert stage.expect_response(status, "INFO").get("To") == request.get("To")


def test_in_dialog_timeout(dialog):
    """408 to INVITE, nothing to others (RFC 4320)."""
    stage, call, ok = dialog
    call.in_dialog("INVITE", ok, 2)
    call.in_dialog("BYE", ok, 3)
    stage.advance(WHOLE + 40)
    stage.take_requests(BOB[0], "INVITE")
    stage.take_requests(BOB[0], "BYE")
    stage.expect_response(100)
    stage.expect_response(408)
    assert not stage.take_responses(408, "BYE")
    assert not stage.take_responses(480)


def test_in_dialog_request_of_a_dialog_that_ended_here(stage):
    """To tag, no Route, Request-URI ours: 481 (docs/wire.md#requests-of-dialogs)."""
    stage.send("BYE", "sip:alice@10.0.0.254", to_tag="x")
    stage.expect_response(481, "BYE")
    stage.nothing_sent()


def test_nobody_relays_by_inventing_a_to_tag(stage):
    """To tag, a Route to anywhere, from anywhere: 403; an ACK is dropped (docs/wire.md#requests-of-dialogs)."""
    stage.send(
        "BYE",
        NUMBER.replace("example.net", "192.0.2.9"),
        to_tag="x",
        headers=[("Route", "<sip:192.0.2.9;lr>")],
    )
    stage.expect_response(403, "BYE")
    stage.send("ACK", "sip:x@192.0.2.9", to_tag="x", headers=[("Route", "<sip:192.0.2.9;lr>")])
    stage.nothing_sent()


PRELOADED = [("Route", f"<sip:{BOB[4][0]}:{BOB[4][1]};lr>")]


@pytest.mark.parametrize("network, goes_to", [("10.0.0.0/24", BOB[4]), ("10.0.9.0/24", BOB[0])])
def test_a_preloaded_route_counts_from_trusted_networks_only(make_stage, network, goes_to):
    """From others it is removed, and the rules decide (docs/wire.md#routes-of-strangers)."""
    stage = make_stage(trusted=[network])
    stage.send("MESSAGE", headers=PRELOADED)
    request = stage.expect_request(goes_to, "MESSAGE")
    assert request.values("Route") == ([PRELOADED[0][1]] if goes_to == BOB[4] else [])
    stage.nothing_sent()


def test_a_trusted_source_lets_a_dialog_through(make_stage):
    stage = make_stage(trusted=[ALICE[0]])
    stage.send("BYE", f"sip:x@{BOB[4][0]}:{BOB[4][1]}", to_tag="x")
    stage.reply(stage.expect_request(BOB[4], "BYE"), 200)
    stage.expect_response(200, "BYE")
