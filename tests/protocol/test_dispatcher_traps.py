"""What other dispatchers forget, mix up or find out late, on the virtual clock (docs/kamailio.md)."""

import pytest

from fastsip._core.dispatcher.cells import Cells
from fastsip._core.dispatcher.chooser import Positions
from fastsip._core.harness.rig import Rig
from fastsip._core.routing.table import RoutingTable
from fastsip.ua.message import make_response
from tests.protocol.script import BOB, EDGE, INSIDE, Stage, make_table, read_sent
from tests.protocol.test_health import fail
from tests.protocol.test_probes import LATE, PROBE, next_probe

SOON = {**PROBE, "interval_ms": 3_000}
DISABLED, DRAINING = 2, 1


def probes_of(stage: Stage, ms: int) -> list[int]:
    """When each probe of BOB[0] left, within so many ms; nobody answers."""
    stage.advance(ms)
    return [probe.at for probe in stage.take_requests(BOB[0], "OPTIONS")]


@pytest.mark.parametrize("fall", [1, 2, 3])
def test_who_falls_silent_is_down_after_so_many_intervals_and_a_timeout(make_stage, fall):
    """Silence of a probe has a time of its own, of 2 s here, and no timer of transactions has a say in it."""
    stage = make_stage(destinations=1, probe={**SOON, "fall": fall})
    first = None
    for _ in range(20_000):
        stage.rig.advance(1)
        if first is None and stage.rig.sent_count:
            first = stage.now
        if stage.health(0) == "down":
            break
    assert stage.health(0) == "down" and first is not None
    interval = 1.05 * SOON["interval_ms"]
    assert stage.now - first <= (fall - 1) * (interval + LATE) + SOON["timeout_ms"] + LATE


def two_ways_to_one_place(scratch) -> tuple[Rig, Cells]:
    """One address, that two destinations are at: each by a listener of its own."""
    table, cells = RoutingTable(1), Cells(8)
    for number, (host, port) in enumerate((EDGE, INSIDE)):
        table.add_listener(number + 1, 0, host, port, f"{host}:{port}", ("public", "inside")[number])
    table.add_set(1, 8)
    for number in range(2):
        table.add_destination(0, number + 1, cells.assign(number + 1), *BOB[0], number, "sip:one", f"one@{number}",
                              probe={**SOON, "fall": 1})  # fmt: skip
    table.add_rule(1, 0)
    return Rig(scratch / "run", table.seal(), cells, 64), cells


def test_two_ways_to_one_place_have_a_health_each(scratch):
    """Probes by the first listener are answered, those by the second are not."""
    rig, cells = two_ways_to_one_place(scratch)
    for _ in range(600):
        rig.advance(10)
        for probe in map(read_sent, rig.sent()):
            if f"{EDGE[0]}:{EDGE[1]}" in probe.via:
                rig.receive(make_response(probe, 200, to_tag="up").to_bytes(), probe.to)
    assert [("unknown", "up", "trying", "down")[cells.read(number).health] for number in range(2)] == ["up", "down"]


@pytest.mark.parametrize("what", ["down", "disabled", "draining"])
def test_the_next_candidate_is_looked_at_when_its_turn_has_come(make_stage, what):
    """What happened to it while the one before was tried counts: there is no list that was made before."""
    stage = make_stage(policy={"on": ["timeout"], "timeout_ms": 3_000}, probe={**PROBE, "fall": 1})
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    stage.advance(1_000 + LATE)
    for bob in BOB[:3]:
        probe = stage.take_requests(bob, "OPTIONS")[0]
        stage.reply(probe, 503 if what == "down" and bob == BOB[1] else 200)
    if what != "down":
        stage.cells.set_admin(1, DISABLED if what == "disabled" else DRAINING)
    stage.advance(2_000)
    stage.expect_request(BOB[2], "INVITE")
    assert not stage.take_requests(BOB[1], "INVITE")


@pytest.mark.parametrize("mode", [None, {**SOON, "mode": "none"}])
def test_who_is_not_to_be_probed_is_not_after_a_mark_either(make_stage, mode):
    """Neither while it is down nor when a call has brought it back."""
    stage = make_stage(policy={"on": [500], "mark": "down"}, destinations=2, probe=mode, retry_ms=5_000)
    fail(stage, BOB[0])
    assert stage.health(0) == "down" and probes_of(stage, 20_000) == []
    stage.waiting.clear()
    if mode is None:
        stage.invite()
        stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
        assert stage.health(0) == "up"
    assert probes_of(stage, 20_000) == []


def test_what_an_operator_says_is_no_news_of_health(make_stage):
    """Down, disabled, enabled: still down.  And what probes learn while one drains is there afterwards."""
    stage = make_stage(destinations=1, probe={**SOON, "fall": 1, "rise": 1})
    stage.advance(1_000 + LATE)
    stage.reply(stage.take_requests(BOB[0], "OPTIONS")[0], 503)
    assert stage.health(0) == "down"
    for admin in (DISABLED, 0):
        stage.cells.set_admin(0, admin)
        assert stage.health(0) == "down" and stage.cells.read(0).last_code == 503
    stage.cells.set_admin(0, DRAINING)
    stage.reply(next_probe(stage), 200)
    stage.cells.set_admin(0, 0)
    assert stage.health(0) == "up"


def test_a_late_answer_says_nothing_of_one_that_is_disabled(make_stage):
    stage = make_stage(destinations=1, probe={**SOON, "fall": 1})
    stage.advance(1_000 + LATE)
    probe = stage.take_requests(BOB[0], "OPTIONS")[0]
    stage.cells.set_admin(0, DISABLED)
    stage.reply(probe, 503)
    assert stage.cells.read(0).admin == DISABLED and probes_of(stage, 20_000) == []


def test_a_reload_forgets_no_failure_on_the_way_to_down(make_stage):
    stage = make_stage(policy={"on": [500]})
    fail(stage, BOB[0])
    assert stage.health(0) == "trying"
    again, _ = make_table(policy={"on": [500]}, cells=stage.cells)
    stage.use(again, Positions(again, 0))
    assert stage.health(0) == "trying"
    fail(stage, BOB[0])
    assert stage.health(0) == "down"


def test_calls_say_what_probes_have_not_found_out_yet(make_stage):
    """Without a word in any script: a failure that the policy names is one that counts."""
    stage = make_stage(policy={"on": [503], "mark": "down"}, probe={**PROBE, "interval_ms": 3_600_000})
    fail(stage, BOB[0], 503)
    assert stage.health(0) == "down"
