"""Next hops that are names (docs/names.md#names-of-next-hops): look-up, waiting, what ends the wait.

A preloaded Route of a trusted caller brings requests to names; so does the
Request-URI inside a dialog.
"""

import pytest

from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.routing.table import RoutingTable
from fastsip.ua.message import make_cancel
from tests.protocol.script import ALICE, BOB, EDGE, T1, TICK, WHOLE, Stage, assert_times

NAME = "gw.example.net"
WAIT = 2_000
ROUTE = [("Route", f"<sip:{NAME};lr>")]
TRUSTED = {"trusted": ["10.0.0.0/24"]}


@pytest.fixture
def stage(make_stage):
    return make_stage(**TRUSTED)


@pytest.fixture
def parked(stage):
    """An INVITE that waits, and its stage."""
    call = stage.invite(headers=ROUTE)
    stage.nothing_sent()
    assert stage.questions() == [NAME]
    return stage, call


def bye(stage, uri, **parts):
    """A BYE that came by our Record-Route to this Request-URI."""
    headers = [("Route", f"<sip:{EDGE[0]}:{EDGE[1]};lr>")]
    return stage.send("BYE", uri, to_tag="bob", cseq=2, headers=headers, **parts)


def ack(stage, uri, **parts):
    headers = [("Route", f"<sip:{EDGE[0]}:{EDGE[1]};lr>")]
    return stage.send("ACK", uri, to_tag="bob", headers=headers, **parts)


def ack_from(stage, place, uri, **parts):
    headers = [("Route", f"<sip:{EDGE[0]}:{EDGE[1]};lr>")]
    stage.rig.receive(stage.make("ACK", uri, to_tag="bob", headers=headers, **parts).to_bytes(), place)


def source(number):
    """One of eight trusted callers, each in his turn."""
    return f"10.0.0.{20 + number % 8}", 5060


# ---------------------------------------------------------------- names that are known


def test_a_known_name_is_sent_to_at_once(stage):
    stage.know(NAME, BOB[0])
    call = stage.invite(headers=ROUTE)
    invite = stage.expect_request(BOB[0], "INVITE")
    assert invite.values("Route") == [f"<sip:{NAME};lr>"]
    assert stage.questions() == []
    stage.reply(invite, 404)
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(404))
    assert stage.counter("parked") == 0
    stage.finish()


@pytest.mark.parametrize(
    "uri, given, port",
    [
        (NAME, 0, 5060),  # SIP's own
        (NAME, 5080, 5080),  # what [names] says
        (f"{NAME}:5070", 0, 5070),
        (f"{NAME}:5070", 5080, 5070),  # the URI's before that
        (f"{NAME}:5060", 5080, 5060),
    ],
)
def test_port(stage, uri, given, port):
    stage.rig.names.set_static({NAME: [("10.0.1.9", given)]})
    stage.invite(headers=[("Route", f"<sip:{uri};lr>")])
    stage.expect_request(("10.0.1.9", port), "INVITE")


@pytest.mark.parametrize("uri", [f"sip:x@{NAME}", f"sip:x@{NAME.upper()}.", f"sip:x@other.invalid;maddr={NAME}"])
def test_request_uri_of_a_dialog(stage, uri):
    stage.know(NAME, BOB[2])
    bye(stage, uri)
    assert stage.expect_request(BOB[2], "BYE").uri == uri


def test_the_star_is_every_name_and_asks_nobody(stage):
    stage.rig.names.set_static({"*": [("10.0.1.9", 0)], NAME: [("10.0.1.8", 0)]})
    for host, place in ((NAME, "10.0.1.8"), ("any.example.org", "10.0.1.9"), ("x", "10.0.1.9")):
        stage.invite(headers=[("Route", f"<sip:{host};lr>")])
        stage.expect_request((place, 5060), "INVITE")
    assert stage.questions() == []


def test_the_call_id_chooses_and_repeats_itself(stage):
    """What has no state goes the way of its INVITE: so does each ACK of a call."""
    stage.know(NAME, *BOB[:8])
    places = set()
    for number in range(40):
        of_call = {"call_id": f"{number}@alice"}
        stage.invite(headers=ROUTE, **of_call)
        (invite,) = stage.take(lambda m: m.method == "INVITE")
        ack(stage, f"sip:x@{NAME}", **of_call)
        ack(stage, f"sip:x@{NAME}", **of_call)
        assert {m.to for m in stage.take(lambda m: m.method == "ACK")} == {invite.to}
        places.add(invite.to)
    assert len(places) > 4


def test_only_addresses_of_our_families(stage):
    stage.know(NAME, ("2001:db8::1", 0), BOB[0])
    for _ in range(10):
        stage.invite(headers=ROUTE)
        stage.expect_request(BOB[0], "INVITE")
    stage.know("six.example.net", ("2001:db8::1", 0))
    stage.send("INVITE", headers=[("Route", "<sip:six.example.net;lr>")])
    stage.expect_response(500)
    assert stage.counter("names_failed") == 1


def test_an_old_answer_is_used_and_asked_for_again(stage):
    stage.know(NAME, BOB[0], ttl_ms=10_000)
    stage.advance(10_000)
    for _ in range(3):
        stage.invite(headers=ROUTE)
        stage.expect_request(BOB[0], "INVITE")
    assert stage.questions() == [NAME]
    stage.know(NAME, BOB[1])
    stage.invite(headers=ROUTE)
    stage.expect_request(BOB[1], "INVITE")
    assert stage.questions() == []
    assert stage.counter("names_asked") == 1


def test_a_name_that_does_not_exist_fails_at_once(stage):
    stage.know(NAME)
    stage.send("INVITE", headers=ROUTE)
    stage.expect_response(500)
    stage.nothing_sent()
    assert stage.questions() == [] and stage.slots() == []
    assert stage.counter("names_failed") == 1


@pytest.mark.parametrize("host", ["a" * 250 + ".net", "example.9net", "10.0.0.a1.1x"])
def test_what_cannot_be_a_name_is_not_asked_for(stage, host):
    """254 bytes; labels that no name ends with."""
    stage.send("INVITE", headers=[("Route", f"<sip:{host};lr>")])
    stage.expect_response(500)
    assert stage.questions() == []


def test_the_longest_name_is_asked_for(stage):
    longest = "a" * 249 + ".net"
    stage.invite(headers=[("Route", f"<sip:{longest};lr>")])
    assert stage.questions() == [longest]


def test_a_stranger_cannot_make_us_ask(make_stage):
    """No Record-Route of ours, nobody that we know: 403 without a question (docs/wire.md#requests-of-dialogs)."""
    stage = make_stage()
    stage.send("BYE", f"sip:x@{NAME}", to_tag="bob")
    stage.expect_response(403, "BYE")
    ack_of_nobody = stage.send("ACK", f"sip:x@{NAME}", to_tag="bob")
    ack_of_nobody.again()
    stage.nothing_sent()
    assert stage.questions() == []
    stage.know(NAME, BOB[0])
    stage.send("BYE", f"sip:x@{NAME}", to_tag="bob")
    stage.expect_request(BOB[0], "BYE")


# ---------------------------------------------------------------- the wait and its end


def test_the_answer_lets_it_go_on(parked):
    stage, _ = parked
    (slot,) = stage.slots()
    assert (slot["state"], list(slot["blocks"])) == ("proceeding", ["kept"])
    stage.advance(700)
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.nothing_sent()
    assert invite.values("Route") == [f"<sip:{NAME};lr>"] and invite.get("Max-Forwards") == "69"
    stage.reply(invite, 180)
    stage.expect_response(180)
    stage.reply(invite, 200)
    stage.expect_response(200)
    stage.quiet(WAIT)
    assert (stage.counter("parked"), stage.counter("transactions"), stage.counter("invites")) == (1, 1, 1)
    stage.finish()
    assert stage.counter("transactions_ended") == 1


def test_it_is_sent_as_if_it_came_now(make_stage):
    """The waiting request and one that finds the name known differ in nothing but what differs anyway."""
    sent = []
    for wait in (True, False):
        stage = make_stage(**TRUSTED)
        if not wait:
            stage.know(NAME, BOB[0])
        via = {"branch": "z9hG4bKsame", "call_id": "same@alice"}
        stage.send("MESSAGE", headers=[*ROUTE, ("X-Strange", "kept")], body=b"hello", **via)
        if wait:
            stage.know(NAME, BOB[0])
        message = stage.expect_request(BOB[0], "MESSAGE")
        sent.append((message.uri, message.headers[1:], message.values("Via")[1:], message.branch, message.body))
    assert sent[0] == sent[1]


@pytest.mark.parametrize("source", [ALICE, ("10.0.0.77", 31_000)])
@pytest.mark.parametrize("rport", ["", ";rport"])
def test_received_and_rport_are_those_of_the_sender(stage, source, rport):
    invite = stage.make("INVITE", headers=ROUTE)
    invite.set("Via", f"SIP/2.0/UDP {ALICE[0]}:5062;branch={invite.branch}{rport}")
    stage.inject(invite, source)
    back = source if rport else (source[0], 5062)
    stage.expect_response(100, to=back)
    stage.know(NAME, BOB[0])
    at_bob = stage.expect_request(BOB[0], "INVITE")
    hers = at_bob.values("Via")[1]
    assert (f";received={source[0]}" in hers) == (source != ALICE or bool(rport))
    assert (f";rport={source[1]}" in hers) == bool(rport)
    stage.reply(at_bob, 486)
    stage.expect_response(486, to=back)


def test_no_answer_in_two_seconds(parked):
    stage, call = parked
    start = stage.now
    stage.advance(WAIT - 1)
    stage.nothing_sent()
    stage.advance(TICK + 1)
    final = stage.expect_response(500)
    assert_times([final], start, [WAIT])
    call.ack(final)
    assert stage.states("server") == ["confirmed"]
    assert (stage.counter("names_failed"), stage.counter("transport_failures")) == (1, 1)
    stage.know(NAME, BOB[0])
    stage.nothing_sent()
    stage.finish()


def test_the_500_is_repeated_until_the_ack(parked):
    stage, _ = parked
    stage.advance(WAIT + TICK)
    final = stage.expect_response(500)
    stage.advance(WHOLE)
    again = stage.take_responses(500)
    assert len(again) > 5 and {m.to_tag for m in again} == {final.to_tag} != {""}
    stage.finish()


def test_other_methods_fail_in_time_too(stage):
    message = stage.send("MESSAGE", headers=ROUTE)
    stage.nothing_sent()
    message.again()
    stage.quiet(WAIT - 1)
    stage.advance(TICK + 1)
    stage.expect_response(500, "MESSAGE")
    message.again()
    stage.expect_response(500, "MESSAGE")
    stage.finish()


def test_it_turns_out_that_the_name_does_not_exist(parked):
    stage, call = parked
    stage.know(NAME)
    call.ack(stage.expect_response(500))
    assert stage.states("server") == ["confirmed"]
    stage.know(NAME, BOB[0])
    stage.nothing_sent()
    stage.finish()


def test_repeated_invite_gets_its_100_again(parked):
    stage, call = parked
    for _ in range(2):
        call.again()
        stage.expect_response(100)
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    stage.expect_request(BOB[0], "INVITE")
    assert stage.counter("retransmitted_requests") == 2


def test_cancelled_while_it_waits(parked):
    """487 at once, and nothing ever goes out."""
    stage, call = parked
    call.cancel(Reason="SIP;cause=487")
    stage.expect_response(200, "CANCEL")
    final = stage.expect_response(487)
    call.cancel()
    stage.expect_response(200, "CANCEL")
    call.ack(final)
    stage.know(NAME, BOB[0])
    stage.nothing_sent()
    assert stage.states("server") == ["confirmed"]
    assert stage.counter("cancels") == 1
    stage.finish()


def test_cancelled_after_it_went_on(parked):
    stage, call = parked
    stage.know(NAME, BOB[0])
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 180)
    stage.expect_response(180)
    call.cancel(Reason="SIP;cause=487")
    stage.expect_response(200, "CANCEL")
    assert stage.expect_request(BOB[0], "CANCEL").get("Reason") == "SIP;cause=487"
    stage.reply(invite, 487)
    stage.expect_response(487)
    stage.finish()


def test_one_question_for_many_requests_and_one_answer_for_all(stage):
    for _ in range(5):
        stage.invite(headers=ROUTE)
    stage.invite(headers=[("Route", "<sip:other.example.net;lr>")])
    assert stage.questions() == [NAME, "other.example.net"]
    stage.know(NAME, BOB[0])
    assert len(stage.take_requests(BOB[0], "INVITE")) == 5
    stage.nothing_sent()
    assert stage.states("server").count("proceeding") == 6
    stage.know("other.example.net", BOB[1])
    stage.expect_request(BOB[1], "INVITE")


def test_a_question_is_repeated_after_a_second_if_somebody_still_wants_to_know(parked):
    stage, _ = parked
    stage.advance(999)
    stage.invite(headers=ROUTE)
    assert stage.questions() == []
    stage.advance(1)
    stage.invite(headers=ROUTE)
    assert stage.questions() == [NAME]


def test_a_wake_up_without_an_answer_changes_nothing(parked):
    stage, _ = parked
    for name in (NAME, "other.example.net", ""):
        stage.rig.name_changed(name)
        stage.collect()
        stage.nothing_sent()
    stage.advance(WAIT + TICK)
    stage.expect_response(500)
    assert stage.counter("parked") == 1


def test_more_than_one_step_resumes_all_go_on_and_no_other(make_stage):
    """Commands are obeyed in bounded steps; requests of another name, and those held without state, lie between."""
    stage, count, other = make_stage(max_transactions=400, **TRUSTED), 150, "other.example.net"
    for number in range(count):
        stage.send("INVITE", headers=ROUTE if number % 3 else [("Route", f"<sip:{other};lr>")])
    for number in range(20):
        ack(stage, f"sip:x@{NAME if number % 2 else other}", cseq=number + 1)
    stage.waiting.clear()
    stage.know(NAME, BOB[3])
    assert len(stage.take_requests(BOB[3], "INVITE")) == count * 2 // 3
    assert len(stage.take_requests(BOB[3], "ACK")) == 10
    stage.nothing_sent()
    stage.know(other, BOB[4])
    assert len(stage.take_requests(BOB[4], "INVITE")) == count // 3
    assert len(stage.take_requests(BOB[4], "ACK")) == 10
    stage.nothing_sent()


def test_new_names_of_the_configuration_let_all_go_on(parked):
    stage, _ = parked
    stage.rig.names.set_static({"*": [("10.0.1.9", 0)]})
    stage.rig.name_changed()
    stage.collect()
    stage.expect_request(("10.0.1.9", 5060), "INVITE")


def test_the_rules_of_now_decide(parked, make_stage):
    """A reload while it waits: the caller is not trusted any more, and the rules send it elsewhere."""
    stage, _ = parked
    other = make_stage()
    stage.use(other.table, Positions(other.table, 0))
    stage.know(NAME, BOB[7])
    invite = stage.expect_request(BOB[0], "INVITE")
    assert invite.values("Route") == []
    stage.reply(invite, 404)
    stage.expect_response(404)


def test_a_rule_of_now_that_replies(parked):
    """What is answered without state to a request that comes now has a transaction here, which repeats it."""
    stage, call = parked
    table = RoutingTable(2, clocks=(T1, 4_000, 5_000, 181_000), branch_key=b"0123456789abcdef")
    table.add_listener(1, 0, *EDGE, f"{EDGE[0]}:{EDGE[1]}")
    table.add_rule(1, 1, reply=(480, "Closed for today"))
    stage.use(table.seal(), Positions(table, 0))
    stage.know(NAME, BOB[0])
    final = stage.expect_response(480)
    assert final.reason == "Closed for today" and final.to_tag
    stage.advance(T1 + TICK)
    assert stage.expect_response(480).to_bytes() == final.to_bytes()
    call.ack(final)
    stage.quiet(4_000)


@pytest.mark.parametrize("end", ["answer", "deadline", "cancel"])
def test_its_listener_is_gone(parked, end):
    """Nobody can be told any more: it ends without a word."""
    stage, call = parked
    table = RoutingTable(2, clocks=(T1, 4_000, 5_000, 181_000), branch_key=b"0123456789abcdef")
    table.add_listener(2, 0, *EDGE, f"{EDGE[0]}:{EDGE[1]}")
    stage.use(table.seal(), Positions(table, 0))
    if end == "answer":
        stage.know(NAME, BOB[0])
    elif end == "deadline":
        stage.advance(WAIT + TICK)
    else:
        call.cancel()
        stage.expect_response(200, "CANCEL")
    stage.nothing_sent()
    assert stage.slots() == []


def test_no_room_for_branches_when_the_answer_comes(make_stage):
    """A partition of 30 slots: 27 new requests wait, 3 find a slot for their branch; who was refused gives way."""
    stage = make_stage(max_transactions=64, **TRUSTED)
    for _ in range(27):
        stage.send("MESSAGE", headers=ROUTE, call_id="same@alice")
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    refused = stage.take_responses(503, "MESSAGE")
    assert len(refused) == 12 and all(2 <= int(m.get("Retry-After")) <= 8 for m in refused)
    assert len(stage.take_requests(BOB[0], "MESSAGE")) == 27 - 12
    assert stage.states("server").count("trying") == 27 - 12
    assert stage.counter("shed") > 0
    stage.finish()


def test_in_dialog_requests_go_on_without_state_then(make_stage):
    stage = make_stage(max_transactions=64, **TRUSTED)
    for _ in range(30):
        bye(stage, f"sip:x@{NAME}", call_id="same@alice")
    stage.know(NAME, BOB[0])
    assert len(stage.take_requests(BOB[0], "BYE")) == 30
    stage.nothing_sent()
    assert len(stage.slots("server")) == len(stage.slots("client")) > 0


# ---------------------------------------------------------------- bounds


def test_searches_beyond_what_may_wait_are_refused(make_stage):
    """4,096 of one shard; who was answered meanwhile does not count."""
    stage = make_stage(max_transactions=6_000, **TRUSTED)
    rig = stage.rig
    for number in range(4_096):
        rig.receive(stage.make("MESSAGE", headers=ROUTE, call_id=f"{number}@alice").to_bytes(), source(number))
    stage.collect()
    stage.nothing_sent()
    late = stage.send("MESSAGE", headers=ROUTE)
    refused = stage.expect_response(503, "MESSAGE")
    assert 2 <= int(refused.get("Retry-After")) <= 8
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (4_096, 1)
    rig.advance(WAIT + TICK)
    assert len(stage.rig.sent()) == 4_096
    late.again()
    stage.collect()
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    stage.expect_request(BOB[0], "MESSAGE")
    assert stage.counter("parked") == 4_097
    stage.nothing_sent()


def test_a_full_list_goes_on_whole(make_stage):
    """One answer for 4,096: the batches are sent in between."""
    stage = make_stage(max_transactions=10_000, **TRUSTED)
    for number in range(4_096):
        message = stage.make("MESSAGE", headers=ROUTE, call_id=f"{number}@alice")
        stage.rig.receive(message.to_bytes(), source(number))
    stage.know(NAME, BOB[0])
    calls = [m.call_id for m in stage.take_requests(BOB[0], "MESSAGE")]
    assert len(calls) == len(set(calls)) == 4_096
    stage.nothing_sent()


# ---------------------------------------------------------------- what has no transaction


def test_an_ack_waits_and_goes_on(stage):
    ack(stage, f"sip:x@{NAME}", body=b"v=0")
    stage.nothing_sent()
    assert stage.questions() == [NAME] and stage.slots() == []
    stage.advance(WAIT - 1)
    stage.know("other.example.net", BOB[1])
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    sent = stage.expect_request(BOB[0], "ACK")
    assert sent.body == b"v=0" and sent.get("Max-Forwards") == "69"
    stage.know(NAME, BOB[0])
    stage.nothing_sent()
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (1, 0)


def test_an_ack_waits_two_seconds_at_most(stage):
    ack(stage, f"sip:x@{NAME}")
    stage.advance(WAIT)
    stage.know(NAME, BOB[0])
    stage.nothing_sent()
    assert stage.counter("parked_dropped") == 1


def test_an_ack_to_a_name_that_does_not_exist_is_dropped(stage):
    ack(stage, f"sip:x@{NAME}")
    stage.know(NAME)
    ack(stage, f"sip:x@{NAME}")
    stage.nothing_sent()
    assert stage.counter("stray_acks") == 2


def test_acks_beyond_what_may_wait_are_dropped(stage):
    """64 of one shard; those that waited too long make room."""
    for number in range(65):
        ack_from(stage, source(number), f"sip:x@{NAME}", call_id=f"{number}@alice")
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (64, 1)
    stage.know(NAME, BOB[0])
    assert len(stage.take_requests(BOB[0], "ACK")) == 64
    for number in range(64):
        ack_from(stage, source(number), "sip:x@other.example.net", call_id=f"{number}@alice")
    stage.advance(WAIT)
    ack(stage, "sip:x@other.example.net", call_id="late@alice")
    assert (stage.counter("parked"), stage.counter("parked_dropped")) == (129, 65)
    stage.know("other.example.net", BOB[0])
    assert stage.expect_request(BOB[0], "ACK").call_id == "late@alice"
    stage.nothing_sent()


def test_a_large_ack_does_not_wait(stage):
    """4,096 bytes."""
    same = {"call_id": "0@alice", "branch": "z9hG4bK1"}
    size = len(ack(stage, f"sip:x@{NAME}", body=b"x" * 1_000, **same).message.to_bytes())
    for more, waiting in ((0, 2), (1, 2)):
        ack(stage, f"sip:x@{NAME}", body=b"x" * (1_000 + 4_096 - size + more), **same)
        assert (stage.counter("parked"), stage.counter("parked_dropped")) == (waiting, more)
    stage.know(NAME, BOB[0])
    assert sorted(len(m.body) for m in stage.take_requests(BOB[0], "ACK")) == [1_000, 5_096 - size]


def test_a_cancel_without_its_invite_waits(stage):
    """Inside a dialog (a re-INVITE whose transaction is lost); outside the rules decide, and these have addresses."""
    invite = stage.make("INVITE", f"sip:x@{NAME}", to_tag="bob", headers=[("Route", f"<sip:{EDGE[0]};lr>")])
    stage.inject(make_cancel(invite))
    stage.nothing_sent()
    stage.know(NAME, BOB[0])
    assert stage.expect_request(BOB[0], "CANCEL").call_id == invite.call_id
    stage.nothing_sent()


# ---------------------------------------------------------------- after a restart


def restarted(stage, run_dir, later) -> Stage:
    """Another process's view of the same store, `later` ms later; nothing is recovered yet."""
    return Stage(run_dir, now_ms=stage.now + later, **TRUSTED)


@pytest.mark.parametrize("later", [100, 60_000])
def test_it_asks_again_after_a_restart(scratch, later):
    first = Stage(scratch / "run", **TRUSTED)
    call = first.invite(headers=ROUTE)
    again = restarted(first, scratch / "run", later)
    again.rig.recover()
    again.collect()
    again.nothing_sent()
    assert again.questions() == [NAME]
    again.advance(WAIT - 1)
    again.inject(call.message)
    again.expect_response(100)
    again.know(NAME, BOB[0])
    invite = again.expect_request(BOB[0], "INVITE")
    again.reply(invite, 200)
    again.expect_response(200)
    again.finish()


def test_it_goes_on_at_once_when_the_name_is_known_by_then(scratch):
    first = Stage(scratch / "run", **TRUSTED)
    first.invite(headers=ROUTE)
    again = restarted(first, scratch / "run", 10)
    again.rig.names.set_static({NAME: [("10.0.1.9", 0)]})
    again.rig.recover()
    again.collect()
    again.expect_request(("10.0.1.9", 5060), "INVITE")
