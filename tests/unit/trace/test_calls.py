"""Which messages belong to a followed call, which are repeated, when it is over, and the bounds of all that."""

import pytest

from fastsip.trace import calls
from fastsip.trace.calls import MOST_CALLS, MOST_STEPS, QUIET_S, Calls, Wanted
from tests.unit.trace.talk import ALICE, BOB, CAROL, EDGE, INSIDE, Talk

ONE = Wanted(call_id="one@alice")


def taken(wanted, *talks):
    found = Calls(wanted)
    steps = [found.take(seen) for talk in talks for seen in talk.seen]
    return found, [one[1] for one in steps if one]


def test_a_call_is_followed_by_its_call_id_alone():
    found, steps = taken(ONE, Talk("other@alice").begin(), Talk().begin().fail_over().hang_up())
    assert list(found.followed) == ["one@alice"] and len(steps) == 16
    first = steps[0]
    assert (first.source, first.target, first.label) == ("192.0.2.1:5060", "192.0.2.10:5060", "INVITE")
    assert (steps[1].source, steps[1].target, steps[1].label, steps[1].cseq) == (
        "192.0.2.10:5060", "192.0.2.1:5060", "100 Trying", "1 INVITE")


@pytest.mark.parametrize("wanted, fits", [
    ({"sender": "ALICE@"}, True), ({"sender": "bob@"}, False), ({"recipient": "bob"}, True),
    ({"recipient": "alice"}, False), ({"sender": "alice", "recipient": "carol"}, False),
    ({"source": "192.0.2.1"}, True), ({"source": "198.51.100.8"}, True), ({"source": "192.0.2.10"}, False),
    ({"source": "192.0.2.1", "sender": "bob"}, False),
])  # fmt: skip
def test_it_is_matched_by_one_request_and_followed_then(wanted, fits):
    """bob's BYE has him in From, and comes from a destination."""
    talk = Talk().begin().fail_over().hang_up()
    found, steps = taken(Wanted(**wanted), talk)
    since = 12 if wanted == {"source": "198.51.100.8"} else 0
    assert len(steps) == (len(talk.seen) - since if fits else 0)
    assert found.ended == (1 if fits else 0)


def test_what_comes_twice_is_marked_between_the_same_two_alone():
    talk = Talk().begin()
    talk.request(False, INSIDE, BOB, "INVITE", "z9hG4bKa")     # the same bytes on another way
    talk.again()
    talk.seen.append(talk.seen[0]._replace(when=talk.when + 1))
    _, steps = taken(ONE, talk)
    assert [step.again for step in steps] == [False, False, False, True, True]


@pytest.mark.parametrize("end", ["hang_up", "refuse"])
def test_a_call_is_over_with_its_last_message(end):
    talk = Talk().begin()
    if end == "hang_up":
        talk.fail_over()
    getattr(talk, end)()
    found = Calls(ONE)
    for number, seen in enumerate(talk.seen, 1):
        found.take(seen)
        assert found.ended == (number == len(talk.seen))
    found.take(talk.again())
    assert found.ended == 1


def test_a_request_without_dialog_is_over_when_it_is_answered():
    talk = Talk()
    talk.request(True, EDGE, ALICE, "OPTIONS", "z9hG4bKo")
    talk.request(False, INSIDE, BOB, "OPTIONS", "z9hG4bKp")
    talk.response(True, INSIDE, BOB, "200 OK", "z9hG4bKp", "OPTIONS")
    assert taken(ONE, talk)[0].ended == 0
    talk.response(False, EDGE, ALICE, "200 OK", "z9hG4bKo", "OPTIONS")
    assert taken(ONE, talk)[0].ended == 1


def test_credentials_that_are_asked_for_and_a_refused_offer_end_nothing():
    talk = Talk().begin()
    talk.response(False, EDGE, ALICE, "407 Proxy Authentication Required", "z9hG4bKa")
    talk.request(True, EDGE, ALICE, "ACK", "z9hG4bKa", to_tag="b")
    talk.request(True, EDGE, ALICE, "INVITE", "z9hG4bKn", 2)
    talk.response(False, EDGE, ALICE, "200 OK", "z9hG4bKn", number=2)
    talk.request(True, EDGE, ALICE, "INVITE", "z9hG4bKr", 3, to_tag="b")
    talk.response(False, EDGE, ALICE, "488 Not Acceptable Here", "z9hG4bKr", number=3)
    talk.request(True, EDGE, ALICE, "ACK", "z9hG4bKr", 3, to_tag="b")
    talk.request(True, EDGE, ALICE, "CANCEL", "z9hG4bKr", 3)
    talk.response(False, EDGE, ALICE, "481 Call/Transaction Does Not Exist", "z9hG4bKr", "INFO", 3)
    assert taken(ONE, talk)[0].ended == 0
    talk.request(True, EDGE, ALICE, "BYE", "z9hG4bKs", 4, to_tag="b")
    talk.response(False, EDGE, ALICE, "408 Request Timeout", "z9hG4bKs", "BYE", 4)
    assert taken(ONE, talk)[0].ended == 1


def test_a_call_that_begins_anew_is_not_over_any_more():
    found, _ = taken(ONE, Talk().begin().refuse())
    again = Talk()
    again.request(True, EDGE, ALICE, "INVITE", "z9hG4bKm", 2)
    found.take(again.seen[0])
    assert not found.followed["one@alice"].over and found.ended == 1


def test_a_trace_that_begins_in_the_middle_sees_the_end():
    assert taken(ONE, Talk().refuse())[0].ended == 1
    assert taken(ONE, Talk().hang_up())[0].ended == 1


def test_so_many_messages_of_a_call_are_kept_and_no_more():
    talk = Talk()
    for number in range(MOST_STEPS + 1):
        talk.request(True, EDGE, ALICE, "INFO", f"z9hG4bK{number}", number, to_tag="b")
    found, steps = taken(ONE, talk)
    call = found.followed["one@alice"]
    assert (len(call.steps), call.left_out, len(steps)) == (MOST_STEPS, 1, MOST_STEPS + 1)


def begun(found, number, when=0.0, refuse=False):
    talk = Talk(f"{number}@alice", 1_800_000_000.0 + when).begin()
    for seen in (talk.refuse() if refuse else talk).seen:
        found.take(seen)


def ignored(found, number, when=0.0):
    """What the router does nothing with, as it has no Via."""
    text = f"INVITE sip:1@x SIP/2.0\r\nFrom: alice\r\nCall-ID: {number}@mallory\r\nCSeq: 1 INVITE\r\n\r\n".encode()
    found.take(Talk("", 1_800_000_000.0 + when).say(True, EDGE, ALICE, text))


def test_so_many_calls_are_followed_and_who_is_over_or_silent_makes_room():
    found = Calls(Wanted(sender="alice"), keep_gone=True)
    for number in range(MOST_CALLS):
        begun(found, number)
    begun(found, "more")
    assert found.passed_over == 1 and "more@alice" not in found.followed
    begun(found, "5", 1, refuse=True)   # the same call goes on, and is over
    begun(found, "next", 2)
    assert "next@alice" in found.followed and [one.call_id for one in found.take_gone()] == ["5@alice"]
    begun(found, "late", QUIET_S)
    assert found.passed_over == 2
    begun(found, "later", QUIET_S + 1)
    assert [one.call_id for one in found.take_gone()] == ["0@alice"] and len(found.followed) == MOST_CALLS
    assert list(found.take_gone()) == [] and (found.ended, found.passed_over) == (1, 3)


def test_what_the_router_ignores_keeps_nobody_out_and_displaces_no_call():
    """Of those who wait for the router the one that was silent for the longest goes."""
    found = Calls(Wanted(sender="alice"), keep_gone=True)
    begun(found, "first")
    for number in range(MOST_CALLS):
        ignored(found, number, number)
    assert [one.call_id for one in found.take_gone()] == ["0@mallory"] and "first@alice" in found.followed
    begun(found, "second", MOST_CALLS)
    assert [one.call_id for one in found.take_gone()] == ["1@mallory"]
    ignored(found, "last", MOST_CALLS)
    assert {"first@alice", "second@alice", "last@mallory"} < found.followed.keys()
    assert (len(found.followed), found.passed_over, found.ended) == (MOST_CALLS, 3, 0)


def test_who_is_refused_and_says_no_more_makes_room():
    """Without his ACK the call is not over; who is refused inside of a call still talks."""
    found, talk = Calls(Wanted(source=ALICE[0])), Talk().begin()
    for seen in talk.seen:
        found.take(seen)
    call = found.followed["one@alice"]
    assert not call.loose
    for status, loose in (("407 Who", True), ("100 Trying", False), ("403 Forbidden", True)):
        found.take(talk.response(False, EDGE, ALICE, status, "z9hG4bKa"))
        assert (call.loose, call.over) == (loose, False)
    for method in ("ACK", "CANCEL"):
        found.take(talk.request(False, INSIDE, BOB, method, "z9hG4bK1"))
        assert call.loose
    for status in ("200 OK", "488 Not Acceptable Here"):
        found.take(talk.response(False, EDGE, ALICE, status, "z9hG4bKa"))
        assert not call.loose


@pytest.mark.parametrize("wanted", [True, False])
def test_those_that_are_gone_are_kept_for_who_takes_them_and_so_many(wanted):
    found = Calls(Wanted(sender="alice"), keep_gone=wanted)
    for number in range(2 * MOST_CALLS + 1):
        begun(found, number, refuse=True)
    assert len(found.followed) == MOST_CALLS and found.ended == 2 * MOST_CALLS + 1 and found.passed_over == 0
    kept = [one.call_id for one in found.take_gone()]
    assert kept == ([f"{number}@alice" for number in range(1, MOST_CALLS + 1)] if wanted else [])
    assert list(found.take_gone()) == []


def test_what_is_no_message_of_a_call_is_nobodys():
    talk = Talk()
    for text in (b"", b"\r\n\r\n", b"\x00" * 40, b"INVITE sip:x SIP/2.0\r\n\r\n"):
        talk.say(True, EDGE, ALICE, text)
    assert taken(ONE, talk)[1] == taken(Wanted(source="192.0.2.1"), talk)[1] == []


def test_a_damaged_message_of_a_call_is_shown():
    talk = Talk()
    talk.say(True, EDGE, CAROL, b"INV\x1bITE\r\nCall-ID: one@alice\r\n\r\n")
    (step,) = taken(ONE, talk)[1]
    assert (step.label, step.cseq) == ("INV\x1bITE", "-")
    assert calls.place(("2001:db8::1", 5060)) == "[2001:db8::1]:5060"
