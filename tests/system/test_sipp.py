"""SIPp on both sides: whole calls, cancelled calls and failover under some load."""

import socket

import pytest

from .edge import edge_config

CALLS, RATE = 200, 100
STANDARD_TIMERS = 't1 = "500ms"'
ROOMY = {"timers": STANDARD_TIMERS, "max_transactions": 5_000}


def assert_all_well(stats, calls):
    assert (stats.successful, stats.failed) == (calls, 0), stats


def test_whole_calls(router, sipp, free_port):
    edge, callee = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    uas = sipp("uas", port=callee[1], calls=CALLS)
    router(edge_config(edge, [callee], **ROOMY))
    uac = sipp("uac", edge, calls=CALLS, rate=RATE)
    assert_all_well(uac.finish(), CALLS)
    assert_all_well(uas.finish(), CALLS)


def test_a_third_is_cancelled(router, sipp, free_port):
    """Who calls `quitter` gets a callee that only rings, and gives up; all others talk."""
    edge, callee, ringing = (("127.0.0.1", free_port()) for _ in range(3))
    quitters = CALLS // 3
    uas = sipp("uas", port=callee[1], calls=CALLS - quitters)
    rings = sipp("uas_cancelled", port=ringing[1], calls=quitters)
    rules = f"""
[set.ringing]
algorithm = "priority"
destinations = ["sip:127.0.0.1:{ringing[1]}"]
probe = false

[[route]]
when = {{ user = ["quitter"] }}
to = "ringing"
failure = "next"
"""
    policy = 'on = [500, "timeout", "transport"]\ntimeout = "2s"'
    router(edge_config(edge, [callee], rules=rules, policy=policy, **ROOMY))
    talkers = sipp("uac", edge, calls=CALLS - quitters, rate=2 * RATE // 3)
    giving_up = sipp("uac_cancel", edge, calls=quitters, rate=RATE // 3, extra=("-s", "quitter"))
    assert_all_well(talkers.finish(), CALLS - quitters)
    assert_all_well(giving_up.finish(), quitters)
    assert_all_well(uas.finish(), CALLS - quitters)
    assert_all_well(rings.finish(), quitters)


@pytest.mark.parametrize("death", ["closed", "silent"])
def test_one_of_two_is_dead(router, sipp, free_port, death):
    """The first destination refuses by ICMP or swallows everything; no call is lost."""
    edge, dead, callee = (("127.0.0.1", free_port()) for _ in range(3))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        if death == "silent":
            hole.bind(dead)
        uas = sipp("uas", port=callee[1], calls=CALLS)
        router(edge_config(edge, [dead, callee], **ROOMY))
        uac = sipp("uac", edge, calls=CALLS, rate=RATE)
        assert_all_well(uac.finish(), CALLS)
        assert_all_well(uas.finish(), CALLS)


def test_two_shards(router, sipp, free_port):
    edge, *callees = (("127.0.0.1", free_port()) for _ in range(3))
    running = [sipp("uas", port=callee[1]) for callee in callees]
    router(edge_config(edge, callees, algorithm="round-robin", shards=2, **ROOMY))
    # -t un: a source port per call, so that calls arrive at both shards.
    uac = sipp("uac", edge, calls=CALLS, rate=RATE, extra=("-t", "un", "-max_socket", "1000"))
    assert_all_well(uac.finish(), CALLS)
    taken = [uas.stop() for uas in running]
    # Created, not successful: asked to end, SIPp does not count what still waits for repeated requests.
    assert sum(stats.created for stats in taken) == CALLS
    assert [stats.failed for stats in taken] == [0, 0]
    assert all(stats.created for stats in taken)
