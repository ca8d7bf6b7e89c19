"""In-dialog requests where destinations share their dialogs (docs/wire.md#stand-ins)."""

import pytest

from fastsip._core.dispatcher.chooser import Chooser
from fastsip.ua.message import make_request, new_branch
from tests.protocol.dialogs import CAROL, Talk
from tests.protocol.script import BOB, Stage

SHARED = {"on": ["timeout", "transport"], "timeout_ms": 2_000}
CALL_ID = 0
KEY = b"a key of 16 byte"


class Routed(Talk):
    """ALICE calls CAROL through one of the routers BOB[n], which records itself behind us."""

    def __init__(self, stage: Stage, **parts):
        call = stage.invite(**parts)
        self.stage, self.call, self.contact, self.cseq, self.listener = stage, call, CAROL, 1, 0
        self.invite = next(sent for sent in stage.waiting if sent.method == "INVITE")
        stage.waiting.remove(self.invite)
        self.router = self.invite.to
        answer = stage.response(self.invite, 200, tag="carol")
        answer.set("Contact", f"<sip:carol@{CAROL[0]}:{CAROL[1]}>")
        answer.headers.insert(0, ("Record-Route", self.named(self.router)))
        stage.inject(answer, self.router)
        self.ok = stage.expect_response(200)

    @staticmethod
    def named(router) -> str:
        return f"<sip:x1y2@{router[0]}:{router[1]};lr;did=a.1>"


@pytest.fixture
def shared(make_stage):
    return make_stage(in_dialog=SHARED, algorithm=CALL_ID, hash_key=KEY, destinations=4)


def others(talk: Routed, count: int = 4) -> list:
    return [bob for bob in BOB[:count] if bob != talk.router]


def take_down(stage: Stage, router) -> None:
    """Health says so, as probes would have made it."""
    Chooser(stage.table, stage.cells).mark(BOB.index(router), "down", 408, stage.now)


def expect_stand_in(talk: Routed, method: str):
    """The request arrives at another router, whose name stands in the Route."""
    sent = talk.stage.expect(lambda m: m.method == method and m.to in others(talk), f"{method} at a stand-in")
    assert sent.values("Route") == [talk.named(sent.to)], "user, lr and parameters stay"
    return sent


def test_while_it_lives_everything_goes_to_the_first(shared):
    talk = Routed(shared)
    for method in ("INFO", "BYE"):
        talk.send(method)
        request = shared.expect_request(talk.router, method)
        assert request.values("Route") == [talk.named(talk.router)]
        shared.reply(request, 200, tag="carol")
        shared.expect_response(200, method)
    assert shared.counter("stand_ins") == 0


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "UPDATE"])
def test_no_reply_moves_on_to_the_stand_in(shared, method):
    talk = Routed(shared)
    talk.send(method)
    shared.expect_request(talk.router, method)
    shared.advance(2_010)
    shared.take_requests(talk.router, method)
    request = expect_stand_in(talk, method)
    shared.reply(request, 200, tag="carol")
    shared.expect_response(200, method)
    assert shared.counter("stand_ins") == 1


def test_it_is_the_one_that_the_token_names(make_stage):
    """Another one for another call, the same for each request of a call, and the ranking says the same."""
    shared = make_stage(in_dialog={**SHARED, "mark": "none"}, algorithm=CALL_ID, hash_key=KEY, destinations=4)
    found = set()
    for number in range(12):
        talk = Routed(shared, call_id=f"call-{number}")
        shared.rig.refuse(talk.router)
        asked = []
        for routes in (talk.routes, [talk.named(talk.router)]):
            talk.send("INFO", routes=routes)
            asked.append(expect_stand_in(talk, "INFO").to)
        assert asked[0] == asked[1]
        found.add((talk.router, asked[0]))
        shared.rig.refuse(talk.router, "sent")
    assert len(found) > 4


def test_a_transport_failure_moves_on_at_once(shared):
    talk = Routed(shared)
    shared.rig.refuse(talk.router)
    talk.send("BYE")
    expect_stand_in(talk, "BYE")


def test_when_health_says_down_the_stand_in_is_tried_at_once(shared):
    talk = Routed(shared)
    take_down(shared, talk.router)
    talk.send("BYE")
    expect_stand_in(talk, "BYE")
    assert shared.take_requests(talk.router, "BYE") == []


def test_draining_is_about_new_calls(shared):
    talk = Routed(shared)
    shared.cells.set_admin(BOB.index(talk.router), 1)
    talk.send("BYE")
    shared.expect_request(talk.router, "BYE")


def test_each_candidate_once(shared):
    """All four are silent: every one is asked, then nothing is said (RFC 4320)."""
    talk = Routed(shared)
    talk.send("BYE")
    shared.advance(9_000)
    asked = [sent.to for sent in shared.take(lambda m: m.method == "BYE")]
    assert set(asked) == set(BOB[:4])
    shared.expect_response(100, "BYE")
    shared.quiet(40_000)


def test_all_silent_to_a_re_invite_is_408(shared):
    """`exhausted` is for new calls."""
    talk = Routed(shared)
    talk.send("INVITE")
    shared.advance(9_000)
    shared.take(lambda m: m.method == "INVITE" or m.status == 100)
    shared.expect_response(408)


@pytest.mark.parametrize("status", [481, 500, 503])
def test_codes_do_not_move_on_unless_listed(shared, status):
    talk = Routed(shared)
    talk.send("BYE")
    shared.reply(shared.expect_request(talk.router, "BYE"), status, tag="carol")
    shared.expect_response(500 if status == 503 else status, "BYE")
    assert shared.counter("stand_ins") == 0


def test_a_listed_code_does(make_stage):
    stage = make_stage(in_dialog={"on": [503, "timeout"]}, algorithm=CALL_ID, hash_key=KEY, destinations=4)
    talk = Routed(stage)
    talk.send("BYE")
    stage.reply(stage.expect_request(talk.router, "BYE"), 503, tag="x")
    expect_stand_in(talk, "BYE")


def test_never_with_retry_after(make_stage):
    """500 with Retry-After is how a UAS refuses an overlapping re-INVITE (14.2)."""
    stage = make_stage(in_dialog={"on": ["5xx"]}, algorithm=CALL_ID, hash_key=KEY, destinations=4)
    talk = Routed(stage)
    talk.send("INVITE")
    invite = stage.expect_request(talk.router, "INVITE")
    stage.reply(invite, 500, tag="carol", headers=[("Retry-After", "5")])
    stage.expect_response(100)
    stage.expect_request(talk.router, "ACK")
    assert stage.expect_response(500).get("Retry-After") == "5"
    stage.nothing_sent()


def test_prack_never_moves_on(shared):
    talk = Routed(shared)
    shared.rig.refuse(talk.router)
    talk.send("PRACK")
    assert shared.take(lambda m: m.method == "PRACK" and m.to in others(talk)) == []


@pytest.mark.parametrize("known", [True, False])
def test_the_ack_goes_where_its_2xx_came_from(shared, known):
    """With the Route changed as the re-INVITE's; without that knowledge health decides."""
    talk = Routed(shared)
    shared.rig.refuse(talk.router)
    talk.send("INVITE")
    invite = expect_stand_in(talk, "INVITE")
    shared.reply(invite, 200, tag="carol")
    shared.expect_response(100)
    shared.expect_response(200)
    shared.rig.refuse(talk.router, "sent")
    talk.send("ACK", cseq=talk.cseq if known else 77)
    if known:
        ack = expect_stand_in(talk, "ACK")
        assert ack.to == invite.to
    else:
        shared.expect_request(talk.router, "ACK")


def test_the_ack_of_what_the_first_answered_goes_to_the_first(shared):
    talk = Routed(shared)
    talk.send("INVITE")
    shared.reply(shared.expect_request(talk.router, "INVITE"), 200, tag="carol")
    shared.expect_response(100)
    shared.expect_response(200)
    talk.send("ACK", cseq=talk.cseq)
    shared.expect_request(talk.router, "ACK")


def test_an_ack_whose_router_is_down_goes_to_the_stand_in(shared):
    talk = Routed(shared)
    take_down(shared, talk.router)
    talk.send("ACK", cseq=1)
    expect_stand_in(talk, "ACK")


def test_all_leading_values_of_the_failed_one_change(shared):
    """A router that recorded itself twice; what is behind belongs to others and stays."""
    talk = Routed(shared)
    first = talk.named(talk.router)
    behind = "<sip:far@10.0.8.8;lr>"
    shared.rig.refuse(talk.router)
    talk.send("BYE", routes=[f"{first}, {first}", behind, first])
    sent = shared.expect(lambda m: m.method == "BYE" and m.to in others(talk), "BYE at a stand-in")
    renamed = talk.named(sent.to)
    assert sent.values("Route") == [renamed, renamed, behind, first]


def test_no_route_left_only_the_hop_changes(shared):
    """The Request-URI is the UAS's own and stays."""
    talk = Routed(shared)
    uri = f"sip:carol@{talk.router[0]}:{talk.router[1]}"
    shared.rig.refuse(talk.router)
    talk.send("BYE", uri=uri, routes=[])
    sent = shared.expect(lambda m: m.method == "BYE" and m.to in others(talk), "BYE at a stand-in")
    assert (sent.uri, sent.lines("Route")) == (uri, [])


def test_pinned_sets_have_no_stand_in(make_stage):
    """It would answer 481 and end a call whose media still flows."""
    stage = make_stage(algorithm=CALL_ID, hash_key=KEY, destinations=4)
    talk = Routed(stage)
    stage.rig.refuse(talk.router)
    talk.send("BYE")
    assert stage.take(lambda m: m.method == "BYE") == []


def test_the_way_back_too(shared):
    """A router sends a call out through us: requests from the far side find another one when it is dead."""
    router = BOB[2]
    invite = shared.make("INVITE", headers=[("Route", f"<sip:{CAROL[0]}:{CAROL[1]};lr>")])
    invite.headers.insert(0, ("Via", f"SIP/2.0/UDP {router[0]};branch=z9hG4bKback"))
    shared.inject(invite, router)
    sent = shared.expect_request(CAROL, "INVITE")
    shared.expect_response(100, to=router)
    shared.rig.refuse(router)
    bye = make_request(
        "BYE", "sip:alice@10.0.0.1", via=f"SIP/2.0/UDP {CAROL[0]}:{CAROL[1]};branch={new_branch()}",
        sender="<sip:80123@example.net>;tag=carol", recipient=invite.get("From"), call_id=invite.call_id, cseq=1,
        headers=[("Route", sent.get("Record-Route")), ("Route", Routed.named(router))],
    )  # fmt: skip
    shared.inject(bye, CAROL)
    moved = shared.expect(lambda m: m.method == "BYE" and m.to in BOB[:4], "BYE at a stand-in")
    assert moved.to != router
    assert moved.values("Route") == [Routed.named(moved.to)]
