"""What another transport than UDP changes: clocks that repeat stand still, those that absorb repetitions end at once
(RFC 3261 17.1.1.2, 17.1.2.2, 17.2.1, 17.2.2), and what nobody here can send counts as lost.
"""

import pytest

from fastsip.ua.message import make_ack
from tests.kernels.audit import live_slots
from tests.kernels.store_doors import branch_clocks
from tests.protocol.script import ALICE, BOB, T1, T2, T4, TICK, WHOLE, Stage, assert_times
from tests.protocol.test_tables import CLIENT_EVENTS, CLIENT_STATES

UDP, TCP, TLS, WS, WSS, SCTP, OTHER = range(1, 8)
RELIABLE = (TCP, TLS, WS, WSS, SCTP)


def receive(stage, message, transport):
    """From ALICE, by this transport."""
    stage.rig.receive(message.to_bytes(), ALICE, 0, transport)
    stage.collect()


@pytest.mark.parametrize("transport", [TCP, OTHER, 0, 200])
def test_what_no_transport_here_sends_counts_as_lost(stage, transport):
    """The call goes on: the callee is reached by UDP."""
    receive(stage, stage.make("INVITE"), transport)
    assert stage.counter("sent_lost") == 1  # the 100
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.nothing_sent()
    stage.reply(invite, 200)
    assert stage.counter("sent_lost") == 2
    stage.nothing_sent()


@pytest.mark.parametrize(("transport", "copies"), [(UDP, 10), *((each, 0) for each in RELIABLE)])
def test_timer_g_stands_still(stage, transport, copies):
    """17.2.1: over a reliable transport the final response is sent once; Timer H runs all the same."""
    receive(stage, stage.make("INVITE"), transport)
    invite = stage.expect_request(BOB[0], "INVITE")
    stage.reply(invite, 486)
    stage.advance(WHOLE - TICK)
    assert (stage.states("server"), stage.counter("retransmissions_sent")) == (["completed"], copies)
    stage.advance(3 * TICK)
    assert stage.states("server") == []


@pytest.mark.parametrize(("transport", "wait_ms"), [(UDP, T4), *((each, 0) for each in RELIABLE)])
def test_timer_i_is_zero(stage, transport, wait_ms):
    """17.2.1: no copy of the ACK follows it."""
    request = stage.make("INVITE")
    receive(stage, request, transport)
    invite = stage.expect_request(BOB[0], "INVITE")
    final = stage.reply(invite, 486)
    receive(stage, make_ack(request, final), transport)
    assert stage.states("server") == ["confirmed"]
    stage.advance(wait_ms - TICK if wait_ms else 2 * TICK)
    assert stage.states("server") == ["confirmed" if wait_ms else "ended"]  # that waits for its branch: Timer D
    stage.advance(3 * TICK)
    assert stage.states("server") == ["ended"]


@pytest.mark.parametrize("answer", [200, None])
@pytest.mark.parametrize(("transport", "wait_ms"), [(UDP, WHOLE), *((each, 0) for each in RELIABLE)])
def test_timer_j_is_zero(stage, transport, wait_ms, answer):
    """17.2.2, and of a request that nobody answers (RFC 4320)."""
    receive(stage, stage.make("INFO"), transport)
    info = stage.expect_request(BOB[0], "INFO")
    if answer:
        stage.reply(info, answer)
    else:
        stage.advance(WHOLE)
    stage.waiting.clear()
    stage.advance(wait_ms - 2 * TICK if wait_ms else 2 * TICK)
    assert len(stage.slots("server")) == (wait_ms > 0)
    stage.advance(6 * TICK)
    assert stage.slots("server") == []


# ---------------------------------------------------------------- the branch


def clocks(kind, state, event, status, transport):
    return branch_clocks(kind, CLIENT_STATES[state], CLIENT_EVENTS[event], status, transport)


@pytest.mark.parametrize("transport", [UDP, *RELIABLE])
@pytest.mark.parametrize("kind", ["client-invite", "client-other"])
def test_timers_a_and_e_stand_still(kind, transport):
    """17.1.1.2, 17.1.2.2; B and F run."""
    begun = branch_clocks(kind, 0, 0, 0, transport)
    assert begun == {"repeat": T1 if transport == UDP else None, "expire": WHOLE, "c": None}


@pytest.mark.parametrize("transport", [UDP, *RELIABLE])
def test_timer_e_stands_still_after_a_provisional(transport):
    after = clocks("client-other", "CALLING", "GOT_1XX", 100, transport)
    assert after == {"repeat": T2 if transport == UDP else None, "expire": WHOLE, "c": None}


@pytest.mark.parametrize("transport", [UDP, *RELIABLE])
def test_a_cancel_is_sent_once(transport):
    """9.1: it is a request as any other."""
    after = clocks("client-invite", "CLIENT_PROCEEDING", "CANCEL_IT", 0, transport)
    assert after == {"repeat": T1 if transport == UDP else None, "expire": WHOLE, "c": None}


@pytest.mark.parametrize("transport", [UDP, *RELIABLE])
def test_timer_d_is_zero(transport):
    """17.1.1.2."""
    after = clocks("client-invite", "CALLING", "GOT_FINAL", 486, transport)
    assert after == {"repeat": None, "expire": WHOLE if transport == UDP else 0, "c": None}


@pytest.mark.parametrize("transport", [UDP, *RELIABLE])
def test_timer_m_is_the_same_for_all(transport):
    """RFC 6026: what follows a 2xx comes from other forks and from the callee's own repetitions, end to end."""
    assert clocks("client-invite", "CALLING", "GOT_2XX", 200, transport)["expire"] == WHOLE


# ---------------------------------------------------------------- what is written and understood


@pytest.mark.parametrize(("transport", "text"), [(UDP, "UDP"), (TCP, "TCP"), (TLS, "TLS"), (WS, "WS"), (WSS, "WSS")])
def test_the_via_names_the_listeners_transport(tmp_path, transport, text):
    stage = Stage(tmp_path, transport=transport)
    stage.invite()
    assert stage.expect_request(BOB[0], "INVITE").get("Via").startswith(f"SIP/2.0/{text} 10.0.0.254:5060;branch=")


def test_a_next_hop_wants_a_listener_of_its_transport(tmp_path):
    """Without one it is not supported; with one it is tried, and lost as long as nothing sends it."""
    for transport, refused, copies in ((UDP, 1, 0), (TCP, 0, 1)):
        stage = Stage(tmp_path / str(transport), transport=transport, trusted=["10.0.0.0/24"])
        route = [("Route", f"<sip:{BOB[0][0]};transport=tcp;lr>")]
        stage.send("INVITE", headers=route)
        assert stage.counter("unsupported") == refused
        assert stage.counter("sent_lost") == copies
        stage.finish()


def test_udp_repeats_as_ever(stage):
    """The clocks of a branch by UDP, for comparison with the above."""
    start = stage.now
    stage.invite()
    stage.advance(7 * T1 + TICK)
    assert_times(stage.take_requests(BOB[0], "INVITE"), start, [0, T1, 3 * T1, 7 * T1])
    stage.finish()
    assert live_slots(stage.rig) == []
