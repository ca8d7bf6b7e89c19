"""Limits of calls a second, and what a call says of latency and flapping (docs/config.md#calls-a-second)."""

from tests.protocol.script import BOB, SET_LINE


def ring(stage, bob):
    """One more call, which is at this callee."""
    stage.invite()
    return stage.expect_request(bob, "INVITE")


def limited(stage, id):
    return stage.cells.pace(stage.cells.assigned[id], stage.now).limited


def latency_us(stage, id):
    return stage.cells.pace(stage.cells.assigned[id], stage.now).latency_us


def test_the_next_candidate_takes_what_is_beyond_the_limit(make_stage):
    stage = make_stage(calls=[(10, 2)])
    for bob in (BOB[0], BOB[0], BOB[1]):
        ring(stage, bob)
    stage.advance(101)
    ring(stage, BOB[0])
    assert limited(stage, 1) == 1


def test_with_none_left_it_is_unavailable(make_stage):
    stage = make_stage(destinations=2, calls=[(1, 1), (1, 1)], policy={"unavailable": (503, b"Busy Hour")})
    ring(stage, BOB[0])
    ring(stage, BOB[1])
    stage.send("INVITE")
    stage.expect_response(503)
    stage.nothing_sent()


def test_a_set_at_its_limit_leads_to_the_next_one(make_stage):
    stage = make_stage(destinations=1, backup=1, set_calls=(1, 1))
    ring(stage, BOB[0])
    ring(stage, BOB[1])
    assert limited(stage, SET_LINE) == 1


def test_a_failover_is_the_same_call_for_the_set_and_another_one_for_who_is_tried(make_stage):
    stage = make_stage(set_calls=(1, 2), calls=[None, (1, 1)], policy={"on": [500]})
    stage.reply(ring(stage, BOB[0]), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.reply(ring(stage, BOB[0]), 500)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[2], "INVITE")  # the second call of the set; who is next has no turn
    assert (limited(stage, SET_LINE), limited(stage, 2)) == (0, 1)


def test_a_repeated_invite_is_no_second_call(make_stage):
    stage = make_stage(calls=[(1, 2)])
    call = stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    for _ in range(3):
        call.again()
    stage.waiting.clear()
    ring(stage, BOB[0])
    ring(stage, BOB[1])


def test_other_requests_have_no_limit(make_stage):
    stage = make_stage(calls=[(1, 1)], set_calls=(1, 1))
    ring(stage, BOB[0])
    for _ in range(5):
        stage.send("OPTIONS")
        stage.expect_request(BOB[0], "OPTIONS")


def test_a_call_in_progress_has_no_limit(make_stage):
    """Its ACK, its re-INVITE and its BYE go where it is."""
    stage = make_stage(calls=[(1, 1)], set_calls=(1, 1))
    call = stage.invite()
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 200)
    ok = stage.expect_response(200)
    for cseq, method in enumerate(("ACK", "INVITE", "INVITE", "BYE"), 1):
        call.in_dialog(method, ok, cseq)
        stage.expect_request(BOB[0], method)


def test_a_request_with_credentials_goes_to_who_asked_for_them(make_stage):
    """Another one would not know the nonce."""
    stage = make_stage(calls=[(1, 1)])
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 407,
                headers=[("Proxy-Authenticate", 'Digest realm="x", nonce="y"')])
    stage.expect_request(BOB[0], "ACK")
    call.ack(stage.expect_response(407))
    stage.invite(call_id=call.message.call_id, cseq=2,
                 headers=[("Proxy-Authorization", 'Digest username="a", realm="x", nonce="y"')])
    stage.expect_request(BOB[0], "INVITE")


def test_the_first_reply_is_measured(make_stage):
    stage = make_stage()
    invite = ring(stage, BOB[0])
    stage.advance(40)
    stage.reply(invite, 100)
    stage.advance(5_000)
    stage.reply(invite, 180)
    assert 40_000 <= latency_us(stage, 1) < 50_000


def test_a_refusal_of_who_is_full_is_not_measured_and_silence_is(make_stage):
    stage = make_stage(policy={"on": [503, "timeout"], "timeout_ms": 2_000})
    stage.reply(ring(stage, BOB[0]), 503)
    stage.expect_request(BOB[0], "ACK")
    stage.expect_request(BOB[1], "INVITE")
    stage.advance(2_100)
    assert latency_us(stage, 1) == 0
    assert 2_000_000 <= latency_us(stage, 2) < 2_200_000


def test_calls_that_fail_again_and_again_make_the_way_back_longer(make_stage):
    """Nothing probes it: a trial call in each retry time, of which two in a row are needed the second time."""
    stage = make_stage(policy={"on": [500], "mark": "down"}, retry_ms=5_000, damping_ms=600_000)

    def call(code):
        stage.advance(40_000)
        stage.reply(ring(stage, BOB[0]), code)
        stage.advance(1)
        stage.waiting.clear()
        return stage.health(0)

    assert [call(code) for code in (500, 404, 500, 404, 404)] == ["down", "up", "down", "down", "up"]
