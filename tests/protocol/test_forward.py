"""forward = "request-uri" | "header:NAME": the request itself names its next hop (docs/wire.md#rules-that-forward)."""

import re

import pytest

from fastsip.ua.message import make_ack
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, EDGE, T1, WHOLE, assert_times

FORWARD = 2  # action_id
CAROL = ("10.0.7.7", 5070)
CAROLS_URI = f"sip:carol@{CAROL[0]}:{CAROL[1]}"
TRUSTED = ("10.0.0.0/24",)  # where ALICE is
HEADER = b"X-Next-Hop"


@pytest.fixture
def forwarding(make_stage):
    """A function that sets up a stage whose one rule forwards; `header` names the header, or the Request-URI does."""

    def make(header=b"", trusted=TRUSTED, conditions=(), headers=None, record_route=True, **parts):
        rule = {"action": FORWARD, "forward": header, "conditions": conditions, "headers": headers}
        return make_stage(trusted=trusted, rule=rule, record_route=record_route, **parts)

    return make


def refused(stage, status, uri=CAROLS_URI, source=ALICE, **parts):
    """The request is answered with this status, by nobody else, and leaves nothing behind."""
    request = stage.make("INVITE", uri, **parts)
    stage.inject(request, source)
    final = stage.expect_response(status, to=(source[0], ALICE[1]))  # by its Via
    stage.nothing_sent()
    stage.inject(make_ack(request, final), source)
    stage.nothing_sent()
    assert live_slots(stage.rig) == []
    return final


# ---------------------------------------------------------------- where it goes


def test_by_request_uri(forwarding):
    """A whole call; the Request-URI stays, our Via and Record-Route are there, the dialog comes back through us."""
    stage = forwarding()
    call = stage.invite(uri=CAROLS_URI)
    invite = stage.expect_request(CAROL, "INVITE")
    stage.nothing_sent()
    assert invite.uri == CAROLS_URI
    assert re.fullmatch(rf"<sip:[a-z2-7]+@{EDGE[0]}:{EDGE[1]};lr>", invite.get("Record-Route"))
    assert len(invite.values("Via")) == 2 and invite.get("Max-Forwards") == "69"
    stage.reply(invite, 180)
    stage.expect_response(180)
    stage.reply(invite, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(CAROL, "ACK")
    call.in_dialog("BYE", ok, 2)
    stage.reply(stage.expect_request(CAROL, "BYE"), 200)
    stage.expect_response(200, "BYE")
    stage.finish()


@pytest.mark.parametrize(
    "value, to",
    [
        (f"sip:{CAROL[0]}:{CAROL[1]}", CAROL),
        (f"<sip:{CAROL[0]}:{CAROL[1]}>", CAROL),
        (f'"An exchange, far" <sip:any@{CAROL[0]}:{CAROL[1]};x=1>;y=2', CAROL),
        (f"sip:x@{CAROL[0]};a=b", (CAROL[0], 5060)),
        (f"sip:example.net:{CAROL[1]};maddr={CAROL[0]}", CAROL),
        (f"sip:{BOB[0][0]}:{BOB[0][1]}", BOB[0]),
    ],
)
def test_by_a_header(forwarding, value, to):
    """A bare URI or a name-addr; the Request-URI and the header itself stay as they are."""
    stage = forwarding(HEADER)
    stage.invite(headers=[("x-next-HOP", value)])
    invite = stage.expect_request(to, "INVITE")
    stage.nothing_sent()
    assert invite.uri == "sip:80123@example.net" and invite.get("X-Next-Hop") == value


def test_by_a_header_that_the_router_reads_itself(forwarding):
    stage = forwarding(b"Contact")
    stage.invite()
    stage.expect_request((ALICE[0], 5060), "INVITE")


def test_no_record_route(forwarding):
    stage = forwarding(record_route=False)
    stage.invite(uri=CAROLS_URI)
    assert not stage.expect_request(CAROL, "INVITE").get("Record-Route")


@pytest.mark.parametrize("method", ["MESSAGE", "OPTIONS", "SUBSCRIBE", "PING"])
def test_other_methods(forwarding, method):
    stage = forwarding()
    stage.send(method, CAROLS_URI)
    request = stage.expect_request(CAROL, method)
    assert bool(request.get("Record-Route")) == (method in ("SUBSCRIBE", "PING"))
    stage.reply(request, 200)
    stage.expect_response(200, method)


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("header", [b"", HEADER])
def test_strangers_get_403(forwarding, header):
    stage = forwarding(header, trusted=())
    refused(stage, 403, headers=[("X-Next-Hop", CAROLS_URI)])
    assert stage.counter("relays_refused") == 1


def test_a_destination_may(forwarding):
    stage = forwarding(trusted=())
    stage.inject(stage.make("MESSAGE", CAROLS_URI), BOB[1])
    stage.expect_request(CAROL, "MESSAGE")
    assert stage.counter("relays_refused") == 0


def test_another_port_of_a_destination_may_not(forwarding):
    refused(forwarding(trusted=()), 403, source=(BOB[1][0], 5999))


@pytest.mark.parametrize(
    "condition, source, may",
    [
        ({"kind": "source", "items": ["10.0.0.1/32"]}, ALICE, True),
        ({"kind": "source_set", "items": [0]}, BOB[2], True),
        ({"kind": "source", "items": ["10.9.0.0/16"], "negate": True}, ALICE, False),
        ({"kind": "source_set", "items": [0], "negate": True}, ALICE, False),
        ({"kind": "method", "items": ["INVITE"]}, ALICE, False),
    ],
)
def test_whom_the_rule_names_as_source_may(forwarding, condition, source, may):
    """To name who it is for is to trust them; to name who it is not for is not."""
    stage = forwarding(trusted=(), conditions=[condition])
    if may:
        stage.inject(stage.make("INVITE", CAROLS_URI), source)
        stage.expect_request(CAROL, "INVITE")
    else:
        refused(stage, 403, source=source)


def test_an_invented_dialog_is_counted_as_well(forwarding):
    stage = forwarding(trusted=())
    stage.send("BYE", CAROLS_URI, to_tag="invented")
    stage.expect_response(403, "BYE")
    assert stage.counter("relays_refused") == 1


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["no uri at all"],
        [""],
        ["<sip:10.0.7.7"],
        ["<sip:10.0.7.7>, <sip:10.0.7.8>"],
        ["sip:10.0.7.7, sip:10.0.7.8"],
        ["sip:1.2.3"],
        ["<>"],
    ],
)
def test_a_header_without_a_uri_gets_400(forwarding, values):
    final = refused(forwarding(HEADER), 400, headers=[("X-Next-Hop", value) for value in values])
    assert final.reason == "No URI In X-Next-Hop"


@pytest.mark.parametrize(
    "uri, status",
    [
        ("mailto:carol@example.net", 416),
        ("sips:carol@10.0.7.7", 480),
        ("sip:10.0.7.7;transport=tcp", 500),
        ("sip:x@[2001:db8::7]", 500),
    ],
)
@pytest.mark.parametrize("header", [b"", HEADER])
def test_schemes_get_416_and_transports_and_families_without_listener_500(forwarding, header, uri, status):
    stage = forwarding(header)
    parts = {"headers": [("X-Next-Hop", uri)]} if header else {"uri": uri}
    refused(stage, status, **parts)
    assert stage.counter("unsupported") + stage.counter("bad_scheme") == 1


def test_a_telephone_number_names_no_next_hop(forwarding):
    refused(forwarding(), 416, uri="tel:+4989123")


@pytest.mark.parametrize("uri", [f"sip:nobody@{EDGE[0]}", f"sip:nobody@{EDGE[0]}:{EDGE[1]}"])
def test_a_request_uri_of_our_own_is_a_number_that_we_do_not_have(forwarding, uri):
    refused(forwarding(), 404, uri=uri)


@pytest.mark.parametrize("uri", [f"<sip:{EDGE[0]}>", f"sip:x@example.net;maddr={EDGE[0]}"])
def test_a_header_that_names_ourselves_is_a_loop(forwarding, uri):
    refused(forwarding(HEADER), 482, headers=[("X-Next-Hop", uri)])


def test_another_port_of_our_address_is_somebody_else(forwarding):
    stage = forwarding()
    stage.invite(uri=f"sip:x@{EDGE[0]}:5999")
    stage.expect_request((EDGE[0], 5999), "INVITE")


# ---------------------------------------------------------------- when it fails


def test_silence_without_a_policy(forwarding):
    """Timer B, then 408: as with any search that has nobody left."""
    stage = forwarding()
    stage.invite(uri=CAROLS_URI)
    first = stage.expect_request(CAROL, "INVITE")
    stage.advance(WHOLE + 100)
    assert_times(stage.take_requests(CAROL, "INVITE"), first.at, [T1 * (2**n - 1) for n in range(1, 7)])
    assert_times([stage.expect_response(408)], first.at, [WHOLE])


def test_the_policys_timeout_and_exhausted(forwarding):
    stage = forwarding(policy={"on": ["timeout"], "timeout_ms": 1_000, "exhausted": (404, "No destination")})
    stage.invite(uri=CAROLS_URI)
    first = stage.expect_request(CAROL, "INVITE")
    stage.advance(1_050)
    stage.take_requests(CAROL, "INVITE")
    final = stage.expect_response(404)
    assert final.reason == "No destination"
    assert_times([final], first.at, [1_000])
    stage.nothing_sent()
    assert (stage.counter("exhausted"), stage.counter("failovers")) == (1, 0)


@pytest.mark.parametrize("policy, status", [({}, 500), ({"on": [500], "exhausted": (480, "Later")}, 480)])
def test_a_final_response(forwarding, policy, status):
    stage = forwarding(policy=policy)
    stage.invite(uri=CAROLS_URI)
    stage.reply(stage.expect_request(CAROL, "INVITE"), 500)
    stage.expect_request(CAROL, "ACK")
    stage.expect_response(status)
    stage.nothing_sent()


def test_an_unreachable_next_hop(forwarding):
    stage = forwarding(policy={"on": ["transport"], "exhausted": (503, "Gone")})
    stage.rig.refuse(CAROL)
    stage.send("INVITE", CAROLS_URI)
    stage.expect_response(100)
    stage.expect_response(503)


def test_then_names_who_comes_next(forwarding):
    """A policy's `then` is the one way to a second candidate; Record-Route goes on with it."""
    stage = forwarding(policy={"on": [500]}, destinations=1, backup=2)
    stage.invite(uri=CAROLS_URI)
    stage.reply(stage.expect_request(CAROL, "INVITE"), 500)
    stage.expect_request(CAROL, "ACK")
    second = stage.expect_request(BOB[1], "INVITE")
    assert second.uri == CAROLS_URI and len(second.values("Record-Route")) == 1
    stage.reply(second, 500)
    stage.expect_request(BOB[1], "ACK")
    stage.expect_request(BOB[2], "INVITE")
    stage.nothing_sent()
    assert stage.counter("failovers") == 2


def test_health_is_not_touched(forwarding):
    """It was no choice of ours: what happens there says nothing about a destination of that address."""
    stage = forwarding(policy={"on": ["timeout"], "timeout_ms": 1_000, "mark": "down", "mark_last": True})
    stage.invite(uri=f"sip:x@{BOB[0][0]}:{BOB[0][1]}")
    stage.advance(1_050)
    stage.expect_response(408)
    assert stage.health(0) == "unknown"


# ---------------------------------------------------------------- CANCEL


def test_cancel_of_a_call_that_is_known(forwarding):
    stage = forwarding()
    call = stage.invite(uri=CAROLS_URI)
    invite = stage.expect_request(CAROL, "INVITE")
    stage.reply(invite, 180)
    stage.expect_response(180)
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(CAROL, "CANCEL")
    stage.reply(invite, 487)
    stage.expect_request(CAROL, "ACK")
    stage.expect_response(487)


def test_cancel_without_state_goes_the_same_way(forwarding):
    """16.11: with the branch that its INVITE would have had."""
    stage = forwarding()
    call = stage.send("INVITE", CAROLS_URI)
    branch = stage.expect_request(CAROL, "INVITE").branch
    fresh = forwarding()
    call.stage = fresh
    call.cancel()
    cancel = fresh.expect_request(CAROL, "CANCEL")
    fresh.nothing_sent()
    assert cancel.branch == branch and cancel.uri == CAROLS_URI


@pytest.mark.parametrize(
    "parts, uri", [({"trusted": ()}, CAROLS_URI), ({"header": HEADER}, CAROLS_URI), ({}, f"sip:x@{EDGE[0]}")]
)
def test_cancel_without_state_that_goes_nowhere(forwarding, parts, uri):
    """From a stranger, without the header that its INVITE had, and to ourselves."""
    stage = forwarding(**parts)
    call = stage.send("INVITE", uri, headers=[("X-Next-Hop", CAROLS_URI)])
    stage.waiting.clear()
    fresh = forwarding(**parts)
    call.stage = fresh
    call.cancel()
    fresh.expect_response(481, "CANCEL")
    fresh.nothing_sent()
