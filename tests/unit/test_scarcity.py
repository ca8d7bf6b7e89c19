"""The door by which tests let allocations fail: it counts one kind or all, and nobody asks in vain."""

import re
from pathlib import Path

import pytest

from fastsip._core.base.scarcity import KINDS
from tests.protocol.script import BOB, Stage

CORE = Path(__file__).parents[2] / "fastsip" / "_core"


@pytest.fixture
def stage(scratch):
    return Stage(scratch / "run")


def test_the_nth_of_a_kind_fails(stage):
    """An INVITE takes a slot for its transaction and one for its branch."""
    stage.rig.fail_allocation("slot", 1)
    stage.send("INVITE")
    stage.expect_response(503)
    assert stage.rig.failed_allocations == 1
    stage.rig.fail_allocation("slot", 2)
    stage.send("INVITE")
    stage.expect_response(503)
    stage.rig.fail_allocation("slot", 3)
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")
    assert stage.rig.failed_allocations == 0


def test_so_many_fail_in_a_row(stage):
    stage.rig.fail_allocation("block", 1, 2)
    for failed in (1, 2, 2):
        stage.send("MESSAGE")
        assert stage.rig.failed_allocations == failed
    stage.expect_request(BOB[0], "MESSAGE")


def test_any_counts_all_kinds(stage):
    stage.rig.fail_allocation("any", 1, -1)
    stage.send("INVITE")
    stage.nothing_sent()
    assert stage.rig.failed_allocations > 1
    stage.rig.fail_allocation("any", 0)
    stage.invite()
    stage.expect_request(BOB[0], "INVITE")


def test_another_rig_is_short_of_nothing(stage, scratch):
    stage.rig.fail_allocation("any", 1, -1)
    Stage(scratch / "other").invite()


def test_an_unknown_kind_is_named(stage):
    with pytest.raises(ValueError, match="'rope' is none of any, slot,"):
        stage.rig.fail_allocation("rope", 1)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_asked_for_somewhere(kind):
    asking = re.compile(rf"runs_short\(SCARCE_{kind.upper()}\)")
    assert any(asking.search(path.read_text()) for path in CORE.rglob("*.pyx"))
