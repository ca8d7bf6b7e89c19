"""The token in our Record-Route (docs/wire.md#record-route-token) and what peers make of it."""

import re

import pytest

from fastsip._core.wire.tokens import pair_letters, token_letters
from fastsip.ua.message import make_request, new_branch, uri_of
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, INSIDE

SHARED = {"on": ["timeout", "transport"], "timeout_ms": 2_000}


def token_of(value: str) -> str:
    return re.fullmatch(rf"<sip:([a-z2-7]{{{token_letters()}}})@[0-9.]+:5060;lr>", value)[1]


def user_of(value: str) -> str:
    return uri_of(value).removeprefix("sip:").partition("@")[0]


def echoes(value: str) -> dict[str, list[str]]:
    """One of our Record-Route values as peers give it back, by what they do to it."""
    bare = uri_of(value).removesuffix(";lr")
    return {
        "as it was": [f"<{bare};lr>"],
        "lower case": [f"<{bare};lr>".lower()],
        "upper case": [f"<{bare.upper().replace('SIP:', 'sip:')};LR>"],
        "lr=on": [f"<{bare};lr=on>"],
        "without lr": [f"<{bare}>"],
        "without brackets": [bare],
        "with a name": [f'"our, edge" <{bare};lr>;x=1'],
        "with parameters": [f"<{bare};lr;transport=udp;ftag=1>"],
        "folded": [f"\r\n <{bare};lr>"],
    }


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
@pytest.mark.parametrize("how", sorted(echoes("<sip:x@h;lr>")))
def test_a_bye_arrives_whatever_the_peer_does_to_the_value(stage, how, back):
    """Matched without case, with lr, parameters and brackets or without (docs/wire.md#record-route-token)."""
    talk = Talk(stage)
    talk.send("BYE", back=back, routes=echoes(talk.ok.get("Record-Route"))[how])
    bye = stage.expect_request(ALICE if back else CAROL, "BYE")
    assert bye.lines("Route") == []
    stage.nothing_sent()


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
@pytest.mark.parametrize(
    "how", ["two lines", "one line", "one line without blanks", "lower case", "lr=on", "without lr"]
)
def test_a_pair_is_popped_together(make_stage, how, back):
    """RFC 5658: two listeners, two values, each with a token."""
    stage = make_stage(listeners=2)
    talk = Talk(stage, listener=1)
    values = talk.routes_back if back else talk.routes
    assert len(values) == 2
    assert sorted(len(user_of(value)) for value in values) == [pair_letters(), token_letters()]
    lines = {
        "two lines": values,
        "one line": [", ".join(values)],
        "one line without blanks": [",".join(values)],
        "lower case": [", ".join(values).lower()],
        "lr=on": [value.replace(";lr", ";lr=on") for value in values],
        "without lr": [value.replace(";lr", "") for value in values],
    }
    talk.send("BYE", back=back, routes=lines[how])
    bye = stage.expect_request(ALICE if back else CAROL, "BYE")
    assert bye.lines("Route") == []
    host, port = EDGE if back else INSIDE
    assert f"{host}:{port};" in bye.via, "each side is spoken to from the listener it knows"
    stage.nothing_sent()


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
@pytest.mark.parametrize("listeners", [1, 2])
def test_a_strict_router_puts_our_value_into_the_request_uri(make_stage, listeners, back):
    """16.4: the last Route value is the target, and it goes back to where it belongs."""
    stage = make_stage(listeners=listeners)
    talk = Talk(stage, listener=listeners - 1)
    values = talk.routes_back if back else talk.routes
    host, port = ALICE if back else CAROL
    target = f"sip:peer@{host}:{port}"
    talk.send("BYE", back=back, uri=uri_of(values[0]), routes=[*values[1:], f"<{target}>"])
    bye = stage.expect_request((host, port), "BYE")
    assert (bye.uri, bye.lines("Route")) == (target, [])
    stage.nothing_sent()


@pytest.mark.parametrize("line", ["<sip:r1@10.0.6.1;lr>, <{}>", "<sip:r1@10.0.6.1;lr>,<{}>"])
def test_a_strict_router_with_more_behind_it(stage, line):
    """Only the last value leaves the line; the next hop is the first one."""
    talk = Talk(stage)
    target = f"sip:peer@{CAROL[0]}:{CAROL[1]}"
    talk.send("BYE", uri=uri_of(talk.routes[0]), routes=[line.format(target)])
    bye = stage.expect_request(("10.0.6.1", 5060), "BYE")
    assert (bye.uri, bye.lines("Route")) == (target, ["<sip:r1@10.0.6.1;lr>"])


@pytest.mark.parametrize("behind", [[], ["<sip:r2@10.0.6.2;lr>"]])
def test_to_a_strict_router(stage, behind):
    """16.6 item 6: its value becomes the Request-URI, and the Request-URI the last Route value."""
    talk = Talk(stage)
    bye = talk.send("BYE", routes=[", ".join([*talk.routes, "<sip:old@10.0.6.1>", *behind])])
    sent = stage.expect_request(("10.0.6.1", 5060), "BYE")
    assert sent.uri == "sip:old@10.0.6.1"
    assert sent.values("Route") == [*behind, f"<{bye.uri}>"]
    stage.nothing_sent()


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ("?Subject=x", ""),
        (";method=INVITE", ""),
        (";Method=INVITE;user=phone", ";user=phone"),
        (";a=1;method;b;method=BYE?Route=%3Csip:x%3E", ";a=1;b"),
        (";methods=1;methode", ";methods=1;methode"),
    ],
)
@pytest.mark.parametrize("behind", [True, False], ids=["behind a strict router", "before one"])
def test_what_may_not_stand_in_a_request_uri_is_taken_from_a_route(stage, behind, more, left):
    """16.6 item 2, 19.1.1: a Route value may have headers and a method, what becomes a Request-URI may not."""
    talk = Talk(stage)
    way = {"uri": uri_of(talk.routes[0]), "routes": []} if behind else {"routes": [*talk.routes]}
    way["routes"].append(f"<sip:old@10.0.6.1{more}>")
    talk.send("BYE", **way)
    sent = stage.expect_request(("10.0.6.1", 5060), "BYE")
    assert sent.uri == f"sip:old@10.0.6.1{left}"
    stage.nothing_sent()


def test_what_a_token_says(make_stage):
    """It names the destination of its branch: after a failover another one, so the text differs."""
    stage = make_stage(policy={"on": [500]})
    call = stage.invite()
    first = stage.expect_request(BOB[0], "INVITE")
    stage.reply(first, 500)
    stage.expect_request(BOB[0], "ACK")
    second = stage.expect_request(BOB[1], "INVITE")
    tokens = [token_of(request.get("Record-Route")) for request in (first, second)]
    assert tokens[0][:5] == tokens[1][:5], "version, listener and set"
    assert tokens[0][5:] != tokens[1][5:]
    stage.reply(second, 200)
    stage.expect_response(200)
    assert call.message.call_id


def test_only_requests_that_make_dialogs_get_one(stage):
    for method in ("INVITE", "SUBSCRIBE", "REFER", "UNHEARD", "NOTIFY"):
        stage.send(method)
        assert stage.expect_request(BOB[0], method).lines("Record-Route")
    for method in ("MESSAGE", "OPTIONS", "PUBLISH", "INFO", "REGISTER"):
        stage.send(method)
        assert stage.expect_request(BOB[0], method).lines("Record-Route") == []
    talk = Talk(stage)
    talk.send("INVITE")
    assert stage.expect_request(CAROL, "INVITE").lines("Record-Route") == []


def test_two_keys_are_accepted_while_they_change(make_stage):
    """The first signs; what the second signed still verifies, and what neither did does not."""
    old, new = b"the key of before", b"the key of today."
    keys = [(old[:16],), (new[:16], old[:16]), (new[:16],)]
    routes = []
    for stage in (make_stage(token_keys=pair) for pair in keys):
        talk = Talk(stage, call_id="the-same-call", from_tag="the-same")
        routes.append(talk.routes)
        for known, route in enumerate(routes):
            bye = talk.send("BYE", routes=route)
            good = known >= len(routes) - 2
            stage.expect_request(CAROL, "BYE") if good else stage.expect_response(403, "BYE")
            assert bye.call_id == "the-same-call"
        stage.nothing_sent()


@pytest.mark.parametrize(
    "addresses, via, source",
    [
        ((("255.255.255.254", 65535), ("254.255.255.255", 65534)), "10.0.0.1:5060", ("10.0.0.1", 5060)),
        ((EDGE, INSIDE), "10.0.0.1:65000;rport", ("10.0.0.1", 65000)),
    ],
    ids=["the longest addresses", "received and rport filled in"],
)
def test_most_bytes_that_are_added(make_stage, addresses, via, source):
    """196 over IPv4 with one value, 290 with two, hint and tokens included."""
    added = []
    for listeners in (1, 2):
        stage = make_stage(listeners=listeners, addresses=addresses)
        invite = stage.make("INVITE")
        invite.set("Via", f"SIP/2.0/UDP {via};branch=z9hG4bKx")
        stage.inject(invite, source)
        sent = stage.expect_request(BOB[0], "INVITE")
        added.append(len(sent.to_bytes()) - len(invite.to_bytes()))
        assert len(sent.values("Record-Route")) == listeners
    assert added[0] <= 196 and added[1] <= 290, added


# ---------------------------------------------------------------- nodes that share a secret

THERE = (("10.0.9.254", 5060), ("10.1.9.254", 5060))


def renamed(values: list[str]) -> list[str]:
    """The same Record-Route values as the other node would have written them."""
    texts = []
    for value in values:
        for (host, _), (other, _) in zip((EDGE, INSIDE), THERE, strict=True):
            value = value.replace(f"@{host}:", f"@{other}:")
        texts.append(value)
    return texts


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
@pytest.mark.parametrize("listeners", [1, 2])
def test_a_node_that_stands_in_knows_the_first_value_whatever_its_host(make_stage, listeners, back):
    """Each value of a pair has a token, so whichever comes first says that the dialog went through us."""
    stage = make_stage(listeners=listeners)
    talk = Talk(stage, listener=listeners - 1)
    routes = renamed(talk.routes_back if back else talk.routes)
    assert len(routes) == listeners and all("9.254" in value for value in routes)
    talk.send("BYE", back=back, routes=routes)
    assert stage.expect_request(ALICE if back else CAROL, "BYE").lines("Route") == []
    stage.nothing_sent()


@pytest.mark.parametrize("listeners", [1, 2])
def test_of_two_nodes_in_a_row_neither_pops_the_others_value(make_stage, listeners):
    """Both have one secret, so each verifies the other's token; only the first value is ours for that alone."""
    first = make_stage(listeners=listeners, node="first")
    second = make_stage(listeners=listeners, node="second", addresses=THERE)
    call = first.invite()
    passed_on = first.expect_request(BOB[0], "INVITE")
    second.inject(passed_on.to_bytes(), EDGE if listeners == 1 else INSIDE)
    invite = second.expect_request(BOB[0], "INVITE")
    assert len(invite.values("Record-Route")) == 2 * listeners
    ok = second.response(invite, 200)
    ok.set("Contact", "<sip:carol@10.0.7.7:5062>")
    bye = make_request(
        "BYE", "sip:alice@10.0.0.1:5060", via=f"SIP/2.0/UDP {CAROL[0]}:{CAROL[1]};branch={new_branch()}",
        sender=ok.get("To"), recipient=invite.get("From"), call_id=call.message.call_id, cseq=1,
        headers=[("Route", value) for value in invite.values("Record-Route")],
    )  # fmt: skip
    second.inject(bye, CAROL, listeners - 1)
    ours = EDGE if listeners == 1 else INSIDE
    between = second.expect_request(ours, "BYE")
    assert between.values("Route") == invite.values("Record-Route")[listeners:], "the first one's own are left to it"
    first.inject(between.to_bytes(), THERE[0], listeners - 1)
    assert first.expect_request(ALICE, "BYE").lines("Route") == []
    first.nothing_sent()


def test_tokens_of_one_dialog_differ_by_passage(make_stage):
    """By the node, and on one node by the branch: a dialog that comes round has two of ours, told apart."""
    tokens = set()
    for node, cseq in (("first", 1), ("second", 1), ("first", 2)):
        stage = make_stage(node=node)
        stage.invite(call_id="one", from_tag="one", branch="z9hG4bKone", cseq=cseq)
        tokens.add(token_of(stage.expect_request(BOB[0], "INVITE").get("Record-Route")))
    assert len(tokens) == 3


def test_record_route_says_the_contact_and_via_the_address(make_stage):
    """A name that leads to several nodes is for requests of dialogs; responses must come to the one that waits."""
    stage = make_stage(contact="edge.example.net")
    talk = Talk(stage)
    assert all("@edge.example.net;lr>" in value for value in talk.routes)
    assert f"{EDGE[0]}:{EDGE[1]};" in talk.invite.via
    for back in (False, True):
        talk.send("BYE", back=back)
        assert stage.expect_request(ALICE if back else CAROL, "BYE").lines("Route") == []
    stage.nothing_sent()


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
def test_two_listeners_of_one_contact_are_told_apart_by_their_tags(make_stage, back):
    stage = make_stage(listeners=2, contact="edge.example.net")
    Talk(stage, listener=1).send("BYE", back=back)
    bye = stage.expect_request(ALICE if back else CAROL, "BYE")
    host, port = EDGE if back else INSIDE
    assert f"{host}:{port};" in bye.via
    stage.nothing_sent()


# ---------------------------------------------------------------- of releases before

OLD_TOKEN = "aaygss3t7g7aaaaaa2ipty47gncajk"  # as 1.0 wrote it for this call to BOB[0]
OLD_CALL = {"call_id": "pinned-call@10.0.0.1", "from_tag": "pinned-tag"}


@pytest.mark.parametrize("back", [False, True], ids=["from the caller", "from the callee"])
def test_a_token_of_version_0_is_read_as_long_as_its_call_lives(stage, back):
    talk = Talk(stage, **OLD_CALL)
    talk.send("BYE", back=back, routes=[f"<sip:{OLD_TOKEN}@{EDGE[0]}:{EDGE[1]};lr>"])
    assert stage.expect_request(ALICE if back else CAROL, "BYE").lines("Route") == []
    stage.nothing_sent()


def test_a_broken_token_of_version_0_proves_nothing(stage):
    Talk(stage, **OLD_CALL).send("BYE", routes=[f"<sip:{OLD_TOKEN[:-1]}a@{EDGE[0]}:{EDGE[1]};lr>"])
    stage.expect_response(403, "BYE")
    assert stage.counter("forged_tokens") == 1
    stage.nothing_sent()
