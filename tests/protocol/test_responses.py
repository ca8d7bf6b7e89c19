"""Responses without a branch, and hints that lie: RFC 3261 16.7 items 1 and 2, docs/wire.md#stray-responses."""

import pytest

from fastsip._core.base.hashing import base32, partition_of_call, unbase32
from fastsip._core.harness.rig import Rig
from fastsip.ua.message import Message, make_response, param, read_message
from tests.kernels.audit import complaints, live_slots
from tests.protocol.script import ALICE, BOB, EDGE, INSIDE, WHOLE, Address, Request, Stage, make_table
from tests.unit.test_slots import files_of

STORE_KEY_AT = 40

PLAIN = (
    b"INVITE sip:80123@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%d\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: call-%d\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


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
    assert live_slots(stage.rig) == []
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


def test_hint_to_a_call_of_another_shard_is_not_followed(scratch):
    """Each shard touches its own partitions alone; the index still finds the branch."""
    table, cells = make_table()
    rig = Rig(scratch / "run", table, cells, 64, number=0, count=2)
    key = files_of(scratch / "run")[0].read_bytes()[STORE_KEY_AT : STORE_KEY_AT + 16]
    found = []
    for number in range(40):
        if partition_of_call(key, b"call-%d" % number) % 2:
            continue
        rig.receive(PLAIN % (number, number), ALICE)
        found += [read_message(one.datagram) for one in rig.sent() if one.datagram.startswith(b"INVITE")]
    for invite in found:
        hint = param(invite.via, "fs")
        other = base32(unbase32(hint[8:16], 40) ^ 1 << 16, 40)      # the partition beside, which is the other shard's
        reply = make_response(invite, 180, to_tag="b")
        rig.receive(with_via(reply, hint, hint[:8] + other + hint[16:]).to_bytes(), BOB[0])
    assert [one.datagram[:11] for one in rig.sent()] == [b"SIP/2.0 180"] * len(found) != []
    assert complaints(rig) == []


def test_cseq_method_must_fit(stage, arrived):
    """17.1.3 item 2: a 200 to another method is not this branch's."""
    stage.inject(stage.response(arrived, 200).set("CSeq", "1 BYE"), BOB[0])
    stage.nothing_sent()
    assert stage.states("client") == ["calling"]


def test_cseq_method_must_fit_without_a_hint(stage):
    """17.1.3 item 2, where the index finds the branch."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    hint = param(request.via, "fs")
    stage.inject(with_via(stage.response(request, 200).set("CSeq", "1 INFO"), f";fs={hint}", ""), BOB[0])
    stage.nothing_sent()
    stage.inject(with_via(stage.response(request, 200), f";fs={hint}", ""), BOB[0])
    stage.expect_response(200, "MESSAGE")


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
    assert live_slots(stage.rig) == []


@pytest.mark.parametrize("status", [100, 180, 302, 404, 500, 603])
def test_other_responses_after_the_end_are_dropped(stage, ended, status):
    """The transaction ended here, so these are no news (docs/wire.md#stray-responses)."""
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
    """The branch is ours, its store is gone: forwarded (docs/wire.md#stray-responses)."""
    before = Stage(scratch / "before")
    before.invite()
    invite = before.expect_request(BOB[0], "INVITE")
    after = Stage(scratch / "after")
    after.reply(invite, status)
    after.expect_response(status)
    after.nothing_sent()


@pytest.mark.parametrize("status", [100, 180, 183])
def test_no_provisional_of_a_non_invite_goes_on_without_state_either(scratch, status):
    """RFC 4320 section 4.1, docs/wire.md#non-invite-requests."""
    before, after = Stage(scratch / "before"), Stage(scratch / "after")
    before.send("MESSAGE")
    request = before.expect_request(BOB[0], "MESSAGE")
    after.reply(request, status)
    after.nothing_sent()
    after.reply(request, 200)
    after.expect_response(200, "MESSAGE")


def test_response_follows_received_and_rport_of_the_via_below(scratch):
    """18.2.2 and RFC 3581, also without state."""
    before, after = Stage(scratch / "before"), Stage(scratch / "after")
    message = before.make("INVITE")
    message.set("Via", message.via + ";rport")
    before.inject(message, ("10.0.0.77", 41_000))
    invite = before.expect_request(BOB[0], "INVITE")
    after.reply(invite, 200)
    after.expect_response(200, to=("10.0.0.77", 41_000))


# ---------------------------------------------------------------- where a response without state may go


def sent_on(stage: Stage, via: str, source: Address = ALICE):
    """An INVITE with this Via, from this place, as it arrives at the first callee."""
    stage.inject(stage.make("INVITE").set("Via", via), source)
    stage.waiting = [message for message in stage.waiting if not message.status]
    return stage.expect_request(BOB[0], "INVITE")


@pytest.fixture
def renewed(scratch):
    """A node, and another that shares its secret alone."""
    return Stage(scratch / "before"), Stage(scratch / "after")


PLACES = {
    "sent-by is the source": ("10.0.0.1:5060", ALICE, ALICE),
    "no port": ("10.0.0.1", ALICE, ALICE),
    "another port behind it": ("10.0.0.1:5062", ("10.0.0.1", 40_000), ("10.0.0.1", 5062)),
    "behind a NAT": ("192.168.1.7:5060", ("10.0.0.9", 40_000), ("10.0.0.9", 5060)),
    "behind a NAT, rport": ("192.168.1.7:5060;rport", ("10.0.0.9", 40_000), ("10.0.0.9", 40_000)),
    "rport alone": ("10.0.0.1:5060;rport", ALICE, ALICE),
    "a name": ("phone.example.net", ("10.0.0.9", 40_000), ("10.0.0.9", 5060)),
    "what it wrote itself": ("10.0.0.1;received=192.0.2.1;rport=9", ("10.0.0.9", 40_000), ("10.0.0.9", 40_000)),
    "IPv6": ("[2001:db8::7]:5061;rport", ("2001:db8::9", 40_000), ("2001:db8::9", 40_000)),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_response_without_state_finds_its_caller(scratch, case):
    """The branch covers where answers go, however the sender's Via says it (docs/wire.md#our-branch)."""
    sent_by, source, place = PLACES[case]
    both = (EDGE, INSIDE) if "IPv6" not in case else (("2001:db8::1", 5060), EDGE)
    before, after = (Stage(scratch / name, listeners=2, addresses=both) for name in ("before", "after"))
    invite = sent_on(before, f"SIP/2.0/UDP {sent_by};branch=z9hG4bKhere", source)
    after.reply(invite, 200)
    after.expect_response(200, to=place)


@pytest.mark.parametrize("status", [180, 200, 404])
@pytest.mark.parametrize("hint", [True, False], ids=["hint", "no hint"])
@pytest.mark.parametrize(
    "old, new",
    [
        (";received=10.0.0.9", ";received=203.0.113.7"),
        (";rport=40000", ";rport=53"),
        ("192.168.1.7:5060", "203.0.113.7:5060"),
        ("192.168.1.7:5060", "192.168.1.7:53"),
        (";received=10.0.0.9", ""),
        ("=40000", ""),
    ],
)
def test_a_response_without_state_goes_nowhere_else(renewed, status, hint, old, new):
    """Who has seen a branch and the Via below it cannot have anything sent to a place of his choice."""
    before, after = renewed
    invite = sent_on(before, "SIP/2.0/UDP 192.168.1.7:5060;rport;branch=z9hG4bKhere", ("10.0.0.9", 40_000))
    forged = after.response(invite, status)
    ours, below = forged.values("Via")
    assert old in below
    ours = ours if hint else ours.partition(";fs=")[0]
    forged.remove("Via").headers[:0] = [("Via", ours), ("Via", below.replace(old, new))]
    after.inject(forged, ("198.51.100.66", 666))
    after.nothing_sent()
    assert after.counter("stray_responses") == 1


HERE = {
    "sent-by": ("127.0.0.1:5060", ("127.0.0.1", 5060)),
    "received": ("192.168.1.7:5060;rport", ("127.0.0.1", 40_000)),
    "another of its network": ("192.168.1.7:5060;rport", ("127.9.9.9", 40_000)),
    "IPv6": ("[2001:db8::7]:5060;rport", ("::1", 40_000)),
}
OUTSIDE = (EDGE, ("2001:db8::1", 5060))


@pytest.mark.parametrize("status", [180, 200, 404])
@pytest.mark.parametrize("case", HERE)
def test_a_response_without_state_goes_to_no_loopback_that_cannot_have_called(scratch, case, status):
    """However it came to such a source: nobody behind it can have sent to a listener that is reached from outside."""
    sent_by, source = HERE[case]
    before, after = (Stage(scratch / name, listeners=2, addresses=OUTSIDE) for name in ("before", "after"))
    invite = sent_on(before, f"SIP/2.0/UDP {sent_by};branch=z9hG4bKhere", source)
    after.reply(invite, status)
    after.nothing_sent()
    assert after.counter("stray_responses") == 1


@pytest.mark.parametrize("case", HERE)
@pytest.mark.parametrize("addresses", [(("127.0.0.1", 5060), OUTSIDE[1]), (EDGE, ("::1", 5060))], ids=["4", "6"])
def test_where_we_listen_there_it_may_have_called(scratch, case, addresses):
    sent_by, source = HERE[case]
    before, after = (Stage(scratch / name, listeners=2, addresses=addresses) for name in ("before", "after"))
    invite = sent_on(before, f"SIP/2.0/UDP {sent_by};branch=z9hG4bKhere", source)
    after.reply(invite, 200)
    after.expect_response(200, to=source)


def test_what_a_peer_drops_without_harm_may_be_dropped(renewed):
    """received and rport that say what the sent-by says."""
    before, after = renewed
    invite = sent_on(before, "SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKhere")
    reply = after.response(invite, 200)
    ours, below = reply.values("Via")
    assert "rport=5060" in below and "received=10.0.0.1" in below
    reply.remove("Via").headers[:0] = [("Via", ours), ("Via", "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKhere")]
    after.inject(reply, BOB[0])
    after.expect_response(200)


def test_branches_of_a_failover_can_be_made_again(renewed):
    """They are made from the request of an earlier branch, whose Via says where it came from."""
    before, after = (Stage(stage.run_dir.parent / f"{n}", policy={"on": [500]}) for n, stage in enumerate(renewed))
    message = before.make("INVITE").set("Via", "SIP/2.0/UDP 192.168.1.7;rport;branch=z9hG4bKhere")
    before.inject(message, ("10.0.0.9", 40_000))
    for bob in BOB[:2]:
        before.refuse(before.expect_request(bob, "INVITE"), 500)
    third = before.expect_request(BOB[2], "INVITE")
    after.reply(third, 180)
    after.expect_response(180, to=("10.0.0.9", 40_000))


def test_a_response_without_state_leaves_by_a_listener_that_leads_there(scratch):
    """It may come in by another one."""
    both = (("2001:db8::1", 5060), EDGE)
    before, after = (Stage(scratch / name, listeners=2, addresses=both) for name in ("before", "after"))
    before.inject(before.make("INVITE"), listener=1)
    before.expect_response(100)
    reply = after.response(before.expect_request(BOB[0], "INVITE"), 200)
    after.rig.receive(reply.to_bytes(), ("2001:db8::2", 5060), 0)
    assert [(sent.to, sent.listener) for sent in after.rig.sent()] == [(ALICE, 1)]


FIRST, SECOND, THIRD = (bytes([n]) * 16 for n in range(3))


@pytest.mark.parametrize(
    "known, passes",
    [((FIRST, None), True), ((SECOND, FIRST), True), ((FIRST, SECOND), True), ((SECOND, THIRD), False)],
)
def test_while_secrets_change_branches_of_both_are_known(scratch, known, passes):
    """The branch is made again by each listed secret (docs/wire.md#stray-responses)."""
    before = Stage(scratch / "before", branch_key=FIRST)
    before.invite()
    invite = before.expect_request(BOB[0], "INVITE")
    after = Stage(scratch / "after", branch_key=known[0], other_branch_key=known[1])
    after.reply(invite, 180)
    assert len(after.take_responses(180)) == passes


def test_the_second_secret_makes_nothing(scratch):
    stages = [
        Stage(scratch / str(n), branch_key=FIRST, other_branch_key=other) for n, other in enumerate((None, SECOND))
    ]
    assert len({sent_on(stage, "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", ALICE).branch[:7] for stage in stages}) == 1
    request = stages[0].make("INVITE", call_id="same", from_tag="same", branch="z9hG4bKsame")
    for stage in stages:
        stage.inject(request)
    assert len({stage.expect_request(BOB[0], "INVITE").branch for stage in stages}) == 1


# ---------------------------------------------------------------- responses with our Via alone


def bare(stage: Stage, request, status: int, **parts) -> Message:
    """As a server makes it that knows our Via only, from our CANCEL say."""
    reply = stage.response(request, status, **parts)
    ours = reply.values("Via")[0]
    reply.remove("Via").headers.insert(0, ("Via", ours))
    return reply


def test_a_response_with_one_via_and_no_branch_is_dropped(stage, ended):
    """Nobody below us: it was meant for us, and we have asked nothing."""
    stage.inject(bare(stage, ended, 200), BOB[0])
    stage.nothing_sent()


def test_a_487_made_from_the_cancel_ends_its_branch(stage):
    """It is acknowledged, and the caller gets his 487 (docs/wire.md#responses-with-our-via-alone)."""
    message = stage.make("INVITE")
    message.headers.insert(1, ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbelow"))
    call = Request(stage, message)
    call.again()
    stage.expect_response(100)
    invite = stage.ring(BOB[0])
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.expect_request(BOB[0], "CANCEL")
    stage.inject(bare(stage, invite, 487), BOB[0])
    stage.expect_request(BOB[0], "ACK")
    final = stage.expect_response(487)
    assert final.values("Via") == message.values("Via")
    call.ack(final)
    stage.nothing_sent()
    stage.finish()


@pytest.mark.parametrize("status", [302, 404, 486, 603])
def test_a_final_with_our_via_alone_reaches_the_caller(stage, arrived, status):
    """With all that it brings, and the Vias of the request that it answers."""
    stage.inject(bare(stage, arrived, status, headers=[("Warning", '399 x "why"')]), BOB[0])
    assert stage.expect_request(BOB[0], "ACK").to_tag == "bob-1"
    final = stage.expect_response(status)
    assert final.values("Via") == arrived.values("Via")[1:]
    assert (final.to_tag, final.get("Warning")) == ("bob-1", '399 x "why"')


def test_a_final_with_our_via_alone_is_a_failure_like_others(make_stage):
    stage = make_stage(policy={"on": [503]})
    stage.invite()
    stage.inject(bare(stage, stage.expect_request(BOB[0], "INVITE"), 503), BOB[0])
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.nothing_sent()


def test_a_final_with_our_via_alone_is_acknowledged_each_time(stage, arrived):
    stage.inject(bare(stage, arrived, 404), BOB[0])
    first = stage.expect_request(BOB[0], "ACK")
    stage.expect_response(404)
    stage.inject(bare(stage, arrived, 404), BOB[0])
    assert stage.expect_request(BOB[0], "ACK").to_bytes() == first.to_bytes()
    stage.nothing_sent()


def test_a_2xx_with_our_via_alone_is_a_call_that_was_answered(stage, arrived):
    """It goes up whole: its Contact is where the ACK goes.

    A repetition cannot be completed any more, as the request is gone: it is dropped.
    """
    stage.inject(bare(stage, arrived, 200, body=b"v=0"), BOB[0])
    ok = stage.expect_response(200)
    assert ok.values("Via") == arrived.values("Via")[1:]
    assert (ok.get("Contact"), ok.body) == (f"<sip:bob@{BOB[0][0]}:{BOB[0][1]}>", b"v=0")
    stage.inject(bare(stage, arrived, 200), BOB[0])
    stage.nothing_sent()
    assert stage.counter("stray_responses") == 1
    stage.finish()


def test_a_final_to_another_method_with_our_via_alone(stage):
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.inject(bare(stage, request, 202), BOB[0])
    assert stage.expect_response(202, "MESSAGE").values("Via") == request.values("Via")[1:]
    assert stage.states("client") == []


@pytest.mark.parametrize("status", [100, 180, 183])
def test_a_provisional_with_our_via_alone_is_dropped(stage, arrived, status):
    """And stops nothing: the INVITE is repeated."""
    stage.inject(bare(stage, arrived, status), BOB[0])
    stage.nothing_sent()
    assert stage.counter("stray_responses") == 1
    stage.advance(520)
    stage.expect_request(BOB[0], "INVITE")


def test_what_cannot_be_completed_is_dropped(stage, arrived):
    """More headers than a message may have, or more octets: the branch ends by its own clock."""
    for headers in ([("X", "y")] * 122, [("X", "y" * 65_000)]):
        stage.inject(bare(stage, arrived, 404, headers=headers), BOB[0])
        stage.nothing_sent()
    assert stage.states("client") == ["calling"]
    stage.finish()


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
