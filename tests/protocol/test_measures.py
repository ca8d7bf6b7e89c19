"""What attempts and probes count and measure, of shards and of destinations (docs/core.md#measures)."""

import pytest

from fastsip._core.base.buckets import BOUNDS_MS, bucket_index
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.dispatcher.measures import ANSWER_NAMES
from tests.protocol.script import ALICE, BOB, WHOLE, make_table

PROBE = {"interval_ms": 3_600_000, "timeout_ms": 2_000, "fall": 1, "from_uri": "sip:prober@10.0.0.254"}


def measured(stage, number: int) -> dict:
    """What is not 0 of what was measured there."""
    found = stage.rig.measures.read(number)
    short = {name: {word: count for word, count in of.items() if count} if isinstance(of, dict) else of
             for name, of in found.items()}  # fmt: skip
    return {name: of for name, of in short.items() if of and of != (0, [0] * 16)}


def times(*taken_ms: int) -> tuple[int, list[int]]:
    """The histogram of these."""
    counts = [0] * 16
    for ms in taken_ms:
        counts[bucket_index(ms)] += 1
    return sum(taken_ms), counts


def counted(stage, *begins: str) -> dict[str, int]:
    """Counters of the shard that are not 0, whose names begin so."""
    return {name: value for name, value in stage.rig.counters().items() if value and name.startswith(begins)}


def answered_call(stage):
    """Rings after 300 ms, is answered two seconds later, acknowledged and ended."""
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(300)
    stage.reply(invite, 180)
    stage.expect_response(180)
    stage.advance(2_000)
    stage.reply(invite, 200)
    ok = stage.expect_response(200)
    call.in_dialog("ACK", ok, 1)
    stage.expect_request(BOB[0], "ACK")
    call.in_dialog("BYE", ok, 2)
    stage.reply(stage.expect_request(BOB[0], "BYE"), 200)
    stage.expect_response(200, "BYE")


def test_a_call_by_method_status_and_destination(stage):
    answered_call(stage)
    assert measured(stage, 0) == {
        "attempts": 1, "answers": {"2xx": 1}, "reply": times(300), "answer": times(2_300),
    }  # fmt: skip
    assert counted(stage, "received_", "sent_", "answered_", "repeated_", "resent_", "reanswered", "failovers") == {
        "received_invite": 1, "received_ack": 1, "received_bye": 1, "received_180": 1, "received_200": 2,
        "sent_invite": 1, "sent_ack": 1, "sent_bye": 1, "sent_100": 1, "sent_180": 1, "sent_200": 2,
        "answered_2xx": 2,
    }  # fmt: skip


def test_a_failover_and_what_it_leaves_behind(make_stage):
    stage = make_stage(policy={"on": ["5xx"]})
    stage.invite()
    stage.advance(40)
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 503, headers=[("Retry-After", "5")])
    stage.refuse(stage.expect_request(BOB[1], "INVITE"), 503)
    stage.refuse(stage.expect_request(BOB[2], "INVITE"), 486)
    stage.expect_response(486)
    assert measured(stage, 0) == {"attempts": 1, "failovers": 1, "answers": {"503": 1}}
    assert measured(stage, 1) == {"attempts": 1, "failovers": 1, "answers": {"503": 1}}
    assert measured(stage, 2) == {"attempts": 1, "answers": {"486": 1}}
    assert counted(stage, "failovers", "answered_") == {
        "failovers": 2, "failovers_retry_after": 1, "failovers_503": 1, "answered_4xx": 1}


@pytest.mark.parametrize(("status", "reason", "word"), [
    (302, "3xx", "3xx"), (404, "4xx", "4xx"), (480, "4xx", "480"), (408, "408", "408"), (500, "5xx", "500"),
    (504, "5xx", "504"), (580, "5xx", "5xx"),
])  # fmt: skip
def test_failovers_by_status(make_stage, status, reason, word):
    stage = make_stage(policy={"on": ["3xx", "4xx", "5xx"]})
    stage.invite()
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), status)
    assert counted(stage, "failovers") == {"failovers": 1, f"failovers_{reason}": 1}
    assert measured(stage, 0)["answers"] == {word: 1}


@pytest.mark.parametrize(("status", "word"), [(401, "challenge"), (407, "challenge"), (402, "challenge"), (600, "600"),
                                              (603, "603"), (604, "6xx"), (499, "4xx"), (599, "5xx"), (202, "2xx")])
def test_each_status_has_one_word(stage, status, word):
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), status)
    assert measured(stage, 0)["answers"] == {word: 1} and word in ANSWER_NAMES


@pytest.mark.parametrize(("status", "name"), [(199, "199"), (198, "1xx"), (299, "2xx"), (380, "380"), (499, "4xx"),
                                              (555, "555"), (556, "5xx"), (699, "6xx")])
def test_a_status_that_no_rfc_names_is_counted_by_its_class(stage, status, name):
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), status)
    assert counted(stage, "received_1", "received_2", "received_3", "received_4", "received_5", "received_6") == {
        f"received_{name}": 1}
    assert stage.counter(f"sent_{name}") == 1


@pytest.mark.parametrize(("method", "name"), [("OPTIONS", "options"), ("INFOX", "other"), ("invite", "other"),
                                              ("PUBLISH", "publish"), ("SUBSCRIBE", "subscribe")])
def test_methods_are_counted_by_their_whole_names(stage, method, name):
    stage.send(method)
    assert counted(stage, "received_", "sent_") == {f"received_{name}": 1, f"sent_{name}": 1}
    assert measured(stage, 0) == {}, "an attempt is an INVITE"


def test_a_cancelled_call(stage):
    call = stage.invite()
    invite = stage.ring(BOB[0])
    call.cancel()
    stage.expect_response(200, "CANCEL")
    stage.reply(stage.expect_request(BOB[0], "CANCEL"), 200)
    stage.reply(invite, 487)
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(487))
    assert measured(stage, 0) == {"attempts": 1, "answers": {"487": 1}, "reply": times(0)}
    assert counted(stage, "received_", "sent_") == {
        "received_invite": 1, "received_cancel": 1, "received_ack": 1, "received_180": 1, "received_200": 1,
        "received_487": 1, "sent_invite": 1, "sent_cancel": 1, "sent_ack": 1, "sent_100": 1, "sent_180": 1,
        "sent_200": 1, "sent_487": 1,
    }  # fmt: skip


def test_a_cancel_that_nobody_answers(stage):
    """The attempt ends once, when nobody waits for its answer any more."""
    call = stage.invite()
    stage.ring(BOB[0])
    call.cancel()
    stage.advance(2 * WHOLE)
    assert measured(stage, 0) == {"attempts": 1, "silences": {"cancelled": 1}, "reply": times(0)}
    assert stage.counter("resent_cancels") > 3


def test_repetitions_each_way_by_kind(stage):
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(510)
    stage.expect_request(BOB[0], "INVITE")
    call.again()                                    # gets its 100 again
    stage.reply(invite, 180)
    call.again()                                    # and its 180
    refused = stage.reply(invite, 486)
    stage.inject(refused, BOB[0])                   # which is acknowledged again
    stage.advance(510)                              # Timer G
    assert counted(stage, "retransm", "repeated_", "resent_", "reanswered") == {
        "retransmitted_requests": 2, "repeated_invites": 2, "repeated_responses": 1,
        "retransmissions_sent": 2, "resent_requests": 1, "resent_responses": 1, "reanswered": 2,
    }  # fmt: skip
    assert measured(stage, 0) == {"attempts": 1, "answers": {"486": 1}, "reply": times(510)}


def test_repetitions_of_other_requests(stage):
    request = stage.send("OPTIONS")
    options = stage.expect_request(BOB[0], "OPTIONS")
    request.again()
    stage.reply(options, 200)
    request.again()
    assert counted(stage, "repeated_", "reanswered") == {"repeated_others": 2, "reanswered": 1}


@pytest.mark.parametrize(("policy", "rings", "reason"), [
    ({"on": ["timeout"], "timeout_ms": 2_000}, False, "timeout"),
    ({"on": ["progress"], "progress_ms": 2_000}, None, "progress"),
    ({"on": ["ring"], "ring_ms": 2_000}, True, "ring"),
])  # fmt: skip
def test_silence_by_reason(make_stage, policy, rings, reason):
    """What a CANCEL of ours brings is no answer: the attempt has ended before."""
    stage = make_stage(policy=policy)
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    if rings is not False:
        stage.reply(invite, 180 if rings else 100)
    stage.advance(2_040)
    if rings is not False:
        stage.reply(invite, 487)
    assert measured(stage, 0) == {"attempts": 1, "failovers": 1, "silences": {reason: 1},
                                  **({"reply": times(0)} if rings else {})}  # fmt: skip
    assert counted(stage, "failovers_") == {f"failovers_{reason}": 1}
    assert measured(stage, 1)["attempts"] == 1


def test_a_late_answer_of_who_was_given_up_counts_besides(make_stage):
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 2_000})
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(2_040)
    stage.reply(invite, 200)
    found = measured(stage, 0)
    assert (found["answers"], found["silences"]) == ({"2xx": 1}, {"timeout": 1})
    assert found["answer"] == found["reply"] == times(2_040)


def test_what_cannot_be_sent(make_stage):
    stage = make_stage(policy={"on": ["transport"]})
    stage.rig.refuse(BOB[0])
    stage.invite()
    assert measured(stage, 0) == {"attempts": 1, "failovers": 1, "silences": {"transport": 1}}
    assert counted(stage, "failovers_") == {"failovers_transport": 1}


def test_a_fork_is_an_attempt_at_each(make_fork):
    stage = make_fork()
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.advance(100)
    for one in (first, third):
        stage.ring_back(one)
    stage.reply(second, 200)
    stage.expect_response(200)
    for one in (first, third):
        stage.expect_request(one.to, "CANCEL")
        stage.reply(one, 487)
    assert [measured(stage, n)["answers"] for n in range(3)] == [{"487": 1}, {"2xx": 1}, {"487": 1}]
    assert stage.counter("failovers") == 0


def test_what_belongs_to_a_call_is_no_attempt(stage):
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    ok = stage.expect_response(200)
    before = measured(stage, 0)
    call.in_dialog("INVITE", ok, 2)
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    assert measured(stage, 0) == before
    assert stage.counter("received_invite") == 2


def test_probes_and_how_they_end(make_stage):
    stage = make_stage(destinations=4, probe=PROBE)
    stage.advance(1_000)
    probes = {bob: stage.expect_request(bob, "OPTIONS") for bob in BOB[:4]}
    stage.reply(probes[BOB[0]], 200)
    stage.reply(probes[BOB[1]], 503)
    stage.rig.take_error(probes[BOB[3]].to_bytes(), BOB[3], 111)    # ECONNREFUSED
    stage.advance(2_100)
    assert [measured(stage, n)["probes"] for n in range(4)] == [
        {"alive": 1}, {"refused": 1}, {"silent": 1}, {"unreachable": 1}]
    assert [name in measured(stage, n) for n, name in enumerate(["probe", "probe", "probe", "probe"])] == [
        True, True, False, False]
    assert stage.counter("resent_probes") >= 2


def test_times_on_both_sides_of_each_bound():
    for bucket, bound in enumerate(BOUNDS_MS):
        assert (bucket_index(bound), bucket_index(bound + 1)) == (bucket, bucket + 1)
    assert (bucket_index(0), bucket_index(2**63)) == (0, len(BOUNDS_MS))


def test_what_was_measured_goes_on_in_the_next_router(stage):
    """Nothing is counted twice, and a time that began before the end of the process is whole."""
    stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.advance(300)
    stage.reply(invite, 180)
    stage.waiting.clear()
    before = measured(stage, 0)
    stage.come_back(500)
    assert measured(stage, 0) == before
    stage.waiting.clear()
    stage.reply(invite, 180)
    stage.reply(invite, 200)
    stage.expect_response(200)
    assert measured(stage, 0) == {"attempts": 1, "answers": {"2xx": 1}, "reply": times(300), "answer": times(800)}


def test_a_destination_that_is_gone_from_the_table_is_not_measured_any_more(make_stage):
    """Its line may be another's soon.  One that comes back before has what it had."""
    stage = make_stage(policy={"on": [500]})
    stage.invite()
    stage.refuse(stage.expect_request(BOB[0], "INVITE"), 500)
    invite = stage.expect_request(BOB[1], "INVITE")
    for destinations, answers in ((1, {}), (3, {"2xx": 1})):
        table, _ = make_table(destinations=destinations, cells=stage.cells)
        stage.use(table, Positions(table, 0))
        stage.reply(invite, 180 if destinations == 1 else 200)
        assert measured(stage, 1).get("answers", {}) == answers and measured(stage, 1)["attempts"] == 1
    assert "reply" not in measured(stage, 1), "its 180 was nobody's"


def test_timers_that_fire_late_are_told_by_how_much(stage):
    stage.invite()
    stage.advance(510)
    assert stage.counter("timer_lag_ms") < 16
    fired = sum(counted(stage, "timer_lag_").values()) - stage.counter("timer_lag_ms")
    assert fired >= 1 and stage.take_requests(BOB[0], "INVITE")


def test_nobody_makes_up_names_of_counters(stage):
    """A sender's method or status has no place of its own."""
    before = stage.rig.counters().keys()
    stage.send("A" * 40)
    stage.inject(b"SIP/2.0 698 x\r\n\r\n", ALICE)
    assert stage.rig.counters().keys() == before


