"""docs/names.md#a-name-is-a-list: the next address after silence, a transport error, a 503 (RFC 3263 section 4.3).

For Route, Request-URI and the rules that forward; in the order that the Call-ID gives.
"""

import pytest

from tests.protocol.dialogs import Talk
from tests.protocol.script import BOB, EDGE, INSIDE, T1, TICK, WHOLE, Stage

FORWARD = 2  # action_id
NAME = "gw.example.net"
URI = f"sip:80123@{NAME}"
HEADER = "X-Next-Hop"
TRUSTED = ["10.0.0.0/24"]
TARGET_MS = 4_000  # for one that says nothing, while there is another
FAILURES = ["refused", "silent", 503]
# What the next hop is taken from: the URI of the request, its headers, what the stage's rule says.
WAYS = {
    "route": ("sip:80123@example.net", [("Route", f"<sip:{NAME};lr>")], None),
    "request-uri": (URI, [], {"action": FORWARD}),
    "header": ("sip:80123@example.net", [(HEADER, f"<{URI}>")], {"action": FORWARD, "forward": HEADER.encode()}),
    "strict router": ("sip:80123@example.net", [("Route", f"<{URI}>, <sip:10.0.9.9;lr>")], None),
}


@pytest.fixture
def named(make_stage):
    """A function that sets up a stage where the name has so many addresses: those of BOB."""

    def make(way="request-uri", addresses=3, **parts):
        _, _, rule = WAYS[way]
        stage = make_stage(**{"trusted": TRUSTED, "rule": rule, "destinations": 1, **parts})
        stage.know(NAME, *BOB[5 : 5 + addresses])
        return stage

    return make


def send(stage, way="request-uri", method="INVITE", **parts):
    uri, headers, _ = WAYS[way]
    return stage.send(method, uri, headers=[*headers, *parts.pop("headers", [])], **parts)


def arrived(stage, method="INVITE"):
    """The one request that went out, in whatever number of copies."""
    found = stage.take(lambda m: m.method == method)
    assert len({m.to for m in found}) == 1, found
    return found[0]


def fail(stage, request, how):
    """This address fails; what has been sent to it already is taken."""
    if how == "silent":
        stage.advance(TARGET_MS + TICK)
        stage.take(lambda m: m.to == request.to)
        if not any(m.method == request.method or m.status >= 200 for m in stage.waiting):
            stage.advance(WHOLE)
    elif how == "refused":
        stage.rig.take_error(request.to_bytes(), request.to, 111)
        stage.collect()
    else:
        stage.reply(request, how)
    stage.take(lambda m: m.to == request.to)


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", WAYS)
def test_the_next_address_in_a_branch_of_its_own(named, way, failure, method):
    stage = named(way)
    send(stage, way, method)
    requests = []
    for _ in range(3):
        requests.append(arrived(stage, method))
        if len(requests) < 3:
            fail(stage, requests[-1], failure)
    assert {m.to for m in requests} == set(BOB[5:8])
    assert len({m.branch for m in requests}) == 3
    assert len({(m.uri, *m.values("Route"), m.get("Max-Forwards")) for m in requests}) == 1
    assert all(len(m.values("Via")) == 2 and len(m.values("Record-Route")) == (method == "INVITE") for m in requests)
    stage.reply(requests[-1], 200)
    stage.expect_response(200, method)
    assert stage.counter("failovers") == 2
    stage.finish()


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO"])
def test_in_a_dialog(make_stage, method, failure):
    """The Contact of the callee is a name."""
    stage = make_stage()
    stage.know(NAME, *BOB[5:7])
    talk = Talk(stage)
    talk.send(method, uri=f"sip:bob@{NAME}")
    first = arrived(stage, method)
    fail(stage, first, failure)
    second = arrived(stage, method)
    assert {first.to, second.to} == set(BOB[5:7]) and first.uri == second.uri
    stage.reply(second, 200)
    stage.expect_response(200, method)
    stage.finish()


def test_every_call_reaches_the_living_address(named):
    stage = named(addresses=2)
    stage.rig.refuse(BOB[5])
    for number in range(8):
        send(stage, call_id=f"{number}@alice")
        invite = stage.expect_request(BOB[6], "INVITE")
        stage.reply(invite, 200)
        stage.expect_response(200)


@pytest.mark.parametrize("failure, status", [("refused", 500), ("silent", 408), (503, 500)])
def test_each_address_once(named, failure, status):
    stage = named()
    call = send(stage)
    seen = []
    for _ in range(3):
        invite = arrived(stage)
        seen.append(invite.to)
        fail(stage, invite, failure)
    assert sorted(seen) == BOB[5:8]
    final = stage.expect_response(status)
    call.ack(final)
    assert not stage.take(lambda m: m.method == "INVITE")
    assert (stage.counter("failovers"), stage.counter("exhausted")) == (2, 0)
    stage.finish()


def test_also_when_the_first_branch_is_long_gone(named):
    """A transport error ends its branch at once; where it went is known all the same."""
    stage = named(addresses=2)
    send(stage)
    first = arrived(stage)
    fail(stage, first, "refused")
    second = arrived(stage)
    assert second.to != first.to
    fail(stage, second, "silent")
    stage.expect_response(500)
    assert not stage.take(lambda m: m.method == "INVITE")


def test_no_more_than_sixteen_branches(make_stage):
    """Eight are all that a name can have; whatever DNS says anew meanwhile, a request has sixteen."""
    stage = make_stage(trusted=TRUSTED, rule={"action": FORWARD})
    call = None
    seen = []
    for round_number in range(4):
        stage.know(NAME, *[(f"10.0.{2 + round_number}.{n}", 5060) for n in range(1, 9)])
        call = call or send(stage)
        for _ in range(7):
            found = stage.take(lambda m: m.method == "INVITE")
            if found:
                seen.append(found[0].to)
                stage.know(NAME, *[(f"10.0.{2 + round_number}.{n}", 5060) for n in range(1, 9)])
                fail(stage, found[0], 503)
    assert len(seen) == len(set(seen)) == 16
    stage.expect_response(500)


@pytest.mark.parametrize("status", [302, 404, 408, 486, 500, 504, 603])
def test_a_real_answer_ends_it(named, status):
    stage = named()
    send(stage)
    stage.expect_response(100)
    stage.refuse(arrived(stage), status)
    stage.expect_response(status)
    stage.nothing_sent()


@pytest.mark.parametrize("status", [404, 486, 500])
def test_a_real_answer_outranks_a_503(named, status):
    """The 503 is kept like any best response, as 500; what another address answers ranks by 16.7 item 6."""
    stage = named(addresses=2)
    send(stage)
    fail(stage, arrived(stage), 503)
    stage.refuse(arrived(stage), status)
    stage.expect_response(status)


def test_a_503_is_the_best_if_others_are_silent(named):
    stage = named(addresses=2)
    send(stage)
    fail(stage, arrived(stage), 503)
    fail(stage, arrived(stage), "silent")
    stage.expect_response(500)


def test_the_policys_timeout_is_that_of_each(named):
    stage = named(policy={"on": [], "timeout_ms": 1_000})
    send(stage)
    for _ in range(3):
        invite = arrived(stage)
        stage.advance(1_000 + TICK)
        stage.take_requests(invite.to, "INVITE")
    stage.expect_response(408)


def test_silence_after_a_100_is_no_failure_of_the_address(named):
    """Somebody is there: Timer C, and the answer is 408."""
    stage = named(policy={"on": [], "progress_ms": 2_000})
    send(stage)
    invite = arrived(stage)
    stage.reply(invite, 100)
    stage.advance(2_000 + TICK)
    stage.expect_request(invite.to, "CANCEL")
    stage.reply(invite, 487)
    assert not stage.take(lambda m: m.method == "INVITE")


@pytest.mark.parametrize("failure, on", [("refused", ["transport"]), ("silent", ["timeout"]), (503, [503])])
def test_then_comes_after_the_other_addresses(named, failure, on):
    stage = named(addresses=2, backup=1, policy={"on": on, "exhausted": (480, "Later")})
    send(stage)
    seen = []
    for _ in range(3):
        invite = arrived(stage)
        seen.append(invite.to)
        fail(stage, invite, failure)
    assert (sorted(seen[:2]), seen[2]) == (BOB[5:7], BOB[1])
    assert stage.expect_response(480).reason == "Later"
    assert not stage.take(lambda m: m.method == "INVITE")


def test_then_comes_at_once_after_an_answer_that_on_names(named):
    stage = named(addresses=3, backup=2, policy={"on": [500, 503]})
    send(stage)
    fail(stage, arrived(stage), 500)
    invite = stage.expect_request(BOB[1], "INVITE")
    stage.refuse(invite, 503)
    stage.expect_request(BOB[2], "INVITE")


def test_without_on_nobody_else_is_asked(named):
    stage = named(addresses=2, backup=1)
    send(stage)
    for _ in range(2):
        fail(stage, arrived(stage), 503)
    stage.expect_response(500)
    assert not stage.take(lambda m: m.method == "INVITE")


def test_health_is_not_touched(named):
    stage = named(policy={"on": ["timeout"], "mark": "down", "mark_last": True})
    stage.know(NAME, BOB[0], BOB[5])
    send(stage)
    for _ in range(2):
        fail(stage, arrived(stage), 503)
    assert stage.health(0) == "unknown"


def test_a_prack_does_not_move_on(make_stage):
    stage = make_stage()
    stage.know(NAME, *BOB[5:7])
    talk = Talk(stage)
    talk.send("PRACK", uri=f"sip:bob@{NAME}")
    fail(stage, arrived(stage, "PRACK"), 503)
    stage.expect_response(500, "PRACK")
    assert not stage.take(lambda m: m.method == "PRACK")


@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_cancel_no_other_address(named, failure):
    stage = named()
    call = send(stage)
    invite = arrived(stage)
    call.cancel()
    fail(stage, invite, failure)
    stage.expect_response(487)
    assert not stage.take(lambda m: m.method == "INVITE")


def test_a_late_2xx_of_the_silent_one_still_wins(named):
    stage = named(addresses=2, policy={"on": [], "timeout_ms": 1_000})
    send(stage)
    first = arrived(stage)
    stage.advance(1_000 + TICK)
    stage.take_requests(first.to, "INVITE")
    second = arrived(stage)
    stage.reply(second, 180)
    stage.expect_response(180)
    stage.reply(first, 200)
    stage.expect_response(200)
    stage.expect_request(second.to, "CANCEL")


def test_a_port_of_the_uri_holds_for_all(make_stage):
    stage = make_stage(trusted=TRUSTED, rule={"action": FORWARD})
    stage.rig.names.set_static({NAME: [("10.0.1.8", 5080), ("10.0.1.9", 5080), ("10.0.1.9", 0)]})
    stage.send("INVITE", f"sip:x@{NAME}:5070")
    first = arrived(stage)
    fail(stage, first, 503)
    second = arrived(stage)
    fail(stage, second, 503)
    assert {first.to, second.to} == {("10.0.1.8", 5070), ("10.0.1.9", 5070)}
    stage.expect_response(500)  # the third is the place of the second


def test_what_nobody_is_sent_to_is_passed_over(make_stage):
    """Our own address, an unspecified one, and one of a family without listener."""
    stage = make_stage(trusted=TRUSTED, rule={"action": FORWARD})
    for number in range(12):
        stage.know(NAME, BOB[5])
        send(stage, call_id=f"{number}@alice")
        stage.know(NAME, EDGE, ("0.0.0.0", 5060), ("2001:db8::1", 5060), BOB[5], BOB[6])
        fail(stage, stage.expect_request(BOB[5], "INVITE"), 503)
        stage.expect_request(BOB[6], "INVITE")


@pytest.mark.parametrize("method", ["INVITE", "BYE", "ACK"])
def test_it_is_passed_over_at_the_first_hop_too(make_stage, method):
    """Whatever address of them the Call-ID chooses first; refused only when there is no other."""
    stage = make_stage(trusted=TRUSTED, rule={"action": FORWARD})
    useless = (EDGE, ("0.0.0.0", 5060), ("2001:db8::1", 5060))
    in_dialog = {} if method == "INVITE" else {"to_tag": "bob"}
    for number in range(12):
        stage.know(NAME, *useless, BOB[5])
        send(stage, method=method, call_id=f"{number}@alice", **in_dialog)
        stage.expect_request(BOB[5], method)
        stage.waiting.clear()
    assert stage.counter("next_hops_refused") == 0
    stage.know(NAME, *useless)
    send(stage, method=method, call_id="none@alice", **in_dialog)
    assert not stage.take_requests(BOB[5], method)
    assert len(stage.take(lambda m: m.status >= 400)) == (method != "ACK")


def test_a_refused_next_hop_of_an_ack_is_counted(make_stage):
    """Refused and counted, though nobody answers an ACK (docs/wire.md#refused-next-hops)."""
    stage = make_stage(trusted=TRUSTED)
    stage.send("ACK", "sip:x@224.0.0.1", to_tag="bob")
    stage.nothing_sent()
    assert stage.counter("next_hops_refused") == 1


@pytest.mark.parametrize("known", [False, True])
def test_who_was_let_through_to_a_destination_goes_nowhere_else(make_stage, known):
    """A stranger without a token, whose name led to a destination (docs/wire.md#requests-of-dialogs)."""
    stage = make_stage(trusted=TRUSTED if known else ())
    stage.know(NAME, BOB[0])
    stage.send("BYE", f"sip:x@{NAME}", to_tag="bob")
    bye = stage.expect_request(BOB[0], "BYE")
    stage.know(NAME, BOB[0], BOB[7])
    fail(stage, bye, 503)
    if known:
        stage.expect_request(BOB[7], "BYE")
    else:
        stage.expect_response(500, "BYE")
        stage.nothing_sent()


def test_the_listener_that_our_route_names_stays(make_stage):
    stage = make_stage(listeners=2, destinations=1)
    stage.know(NAME, *BOB[5:7])
    talk = Talk(stage)
    talk.send("INFO", uri=f"sip:bob@{NAME}")
    requests = [arrived(stage, "INFO")]
    fail(stage, requests[0], 503)
    requests.append(arrived(stage, "INFO"))
    assert {m.values("Via")[0].split(";")[0] for m in requests} == {f"SIP/2.0/UDP {INSIDE[0]}:{INSIDE[1]}"}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("way", WAYS)
def test_after_a_restart_it_goes_on_likewise(scratch, way, failure):
    """Where it has been stands in the store; names are learned again."""
    parts = {"trusted": TRUSTED, "rule": WAYS[way][2], "destinations": 1}
    stage = Stage(scratch / "run", **parts)
    stage.know(NAME, *BOB[5:8])
    send(stage, way)
    seen = [arrived(stage)]
    fail(stage, seen[0], failure)
    seen.append(arrived(stage))
    again = Stage(scratch / "run", now_ms=stage.now + 10, **parts)
    again.rig.names.put(NAME, BOB[5:8], 60_000, again.now)
    again.rig.recover()
    again.collect()
    again.take(lambda m: m.method == "INVITE")
    fail(again, seen[1], failure)
    seen.append(arrived(again))
    assert {m.to for m in seen} == set(BOB[5:8])
    again.reply(seen[2], 200)
    again.expect_response(200)
    again.finish()


def test_the_border_is_crossed_by_each_of_them(make_stage):
    """A name in a dialog: what the set of the token takes off stays off, whoever of the name gets the request."""
    edits = {"remove": [b"X-Secret"], "set": [(b"X-Set", [("text", b"yes")])]}
    stage = make_stage(set_headers=edits)
    stage.know(NAME, *BOB[5:8])
    Talk(stage).send("INFO", uri=f"sip:bob@{NAME}", headers=(("X-Secret", "1"), ("X-Kept", "1")))
    for _ in range(3):
        info = arrived(stage, "INFO")
        assert (info.values("X-Secret"), info.values("X-Set"), info.values("X-Kept")) == ([], ["yes"], ["1"])
        fail(stage, info, 503)


@pytest.mark.parametrize("stands_in", [False, True])
def test_a_notify_stays_on_the_way_of_its_dialog(make_stage, stands_in):
    """RFC 6665 4.3: the branch after a failure has a Record-Route like the first, by name or by a stand-in."""
    stage = make_stage(in_dialog={"on": ["timeout", "transport", 503]} if stands_in else None)
    stage.know(NAME, *BOB[5:7])
    talk = Talk(stage, contact=BOB[0])
    talk.send("NOTIFY", uri="" if stands_in else f"sip:bob@{NAME}")
    for _ in range(2):
        notify = arrived(stage, "NOTIFY")
        assert len(notify.values("Record-Route")) == 1
        fail(stage, notify, "refused")


def test_a_branch_whose_timer_is_t1_goes_on_repeating(named):
    """Each address has all of its repetitions."""
    stage = named(addresses=2)
    send(stage)
    fail(stage, arrived(stage), 503)
    second = arrived(stage)
    stage.advance(3 * T1 + 2 * TICK)
    assert len(stage.take_requests(second.to, "INVITE")) == 2


@pytest.mark.parametrize("failure", FAILURES)
def test_what_has_waited_for_its_name_moves_on_as_well(make_stage, failure):
    stage = make_stage(trusted=TRUSTED, rule={"action": FORWARD})
    send(stage)
    stage.expect_response(100)
    stage.nothing_sent()
    stage.know(NAME, *BOB[5:7])
    first = arrived(stage)
    fail(stage, first, failure)
    assert {first.to, arrived(stage).to} == set(BOB[5:7])
