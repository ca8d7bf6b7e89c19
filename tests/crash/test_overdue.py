"""Timers that ran out while no router was there: in their order, at their distances, and not all at once."""

import pytest

from tests.protocol.script import BOB, Stage

TIMEOUT = 4000
POLICY = {"on": ["timeout"], "timeout_ms": TIMEOUT, "exhausted": (480, "Nobody")}
LONGEST_SPREAD = 5000
STEP = 20


def given_up_after(scratch, gaps: list[int], down: int) -> list[int]:
    """Calls `gaps` apart that nobody answers; when each is given up, from the recovery `down` after the last on."""
    stage = Stage(scratch / "run", policy=POLICY, destinations=1)
    calls = []
    for gap in gaps:
        stage.advance(gap)
        calls.append(stage.invite().message.call_id)
        stage.expect_request(BOB[0], "INVITE")
    began = stage.now + down
    again = Stage(scratch / "run", now_ms=began, policy=POLICY, destinations=1)
    again.rig.recover()
    again.collect()
    found: dict[str, int] = {}
    while len(found) < len(calls) and again.now < began + LONGEST_SPREAD + 100:
        again.advance(STEP)
        for message in again.take_responses(480):
            found.setdefault(message.call_id, again.now - began)
    return [found[call] for call in calls]


@pytest.mark.parametrize(
    ("gaps", "down", "wanted"),
    [
        ([0], 60_000, [0]),
        ([0, 1000, 1000], 6_000, [0, 1000, 2000]),
        ([0, 3000], 100_000, [0, 5000 * 3000 // 99_000]),
    ],
    ids=["one", "at_their_distances", "closer_together"],
)
def test_overdue_failures_are_spread(scratch, gaps, down, wanted):
    found = given_up_after(scratch, gaps, down)
    assert all(0 <= one - due <= 2 * STEP for one, due in zip(found, wanted, strict=True)), (found, wanted)
