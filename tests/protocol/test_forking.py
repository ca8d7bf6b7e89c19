"""Parallel forking: a group of branches starts at once, and one answer comes of it.

RFC 3261 16.7 items 4, 5 and 10, RFC 6026, docs/wire.md#parallel-forking.  When branches fail is in
test_fork_failures.py, how far a fork may spread in test_breadth.py.
"""

import pytest

from fastsip._core.dispatcher.chooser import Positions
from tests.protocol.script import BOB, EDGE, PARALLEL, PRIORITY, WHOLE, make_table

ALL = ["3xx", "4xx", "5xx"]


# ---------------------------------------------------------------- the start


def test_all_are_asked_at_once(make_fork):
    """16.6: the same request to each, each branch with its own token (docs/wire.md#parallel-forking)."""
    stage = make_fork()
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    assert len({first.branch, second.branch, third.branch}) == 3
    for other in (second, third):
        assert other.at == first.at
        assert [name for name, _ in other.headers[:2]] == ["Via", "Record-Route"]  # which name the branch
        assert (other.uri, other.headers[2:]) == (first.uri, first.headers[2:])
    assert len({invite.get("Record-Route") for invite in (first, second, third)}) == 3
    assert stage.states("client") == ["calling"] * 3


def test_each_has_its_own_request_uri(make_fork):
    """`ruri = "host"`: and the next group starts from what the caller asked for."""
    stage = make_fork(ruri=1, priorities=(1, 1, 0), policy={"on": [500]})
    stage.invite()
    pair = stage.expect_fork(range(2))
    assert [invite.uri for invite in pair] == [f"sip:80123@{host}:{port}" for host, port in BOB[:2]]
    for invite in pair:
        stage.refuse(invite, 500)
    (third,) = stage.expect_fork([2])
    assert third.uri == f"sip:80123@{BOB[2][0]}:{BOB[2][1]}"


def test_only_who_is_usable_is_asked(make_fork):
    stage = make_fork()
    stage.cells.set_admin(1, 2)
    stage.invite()
    stage.expect_fork([0, 2])


def test_at_most_sixteen_are_asked(make_fork):
    """MAX_ATTEMPTS; nobody else is asked when all of them have failed."""
    stage = make_fork(destinations=18, policy={"on": [500]})
    call = stage.invite()
    invites = stage.expect_fork(range(16))
    for invite in invites:
        stage.refuse(invite, 500)
    call.ack(stage.expect_response(500))
    stage.nothing_sent()
    stage.finish()


def test_limit_bounds_the_fork(make_fork):
    """And what it has left out stays out."""
    stage = make_fork(limit=2, policy={"on": [500]})
    stage.invite()
    for invite in stage.expect_fork(range(2)):
        stage.refuse(invite, 500)
    stage.expect_response(500)
    stage.nothing_sent()


def test_limit_counts_over_the_groups(make_fork):
    stage = make_fork(limit=3, destinations=4, priorities=(1, 1, 0, 0), policy={"on": [500]})
    stage.invite()
    for invite in stage.expect_fork(range(2)):
        stage.refuse(invite, 500)
    stage.refuse(*stage.expect_fork([2]), 500)
    stage.expect_response(500)
    stage.nothing_sent()


def test_non_invite_is_forked_too(make_fork):
    """The first 2xx is the answer; a second final response is none (16.7 item 5)."""
    stage = make_fork()
    stage.send("MESSAGE")
    first, second, third = stage.expect_fork(range(3), "MESSAGE")
    stage.reply(first, 500)
    stage.nothing_sent()
    stage.reply(second, 200)
    assert stage.expect_response(200, "MESSAGE").to_tag == "bob-2"
    stage.reply(third, 200)
    stage.nothing_sent()
    stage.finish()


def test_our_route_is_gone_from_each(make_fork):
    """16.4."""
    stage = make_fork()
    stage.invite(headers=[("Route", f"<sip:{EDGE[0]};lr>")])
    assert [invite.values("Route") for invite in stage.expect_fork(range(3))] == [[], [], []]


def test_repeated_invite_starts_nothing(make_fork):
    stage = make_fork()
    call = stage.invite()
    stage.expect_fork(range(3))
    call.again()
    stage.expect_response(100)
    stage.nothing_sent()


# ---------------------------------------------------------------- groups


def test_tiers_are_tried_one_after_the_other(make_fork):
    """16.6: the highest q first; the next when the whole group is final."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500]})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 500)
    stage.nothing_sent()
    assert stage.counter("failovers") == 0
    stage.refuse(second, 500)
    stage.expect_fork([2])
    assert stage.counter("failovers") == 1
    assert [(event.kind, event.destination_id) for event in stage.rig.events() if event.kind == "failover"] == [
        ("failover", 2)
    ]


def test_tier_without_a_usable_one_is_skipped(make_fork):
    stage = make_fork(destinations=4, priorities=(2, 1, 0, 0), policy={"on": [500]})
    stage.cells.set_admin(1, 2)
    stage.invite()
    stage.refuse(*stage.expect_fork([0]), 500)
    stage.expect_fork([2, 3])


def test_tier_is_looked_at_when_it_starts(make_fork):
    """No list grows stale: who became unusable meanwhile is not asked."""
    stage = make_fork(destinations=4, priorities=(1, 0, 0, 0), policy={"on": [500]})
    stage.invite()
    (first,) = stage.expect_fork([0])
    stage.cells.set_admin(2, 2)
    stage.refuse(first, 500)
    stage.expect_fork([1, 3])


def test_tiers_false_is_one_group(make_fork):
    stage = make_fork(priorities=(2, 1, 0), tiers=False)
    stage.invite()
    stage.expect_fork(range(3))


@pytest.mark.parametrize("codes, best", [((404, 500), 404), ((500, 404), 404), ((486, 503), 486)])
def test_a_failure_that_is_not_wanted_ends_the_search(make_fork, codes, best):
    """Each failure of the group must be named in `on`, whichever comes last; else the best response is the answer."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500, 486], "exhausted": (480, "Nobody")})
    call = stage.invite()
    for invite, code in zip(stage.expect_fork(range(2)), codes, strict=True):
        stage.refuse(invite, code)
    call.ack(stage.expect_response(best))
    stage.nothing_sent()
    stage.finish()


def test_timeout_that_is_not_wanted_ends_the_search(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500], "timeout_ms": 2_000})
    stage.invite()
    _, second = stage.expect_fork(range(2))
    stage.reply(second, 180)
    stage.advance(2_020)
    stage.take_requests(BOB[0], "INVITE")
    stage.expect_response(180)
    stage.nothing_sent()
    stage.refuse(second, 500)
    stage.expect_response(500)
    stage.nothing_sent()


def test_then_follows_the_last_group(make_fork):
    """Another set, and that set's own algorithm: one after the other."""
    stage = make_fork(destinations=2, backup=2, policy={"on": [500]})
    stage.invite()
    for invite in stage.expect_fork(range(2)):
        stage.refuse(invite, 500)
    stage.refuse(*stage.expect_fork([2]), 500)
    stage.expect_fork([3])


def test_then_may_be_parallel(make_stage):
    stage = make_stage(
        algorithm=PRIORITY, backup=4, backup_algorithm=PARALLEL, backup_limit=3, policy={"on": [500]}
    )
    stage.invite()
    for number in range(3):
        stage.refuse(*stage.expect_fork([number]), 500)
    for invite in stage.expect_fork([3, 4, 5]):
        stage.refuse(invite, 500)
    stage.expect_response(500)
    stage.nothing_sent()


def test_then_shares_the_sixteen_attempts(make_fork):
    stage = make_fork(max_transactions=256, destinations=14, backup=4, backup_algorithm=PARALLEL, policy={"on": [500]})
    stage.invite()
    for invite in stage.expect_fork(range(14)):
        stage.refuse(invite, 500)
    for invite in stage.expect_fork([14, 15]):
        stage.refuse(invite, 500)
    stage.expect_response(500)
    stage.nothing_sent()
    stage.finish()


def test_the_running_fork_keeps_its_policy(make_fork):
    """docs/core.md#ids-instead-of-indexes; the groups are those of today's table."""
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500]})
    stage.invite()
    pair = stage.expect_fork(range(2))
    table, _ = make_table(algorithm=PARALLEL, destinations=4, priorities=(1, 1, 0, 0), cells=stage.cells)
    positions = Positions(table, 0)
    stage.use(table, positions)
    for invite in pair:
        stage.refuse(invite, 500)
    stage.expect_fork([2, 3])


# ---------------------------------------------------------------- somebody answers


def test_answer_cancels_the_others(make_fork):
    """16.7 item 10, RFC 3326; who has said nothing yet is cancelled at the first word (9.1)."""
    stage = make_fork()
    call = stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.ring_back(first)
    stage.reply(second, 200)
    ok = stage.expect_response(200)
    assert ok.to_tag == "bob-2"
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert cancel.via == first.via
    stage.nothing_sent()
    stage.reply(third, 180)
    late = stage.expect_request(BOB[2], "CANCEL")
    for each in (cancel, late):
        assert each.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
        stage.reply(each, 200)
    for invite in (first, third):
        stage.refuse(invite, 487)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[1], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_every_2xx_goes_upstream(make_fork):
    """16.7 item 5, RFC 6026: two pick up before the CANCEL is there; both dialogs are the caller's to keep or end."""
    stage = make_fork()
    call = stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.ring_back(second)
    stage.reply(first, 200)
    one = stage.expect_response(200)
    stage.expect_request(BOB[1], "CANCEL")
    again = stage.reply(second, 200)
    two = stage.expect_response(200)
    stage.reply(third, 200)
    stage.expect_response(200)
    stage.inject(again, BOB[1])
    assert stage.expect_response(200).to_tag == two.to_tag == "bob-2"
    for ok, bob in ((one, BOB[0]), (two, BOB[1])):
        call.in_dialog("ACK", ok, 1)
        stage.expect_request(bob, "ACK")
    call.in_dialog("BYE", two, 2)
    stage.reply(stage.expect_request(BOB[1], "BYE"), 200)
    stage.expect_response(200, "BYE")
    stage.nothing_sent()
    stage.finish()


def test_who_answers_in_the_second_group_wins(make_fork):
    stage = make_fork(priorities=(1, 1, 0), policy={"on": [500]})
    call = stage.invite()
    for invite in stage.expect_fork(range(2)):
        stage.refuse(invite, 500)
    stage.reply(*stage.expect_fork([2]), 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[2], "ACK")
    stage.nothing_sent()
    stage.finish()


def test_every_provisional_goes_upstream(make_fork):
    """16.7 item 5, from each branch with its own tag; a 100 goes nowhere."""
    stage = make_fork()
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.reply(third, 100)
    assert [stage.ring_back(first).to_tag, stage.ring_back(second).to_tag] == ["bob-1", "bob-2"]
    stage.ring_back(first, 183)
    stage.nothing_sent()


# ---------------------------------------------------------------- 6xx


@pytest.fixture
def declined(make_fork):
    """Three of the higher tier: the first rings, the second has declined, the third is silent."""
    stage = make_fork(destinations=4, priorities=(1, 1, 1, 0), policy={"on": [*ALL, "timeout", "ring"]})
    call = stage.invite()
    invites = stage.expect_fork(range(3))
    stage.ring_back(invites[0])
    stage.refuse(invites[1], 603)
    return stage, call, invites


def test_6xx_waits_for_the_others(declined):
    """16.7 items 5 and 6: they are cancelled, no branch starts, and the 6xx goes up when all are final."""
    stage, call, (first, _, third) = declined
    cancel = stage.expect_request(BOB[0], "CANCEL")
    assert not cancel.get("Reason")
    stage.nothing_sent()
    stage.refuse(first, 487)
    stage.nothing_sent()
    stage.reply(third, 100)
    stage.expect_request(BOB[2], "CANCEL")
    stage.refuse(third, 487)
    final = stage.expect_response(603)
    assert final.to_tag == "bob-2"
    call.ack(final)
    stage.nothing_sent()
    stage.finish()


def test_2xx_that_crosses_a_6xx_wins(declined):
    stage, call, (first, _, third) = declined
    stage.expect_request(BOB[0], "CANCEL")
    stage.reply(first, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    stage.reply(third, 180)
    assert "completed elsewhere" in stage.expect_request(BOB[2], "CANCEL").get("Reason")
    stage.refuse(third, 487)
    stage.nothing_sent()
    stage.finish()


def test_6xx_waits_for_a_silent_one_until_its_timeout(declined):
    """Which then is no reason to go on, nor to think ill of it: we had cancelled it."""
    stage, call, (first, _, third) = declined
    stage.expect_request(BOB[0], "CANCEL")
    stage.refuse(first, 487)
    stage.advance(third.at + WHOLE - stage.now + 20)
    stage.take_requests(BOB[2], "INVITE")
    call.ack(stage.expect_response(603))
    stage.nothing_sent()
    assert stage.health(2) == "unknown"
    stage.finish()


def test_6xx_goes_up_at_once_when_nobody_is_asked_any_more(make_fork):
    stage = make_fork(destinations=2, policy={"on": ALL, "exhausted": (480, "Nobody")})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 486)
    stage.nothing_sent()
    stage.refuse(second, 600)
    stage.expect_response(600)
    stage.nothing_sent()


def test_cancel_after_a_6xx_ends_in_487(declined):
    """The caller has given up before it was told."""
    stage, call, (first, _, third) = declined
    stage.expect_request(BOB[0], "CANCEL")
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.refuse(first, 487)
    stage.refuse(third, 404)
    stage.expect_response(487)
    stage.nothing_sent()


def test_6xx_of_a_message_waits_too(make_fork):
    """Nothing cancels a non-INVITE (9.1), so a silent one is waited for."""
    stage = make_fork(destinations=2)
    stage.send("MESSAGE")
    first, second = stage.expect_fork(range(2), "MESSAGE")
    stage.reply(first, 603)
    stage.nothing_sent()
    stage.reply(second, 500)
    stage.expect_response(603, "MESSAGE")
    stage.finish()
