"""What a border takes off comes in on no way (docs/wire.md#borders): each way is tried with headers that must not pass.

The stage has the listener `public` outside and `inside`, behind which the destinations are.  What comes in at
`public` loses X-Auth-*, Reason and Subject and gets X-From; what goes to the set loses X-Set-*, what leaves at
either loses X-Out-*.
"""

from collections.abc import Callable

import pytest

from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.routing.table import RoutingTable
from fastsip.ua.message import make_cancel, make_request, new_branch, uri_of
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, PARALLEL, Stage

STRANGER = ("203.0.113.66", 5060)
US = f"{EDGE[0]}:{EDGE[1]}"
FORGED = [
    ("X-Auth-User", "admin"), ("x-auth-user", "admin"), ("X-AUTH-", "admin"), ("X-Set-Secret", "1"),
    ("X-Out-Route", "1"), ("X-From", "10.9.9.9"), ("X-Kept", "1"), ("Reason", "Q.850;cause=16"), ("s", "compact"),
    ("Subject", "long"),
]  # fmt: skip
FORBIDDEN = ("x-auth", "x-set-", "x-out-", "reason", "subject", "s")


def edits(*remove: str, **assign: str) -> dict:
    return {
        "remove": [name.encode() for name in remove],
        "set": [(name.replace("_", "-").encode(), [(value, b"")]) for name, value in assign.items()],
    }


IN = edits("X-Auth-*", "Reason", "Subject", X_From="source")
BORDER = {
    "listeners": 2, "headers_in": IN, "headers_out": [edits("X-Out-*")] * 2, "set_headers": edits("X-Set-*"),
}  # fmt: skip


def leaks(message) -> list[str]:
    return [f"{name}: {value}" for name, value in message.headers if name.lower().startswith(FORBIDDEN[:3])
            or name.lower() in FORBIDDEN]  # fmt: skip


def arrived(stage: Stage) -> list:
    """Everything that left by the inside listener or to somebody inside."""
    return [sent for sent in stage.waiting if sent.method and sent.to not in (ALICE, STRANGER)]


def is_hop_by_hop(message) -> bool:
    """A CANCEL, or the ACK of a failure: made by the router itself, with nothing of the caller's but his Reason."""
    return message.method == "CANCEL" or (message.method == "ACK" and not message.lines("X-Kept"))


def forge(message, extra=FORGED):
    message.headers += extra
    return message


def send(stage: Stage, method: str, source=STRANGER, uri="sip:80123@example.net", **parts) -> None:
    stage.inject(forge(stage.make(method, uri, **parts)), source)


def in_dialog(method: str, **parts) -> Callable[[Stage], None]:
    def way(stage):
        talk = Talk(stage, listener=1)
        stage.waiting.clear()
        stage.inject(forge(talk.request(method, **parts)), ALICE)

    return way


def invented(method: str, routes: tuple[str, ...] = (), uri: str = f"sip:x@{BOB[1][0]}:{BOB[1][1]}") -> Callable:
    def way(stage):
        send(stage, method, uri=uri, to_tag="invented", headers=[("Route", route) for route in routes])

    return way


def cancelled(stage):
    call = stage.invite()
    stage.ring(BOB[0])
    stage.inject(forge(make_cancel(call.message)), ALICE)


def late_branch(stage):
    """A failover is made from what the first branch sent."""
    call = stage.make("INVITE")
    stage.inject(forge(call), ALICE)
    first = stage.expect_request(BOB[0], "INVITE")
    assert not leaks(first)
    stage.reply(first, 500)


def repeated(stage):
    call = forge(stage.make("INVITE"))
    for _ in range(3):
        stage.inject(call, STRANGER)
    stage.advance(500)


def full(method: str, **parts) -> Callable[[Stage], None]:
    """The partition of this call is full: what belongs to the call goes on without state."""

    def way(stage):
        talk = Talk(stage, listener=1)
        beside = stage.beside(talk.call.message.call_id)
        for number in range(60):
            stage.send("INVITE", call_id=next(beside), from_tag=f"f{number}")
        assert stage.counter("store_full")
        stage.waiting.clear()
        stage.inject(forge(talk.request(method, **parts)), ALICE)

    return way


def named(stage):
    """A request that waits for a name is routed again."""
    talk = Talk(stage, listener=1)
    stage.waiting.clear()
    stage.inject(forge(talk.request("INFO", uri="sip:carol@pbx.example.net")), ALICE)
    stage.know("pbx.example.net", CAROL)


def named_ack(stage):
    talk = Talk(stage, listener=1)
    stage.waiting.clear()
    stage.inject(forge(talk.request("ACK", uri="sip:carol@pbx.example.net", cseq=1)), ALICE)
    stage.know("pbx.example.net", CAROL)


def forked(stage):
    send(stage, "INVITE")


def folded(stage):
    message = stage.make("INVITE").to_bytes()
    line = b"X-Auth-User:\r\n admin\r\nX-Set-A \t: 1\r\nX-Out-B: 1\r\n 2\r\n\t3\r\n"
    stage.inject(message.replace(b"CSeq:", line + b"CSeq:", 1), STRANGER)


def many(stage):
    send(stage, "INVITE", headers=[(f"X-Auth-{n}", "1") for n in range(90)])


def between(stage):
    headers = [pair for n in range(40) for pair in ((f"X-Auth-{n}", "1"), (f"X-Kept-{n}", "1"))]
    send(stage, "INVITE", headers=headers)


def strict(stage):
    talk = Talk(stage, listener=1)
    token = uri_of(talk.ok.get("Record-Route")) if talk.routes else ""
    stage.waiting.clear()
    request = talk.request("BYE", uri=token, routes=[*talk.routes[1:], f"<sip:x@{CAROL[0]}:{CAROL[1]}>"])
    stage.inject(forge(request), ALICE)


def kept_ours(method: str) -> Callable[[Stage], None]:
    return in_dialog(method, uri=f"sip:80@{US}")


def credentials(stage):
    call = stage.make("INVITE", call_id="challenged@alice")
    stage.inject(forge(call), ALICE)
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 401)
    again = stage.make("INVITE", call_id="challenged@alice", cseq=2, headers=[("Authorization", 'Digest username="a"')])
    stage.inject(forge(again), ALICE)


WAYS: dict[str, Callable[[Stage], None]] = {
    "INVITE": lambda stage: send(stage, "INVITE"),
    "MESSAGE": lambda stage: send(stage, "MESSAGE"),
    "OPTIONS": lambda stage: send(stage, "OPTIONS"),
    "REGISTER": lambda stage: send(stage, "REGISTER"),
    "unknown method": lambda stage: send(stage, "EXPLODE"),
    "CANCEL without state": lambda stage: send(stage, "CANCEL"),
    "CANCEL of a call": cancelled,
    "INVITE that fails over": late_branch,
    "INVITE repeated": repeated,
    "INVITE with credentials": credentials,
    "INVITE with a Route of strangers": lambda stage: send(
        stage, "INVITE", headers=[("Route", f"<sip:{BOB[2][0]};lr>")]),
    "INVITE with a Route to us": lambda stage: send(stage, "INVITE", headers=[("Route", f"<sip:{US};lr>")]),
    "folded lines": folded,
    "90 headers": many,
    "every other header": between,
    "invented To tag, BYE": invented("BYE"),
    "invented To tag, INVITE": invented("INVITE"),
    "invented To tag, INFO": invented("INFO"),
    "invented To tag, NOTIFY": invented("NOTIFY"),
    "invented To tag, ACK": invented("ACK"),
    "invented To tag, CANCEL": invented("CANCEL"),
    "invented To tag, Route to us": invented("BYE", (f"<sip:{US};lr>",)),
    "invented To tag, Route to us, ACK": invented("ACK", (f"<sip:{US};lr>",)),
    "invented To tag, Route to a destination": invented("BYE", (f"<sip:{BOB[1][0]};lr>",)),
    "invented To tag, Route through us to a destination": invented("BYE", (f"<sip:{US};lr>, <sip:{BOB[1][0]};lr>",)),
    "invented To tag, two Routes of ours": invented("BYE", (f"<sip:{US};lr>", f"<sip:{US};lr>")),
    "maddr of ours": invented("BYE", uri=f"sip:x@{BOB[1][0]};maddr={EDGE[0]}"),
    "dialog, BYE": in_dialog("BYE"),
    "dialog, re-INVITE": in_dialog("INVITE"),
    "dialog, ACK": in_dialog("ACK", cseq=1),
    "dialog, INFO": in_dialog("INFO"),
    "dialog, UPDATE": in_dialog("UPDATE"),
    "dialog, REFER": in_dialog("REFER"),
    "dialog, PRACK": in_dialog("PRACK"),
    "dialog, SUBSCRIBE": in_dialog("SUBSCRIBE"),
    "dialog, Request-URI is still ours": kept_ours("BYE"),
    "dialog, Request-URI is still ours, ACK": kept_ours("ACK"),
    "dialog, strict router": strict,
    "dialog, by a name": named,
    "dialog, by a name, ACK": named_ack,
    "dialog, store full, BYE": full("BYE"),
    "dialog, store full, re-INVITE": full("INVITE"),
    "dialog, store full, ACK": full("ACK", cseq=1),
}  # fmt: skip


def test_there_are_forty():
    assert len(WAYS) >= 40


@pytest.mark.parametrize("name", WAYS)
def test_nothing_comes_in(make_stage, name):
    stage = make_stage(max_transactions=1 if "full" in name else 64, policy={"on": [500]}, **BORDER)
    WAYS[name](stage)
    found = arrived(stage)
    assert found, [str(sent) for sent in stage.waiting]
    for message in found:
        assert not leaks(message), message
        if name == "CANCEL without state" or not is_hop_by_hop(message):
            assert message.lines("X-From") in ([ALICE[0]], [STRANGER[0]]), name
    stage.finish()


ELSEWHERE = ("10.0.9.9", 5070)  # where a destination that calls is reached afterwards


@pytest.mark.parametrize("keep", [[], [0], [1], [0, 1], [1, 0], [0, 0]], ids=str)
@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "ACK"])
def test_no_choice_of_our_values_crosses_a_border(make_stage, method, keep):
    """A destination calls another.  Of the two values of its route set it sends which it likes: only the long one
    says whose border is at the other end, where somebody answered who is reached at another place now.
    """
    stage = make_stage(listeners=2, set_headers=BORDER["set_headers"])
    call = stage.make("INVITE").set("Contact", f"<sip:bob@{ELSEWHERE[0]}:{ELSEWHERE[1]}>")
    stage.inject(call, BOB[1])
    invite = stage.expect_request(BOB[0], "INVITE")
    answer = stage.response(invite, 200).set("Contact", f"<sip:carol@{CAROL[0]}:{CAROL[1]}>")
    stage.inject(answer, BOB[0], 1)
    routes = list(reversed(stage.expect_response(200, to=BOB[1]).values("Record-Route")))
    assert len(routes) == 2
    request = make_request(
        method, f"sip:carol@{CAROL[0]}:{CAROL[1]}",
        via=f"SIP/2.0/UDP {ELSEWHERE[0]}:{ELSEWHERE[1]};branch={new_branch()}",
        sender=call.get("From"), recipient=answer.get("To"), call_id=call.call_id, cseq=1 if method == "ACK" else 2,
        headers=[("Route", routes[place]) for place in keep],
    )  # fmt: skip
    stage.waiting.clear()
    stage.inject(forge(request), ELSEWHERE)
    passed = [sent for sent in stage.waiting if sent.method]
    assert bool(passed) == (1 in keep)
    assert not any(message.lines("X-Set-Secret") for message in passed)


@pytest.mark.parametrize("name", WAYS)
def test_without_a_border_it_would(make_stage, name):
    """So the ways above are ways.  A CANCEL of ours carries the Reason alone."""
    stage = make_stage(max_transactions=1 if "full" in name else 64, policy={"on": [500]}, listeners=2)
    if name == "INVITE that fails over":
        return
    WAYS[name](stage)
    assert any(leaks(message) for message in arrived(stage))


def test_rules_do_not_see_what_the_border_takes(make_stage):
    """A rule that believes a header is for those who may say it."""
    asks = ({"kind": "header", "items": ["X-Auth-User", "admin"]},)
    stage = make_stage(conditions=asks, **BORDER)
    send(stage, "INVITE")
    stage.expect_response(404, to=STRANGER)
    stage.nothing_sent()
    send(stage, "INVITE", source=BOB[1], uri="sip:8@example.net")
    stage.take(lambda sent: True)
    stage.inject(forge(stage.make("INVITE")), BOB[1], 1)
    assert arrived(stage)


def test_rules_see_what_the_border_says(make_stage):
    asks = ({"kind": "header", "items": ["X-From", STRANGER[0]]},)
    stage = make_stage(conditions=asks, **BORDER)
    send(stage, "INVITE")
    stage.expect_response(100, to=STRANGER)
    assert arrived(stage)


def test_what_one_set_is_told_another_is_not(make_stage):
    """The second set of a search begins with what stood before the first one's edits."""
    told = {"remove": [b"X-Kept"], "set": [(b"X-Token", [("text", b"of the first")])]}
    stage = make_stage(destinations=1, backup=1, policy={"on": [500]}, set_headers=told)
    stage.invite(headers=[("X-Kept", "1"), ("X-Token", "the caller's"), ("X-Also", "2")], body=b"v=0\r\n")
    first = stage.expect_request(BOB[0], "INVITE")
    assert (first.get("X-Kept"), first.lines("X-Token")) == ("", ["of the first"])
    stage.refuse(first, 500)
    second = stage.expect_request(BOB[1], "INVITE")
    assert (second.lines("X-Kept"), second.lines("X-Token"), second.get("X-Also")) == (["1"], ["the caller's"], "2")
    assert second.body == first.body
    stage.refuse(second, 486)


def test_steps_follow_one_another(make_stage):
    """A later step takes what an earlier one set; what the last one sets stays, once."""

    def says(text):
        return {"remove": [], "set": [(b"X-Step", [("text", text)])]}

    stage = make_stage(rule={"headers": says(b"rule")}, headers_in=says(b"in"), set_headers=says(b"set"),
                       headers_out=[says(b"out")])  # fmt: skip
    stage.invite(headers=[("X-Step", "caller")])
    assert stage.expect_request(BOB[0], "INVITE").lines("X-Step") == ["out"]
    stage = make_stage(rule={"headers": says(b"rule")}, headers_out=[edits("X-Step")])
    stage.invite(headers=[("X-Step", "caller")])
    assert stage.expect_request(BOB[0], "INVITE").lines("X-Step") == []


@pytest.mark.parametrize("method, answers", [("MESSAGE", [513]), ("ACK", [])])
def test_what_cannot_be_edited_does_not_pass(make_stage, method, answers):
    """The longest message has no room for one more header."""
    stage = make_stage(**BORDER)
    talk = Talk(stage, listener=1)
    stage.waiting.clear()
    plain = talk.request(method, cseq=1 if method == "ACK" else 0)
    room = 65_535 - len(plain.to_bytes())
    plain.body = b"b" * (room - 10)
    stage.inject(plain.set("Content-Length", str(len(plain.body))), ALICE)
    assert [sent.status for sent in stage.waiting] == answers
    assert stage.counter("edits_refused") == 1


LONG = {"remove": [], "set": [(b"X-Long", [("text", b"y" * 2_000)])]}
WAYS_OUT = {"set": {"set_headers": LONG}, "listener": {"headers_out": [None, LONG]}}


def filled(message, room: int = 1_000):
    """So long that what LONG adds has no room any more."""
    message.body = b"b" * (65_535 - room - len(message.to_bytes()))
    return message.set("Content-Length", str(len(message.body)))


@pytest.mark.parametrize("way_out", WAYS_OUT)
@pytest.mark.parametrize("method, answers", [("INVITE", [513]), ("MESSAGE", [513]), ("ACK", []), ("CANCEL", [481])])
@pytest.mark.parametrize("within", [True, False], ids=["dialog", "rule"])
def test_what_cannot_be_edited_on_the_way_out_does_not_pass(make_stage, within, method, answers, way_out):
    """An ACK outside of dialogs has no way at all."""
    stage = make_stage(listeners=2, **WAYS_OUT[way_out])
    talk = Talk(stage, listener=1)
    for room, passes in ((1_000, False), (4_000, within or method != "ACK")):
        stage.waiting.clear()
        request = talk.request(method, cseq=1 if method == "ACK" else 0) if within else stage.make(method)
        stage.inject(filled(request, room), ALICE)
        assert [sent.lines("X-Long") for sent in arrived(stage)] == [["y" * 2_000]] * passes
        if room == 1_000:
            assert [sent.status for sent in stage.waiting] == answers


@pytest.mark.parametrize("room, passes", [(1_000, False), (4_000, True)])
def test_a_later_branch_that_cannot_be_edited_is_not_tried(make_stage, room, passes):
    """The caller has the best answer so far."""
    stage = make_stage(destinations=1, backup=1, policy={"on": [500]}, backup_headers=LONG)
    stage.inject(filled(stage.make("INVITE"), room), ALICE)
    stage.expect_response(100)
    first = stage.expect_request(BOB[0], "INVITE")
    assert not first.lines("X-Long")
    stage.refuse(first, 500)
    if passes:
        assert stage.expect_request(BOB[1], "INVITE").lines("X-Long")
    else:
        stage.expect_response(500)
    stage.nothing_sent()


MOST_STEPS = 20  # for one request: of a rule, of sets at one address, of a listener


def use_sets(stage: Stage, count: int, headers_out=None) -> None:
    """From now on so many sets have BOB[0], and each takes a header of its own off."""
    table = RoutingTable(2, token_keys=(b"tokens of a test",), branch_key=b"0123456789abcdef")
    table.add_listener(1, 0, *EDGE, US, "public", headers_out=headers_out)
    table.add_own(*EDGE)
    for index in range(count):
        table.add_set(index + 1, 8, headers_out=edits(f"X-Secret-{index}"))
        cell = stage.cells.assign(index + 1)
        table.add_destination(index, index + 1, cell, *BOB[0], 0, f"sip:{BOB[0][0]}", BOB[0][0])
    table.add_policy(1)
    table.add_rule(1, 0, policy_index=0)
    positions = Positions(table.seal(), 0)
    stage.use(table, positions)


@pytest.mark.parametrize(
    "sets, headers_out, passes",
    [(MOST_STEPS, None, True), (MOST_STEPS - 1, edits("X-Out"), True), (MOST_STEPS + 1, None, False),
     (MOST_STEPS, edits("X-Out"), False)],
)  # fmt: skip
@pytest.mark.parametrize("method, answers", [("INVITE", [513]), ("BYE", [513]), ("ACK", []), ("CANCEL", [481])])
def test_more_borders_than_can_be_crossed_are_not_crossed(stage, method, answers, sets, headers_out, passes):
    """An address that more sets have than one request may be changed for: no edit is left out silently."""
    use_sets(stage, sets, headers_out)
    secrets = [(f"X-Secret-{index}", "1") for index in range(sets)] + [("X-Out", "1"), ("X-Kept", "1")]
    stage.send(method, f"sip:x@{BOB[0][0]}", to_tag="invented", headers=secrets)
    if passes:
        request = stage.expect_request(BOB[0], method)
        kept = ["X-Kept"] if headers_out else ["X-Out", "X-Kept"]
        assert [name for name, _ in request.headers if name.startswith("X-")] == kept
    else:
        assert [sent.status for sent in stage.take(lambda sent: True)] == answers


HIDING = [b"Subject: a\rX-Set-User: admin", b"X-Set-User\0: admin", b"\x0bX-Set-User: admin", b"X-Set-User\x0c: admin",
          b"X-Note: a\0", b"X-Note:\r", b"X-Note: a\r\r"]  # fmt: skip
BORDERS = {
    "in": {"headers_in": edits("X-Set-*")},
    "set": {"set_headers": edits("X-Set-*")},
    "out": {"headers_out": [edits("X-Set-*")]},
}


@pytest.mark.parametrize("line", HIDING)
@pytest.mark.parametrize("border", BORDERS)
def test_no_line_is_hidden_from_a_border(make_stage, border, line):
    """A lone CR, NUL and the like end a line, or the text, for others: no edit sees what stands behind."""

    def hide(message):
        return message.to_bytes().replace(b"CSeq:", line + b"\r\nCSeq:", 1)

    stage = make_stage(**BORDERS[border])
    talk = Talk(stage)
    stage.waiting.clear()
    for method in ("INVITE", "MESSAGE"):
        stage.inject(hide(stage.make(method)), ALICE)
        stage.inject(hide(talk.request(method)), ALICE)
    assert {sent.status for sent in stage.waiting} <= {100, 400}
    assert len(stage.take(lambda sent: sent.status == 400)) == 4
    stage.inject(hide(talk.request("ACK", cseq=1)), ALICE)
    assert not [sent for sent in stage.waiting if sent.method]
    stage = make_stage()
    stage.inject(hide(stage.make("INVITE")), ALICE)
    assert arrived(stage)


@pytest.mark.parametrize("border", ["set", "out"])
def test_no_line_is_hidden_in_a_reason(make_stage, border):
    """What a CANCEL of ours repeats crosses the border, too."""
    stage = make_stage(**BORDERS[border])
    for reason, repeated in (("SIP;cause=487\rX-Set-User: admin", []), ("SIP;cause=487", ["SIP;cause=487"])):
        call = stage.invite()
        stage.ring(BOB[0])
        stage.waiting.clear()
        cancel = make_cancel(call.message)
        cancel.headers.append(("Reason", reason))
        stage.inject(cancel, ALICE)
        assert stage.expect_request(BOB[0], "CANCEL").lines("Reason") == repeated


def test_a_reason_stays_at_the_border_of_a_contact_elsewhere(make_stage):
    """The CANCEL of a re-INVITE goes where that went, by the token's border."""
    stage = make_stage(set_headers=edits("Reason"))
    talk = Talk(stage)
    stage.waiting.clear()
    again = talk.request("INVITE")
    stage.inject(forge(again), ALICE)
    stage.inject(stage.response(stage.expect_request(CAROL, "INVITE"), 180), CAROL)
    stage.inject(forge(make_cancel(again)), ALICE)
    assert stage.expect_request(CAROL, "CANCEL").lines("Reason") == []


@pytest.mark.parametrize("pinned", [(0,), (0, 1), ()])
@pytest.mark.parametrize("called", [0, 1])
def test_the_border_holds_at_the_end_that_no_token_names(make_stage, pinned, called):
    """Of two destinations a token names one, with who stands in for it; the other's set may be the one with edits."""
    stage = make_stage(destinations=1, backup=1, in_dialog={}, pinned=pinned, set_headers=edits("X-Set-*"),
                       rule={"set_index": called})  # fmt: skip
    caller, callee = BOB[1 - called], BOB[called]
    call = stage.make("INVITE")
    stage.inject(call, caller)
    invite = stage.expect_request(callee, "INVITE")
    answer = stage.response(invite, 200).set("Contact", f"<sip:carol@{CAROL[0]}:{CAROL[1]}>")
    stage.inject(answer, callee)
    ok = stage.expect_response(200, to=caller)
    stage.waiting.clear()
    inside = {"sender": call.get("From"), "recipient": ok.get("To"), "routes": reversed(ok.values("Record-Route"))}
    if called:  # the one with the border called: requests to him come from the callee
        inside = {"sender": ok.get("To"), "recipient": call.get("From"), "routes": invite.values("Record-Route")}
    source = callee if called else caller
    request = make_request(
        "INFO", f"sip:peer@{CAROL[0]}:{CAROL[1]}", via=f"SIP/2.0/UDP {source[0]}:{source[1]};branch={new_branch()}",
        sender=inside["sender"], recipient=inside["recipient"], call_id=call.call_id, cseq=7,
        headers=[("Route", route) for route in inside["routes"]],
    )  # fmt: skip
    stage.inject(forge(request), source)
    assert stage.expect_request(CAROL, "INFO").lines("X-Set-Secret") == []


def test_a_fork_of_the_longest_requests_takes_no_more_room(make_stage):
    """What one branch worked with is free for the next: sixteen at once find room for what the border took."""
    stage = make_stage(destinations=16, algorithm=PARALLEL, set_headers=edits("X-Set-*"), max_transactions=17_000)
    stage.invite(headers=[("X-Set-Long", "x" * 62_000)])
    assert all(stage.take_requests(callee, "INVITE") for callee in BOB[:16])
    assert stage.counter("no_room") == 0
