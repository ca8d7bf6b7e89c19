"""The non-INVITE client transaction: RFC 3261 figure 6 and section 17.1.2, with RFC 4320."""

import pytest

from tests.protocol.script import BOB, T2, WHOLE, assert_times

E_TIMES = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]


def test_request_from_tu_is_sent_in_trying(stage):
    """Figure 6, entry; a proxy sends no 100 to a non-INVITE at once (RFC 4320 4.1)."""
    stage.send("MESSAGE")
    stage.expect_request(BOB[0], "MESSAGE")
    assert stage.states("client") == ["calling"]
    stage.nothing_sent()


def test_timer_e_in_trying_doubles_up_to_t2(stage):
    """17.1.2.2: T1, 2 T1, ... MIN(..., T2)."""
    stage.send("MESSAGE")
    first = stage.expect_request(BOB[0], "MESSAGE")
    stage.advance(WHOLE - 1)
    again = stage.take_requests(BOB[0], "MESSAGE")
    assert_times(again, first.at, E_TIMES)
    assert {message.to_bytes() for message in again} == {first.to_bytes()}


def test_timer_f_in_trying_ends_silently(stage):
    """Figure 6, Trying to Terminated by Timer F; no 408 goes upstream (RFC 4320 4.2)."""
    stage.send("MESSAGE")
    stage.advance(WHOLE - 1)
    assert stage.states("client") == ["calling"]
    stage.advance(40)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.expect_response(100, "MESSAGE")
    stage.nothing_sent()
    assert stage.states("client") == []
    assert stage.counter("timeouts") == 1


def test_transport_error_in_trying_informs_the_tu(stage):
    """Figure 6: to it, a transport error is a 503 (16.9), which goes up as 500."""
    stage.rig.refuse(BOB[0])
    stage.send("MESSAGE")
    stage.expect_response(500, "MESSAGE")
    stage.nothing_sent()
    assert stage.slots("client") == []
    stage.finish()


@pytest.mark.parametrize("status", [100, 180, 199])
def test_1xx_in_trying_leads_to_proceeding(stage, status):
    """Figure 6; it goes no further (RFC 4320 4.1)."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.reply(request, status)
    stage.nothing_sent()
    assert stage.states("client") == ["proceeding"]
    assert stage.states("server") == ["trying"]


def test_timer_e_in_proceeding_is_t2(stage):
    """17.1.2.2: in Proceeding the request is repeated each T2."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.reply(request, 100)
    stage.nothing_sent()
    stage.advance(WHOLE - 1)
    stage.expect_response(100, "MESSAGE")
    assert_times(stage.take_requests(BOB[0], "MESSAGE"), request.at, [T2 * n for n in range(1, 8)])


def test_1xx_in_proceeding_changes_nothing(stage):
    """Figure 6, Proceeding to Proceeding; it goes no further, and does not restart Timer F."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    for _ in range(2):
        stage.reply(request, 182)
        stage.nothing_sent()
    stage.advance(WHOLE + 40)
    assert stage.states("client") == []


def test_timer_f_in_proceeding_ends_silently(stage):
    """Figure 6, Proceeding to Terminated by Timer F."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    stage.reply(request, 100)
    stage.advance(WHOLE - 1)
    assert stage.states("client") == ["proceeding"]
    stage.advance(40)
    stage.take_requests(BOB[0], "MESSAGE")
    stage.expect_response(100, "MESSAGE")
    stage.nothing_sent()
    assert stage.states("client") == []


@pytest.mark.parametrize("early", [False, True], ids=["trying", "proceeding"])
@pytest.mark.parametrize("status", [200, 302, 404, 503, 603])
def test_final_response_is_passed_up(stage, early, status):
    """Figure 6, to Completed: passed up once, never ACKed.  A 503 goes up as 500 (16.7 item 6)."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    if early:
        stage.reply(request, 100)
    stage.reply(request, status)
    stage.expect_response(500 if status == 503 else status, "MESSAGE")
    stage.nothing_sent()


def test_repeated_final_response_is_absorbed(stage):
    """Figure 6, Timer K (T4): what comes again is not passed on; here it meets no branch at all."""
    stage.send("MESSAGE")
    request = stage.expect_request(BOB[0], "MESSAGE")
    ok = stage.reply(request, 200)
    stage.expect_response(200, "MESSAGE")
    assert stage.slots("client") == []
    for ms in (0, 100, 4_000, 5_000, 60_000):
        stage.advance(ms)
        stage.inject(ok, BOB[0])
        stage.nothing_sent()


def test_repetitions_end_with_the_final_response(stage):
    """Timer E is stopped in Completed."""
    stage.send("BYE", to_tag="x", headers=[("Route", f"<sip:10.0.0.254;lr>, <sip:{BOB[0][0]};lr>")])
    request = stage.expect_request(BOB[0], "BYE")
    stage.reply(request, 200)
    stage.expect_response(200, "BYE")
    stage.quiet(2 * WHOLE)
