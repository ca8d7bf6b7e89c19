"""INVITE transactions and their attempts as spans will show them, and each bound."""

import pytest

from fastsip.trace.invites import IGNORED_S, LATE_S, MOST_ATTEMPTS, MOST_OPEN, MOST_TEXT, UNFINISHED_S, Invites
from tests.unit.trace.talk import ALICE, BEGAN, BOB, CAROL, EDGE, INSIDE, Talk

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LAST = BEGAN + 10


def below(talk: Talk, branch: str, of: str = "z9hG4bKa", number: int = 1) -> None:
    """The router's INVITE to a destination, as it leaves: with our Via above the caller's."""
    via = f"Via: SIP/2.0/UDP 198.51.100.10;branch={branch}\r\n"
    peer = BOB if branch.endswith("1") else CAROL
    text = talk.message("INVITE sip:80123@example.net SIP/2.0", f"{number} INVITE", of)
    start, _, rest = text.partition(b"\r\n")
    talk.say(False, INSIDE, peer, start + b"\r\n" + via.encode() + rest)


def failed_over(more: str = "") -> Talk:
    talk = Talk().begin(more=more)
    below(talk, "z9hG4bKx1")
    talk.response(True, INSIDE, BOB, "503 Service Unavailable", "z9hG4bKx1")
    below(talk, "z9hG4bKx2")
    talk.response(True, INSIDE, CAROL, "180 Ringing", "z9hG4bKx2")
    talk.response(True, INSIDE, CAROL, "200 OK", "z9hG4bKx2")
    talk.response(False, EDGE, ALICE, "200 OK", "z9hG4bKa")
    return talk


def taken(*talks: Talk) -> Invites:
    found = Invites()
    for talk in talks:
        for seen in talk.seen:
            found.take(seen)
    return found


def test_a_failover_is_two_attempts_of_one_transaction():
    found = taken(failed_over(f"traceparent: {PARENT}\r\n").hang_up())
    (one,) = found.give(LAST)
    assert (one.call_id, one.cseq, one.status, one.traceparent) == ("one@alice", 1, 200, PARENT)
    assert (one.peer, one.ours, one.transport) == (ALICE, EDGE, "udp")
    assert (round(one.began - BEGAN, 3), round(one.ended - BEGAN, 3)) == (0.1, 0.8)
    first, second = one.attempts.values()
    assert (first.peer, first.status, round(first.ended - first.began, 3)) == (BOB, 503, 0.1)
    assert (second.peer, second.status, round(second.ended - second.began, 3)) == (CAROL, 200, 0.2)
    assert found.give(LAST) == [] and found.open == {}


def test_it_is_not_given_away_before_it_is_over():
    found, talk = Invites(), failed_over()
    for seen in talk.seen:
        assert found.give(seen.when) == []
        found.take(seen)
    assert len(found.give(talk.when)) == 1


def test_repetitions_begin_nothing_while_they_may_come():
    talk = failed_over()
    found = taken(talk, talk)
    assert len(found.give(talk.when)) == 1
    for seen in talk.seen:
        found.take(seen)
    assert found.open == {}
    assert found.give(talk.when + LATE_S) == []
    found.take(talk.seen[0])
    assert len(found.open) == 1     # whoever comes so late means another one


def test_who_never_says_anything_is_not_waited_for():
    """He ended when the search went on."""
    talk = Talk().begin()
    below(talk, "z9hG4bKx1")
    below(talk, "z9hG4bKx2")
    talk.response(True, INSIDE, CAROL, "200 OK", "z9hG4bKx2")
    talk.response(False, EDGE, ALICE, "200 OK", "z9hG4bKa")
    (one,) = taken(talk).give(LAST)
    first, second = one.attempts.values()
    assert (first.status, first.ended) == (0, second.began)


@pytest.mark.parametrize("answered", [True, False])
def test_who_rings_is_waited_for_until_he_answers_our_cancel_or_it_is_late(answered):
    talk = Talk().begin()
    below(talk, "z9hG4bKx1")
    talk.response(True, INSIDE, BOB, "180 Ringing", "z9hG4bKx1")
    talk.response(False, EDGE, ALICE, "487 Request Terminated", "z9hG4bKa")
    found = taken(talk)
    assert found.give(talk.when + LATE_S - 0.1) == []
    if answered:
        found.take(talk.response(True, INSIDE, BOB, "487 Request Terminated", "z9hG4bKx1"))
    (one,) = found.give(talk.when if answered else talk.when + LATE_S)
    (attempt,) = one.attempts.values()
    assert (attempt.status, attempt.ended) == ((487, talk.when) if answered else (180, one.ended))


def test_what_never_ends_ends_by_time():
    talk = Talk().begin()
    below(talk, "z9hG4bKx1")
    found = taken(talk)
    began = talk.seen[0].when
    assert found.give(began + UNFINISHED_S - 0.1) == []
    (one,) = found.give(began + UNFINISHED_S)
    assert not one.finished and one.ended == began + UNFINISHED_S and one.attempts["z9hG4bKx1"].ended == one.ended


def test_a_refusal_of_the_routers_own_has_no_attempt():
    (one,) = taken(Talk().begin().refuse()).give(LAST)
    assert (one.status, one.attempts) == (404, {})


def test_transactions_of_one_call_are_told_apart():
    talk = failed_over()
    talk.request(True, EDGE, ALICE, "INVITE", "z9hG4bKb", 2, to_tag="b")
    below(talk, "z9hG4bKy2", "z9hG4bKb", 2)
    talk.response(True, INSIDE, CAROL, "488 No", "z9hG4bKy2", number=2)
    talk.response(False, EDGE, ALICE, "488 No", "z9hG4bKb", number=2)
    first, second = taken(talk).give(LAST)
    assert (len(first.attempts), len(second.attempts), second.status) == (2, 1, 488)


@pytest.mark.parametrize("done", ["trying", "attempt", "nothing"])
def test_what_the_router_did_nothing_with_is_given_up_early(done):
    talk = Talk()
    talk.request(True, EDGE, ALICE, "INVITE", "z9hG4bKa")
    if done == "trying":
        talk.response(False, EDGE, ALICE, "100 Trying", "z9hG4bKa")
    if done == "attempt":
        below(talk, "z9hG4bKx1")
    found, began = taken(talk), talk.seen[0].when
    lasts = IGNORED_S if done == "nothing" else UNFINISHED_S
    assert found.give(began + lasts - 0.1) == []
    (one,) = found.give(began + lasts)
    assert (one.finished, one.ended) == (False, began + lasts)
    assert found.open == found._ignored == found._attempts == {}


def test_without_a_branch_nothing_begins():
    """As the router does nothing with it; whoever sends very many of them keeps nobody out."""
    talk = Talk()
    for number in range(3):
        talk.say(True, EDGE, ALICE, f"INVITE sip:1@x SIP/2.0\r\nCall-ID: z{number}\r\nCSeq: 1 INVITE\r\n\r\n".encode())
    found = taken(talk)
    assert found.open == {} and found.passed_over == 0


def test_so_many_are_open_and_no_more():
    """Talk.begin has a 100: none of them can be said to be nobody's."""
    found = Invites()
    for number in range(MOST_OPEN + 1):
        for seen in Talk(f"{number}@alice").begin().seen:
            found.take(seen)
    assert (len(found.open), found.passed_over) == (MOST_OPEN, 1)
    assert len(found.give(BEGAN + UNFINISHED_S + 1)) == MOST_OPEN
    for number in range(MOST_OPEN, MOST_OPEN + 2):
        for seen in Talk(f"{number}@alice", BEGAN + UNFINISHED_S).begin().refuse().seen:
            found.take(seen)
    assert len(found.give(BEGAN + UNFINISHED_S + 1)) == 2 and len(found._given) == MOST_OPEN + 2
    found.give(BEGAN + UNFINISHED_S + 1)
    assert len(found._given) == MOST_OPEN and not found._attempts


def test_what_the_router_ignores_keeps_nobody_out():
    """The one that waits for an answer since the longest goes, never one that has any."""
    found = Invites()
    for seen in Talk("first@alice").begin().seen:
        found.take(seen)
    for number in range(MOST_OPEN):
        found.take(Talk(f"{number}@mallory").request(True, EDGE, ALICE, "INVITE", "z9hG4bKm"))
    ids = [one.call_id for one in found.open.values()]
    assert (len(ids), found.passed_over) == (MOST_OPEN, 1) and ids[:2] == ["first@alice", "1@mallory"]
    for seen in failed_over().seen:
        found.take(seen)
    (one,) = found.give(LAST)
    assert (one.call_id, one.status, len(one.attempts), found.passed_over) == ("one@alice", 200, 2, 2)
    assert len(found._ignored) == MOST_OPEN - 2


def test_so_many_attempts_are_kept_and_the_rest_is_counted():
    talk = Talk().begin()
    for number in range(MOST_ATTEMPTS + 1):
        below(talk, f"z9hG4bK-{number}")
    (one,) = taken(talk).open.values()
    assert (len(one.attempts), one.attempts_left_out) == (MOST_ATTEMPTS, 1)


@pytest.mark.parametrize("more", [0, 1])
def test_texts_of_strangers_have_a_bound(more):
    talk = Talk("x" * (MOST_TEXT - len("z9hG4bKa") + more)).begin(more=f"traceparent: {'0' * 2000}\r\n")
    found = taken(talk)
    assert [len(one.traceparent) for one in found.open.values()] == ([] if more else [MOST_TEXT])


def test_strange_messages_are_nobodys():
    talk = Talk()
    for text in (b"", b"INVITE", b"INVITE \r\nCall-ID: x\r\n", b"SIP/2.0 2000 OK\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n"):
        for received in (True, False):
            talk.say(received, EDGE, ALICE, text)
    talk.response(True, INSIDE, BOB, "200 OK", "z9hG4bKx1")
    talk.response(False, EDGE, ALICE, "200 OK", "z9hG4bKa")
    below(talk, "z9hG4bKx1")
    assert taken(talk).open == {}
