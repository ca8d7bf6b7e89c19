"""What proves that a request is of a dialog (docs/wire.md#requests-of-dialogs): token, Route, what is ours."""

import pytest

from fastsip.ua.message import host_text, make_request, new_branch
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, INSIDE, Stage

US = f"{EDGE[0]}:{EDGE[1]}"
STRANGER = ("203.0.113.66", 5060)
VICTIM = ("198.51.100.9", 5060)
V6 = ("2001:db8::1", 5060)  # a listener of ours


def without_tag(message):
    """The far end gave no tag (12.1.2)."""
    return message.set("To", message.get("To").partition(";tag=")[0])


# ---------------------------------------------------------------- ACKs


@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_an_ack_passes_where_its_bye_does(stage, method):
    """No Route of ours, but the next hop is a destination's exact address."""
    talk = Talk(stage, contact=BOB[0])
    stage.inject(talk.request(method, routes=[], cseq=1 if method == "ACK" else 0), ALICE)
    stage.expect_request(BOB[0], method)
    stage.nothing_sent()


@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_a_trusted_caller_whose_outbound_proxy_we_are(make_stage, method):
    """record_route = false, and everything comes through us all the same."""
    stage = make_stage(record_route=False, trusted=(ALICE[0],))
    talk = Talk(stage)
    stage.inject(talk.request(method, routes=[], cseq=1 if method == "ACK" else 0), ALICE)
    stage.expect_request(CAROL, method)


@pytest.mark.parametrize("method", ["ACK", "BYE"])
def test_a_foreign_route_from_somebody_trusted(make_stage, method):
    stage = make_stage(trusted=(ALICE[0],))
    talk = Talk(stage)
    request = talk.request(method, routes=[f"<sip:{VICTIM[0]};lr>"], cseq=1 if method == "ACK" else 0)
    stage.inject(request, ALICE)
    assert stage.expect_request(VICTIM, method).values("Route") == [f"<sip:{VICTIM[0]};lr>"]


def test_the_ack_of_our_own_final_ends_here(stage):
    call = stage.invite()
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 486)
    call.ack(stage.expect_response(486))
    stage.nothing_sent()


# ---------------------------------------------------------------- a verified token proves the dialog


@pytest.mark.parametrize("method", ["BYE", "INFO", "ACK"])
def test_a_callee_without_a_tag_has_a_dialog_all_the_same(make_stage, method):
    """The rules would send it to the next in turn."""
    stage = make_stage(algorithm=4)
    talk = Talk(stage)
    stage.inject(without_tag(talk.request(method, cseq=1 if method == "ACK" else 0)), ALICE)
    request = stage.expect_request(CAROL, method)
    assert not request.values("Route") and not request.values("Record-Route")
    stage.nothing_sent()


def test_without_a_token_it_is_the_rules_as_before(stage):
    talk = Talk(stage)
    stage.inject(without_tag(talk.request("INFO", routes=[f"<sip:{US};lr>"])), ALICE)
    stage.expect_request(BOB[0], "INFO")


@pytest.mark.parametrize("method", ["BYE", "INVITE", "ACK"])
@pytest.mark.parametrize("uri", [f"sip:100@{US}", f"sip:100@{EDGE[0]}", f"sip:100@{US};transport=udp"])
def test_a_request_uri_that_stays_ours_goes_to_the_tokens_destination(stage, method, uri):
    """Some peers keep what they called; the Request-URI stays as it came."""
    talk = Talk(stage)
    talk.send(method, uri=uri, cseq=1 if method == "ACK" else 0)
    request = stage.expect_request(BOB[0], method)
    assert request.uri == uri and not request.values("Route")
    stage.take(lambda sent: sent.status == 100)
    stage.nothing_sent()


@pytest.mark.parametrize("method, status", [("BYE", [481]), ("ACK", [])])
def test_from_the_other_end_it_leads_nowhere(stage, method, status):
    """The token names the callee; where the caller is nobody has said."""
    talk = Talk(stage)
    talk.send(method, back=True, uri=f"sip:100@{US}", cseq=1 if method == "ACK" else 0)
    assert [sent.status for sent in stage.take(lambda sent: True)] == status


def test_a_call_of_a_destination_is_answered_through_its_own_address(make_stage):
    """The destination called: the token leads to it from the other end."""
    stage = make_stage(rule={"action": 2}, destinations=2)
    call = stage.make("INVITE", f"sip:carol@{CAROL[0]}:{CAROL[1]}")
    stage.inject(call, BOB[1])
    invite = stage.expect_request(CAROL, "INVITE")
    answer = stage.response(invite, 200, tag="carol")
    stage.inject(answer, CAROL)
    stage.take(lambda sent: True)
    bye = make_request(
        "BYE", f"sip:kept@{US}", via=f"SIP/2.0/UDP {CAROL[0]}:{CAROL[1]};branch={new_branch()}",
        sender=answer.get("To"), recipient=call.get("From"), call_id=call.call_id, cseq=1,
        headers=[("Route", value) for value in invite.values("Record-Route")],
    )  # fmt: skip
    stage.inject(bye, CAROL)
    assert stage.expect_request(BOB[1], "BYE").uri == f"sip:kept@{US}"


# ---------------------------------------------------------------- NOTIFY


@pytest.mark.parametrize("listeners", [1, 2])
def test_every_notify_is_record_routed(make_stage, listeners):
    """RFC 6665 4.3; refreshes take the NOTIFY's route set (4.4.1), and the token holds from that side."""
    stage = make_stage(listeners=listeners)
    subscribe = stage.send("SUBSCRIBE", headers=[("Event", "dialog")]).message
    arrived = stage.expect_request(BOB[0], "SUBSCRIBE")
    accepted = stage.response(arrived, 202).set("Contact", f"<sip:notifier@{CAROL[0]}:{CAROL[1]}>")
    stage.inject(accepted, BOB[0], listeners - 1)
    stage.expect_response(202, "SUBSCRIBE")
    notify = make_request(
        "NOTIFY", f"sip:alice@{ALICE[0]}", via=f"SIP/2.0/UDP {CAROL[0]}:{CAROL[1]};branch={new_branch()}",
        sender=accepted.get("To"), recipient=subscribe.get("From"), call_id=subscribe.call_id, cseq=1,
        headers=[("Route", value) for value in arrived.values("Record-Route")],
    )  # fmt: skip
    stage.inject(notify, CAROL, listeners - 1)
    got = stage.expect_request(ALICE, "NOTIFY")
    routes = got.values("Record-Route")
    assert len(routes) == listeners
    refresh = make_request(
        "SUBSCRIBE", f"sip:notifier@{CAROL[0]}:{CAROL[1]}", via=f"SIP/2.0/UDP {ALICE[0]};branch={new_branch()}",
        sender=subscribe.get("From"), recipient=accepted.get("To"), call_id=subscribe.call_id, cseq=2,
        headers=[("Route", value) for value in routes],
    )  # fmt: skip
    stage.inject(refresh, ALICE)
    stage.expect_request(CAROL, "SUBSCRIBE")


def test_a_notify_of_a_dialog_that_is_not_ours_is_not_record_routed(stage):
    """RFC 6665 4.3: its SUBSCRIBE left without our Record-Route, as no Route of it shows."""
    stage.send("NOTIFY", f"sip:bob@{BOB[0][0]}", to_tag="bob")
    assert not stage.expect_request(BOB[0], "NOTIFY").values("Record-Route")
    stage.nothing_sent()


# ---------------------------------------------------------------- what is ours: one question


@pytest.mark.parametrize("place", [EDGE[0], US])
@pytest.mark.parametrize("method", ["ACK", "BYE", "INVITE"])
def test_a_contact_with_our_maddr(stage, method, place):
    """16.4: maddr in our responsibility is stripped, with its port; the host leads."""
    host, _, port = place.partition(":")
    talk = Talk(stage, contact=BOB[0])
    uri = f"sip:leg@{BOB[0][0]}{':' + port if port else ''};maddr={host}"
    talk.send(method, uri=uri, cseq=1 if method == "ACK" else 0)
    assert "maddr" not in stage.expect_request(BOB[0], method).uri


def test_outside_of_a_dialog_too(stage):
    stage.invite(uri=f"sip:80@example.net;maddr={EDGE[0]};x=y")
    assert stage.expect_request(BOB[0], "INVITE").uri == "sip:80@example.net;x=y"


def test_a_maddr_goes_with_its_port(make_stage):
    """16.4: that port was the maddr's; transport=udp is the default and stays."""
    stage = make_stage(listeners=2)
    uri = f"sip:80@example.net:{INSIDE[1]};maddr={INSIDE[0]};transport=udp"
    stage.inject(stage.make("INVITE", uri), ALICE, 1)
    assert stage.expect_request(BOB[0], "INVITE").uri == "sip:80@example.net;transport=udp"


def test_a_maddr_of_others_stays(stage):
    stage.invite(uri=f"sip:80@example.net;maddr={VICTIM[0]}")
    assert stage.expect_request(BOB[0], "INVITE").uri == f"sip:80@example.net;maddr={VICTIM[0]}"


def test_a_user_at_us_is_no_strict_routers_work(make_stage):
    """Only a value that we put into a Record-Route is undone (16.4)."""
    stage = make_stage(trusted=(ALICE[0],))
    stage.invite(uri=f"sip:100@{US};lr", headers=[("Route", f"<sip:{US};lr>")])
    assert stage.expect_request(BOB[0], "INVITE").uri == f"sip:100@{US};lr"


def test_options_of_a_strict_router_are_routed(make_stage):
    """16.4 comes before the answer to OPTIONS."""
    stage = make_stage(listeners=2)
    talk = Talk(stage, listener=1)
    first, *others = [route.strip("<>") for route in talk.routes]
    routes = [*(f"<{other}>" for other in others), f"<sip:peer@{CAROL[0]}:{CAROL[1]}>"]
    for uri in (first, *others):
        stage.inject(talk.request("OPTIONS", uri=uri, routes=routes), ALICE)
    assert len(stage.take_requests(CAROL, "OPTIONS")) == 1 + len(others)
    assert not stage.take(lambda sent: sent.status == 200)


# ---------------------------------------------------------------- next hops that are none


NO_HOSTS = ["0.0.0.0", "224.0.0.251", "239.255.255.250", "255.255.255.255", "127.0.0.1", "::", "::1", "ff02::1",
            "ffff::1", "::ffff:127.0.0.1", "::ffff:224.0.0.251", "::ffff:0.0.0.0"]  # fmt: skip
ONWARD = {
    "Request-URI": lambda host: {"uri": f"sip:x@{host}:5353"},
    "maddr": lambda host: {"uri": f"sip:x@{CAROL[0]}:5353;maddr={host}"},
    "name": lambda host: {"uri": "sip:x@host.example.net:5353"},
    "Route": lambda host: {"after": [f"<sip:{host}:5353;lr>"]},
}


def both_families(make_stage, **parts) -> Stage:
    """A stage that sends over IPv6, too: what it refuses there it refuses for what the address is."""
    return make_stage(listeners=2, addresses=(EDGE, V6), **parts)


def go_on(stage: Stage, method: str, way: str, host: str) -> None:
    """A request of a dialog with this next hop."""
    talk = Talk(stage)
    stage.know("host.example.net", (host, 5353))
    onward = ONWARD[way](host_text(host))
    routes = talk.routes + onward.pop("after", [])
    talk.send(method, routes=routes, cseq=1 if method == "ACK" else 0, **onward)


@pytest.mark.parametrize("host", NO_HOSTS)
@pytest.mark.parametrize("way", ONWARD)
def test_a_tokens_holder_may_not_send_anywhere(make_stage, host, way):
    stage = both_families(make_stage)
    go_on(stage, "MESSAGE", way, host)
    assert [sent.status for sent in stage.waiting] == [403]
    assert stage.counter("next_hops_refused") == 1


@pytest.mark.parametrize("host", NO_HOSTS)
@pytest.mark.parametrize("way", ONWARD)
def test_an_ack_of_his_may_not_either(make_stage, host, way):
    stage = both_families(make_stage)
    go_on(stage, "ACK", way, host)
    stage.nothing_sent()


@pytest.mark.parametrize("host", ["198.51.100.9", "128.0.0.1", "2001:db8::7", "::2", "fe80::1"])
@pytest.mark.parametrize("way", ONWARD)
@pytest.mark.parametrize("method", ["MESSAGE", "ACK"])
def test_along_his_dialog_he_may(make_stage, method, host, way):
    stage = both_families(make_stage)
    go_on(stage, method, way, host)
    stage.expect_request((host, 5353), method)
    stage.nothing_sent()


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.251", "255.255.255.255", "[::]", "[ff02::1]"])
def test_nobody_may(make_stage, host):
    stage = both_families(make_stage, trusted=(ALICE[0],))
    stage.send("MESSAGE", f"sip:x@{host}", to_tag="x")
    stage.expect_response(403, "MESSAGE")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_loopback_is_for_whom_we_know(make_stage, host):
    stage = both_families(make_stage, trusted=(ALICE[0],))
    stage.send("MESSAGE", f"sip:x@{host_text(host)}:5090", to_tag="x")
    stage.expect_request((host, 5090), "MESSAGE")


@pytest.mark.parametrize("trusted", [(), (ALICE[0],)])
def test_a_name_that_leads_to_ourselves(make_stage, trusted):
    """Whatever named it: the address is what counts."""
    stage = make_stage(trusted=trusted)
    talk = Talk(stage)
    for _ in range(2):
        talk.send("INFO", uri="sip:x@loop.example.net:5060")
        stage.know("loop.example.net", (EDGE[0], 5060))
    assert {sent.status for sent in stage.waiting} == {481}


# ---------------------------------------------------------------- sips, other schemes


@pytest.mark.parametrize("method, statuses", [("INVITE", [480]), ("MESSAGE", [480]), ("ACK", []), ("CANCEL", [481])])
def test_sips_never_leaves_in_clear(stage, method, statuses):
    stage.send(method, "sips:bob@bank.example", to_tag="x" if method == "ACK" else "")
    assert [sent.status for sent in stage.waiting] == statuses
    if statuses == [480]:
        assert stage.waiting[0].get("Warning") == f'380 {US} "SIPS Not Allowed"'


def test_sips_in_a_dialog_and_by_route(stage):
    talk = Talk(stage)
    talk.send("INFO", uri=f"sips:carol@{CAROL[0]}")
    stage.expect_response(480, "INFO")
    talk.send("INFO", routes=[*talk.routes, f"<sips:{CAROL[0]};lr>"])
    stage.expect_response(480, "INFO")
    stage.nothing_sent()


@pytest.mark.parametrize("port", ["", ":5060", ":5061"])
def test_behind_a_domain_of_ours_the_operator_decides(stage, port):
    stage.invite(uri=f"sips:bob@{EDGE[0]}{port}")
    assert stage.expect_request(BOB[0], "INVITE").uri == f"sips:bob@{EDGE[0]}{port}"


def test_an_unknown_scheme_leads_no_way_itself(make_stage):
    stage = make_stage(rule={"action": 2}, trusted=(ALICE[0],))
    stage.send("INVITE", "urn:service:sos")
    stage.expect_response(416)
    talk_less = make_stage(conditions=({"kind": "user_prefix", "items": ["8"]},))
    talk_less.send("INVITE", "urn:service:sos")
    talk_less.expect_response(416)


# ---------------------------------------------------------------- work that a sender controls


def test_at_the_second_forged_token_the_rest_is_refused_unread(stage):
    """What stands behind them is not even a Route."""
    forged = [f"<sip:{'a' * 29}{letter}@{US};lr>" for letter in "ac"]
    stage.send("BYE", f"sip:x@{VICTIM[0]}", to_tag="x", headers=[("Route", ", ".join([*forged, "no route at all"]))])
    stage.expect_response(403, "BYE")
    assert (stage.counter("forged_tokens"), stage.counter("malformed")) == (1, 0)


def test_what_is_forged_proves_nothing(stage: Stage):
    talk = Talk(stage)
    token = talk.routes[0]
    stage.inject(talk.request("BYE", routes=[f"<sip:{'a' * 30}@{US};lr>", token]), STRANGER)
    stage.expect_request(CAROL, "BYE")
