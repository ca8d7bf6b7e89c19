"""Forks whose branches all fail, against the oracle: who is asked, what the caller gets, with which challenges."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.search_oracle import outcome
from tests.protocol.script import BOB, PARALLEL, Stage

STATUSES = st.sampled_from([302, 401, 404, 407, 408, 415, 480, 482, 484, 486, 487, 500, 502, 503, 600, 603])
GROUPS = st.lists(st.lists(STATUSES, min_size=1, max_size=4), min_size=1, max_size=4)
ON = st.lists(st.sampled_from(["3xx", "4xx", "5xx", 404, 486, 500]), unique=True)


def play(stage: Stage, groups: list[list[int]]) -> int:
    """Each of a group answers in turn; after a 6xx the others say that they are cancelled.  How many were asked."""
    asked = 0
    for group in groups:
        invites = stage.take(lambda m: m.method == "INVITE")
        if not invites:
            break
        assert [invite.to for invite in invites] == BOB[asked : asked + len(group)]
        asked += len(invites)
        declined = False
        for invite, status in zip(invites, group, strict=True):
            if declined:
                stage.reply(invite, 100)
                stage.expect_request(invite.to, "CANCEL")
            stage.refuse(invite, 487 if declined else status, headers=[("WWW-Authenticate", f"x{invite.to[0]}")])
            declined |= status >= 600
    return asked


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(groups=GROUPS, on=ON, exhausted=st.sampled_from([0, 480]))
def test_failures_of_forks_are_the_oracles(groups, on, exhausted):
    priorities = [-tier for tier, group in enumerate(groups) for _ in group]
    policy = {"on": on, "mark": "none", **({"exhausted": (exhausted, "Nobody")} if exhausted else {})}
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="fastsip-test-", dir=memory if memory.is_dir() else None) as home:
        stage = Stage(home, algorithm=PARALLEL, destinations=len(priorities), priorities=priorities, policy=policy)
        call = stage.invite()
        asked = play(stage, groups)
        (final,) = stage.take(lambda m: m.status >= 300)
        stage.nothing_sent()
        challenges = len(final.lines("WWW-Authenticate")) if final.status in (401, 407) else 0
        assert (asked, final.status, challenges) == outcome(groups, on, exhausted)
        call.ack(final)
        stage.finish()
