"""bench.hostile and bench.stranger: what they build, and what they say of it."""

import pytest

from bench import hostile, stranger


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_a_case_makes_a_short_and_a_long_one(case):
    short, long = case.make(1, hostile.SHORT), case.make(1, hostile.LONG)
    assert (len(short) < 2_500 and 50_000 < len(long) <= 65_535)


def test_a_rig_is_measured(scratch):
    found = hostile.measure([case for case in hostile.CASES if case.name in ("vias", "cancel")], 1, scratch)
    assert {one["case"] for one in found.values()} == {"vias", "vias, head", "cancel", "cancel, head"}
    assert all(one["bytes"] for one in found.values())


def test_what_costs_too_much_is_said():
    def one(case, size, us, ratio):
        return {"case": case, "bytes": size, "us": us, "x_invite": ratio}

    found = {
        "a": one("short", 1_900, 99.0, 11.0), "b": one("long", 64_000, 41.0, 1.0),
        "c": one("cheap", 1_900, 99.0, 9.0), "d": one("fine", 64_000, 39.0, 99.0),
    }  # fmt: skip
    assert [said.partition(":")[0] for said in hostile.misses(found)] == ["short", "long"]


def test_a_stranger_sends_what_names_the_flooded_listener():
    some = stranger.datagrams(["routes"], 5099)
    assert some and all(b"127.0.0.1:5099" in each and hostile.OURS not in each for each in some)


def test_what_calls_suffered_is_said():
    outcome = {"started": 1000, "completed": 980, "failed": 15, "unfinished": 5}
    well = {"hangs": 0, "deaths": 0, "setup_p99_ms": 3.0, "outcome": {**outcome, "failed": 5}}
    assert stranger.problems_of(well) == []
    ill = {"hangs": 1, "deaths": 1, "setup_p99_ms": 80.0, "outcome": outcome}
    assert len(stranger.problems_of(ill)) == 3
