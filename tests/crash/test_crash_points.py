"""The router dies between any two stores to its mapping, and no call is the worse for it (docs/core.md#crash-points).

Each scenario is run with "die at the k-th store" for k = 0, 1, 2, ... until it
survives; another process recovers each image.  After that

* the checker finds nothing: blocks owned once, no branch without its search,
  parents and children agree, derived counters equal a recount;
* what was committed as owed is sent at once;
* nothing that was sent is forgotten: the user agents, who only repeat what is
  not answered, come to the same end.  The caller has its final response, every
  final response of a branch is acknowledged, nobody rings on, no destination
  was tried twice;
* no slot remains when all clocks have run out.

FASTSIP_CRASH=all runs every k of every scenario, and deaths during the
recovery; otherwise two scenarios are complete and the others take every STRIDE-th k.
"""

import os
import shutil
from itertools import count

import pytest

from tests.crash.peers import REASON, Callee, Caller, World
from tests.protocol.script import BOB, PARALLEL

EVERY = os.environ.get("FASTSIP_CRASH") == "all"
STRIDE = 5
SOON_MS = 2_000  # within which the others stop ringing, a death included; each more costs one more repetition
MOST_STORES = 2_000  # no scenario makes so many


def basic_call(world):
    caller = Caller(world, bye_after=1_000)
    callees = [Callee(world, 0, (100, 180), (1_000, 200)), Callee(world, 1), Callee(world, 2)]
    return caller, callees, {(200, "bob-1")}


def refused_call(world):
    caller = Caller(world)
    return caller, [Callee(world, 0, (100, 180), (500, 404))], {(404, "")}


def cancelled_call(world):
    caller = Caller(world, cancel_after=300)
    return caller, [Callee(world, 0, (100, 180))], {(487, "")}


def late_answer(world):
    """The first one is abandoned at 2 s and answers at 4 s; by then the second one rings."""
    caller = Caller(world)
    callees = [Callee(world, 0, (4_000, 200)), Callee(world, 1, (100, 180)), Callee(world, 2)]
    return caller, callees, {(200, "bob-1")}


def failover_500(world):
    caller = Caller(world)
    callees = [
        Callee(world, 0, (50, 500)),
        Callee(world, 1, (100, 180), (150, 500)),
        Callee(world, 2, (700, 200)),
    ]
    return caller, callees, {(200, "bob-3")}


def all_refuse(world):
    caller = Caller(world)
    callees = [Callee(world, n, (50, 500)) for n in range(3)]
    return caller, callees, {(480, "")}


def rung_out(world):
    """`ring` cancels the first one, who says 487; the second one answers."""
    caller = Caller(world)
    return (
        caller,
        [Callee(world, 0, (100, 180)), Callee(world, 1, (100, 200)), Callee(world, 2)],
        {(200, "bob-2")},
    )


def message_failover(world):
    caller = Caller(world, "MESSAGE")
    callees = [Callee(world, 0, (50, 500)), Callee(world, 1), Callee(world, 2, (100, 200))]
    return caller, callees, {(200, "bob-3")}


def fork_answered(world):
    """Three are asked at once, or one by one where the fork was cut short; the others are cancelled."""
    caller = Caller(world, bye_after=1_000)
    callees = [Callee(world, 0, (100, 180)), Callee(world, 1, (150, 180), (700, 200)), Callee(world, 2, (100, 180))]
    return caller, callees, {(200, "bob-2")}


def fork_declined(world):
    caller = Caller(world)
    callees = [Callee(world, 0, (100, 180)), Callee(world, 1, (300, 603)), Callee(world, 2, (100, 180))]
    return caller, callees, {(603, "")}


def fork_by_tiers(world):
    caller = Caller(world)
    callees = [Callee(world, 0, (50, 500)), Callee(world, 1, (100, 180), (300, 500)), Callee(world, 2, (300, 200))]
    return caller, callees, {(200, "bob-3")}


def fork_challenged(world):
    """Whoever was asked has a challenge, and all of these are in the answer."""
    caller = Caller(world)
    return caller, [Callee(world, 0, (50, 401)), Callee(world, 1, (90, 407)), Callee(world, 2, (130, 404))], None


def edited_failover(world):
    """The rule changes headers: each attempt is made from the one before it, and changed once."""
    caller, callees, wanted = failover_500(world)
    caller.request = caller.request.set(*SECRET)
    return caller, callees, wanted


def edits_missing(callees) -> list[str]:
    """The INVITEs that did not arrive as the rule says."""
    invites = [message for callee in callees for message in callee.asked.values() if message.method == "INVITE"]

    def is_right(message) -> bool:
        return message.lines("X-Edge") == [f"edge {message.call_id}"] and not message.lines(SECRET[0])

    wrong = [f"{message.to} got {message}" for message in invites if not is_right(message)]
    return wrong if invites else ["nobody was asked"]


def challenges_missing(caller, callees) -> list[str]:
    final = caller.finals["INVITE"][0]
    asked = {callee.tag for callee in callees if {m.status for m in callee.last.values()} & {401, 407}}
    found = {*final.lines("WWW-Authenticate"), *final.lines("Proxy-Authenticate")}
    return [] if asked and found == asked else [f"challenges of {asked}, and {final.status} with those of {found}"]


def waiting_call(world):
    """Its next hop is a name that is known after a second."""
    world.names[NAME] = (1_000, (BOB[0],))
    caller = Caller(world, route=NAME)
    return caller, [Callee(world, 0, (100, 180), (500, 200)), Callee(world, 1), Callee(world, 2)], {(200, "bob-1")}


def waiting_message(world):
    world.names[NAME] = (300, (BOB[0],))
    return Caller(world, "MESSAGE", route=NAME), [Callee(world, 0, (100, 200))], {(200, "bob-1")}


def waiting_in_vain(world):
    """The answer takes longer than anybody waits, deaths included; by then nobody wants it."""
    world.names[NAME] = (10_000, (BOB[0],))
    return Caller(world, route=NAME), [Callee(world, 0)], {(500, "")}


def cancelled_while_waiting(world):
    world.names[NAME] = (1_500, (BOB[0],))
    caller = Caller(world, cancel_after=200, route=NAME)
    caller.cancels_unheard = True
    return caller, [Callee(world, 0)], {(487, "")}


NAME = "gw.example.net"
SECRET = ("X-Auth-User", "alice")
EDITS = {"remove": [b"X-Auth-*"], "set": [(b"X-Edge", [("text", b"edge "), ("call_id", b"")])]}
FORK = {"algorithm": PARALLEL}
TABLES = {
    fork_answered: FORK,
    fork_declined: FORK,
    fork_challenged: FORK,
    fork_by_tiers: {**FORK, "priorities": (1, 1, 0)},
    edited_failover: {"rule": {"headers": EDITS}},
}
POLICY = {"on": [500, "timeout", "ring"], "timeout_ms": 2_000, "ring_ms": 5_000, "exhausted": (480, "Nobody"),
          "mark": "none"}  # fmt: skip
SCENARIOS = [
    basic_call,
    late_answer,
    refused_call,
    cancelled_call,
    failover_500,
    all_refuse,
    rung_out,
    message_failover,
    *TABLES,
    waiting_call,
    waiting_message,
    waiting_in_vain,
    cancelled_while_waiting,
]
COMPLETE = [basic_call, late_answer, fork_answered, waiting_call, cancelled_while_waiting]
DYING_TWICE = [late_answer, cancelled_call, all_refuse, fork_answered, fork_challenged, waiting_call]


def wrongs_of(scenario, run_dir, die_at: int, die_again_at: int = -1) -> tuple[list[str], int]:
    """What is wrong when the router dies at these stores, and how often it died."""
    world = World(
        run_dir, die_at, die_again_at, policy=POLICY, trusted=["10.0.0.0/24"], **TABLES.get(scenario, {})
    )
    try:
        caller, callees, wanted = scenario(world)
        caller.start()
        found = world.finish()
        method = caller.request.method
        if wanted is None:
            found += challenges_missing(caller, callees)
        elif caller.outcome(method) != wanted:
            found.append(f"the caller got {caller.outcome(method)}, not {wanted}")
        if scenario in (basic_call, fork_answered) and caller.outcome("BYE") != wanted:
            found.append(f"BYE got {caller.outcome('BYE')}")
        if scenario is edited_failover:
            found += edits_missing(callees)
        if scenario is cancelled_call:
            found += [f"CANCEL got {m.status}" for m in caller.finals.get("CANCEL", []) if m.status != 200]
            if callees[0].reasons != {REASON}:
                found.append(f"the callee's CANCELs said {callees[0].reasons}")
        if scenario in (cancelled_while_waiting, waiting_in_vain) and callees[0].asked:
            found.append("the callee was asked after the caller had its answer")
        if method == "INVITE":
            late = [at - caller.final_at for callee in callees for at in callee.final_at.values()]
            soon = SOON_MS * max(world.deaths, 1)
            found += [f"a callee rang for {ms} ms after the caller had its answer" for ms in late if ms > soon]
        return found, world.deaths
    finally:
        world.close()
        shutil.rmtree(run_dir)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario_without_a_death(scenario, scratch):
    found, deaths = wrongs_of(scenario, scratch / "run", -1)
    assert (found, deaths) == ([], 0)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_store_may_be_the_last(scenario, scratch):
    stride = 1 if EVERY or scenario in COMPLETE else STRIDE
    wrongs = {}
    for die_at in count(0, stride):
        found, deaths = wrongs_of(scenario, scratch / "run", die_at)
        if found:
            wrongs[die_at] = found
        if not deaths:
            break
        assert die_at < MOST_STORES
    assert not wrongs, "\n".join(f"store {at}: {text}" for at, texts in wrongs.items() for text in texts[:4])
    assert die_at > 10 * stride or stride > 1


def test_a_fork_cut_short_goes_on_as_it_stands(scratch):
    """Who had not been asked when the router died is asked in the next group; nobody twice."""
    asked = set()
    for die_at in count():
        world = World(scratch / "run", die_at, policy=POLICY, **FORK)
        try:
            caller = Caller(world)
            callees = [Callee(world, n, (1_000, 500)) for n in range(3)]
            caller.start()
            if not world.deaths:
                break
            asked.add(sum(len(callee.branches()) for callee in callees))
            assert world.finish() == []
            assert caller.outcome() == {(480, "")}
            assert [len(callee.branches()) for callee in callees] == [1, 1, 1]
        finally:
            world.close()
            shutil.rmtree(scratch / "run")
    assert asked == {0, 1, 2, 3}


@pytest.mark.skipif(not EVERY, reason="only with FASTSIP_CRASH=all")
@pytest.mark.parametrize("scenario", DYING_TWICE, ids=lambda scenario: scenario.__name__)
def test_recovery_may_die_too(scenario, scratch):
    """The router dies, and dies again at the j-th store after that: in the recovery or soon behind it."""
    wrongs = {}
    for die_at in range(0, 120, 3):
        for again in range(0, 12):
            found, deaths = wrongs_of(scenario, scratch / "run", die_at, again)
            if found:
                wrongs[die_at, again] = found
            if deaths < 2:
                break
    assert not wrongs, "\n".join(f"stores {at}: {text}" for at, texts in wrongs.items() for text in texts[:4])
