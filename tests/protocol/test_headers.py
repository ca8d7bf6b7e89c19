"""headers = { remove, set } beside `to` and `forward`: what is sent on is changed once, and only as said."""

import pytest

from fastsip._core.routing.header_edits import PROTECTED
from fastsip._core.sip.words import COMPACT_FORMS
from tests.kernels.audit import live_slots
from tests.protocol.script import ALICE, BOB, EDGE

FORWARD = 2  # action_id
CAROL = ("10.0.7.7", 5070)
MAX_HEADERS, MAX_EDITS, EDIT_ROOM, MAX_MESSAGE = 128, 192, 16_384, 65_535  # of the core
OWN_EDITS = 2  # Via with Record-Route, and Max-Forwards
OWN_ROOM = 1100 + 4  # what their texts may need


def text(value):
    return [("text", value.encode())]


@pytest.fixture
def changing(make_stage):
    """A function that sets up a stage whose one rule sends to a set and changes headers."""

    def make(remove=(), assign=(), rule=None, **parts):
        headers = {"remove": [name.encode() for name in remove], "set": [(name.encode(), v) for name, v in assign]}
        return make_stage(rule={"headers": headers} | (rule or {}), **parts)

    return make


def sent(stage, to=BOB[0], **parts):
    """The INVITE as it arrives."""
    stage.invite(**parts)
    return stage.expect_request(to, "INVITE")


OTHERS = [("X-Auth-User", "a"), ("X-Kept", "b"), ("X-AUTH-Key", "c"), ("x-auth", "d"), ("Subject", "e"), ("s", "f")]


@pytest.mark.parametrize(
    "remove, left",
    [
        (["X-Auth-*"], "bdef"),
        (["x-auth*"], "bef"),
        (["X-Auth-"], "abcdef"),
        (["X-Auth"], "abcef"),
        (["Subject"], "abcd"),
        (["s"], "abcd"),
        (["Subj*"], "abcd"),
        (["S*"], "abcd"),
        (["X-*"], "ef"),
        (["X-Kept", "X-Auth-User"], "cdef"),
        (["X-Auth-User", "X-Auth-*", "X-Kept", "X-Auth", "Subject"], ""),
        (["X-None", "Y*"], "abcdef"),
    ],
)
def test_remove(changing, remove, left):
    """Names in any case, beginnings, compact forms as their long names; nothing else changes."""
    stage = changing(remove)
    invite = sent(stage, headers=OTHERS)
    assert [value for _, value in invite.headers if len(value) == 1 and value.isalpha()] == list(left)
    plain = changing()
    untouched = sent(plain, headers=OTHERS)
    names = {name.lower() for name, _ in OTHERS} | {"subject"}

    def rest(message):
        return [name for name, _ in message.headers if name.lower() not in names]

    assert rest(invite) == rest(untouched)


def test_a_one_letter_name_stands_for_its_long_one(changing):
    """ "e" is Content-Encoding: it does not begin with E as X-E does, nor is it Event."""
    stage = changing(["Ev*"])
    invite = sent(stage, headers=[("e", "gzip"), ("o", "presence"), ("Event", "dialog"), ("E", "zip"), ("q", "1")])
    assert invite.lines("Content-Encoding") + invite.lines("e") == ["gzip", "zip"]
    assert not invite.lines("Event") and invite.get("q") == "1"


def test_a_one_letter_name_of_no_known_header(changing):
    stage = changing(["q", "H*"])
    invite = sent(stage, headers=[("Q", "1"), ("q", "2"), ("h", "3"), ("Hello", "4"), ("z", "5")])
    assert [value for _, value in invite.headers if value in "12345"] == ["5"]


@pytest.mark.parametrize("letter, name", [(letter.decode(), name.decode()) for letter, name in COMPACT_FORMS.items()])
def test_no_compact_form_gets_past_a_rule(changing, letter, name):
    """7.3.3: removed, set or asked for by its long name it is found by its letter, too."""
    if name.encode() in PROTECTED:
        return
    invite = sent(changing([name]), headers=[(letter, "a"), (letter.upper(), "b"), (name.title(), "c")])
    assert not [value for other, value in invite.headers if other.lower() in (letter, name)]
    rule = {"conditions": [{"kind": "header", "items": [name, "a"]}], "action": 1, "reply": (403, b"No")}
    stage = changing(rule=rule)
    stage.send("INVITE", headers=[(letter, "a")])
    assert stage.take_responses(403)


@pytest.mark.parametrize("name", ["X-Auth-User ", "X-Auth-User\r\n ", "x-AUTH-user\t", "X-Auth-User\r"])
@pytest.mark.parametrize("removed", ["X-Auth-User", "X-Auth-*"])
def test_no_blank_or_fold_gets_past_a_rule(changing, name, removed):
    stage = changing([removed])
    raw = stage.make("INVITE").to_bytes().replace(b"Contact: ", name.encode() + b": admin\r\nContact: ")
    stage.inject(raw)
    assert b"admin" not in stage.expect_request(BOB[0], "INVITE").to_bytes()


def test_a_line_that_is_no_header_is_cut_by_no_name(changing):
    """16.3 item 1: it goes on as it came."""
    stage = changing(["X-*", "Th*"], [("X-New", text("n"))])
    odd = b"X Trunk Group: 7\r\nthis is no header\r\n folded\r\n"
    stage.rig.receive(stage.make("INVITE").to_bytes().replace(b"Contact: ", odd + b"Contact: "), ALICE, 0)
    (forwarded,) = (message.datagram for message in stage.rig.sent() if message.datagram.startswith(b"INVITE"))
    assert odd in forwarded and b"X-New: n\r\n" in forwarded


def test_set_adds_and_replaces(changing):
    stage = changing(assign=[("X-New", text("n")), ("x-old", text("o")), ("Subject", text("s"))])
    old = [("X-Old", "1"), ("X-Other", "2"), ("X-OLD", "3"), ("s", "4"), ("Subject", "5")]
    invite = sent(stage, headers=old)
    assert [invite.lines(name) for name in ("X-New", "X-Old", "Subject", "X-Other")] == [["n"], ["o"], ["s"], ["2"]]
    assert [name for name, _ in invite.headers][-3:] == ["X-New", "x-old", "Subject"]


def test_remove_comes_first(changing):
    """A header that is both is set."""
    stage = changing(["X-Auth-*", "X-A"], [("X-Auth-By", text("us")), ("X-A", text("new"))])
    invite = sent(stage, headers=[("X-Auth-By", "them"), ("X-Auth-Key", "k"), ("X-A", "old")])
    assert [invite.lines(name) for name in ("X-Auth-By", "X-Auth-Key", "X-A")] == [["us"], [], ["new"]]


def test_fields(changing):
    value = [("text", b"<"), ("source", b""), ("text", b"> "), ("listener", b""), ("text", b"/"), ("call_id", b"")]
    stage = changing(assign=[("X-Forwarded-For", [("source", b"")]), ("X-All", value)])
    invite = sent(stage, call_id="77@alice")
    assert invite.get("X-Forwarded-For") == ALICE[0]
    assert invite.get("X-All") == f"<{ALICE[0]}> public/77@alice"


@pytest.mark.parametrize("host", ["10.9.8.7", "2001:db8::9"])
def test_the_source_is_where_it_came_from_not_what_it_says(changing, host):
    """The address alone: no port, no brackets."""
    stage = changing(assign=[("X-Forwarded-For", [("source", b"")])])
    stage.inject(stage.make("INVITE"), (host, 40_000))
    invite = stage.expect_request(BOB[0], "INVITE")
    assert invite.get("X-Forwarded-For") == host
    assert f";received={host}" in invite.values("Via")[1]


def test_body_and_folds_stay(changing):
    """Folded headers go whole, the last one before the body, too."""
    stage = changing(["X-Long"], [("X-New", text("n"))])
    body = b"v=0\r\nX-Long: not a header\r\n"
    headers = [("X-Long", "one\r\n two\r\n\tthree"), ("X-Kept", "a\r\n b"), ("Content-Length", str(len(body)))]
    invite = sent(stage, headers=[*headers, ("X-Long", "last")], body=body)
    assert not invite.lines("X-Long") and invite.get("X-Kept") == "a b" and invite.get("X-New") == "n"
    assert invite.body == body


def test_beside_forward(changing):
    rule = {"action": FORWARD, "forward": b"X-Destination-URI"}
    stage = changing(["X-Destination-URI"], rule=rule, trusted=("10.0.0.0/24",))
    uri = f"sip:{CAROL[0]}:{CAROL[1]}"
    invite = sent(stage, CAROL, headers=[("X-Destination-URI", uri), ("X-Other", "o")])
    assert not invite.lines("X-Destination-URI") and invite.get("X-Other") == "o"


# ---------------------------------------------------------------- later branches, CANCEL, ACK


def test_a_later_branch_is_not_changed_again(changing):
    """It is made from what the first one sent: that has the edits, and {source} as it was."""
    stage = changing(["X-Auth-*"], [("X-From", [("source", b"")])], policy={"on": [500]}, ruri=1)
    stage.invite(headers=[("X-Auth-Key", "k"), ("X-From", "forged")])
    sources = []
    for bob in BOB[:3]:
        invite = stage.expect_request(bob, "INVITE")
        assert len(invite.values("Via")) == 2 and len(invite.values("Record-Route")) == 1
        sources.append((invite.lines("X-From"), invite.lines("X-Auth-Key")))
        stage.reply(invite, 500)
        stage.expect_request(bob, "ACK")
    assert sources == [([ALICE[0]], [])] * 3
    stage.expect_response(500)


def test_cancel_and_repetitions(changing):
    """A repeated INVITE is the same bytes; CANCEL and ACK belong to the changed one."""
    stage = changing(["X-Auth-*"], [("X-New", text("n"))])
    call = stage.invite(headers=[("X-Auth-Key", "k")])
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(550)
    assert stage.expect_request(BOB[0], "INVITE").to_bytes() == invite.to_bytes()
    stage.reply(invite, 180)
    stage.expect_response(180)
    call.cancel()
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert cancel.branch == invite.branch
    stage.reply(invite, 487)
    assert stage.expect_request(BOB[0], "ACK").branch == invite.branch


def test_requests_of_the_dialog_are_not_changed(changing):
    stage = changing(["X-Auth-*"], [("X-New", text("n"))])
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    assert not stage.expect_request(BOB[0], "ACK").lines("X-New")
    call.in_dialog("BYE", ok, 2)
    assert not stage.expect_request(BOB[0], "BYE").lines("X-New")


# ---------------------------------------------------------------- what does not fit


def fits(stage, **parts):
    """Is it forwarded?  Else it is a 513, counted, nobody sees anything of it, and nothing is left."""
    refused, live = stage.counter("refused_requests"), len(live_slots(stage.rig))
    stage.send("INVITE", **parts)
    if stage.take_requests(BOB[0], "INVITE"):
        stage.expect_response(100)
        stage.nothing_sent()
        return True
    stage.expect_response(513)
    stage.nothing_sent()
    assert (stage.counter("refused_requests"), len(live_slots(stage.rig))) == (refused + 1, live)
    return False


@pytest.mark.parametrize("over", [0, 1])
def test_room_for_texts(changing, over):
    """EDIT_ROOM: a Call-ID that no longer fits."""
    room = EDIT_ROOM - OWN_ROOM - len("X-Id: \r\n")
    stage = changing(assign=[("X-Id", [("call_id", b"")] * 5 + text("x" * (room - 5 * 500)))])
    assert fits(stage, call_id="c" * 500 + "c" * over) is (over == 0)


def test_number_of_edits(changing):
    """MAX_EDITS is more than MAX_HEADERS lets a request need: each header that is set, each run that goes."""
    runs = 58
    assign = [(f"X-New-{n}", text("n")) for n in range(MAX_HEADERS - runs - 10)]
    stage = changing(["X-Auth"], assign)
    headers = [(name, "1") for _ in range(runs) for name in ("X-Auth", "X-Kept")]
    assert fits(stage, headers=headers)
    assert OWN_EDITS + runs + len(assign) < MAX_EDITS


def test_a_long_run_of_headers_is_one_edit(changing):
    stage = changing(["X-Auth-*"])
    assert fits(stage, headers=[(f"X-Auth-{n}", "1") for n in range(100)])


@pytest.mark.parametrize("added, remove, over", [(0, [], 0), (0, [], 1), (3, [], 0), (3, [], 1), (3, ["X-Gone"], 1)])
def test_number_of_headers(changing, added, remove, over):
    """MAX_HEADERS: what could not be read back would be a call without CANCEL and failover."""
    stage = changing(remove, [(f"X-New-{n}", text("n")) for n in range(added)], policy={"on": [500]})
    message = stage.make("INVITE")
    ours = 2  # Via and Record-Route
    names = ["X-Gone", *["X-Some"] * (MAX_HEADERS - ours - added - len(message.headers) - 2 + over)]
    headers = [(name, "1") for name in names]
    if over and not remove:
        assert not fits(stage, headers=headers)
        return
    call = stage.invite(headers=headers)
    invite = stage.expect_request(BOB[0], "INVITE")
    assert len(invite.headers) == MAX_HEADERS
    stage.reply(invite, 500)
    stage.expect_request(BOB[0], "ACK")
    second = stage.expect_request(BOB[1], "INVITE")
    stage.reply(second, 180)
    stage.expect_response(180)
    call.cancel()
    stage.expect_request(BOB[1], "CANCEL")


@pytest.mark.parametrize("over", [0, 1])
def test_the_route_of_a_strict_router_is_a_header_more(make_stage, over):
    """16.6 item 6: the Request-URI becomes a Route value, which has a line of its own."""
    stage = make_stage(trusted=("10.0.0.0/24",))
    route = [("Route", f"<sip:{EDGE[0]};lr>, <sip:10.0.7.7>")]
    few = len(stage.make("INVITE", headers=route).headers) + 2 + 1  # Via, Record-Route, Content-Length
    stage.send("INVITE", headers=route + [("X-Some", "1")] * (MAX_HEADERS - few + over))
    stage.take_responses(100)
    if over:
        stage.expect_response(513)
        stage.nothing_sent()
    else:
        assert len(stage.expect_request(("10.0.7.7", 5060), "INVITE").headers) == MAX_HEADERS


def test_routes_that_go_make_room_for_headers(make_stage):
    """A request of a dialog may have all headers that can be read: our Route goes, our Via comes."""
    stage = make_stage()
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    ok = stage.expect_response(200)
    few = call.in_dialog("INFO", ok, 2)
    assert len(stage.expect_request(BOB[0], "INFO").headers) == len(few.message.headers) + 1  # and Content-Length
    few.message.headers += [("X-Some", "1")] * (MAX_HEADERS - len(few.message.headers) - 1)
    few.message.set("CSeq", "3 INFO").set("Via", few.message.via.replace("z9hG4bK", "z9hG4bKnext"))
    few.again()
    assert len(stage.expect_request(BOB[0], "INFO").headers) == MAX_HEADERS


@pytest.mark.parametrize("over", [0, 1])
def test_the_largest_message(changing, over):
    """MAX_MESSAGE: what is added must find room in a datagram."""
    stage = changing(assign=[("X-New", text("n" * 200))])
    around = len(sent(stage, body=b"x" * 10_000).to_bytes()) - 10_000
    assert fits(stage, body=b"x" * (MAX_MESSAGE - around + over)) is (over == 0)
