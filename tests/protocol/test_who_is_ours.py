"""Nobody relays through us by inventing a To tag or a Route (docs/wire.md#requests-of-dialogs)."""

import dataclasses
from collections.abc import Callable

import pytest

from fastsip.ua.message import Message, make_request, make_response, new_branch, uri_of
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import ALICE, BOB, EDGE, Stage

STRANGER = ("203.0.113.66", 5060)
VICTIM = ("198.51.100.9", 5060)
TO_VICTIM = f"sip:victim@{VICTIM[0]}:{VICTIM[1]}"
US = f"{EDGE[0]}:{EDGE[1]}"
OUR_NUMBERS = ({"kind": "user_prefix", "items": ["8"]},)
REFUSALS = (
    "relays_refused", "unknown_dialogs", "no_rule", "stray_acks", "stray_responses", "refused_requests", "malformed",
)  # fmt: skip


@dataclasses.dataclass
class Attempt:
    """What a stranger sends; `talk` is a call of somebody else whose messages he has overheard."""

    talk: Talk
    method: str = "INVITE"
    uri: str = TO_VICTIM
    to_tag: str = "invented"
    routes: tuple[str, ...] = ()
    via: str = f"{STRANGER[0]}:{STRANGER[1]}"
    sender: str = f"<sip:alice@{US}>;tag=thief"
    call_id: str = "thief@203.0.113.66"

    def message(self) -> Message:
        return make_request(
            self.method,
            self.uri,
            via=f"SIP/2.0/UDP {self.via};branch={new_branch()}",
            sender=self.sender,
            recipient=f"<{self.uri}>" + (f";tag={self.to_tag}" if self.to_tag else ""),
            call_id=self.call_id,
            cseq=1,
            headers=[("Route", line) for line in self.routes],
        )


def token_route(talk: Talk, change: Callable[[str], str] = str) -> str:
    """The overheard Record-Route value, its token changed."""
    value = uri_of(talk.ok.get("Record-Route"))
    token = value.removeprefix("sip:").partition("@")[0]
    return f"<sip:{change(token)}@{US};lr>"


def another(letter: str) -> str:
    return "b" if letter != "b" else "c"


# Name -> what is different from a plain INVITE with an invented To tag.
ATTEMPTS: dict[str, Callable[[Talk], dict]] = {
    "INVITE with a To tag": lambda talk: {},
    "BYE with a To tag": lambda talk: {"method": "BYE"},
    "MESSAGE with a To tag": lambda talk: {"method": "MESSAGE"},
    "INFO with a To tag": lambda talk: {"method": "INFO"},
    "OPTIONS with a To tag": lambda talk: {"method": "OPTIONS"},
    "SUBSCRIBE with a To tag": lambda talk: {"method": "SUBSCRIBE"},
    "unknown method with a To tag": lambda talk: {"method": "EXPLODE"},
    "ACK of nothing": lambda talk: {"method": "ACK"},
    "ACK without To tag": lambda talk: {"method": "ACK", "to_tag": ""},
    "CANCEL of nothing": lambda talk: {"method": "CANCEL"},
    "CANCEL by Route": lambda talk: {"method": "CANCEL", "to_tag": "", "routes": (f"<{TO_VICTIM};lr>",)},
    "Route through us": lambda talk: {"routes": (f"<sip:{US};lr>",)},
    "Route through us to the victim": lambda talk: {"routes": (f"<sip:{US};lr>, <{TO_VICTIM};lr>",)},
    "Route in two lines": lambda talk: {"routes": (f"<sip:{US};lr>", f"<{TO_VICTIM};lr>")},
    "Route to the victim alone": lambda talk: {"uri": f"sip:80@{US}", "routes": (f"<{TO_VICTIM};lr>",)},
    "Route with maddr": lambda talk: {"routes": (f"<sip:{US};maddr={VICTIM[0]};lr>",)},
    "Request-URI with maddr": lambda talk: {"uri": f"sip:{US};maddr={VICTIM[0]}"},
    "Route to a strict router": lambda talk: {"routes": (f"<sip:{US};lr>", f"<{TO_VICTIM}>")},
    "as a strict router": lambda talk: {"uri": f"sip:{US};lr", "routes": (f"<{TO_VICTIM}>",)},
    "as a strict router without lr": lambda talk: {"uri": f"sip:{US}", "routes": (f"<{TO_VICTIM}>",)},
    "preloaded Route": lambda talk: {"to_tag": "", "routes": (f"<{TO_VICTIM};lr>",)},
    "preloaded Route through us": lambda talk: {"to_tag": "", "routes": (f"<sip:{US};lr>, <{TO_VICTIM};lr>",)},
    "preloaded as a strict router": lambda talk: {
        "to_tag": "", "uri": f"sip:{US};lr", "routes": (f"<{TO_VICTIM}>",),
    },
    "REGISTER there": lambda talk: {"method": "REGISTER", "to_tag": ""},
    "an invented token": lambda talk: {"routes": (f"<sip:{'a' * 30}@{US};lr>",)},
    "the token of another call": lambda talk: {"routes": (token_route(talk),)},
    "the token with its Call-ID but other tags": lambda talk: {
        "routes": (token_route(talk),), "call_id": talk.ok.call_id,
    },
    "a token with another last letter": lambda talk: {
        "routes": (token_route(talk, lambda token: token[:-2] + another(token[-2]) + token[-1]),),
        "call_id": talk.ok.call_id, "sender": talk.call.message.get("From"),
    },
    "a token with another stand-in": lambda talk: {
        "routes": (token_route(talk, lambda token: token[:16] + another(token[16]) + token[17:]),),
        "call_id": talk.ok.call_id, "sender": talk.call.message.get("From"),
    },
    "a token cut short": lambda talk: {
        "routes": (token_route(talk, lambda token: token[:-1]),),
        "call_id": talk.ok.call_id, "sender": talk.call.message.get("From"),
    },
    "a token with a password": lambda talk: {
        "routes": (token_route(talk, lambda token: f"{'a' * 30}:{token}"),),
        "call_id": talk.ok.call_id, "sender": talk.call.message.get("From"),
    },
    "the token as a strict router": lambda talk: {
        "uri": f"sip:{'b' * 30}@{US};lr", "routes": (f"<{TO_VICTIM}>",),
    },
    "the Via of a destination": lambda talk: {"via": f"{BOB[0][0]}:{BOB[0][1]}"},
    "another transport": lambda talk: {"uri": f"{TO_VICTIM};transport=tcp"},
    "a name": lambda talk: {"uri": "sip:victim@victim.example.org"},
    "a name by Route": lambda talk: {"routes": ("<sip:victim.example.org;lr>",)},
    "tel by Route": lambda talk: {"uri": "tel:+4912345", "routes": (f"<{TO_VICTIM};lr>",)},
}  # fmt: skip


def refused(stage: Stage) -> int:
    return sum(stage.counter(name) for name in REFUSALS)


def test_there_are_thirty():
    assert len(ATTEMPTS) >= 30


@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_is_relayed(make_stage, name):
    stage = make_stage(conditions=OUR_NUMBERS)
    talk = Talk(stage)
    attempt = Attempt(talk, **ATTEMPTS[name](talk))
    before = refused(stage)
    stage.inject(attempt.message(), STRANGER)
    answers = stage.take(lambda sent: sent.status > 100 and sent.to in (STRANGER, BOB[0]))
    stage.nothing_sent()
    assert refused(stage) > before
    if attempt.method == "ACK":
        assert not answers
    else:
        assert answers[0].status in (403, 404, 416, 481)


@pytest.mark.parametrize(
    "name",
    [
        "INVITE with a To tag", "BYE with a To tag", "Route through us to the victim", "Route in two lines",
        "Route to the victim alone", "Route with maddr", "Route to a strict router", "as a strict router",
        "as a strict router without lr", "preloaded Route", "preloaded Route through us",
        "preloaded as a strict router", "the token of another call", "tel by Route",
    ],
)  # fmt: skip
def test_the_same_is_relayed_for_those_we_know(make_stage, name):
    """So the attempts fail for the reason that is meant."""
    stage = make_stage(conditions=OUR_NUMBERS, trusted=("203.0.113.0/24",))
    talk = Talk(stage)
    attempt = Attempt(talk, **ATTEMPTS[name](talk))
    stage.inject(attempt.message(), STRANGER)
    stage.expect_request(VICTIM, attempt.method)


@pytest.mark.parametrize("second", [VICTIM, STRANGER, ALICE])
def test_a_reply_that_belongs_to_nothing_goes_nowhere(stage, second):
    """The branch is made again from the second Via, and differs (docs/wire.md#stray-responses)."""
    talk = Talk(stage)
    stage.finish()
    for branch in ("z9hG4bKabcdefghijklm", talk.invite.branch):
        request = make_request(
            "INVITE", TO_VICTIM, via=f"SIP/2.0/UDP {second[0]};branch=z9hG4bKx", sender="<sip:a@b>;tag=1",
            recipient="<sip:b@c>;tag=2", call_id="nobody@nowhere", cseq=1,
        )  # fmt: skip
        request.headers.insert(0, ("Via", f"SIP/2.0/UDP {US};branch={branch};fs={'a' * 22}"))
        before = stage.counter("stray_responses")
        stage.inject(make_response(request, 200), STRANGER)
        stage.nothing_sent()
        assert stage.counter("stray_responses") == before + 1


def test_to_tag_and_nobody_but_us(stage):
    """To tag, no Route, the Request-URI is ours: 481."""
    stage.send("BYE", f"sip:{US}", to_tag="gone")
    stage.expect_response(481, "BYE")
    assert stage.counter("unknown_dialogs") == 1


@pytest.mark.parametrize("known", ["source", "next hop"])
def test_without_a_token_who_is_known_may(stage, known):
    """A lost or broken token is never a lost BYE by itself."""
    talk = Talk(stage, contact=BOB[1])
    talk.send("BYE", back=known == "source", routes=[f"<sip:{US};lr>"])
    stage.expect_request(ALICE if known == "source" else BOB[1], "BYE")


TOWARDS = {
    "Request-URI": lambda host, port: (f"sip:x@{host}:{port}", []),
    "maddr": lambda host, port: (f"sip:x@elsewhere.example:{port};maddr={host}", []),
    "name": lambda host, port: ("sip:x@host.example.org", []),
    "Route": lambda host, port: (f"sip:x@{CAROL[0]}", [f"<sip:{host}:{port};lr>"]),
    "Route behind ours": lambda host, port: (f"sip:x@{CAROL[0]}", [f"<sip:{US};lr>", f"<sip:{host}:{port};lr>"]),
}


@pytest.mark.parametrize(
    "place, passes",
    [
        (BOB[1], True),
        ((BOB[1][0], 8080), False),
        ((BOB[17][0], 5060), False),
        (("10.0.9.9", 8080), False),
        (("10.0.9.9", 5060), False),
    ],
)
@pytest.mark.parametrize("way", TOWARDS)
@pytest.mark.parametrize("method", ["BYE", "NOTIFY", "INVITE", "ACK"])
def test_a_next_hop_is_the_exact_address_of_a_destination(make_stage, method, way, place, passes):
    """Not any host and port of a trusted network: that one may send, and is no place to send to."""
    stage = make_stage(trusted=("10.0.9.0/24", "10.0.1.0/24"))
    stage.know("host.example.org", place)
    uri, routes = TOWARDS[way](*place)
    request = stage.make(method, uri, to_tag="invented", headers=[("Route", route) for route in routes])
    stage.inject(request, STRANGER)
    if passes:
        stage.expect_request(place, method)
        return
    assert [sent.status for sent in stage.take(lambda sent: True)] == ([] if method == "ACK" else [403])
    assert stage.counter("stray_acks" if method == "ACK" else "relays_refused") == 1


def test_a_forged_token_is_counted(stage):
    talk = Talk(stage)
    talk.send("BYE", routes=[f"<sip:{'a' * 30}@{US};lr>"])
    stage.expect_response(403, "BYE")
    assert stage.counter("forged_tokens") == 1
    assert stage.counter("relays_refused") == 1


def test_options_to_ourselves(stage):
    """11.2: 200 with Accept, Accept-Encoding, Accept-Language, Supported; also with Max-Forwards 0.

    Without Allow: we forward every method.
    """
    for forwards in ("70", "0"):
        options = stage.make("OPTIONS", f"sip:{US}").set("Max-Forwards", forwards)
        stage.inject(options)
        answer = stage.expect_response(200, "OPTIONS")
        assert [answer.get(f"Accept{name}") for name in ("", "-Encoding", "-Language")] == [
            "application/sdp", "identity", "en"]  # fmt: skip
        assert answer.lines("Allow") == []
        assert answer.lines("Supported") == [""]
    assert CAROL not in [sent.to for sent in stage.waiting]


def test_options_to_ourselves_with_an_extension(stage):
    """8.2.2.3: we are the server here, and support none."""
    options = stage.make("OPTIONS", f"sip:{US}", headers=[("Require", "100rel"), ("Require", "timer, gruu")])
    stage.inject(options)
    answer = stage.expect_response(420, "OPTIONS")
    assert answer.lines("Unsupported") == ["100rel", "timer, gruu"]
    assert stage.counter("bad_extensions") == 1
    stage.nothing_sent()


def test_options_for_others_may_require_what_they_like(stage):
    """16.3 item 5: Require is for the server at the end."""
    stage.send("OPTIONS", headers=[("Require", "magic")])
    assert stage.expect_request(BOB[0], "OPTIONS").get("Require") == "magic"


@pytest.mark.parametrize(
    "counter, change",
    [
        ("too_many_hops", lambda request: request.set("Max-Forwards", "0")),
        ("bad_extensions", lambda request: request.set("Proxy-Require", "magic")),
        ("bad_cseq", lambda request: request.set("CSeq", "99999999999 INVITE")),
        ("bad_max_forwards", lambda request: request.set("Max-Forwards", "256")),
        ("bad_content_length", lambda request: request.set("Content-Length", "-1")),
        ("bad_from", lambda request: request.set("From", "<sip:x")),
        ("bad_repetition", lambda request: request.headers.append(("CSeq", "1 INVITE"))),
        ("bad_to", lambda request: request.set("To", "<sip:x@y>;tag=")),
        ("bad_uri", lambda request: setattr(request, "uri", "sip:bob@300.1.1.1")),
        ("unavailable", lambda request: None),
    ],
)
def test_each_refusal_has_its_counter(make_stage, counter, change):
    stage = make_stage(destinations=1)
    if counter == "unavailable":
        stage.cells.set_admin(0, 2)
    request = stage.make("INVITE")
    change(request)
    stage.inject(request)
    assert stage.take(lambda sent: sent.status >= 400)
    stage.nothing_sent()
    assert stage.counter(counter) == 1
    assert stage.counter("refused_requests") == 1
    assert stage.counter("malformed") == counter.startswith("bad_") * (counter != "bad_extensions")


# ---------------------------------------------------------------- a Route that cannot be read

UNREADABLE = ["<nil>", "<sip:>", "<sip:10.0.9.9", "nil", "<sip:10.0.9.9:99999;lr>"]


@pytest.mark.parametrize("value", UNREADABLE)
@pytest.mark.parametrize("ours", [f"<sip:{EDGE[0]}:{EDGE[1]};lr>, ", ""])
def test_a_strangers_routes_go_before_they_are_judged(make_stage, ours, value):
    stage = make_stage()
    stage.invite(headers=[("Route", ours + value)])
    assert not stage.expect_request(BOB[0], "INVITE").values("Route")
    assert stage.counter("routes_removed") == 1


@pytest.mark.parametrize("value", UNREADABLE)
def test_somebody_known_is_told(make_stage, value):
    stage = make_stage(trusted=["10.0.0.0/24"])
    stage.send("INVITE", headers=[("Route", f"<sip:{EDGE[0]}:{EDGE[1]};lr>, {value}")])
    stage.expect_response(400)
    stage.nothing_sent()
