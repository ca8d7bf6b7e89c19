"""Other spellings of the same (docs/wire.md#canonical-users), and docs/wire.md#what-need-not-be-understood.

What is sent on stays as it came.
"""

import pytest

from .script import ALICE, BOB, Stage

FROM_URI, TO_URI, REQUEST_URI = 1, 2, 3
BAR = {"conditions": [{"kind": "user_prefix", "items": ["0900"]}], "action": 1, "reply": (403, b"No")}
SPELLINGS = ["sip:%30900123@us", "sip:0-900-123@us", "sip:0900123;npdi@us", "tel:0-900-123;phone-context=+49"]


@pytest.fixture
def make(scratch):
    return lambda **parts: Stage(scratch / f"run{len(list(scratch.iterdir()))}", **parts)


@pytest.mark.parametrize("uri", SPELLINGS)
def test_no_spelling_gets_past_a_bar(make, uri):
    stage = make(rule=BAR)
    stage.send("INVITE", uri)
    assert stage.take_responses(403)


@pytest.mark.parametrize("uri", SPELLINGS)
@pytest.mark.parametrize("negate", [False, True])
def test_what_is_sent_on_stays_as_it_came(make, uri, negate):
    """With the bar turned round the request passes, and only `not` of another number lets it."""
    items = ["0800"] if negate else ["0900"]
    stage = make(rule={"conditions": [{"kind": "user_prefix", "items": items, "negate": negate}]})
    stage.invite(uri=uri)
    assert stage.expect_request(BOB[0], "INVITE").uri == uri


@pytest.mark.parametrize("algorithm", [FROM_URI, TO_URI, REQUEST_URI])
def test_hashing_sees_one_user(make, algorithm):
    """19.1.4: the same caller, callee or number has the same destination, however it is written."""
    stage = make(algorithm=algorithm, destinations=12)
    for number in range(8):
        chosen = set()
        for user in (f"8{number}00", f"%38{number}00", f"8-{number}.00", f"8{number}%30%30;npdi"):
            request = stage.make("INVITE", f"sip:{user}@example.net")
            request.set("From", f"<sip:{user}@example.net>;tag=1")
            stage.inject(request)
            stage.expect_response(100)
            (invite,) = stage.take(lambda message: message.method == "INVITE")
            chosen.add(invite.to)
        assert len(chosen) == 1


def raw_of(stage, old: bytes, new: bytes) -> bytes:
    raw = stage.make("INVITE").to_bytes()
    assert old in raw
    return raw.replace(old, new, 1)


@pytest.mark.parametrize("line", [
    b"X Trunk Group: 7", b"this is no header", b": x", b"X-Gr\xc3\xb6\xc3\x9fe: 1", b"Route:",
])
def test_a_line_that_is_no_header_is_carried_on(make, line):
    """16.3 item 1, both ways: a response with it is an answered call."""
    stage = make()
    stage.rig.receive(raw_of(stage, b"Contact: ", line + b"\r\nContact: "), ALICE, 0)
    (invite,) = (message for message in stage.rig.sent() if message.datagram.startswith(b"INVITE"))
    assert line + b"\r\n" in invite.datagram
    head = invite.datagram.partition(b"\r\n")[2].replace(b"example.net>\r\nC", b"example.net>;tag=b\r\nC")
    stage.rig.receive(b"SIP/2.0 200 OK\r\n" + head, BOB[0], 0)
    (answer,) = (message for message in stage.rig.sent() if message.datagram.startswith(b"SIP/2.0 200"))
    assert answer.to == ALICE and line + b"\r\n" in answer.datagram


def test_a_message_without_an_empty_line_gets_one(make):
    stage = make(rule={"headers": {"set": [(b"X-New", [("text", b"n")])]}})
    raw = stage.make("OPTIONS").to_bytes()
    stage.inject(raw[: raw.index(b"\r\n\r\n") + 2])
    request = stage.expect_request(BOB[0], "OPTIONS")
    assert request.get("X-New") == "n" and request.body == b""
    stage.inject(stage.response(request, 200).to_bytes()[:-2], BOB[0])
    assert stage.expect_response(200, "OPTIONS").body == b""


def test_an_emergency_goes_where_a_rule_sends_it(make):
    """An unknown scheme is read by nobody but whom it is for; where it must lead the way itself: 416."""
    stage = make()
    stage.invite(uri="urn:service:sos")
    assert stage.expect_request(BOB[0], "INVITE").uri == "urn:service:sos"
    stage = make(rule={"action": 2, "forward": b""}, trusted=[ALICE[0]])
    stage.send("INVITE", "urn:service:sos")
    assert stage.take_responses(416)


@pytest.mark.parametrize("tag", [";tag=", ";tag", ";tag=;x=y"])
def test_an_empty_tag_is_refused_and_replaced(make, tag):
    """7.3.1: a parameter must not stand twice."""
    stage = make()
    request = stage.make("INVITE")
    request.set("To", request.get("To") + tag)
    stage.inject(request)
    (answer,) = stage.take_responses(400)
    assert answer.get("To").count("tag") == 1 and answer.to_tag
    assert stage.counter("bad_to") == 1
