"""Responses without a branch, and hints that lie: RFC 3261 16.7 items 1 and 2, wire section 2."""

import pytest

from fastsip.sip_text import Message, param
from tests.protocol.script import ALICE, BOB, EDGE, WHOLE, Stage


def with_via(message: Message, old: str, new: str) -> Message:
    """The message with that text in its topmost Via replaced."""
    for position, (name, value) in enumerate(message.headers):
        if name == "Via":
            assert old in value
            message.headers[position] = (name, value.replace(old, new))
            return message
    raise AssertionError("no Via")


def flipped(text: str) -> str:
    """Another text of the same letters."""
    return ("a" if text[0] != "a" else "b") + text[1:]


@pytest.fixture
def arrived(stage):
    """An INVITE as it arrived at the callee."""
    stage.invite()
    return stage.expect_request(BOB[0], "INVITE")


@pytest.fixture
def ended(stage):
    """An INVITE whose transaction has ended here long ago."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 404)
    call.ack(stage.expect_response(404))
    stage.advance(2 * WHOLE)
    stage.waiting.clear()
    assert stage.rig.live() == []
    return invite


def test_wrong_branch_is_dropped(stage, arrived):
    """17.1.3: neither by the hint nor by the index; the recomputed branch differs."""
    for status in (180, 200, 404):
        branch = param(arrived.via, "branch")
        wrong = branch[:7] + flipped(branch[7:])
        stage.inject(with_via(stage.response(arrived, status), branch, wrong), BOB[0])
        stage.nothing_sent()
    assert stage.states("client") == ["calling"]
    assert stage.counter("stray_responses") == 3


@pytest.mark.parametrize("branch", ["z9hG4bK", "z9hG4bK!!!!!!!!!!!!!", "x", "z9hG4bKaaaaaaaaaaaa"])
def test_branch_that_is_none_of_ours_is_dropped(stage, arrived, branch):
    stage.inject(with_via(stage.response(arrived, 200), param(arrived.via, "branch"), branch), BOB[0])
    stage.nothing_sent()
    assert stage.counter("stray_responses") == 1


def test_branch_is_compared_without_case(stage, arrived):
    """7.3.1: tokens are case-insensitive, and some peers write them in capitals."""
    branch, hint = param(arrived.via, "branch"), param(arrived.via, "fs")
    reply = with_via(stage.response(arrived, 200), branch, branch.upper())
    stage.inject(with_via(reply, hint, hint.upper()), BOB[0])
    stage.expect_response(200)


@pytest.mark.parametrize(
    "change", [flipped, lambda _: "", lambda _: "junk", lambda hint: hint[:-1], lambda _: "7" * 16]
)
def test_forged_hint_falls_back_to_the_index(stage, arrived, change):
    """The hint is only a way to the slot; the branch decides."""
    hint = param(arrived.via, "fs")
    stage.inject(with_via(stage.response(arrived, 180), f"fs={hint}", f"fs={change(hint)}"), BOB[0])
    stage.expect_response(180)


def test_lost_hint_falls_back_to_the_index(stage, arrived):
    hint = param(arrived.via, "fs")
    stage.inject(with_via(stage.response(arrived, 180), f";fs={hint}", ""), BOB[0])
    stage.expect_response(180)


def test_hint_to_another_call_moves_nothing_there(stage):
    """A hint of another branch, with the branch of this one: this one's."""
    stage.invite()
    one = stage.expect_request(BOB[0], "INVITE")
    stage.invite()
    other = stage.expect_request(BOB[0], "INVITE")
    stage.inject(with_via(stage.response(one, 200), param(one.via, "fs"), param(other.via, "fs")), BOB[0])
    assert stage.expect_response(200).call_id == one.call_id
    assert sorted(stage.states("client")) == ["accepted", "calling"]


def test_cseq_method_must_fit(stage, arrived):
    """17.1.3 item 2: a 200 to another method is not this branch's."""
    stage.inject(stage.response(arrived, 200).set("CSeq", "1 BYE"), BOB[0])
    stage.nothing_sent()
    assert stage.states("client") == ["calling"]


def test_response_to_a_cancel_is_not_the_invites(stage, arrived):
    """9.1: the CANCEL's transaction has the same branch."""
    stage.inject(stage.response(arrived, 200).set("CSeq", "1 CANCEL"), BOB[0])
    stage.nothing_sent()
    assert stage.states("client") == ["calling"]


def test_2xx_to_invite_after_the_end_goes_on(stage, ended):
    """RFC 6026 section 6: without state, to where the Via below ours says."""
    stage.reply(ended, 200)
    late = stage.expect_response(200)
    assert late.to == ALICE
    assert len(late.values("Via")) == 1
    assert stage.rig.live() == []


@pytest.mark.parametrize("status", [100, 180, 302, 404, 500, 603])
def test_other_responses_after_the_end_are_dropped(stage, ended, status):
    """Wire section 2: the transaction ended here, so these are no news."""
    stage.reply(ended, status)
    stage.nothing_sent()


def test_2xx_to_another_method_after_the_end_is_dropped(stage):
    """RFC 4320 section 4.3: no stray responses to non-INVITE."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.reply(request, 200)
    stage.expect_response(200, "MESSAGE")
    stage.reply(request, 200)
    stage.nothing_sent()


def test_invented_2xx_is_dropped(stage, ended):
    """Whoever does not know the branch's key cannot send responses through us."""
    fake = stage.response(ended, 200).set("Call-ID", "other@alice")
    stage.inject(fake, ("192.0.2.66", 5060))
    stage.nothing_sent()


@pytest.mark.parametrize("status", [180, 200, 404])
def test_response_to_a_lost_store_goes_on(scratch, status):
    """Wire section 2: the branch is ours and the store that held it is gone; forwarded without state."""
    before = Stage(scratch / "before")
    before.invite()
    invite = before.expect_request(BOB[0], "INVITE")
    after = Stage(scratch / "after")
    after.reply(invite, status)
    after.expect_response(status)
    after.nothing_sent()


def test_response_follows_received_and_rport_of_the_via_below(scratch):
    """18.2.2 and RFC 3581, also without state."""
    before, after = Stage(scratch / "before"), Stage(scratch / "after")
    message = before.make("INVITE")
    message.set("Via", message.via + ";rport")
    before.inject(message, ("10.0.0.77", 41_000))
    invite = before.expect_request(BOB[0], "INVITE")
    after.reply(invite, 200)
    after.expect_response(200, to=("10.0.0.77", 41_000))


def test_response_with_one_via_is_dropped(stage, ended):
    """Nobody below us: it was meant for us, and we have asked nothing."""
    reply = stage.response(ended, 200)
    first = next(value for name, value in reply.headers if name == "Via")
    reply.remove("Via").headers.insert(0, ("Via", first))
    stage.inject(reply, BOB[0])
    stage.nothing_sent()


def test_malformed_response_is_counted_and_dropped(stage, arrived):
    stage.inject(b"SIP/2.0 200 OK\r\nVia: broken\r\n\r\n", BOB[0])
    stage.nothing_sent()
    assert stage.counter("malformed") == 1


def test_response_loses_our_via_alone(stage):
    """16.7 item 3, also when the Vias of several hops stand in one line."""
    call = stage.make("INVITE")
    call.headers.insert(1, ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbelow"))
    stage.inject(call)
    stage.expect_response(100)
    invite = stage.expect_request(BOB[0], "INVITE")
    reply = stage.response(invite, 200)
    vias = reply.values("Via")
    reply.remove("Via").headers.insert(0, ("v", ", ".join(vias)))
    stage.inject(reply, BOB[0])
    assert stage.expect_response(200).values("Via") == vias[1:]
    assert EDGE[0] in vias[0]
