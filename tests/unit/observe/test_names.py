"""Names among destinations: what is known of one is what is known of its targets together."""

import pytest

from fastsip.observe.as_kamailio import flags, records
from fastsip.observe.names import UNRESOLVED, as_written, in_order, names_of

NAME = {"id": "1/gw", "uri": "sip:gw.test", "priority": 0, "weight": 1, "attrs": {}, "probe": "all", "admin": "enabled"}


def target(number: int, parent: str = "1/gw", **facts) -> dict:
    known = {"health": "up", "since": 10.0 + number, "retry_after": None, "chosen": 1, "failed": 2, "probes_sent": 3,
             "probes_failed": 4, "rtt_ms": 5.0, "latency_ms": 6.0, "limited": 7, "downs": number, "last_code": 200}
    return {**NAME, "id": f"{parent}={number}", "parent": parent, **known, **facts}


def group(*members: dict, names=(NAME,)) -> dict:
    return {"name": "1", "setid": 1, "names": list(names), "destinations": list(members)}


def together(*members: dict) -> dict:
    return names_of(group(*members))["1/gw"]


@pytest.mark.parametrize(("healths", "health"), [
    (["up", "down"], "up"), (["down", "unknown", "trying"], "unknown"), (["down", "trying"], "trying"),
    (["down", "down"], "down"), ([], UNRESOLVED),
])  # fmt: skip
def test_a_name_is_up_if_one_of_its_targets_is(healths, health):
    assert together(*(target(number, health=word) for number, word in enumerate(healths)))["health"] == health


def test_it_is_up_since_the_first_and_down_since_the_last():
    assert together(target(1), target(2), target(3, health="down"))["since"] == 11.0
    down = [target(1, health="down"), target(2, health="down", since=None), target(3, health="down")]
    assert together(*down)["since"] == 13.0
    assert together(target(1, since=None))["since"] is None and together()["since"] is None


def test_what_was_counted_is_added_up():
    one = together(target(1), target(2))
    assert (one["chosen"], one["failed"], one["probes_sent"], one["probes_failed"]) == (2, 4, 6, 8)
    assert (one["limited"], one["downs"], one["latency_ms"]) == (14, 2, None)
    assert one["targets"] == ["1/gw=1", "1/gw=2"]


@pytest.mark.parametrize(("until", "expected"), [([5.0, None], None), ([5.0, 3.0], 3.0), ([], None)])
def test_it_rests_while_all_of_its_targets_do(until, expected):
    members = [target(number, retry_after=at) for number, at in enumerate(until)]
    assert together(*members)["retry_after"] == expected


def test_targets_stand_behind_their_name_and_names_without_any_at_the_end():
    other = {**target(9), "id": "1/b", "parent": ""}
    names = ({**NAME, "id": "1/none"}, NAME)
    found = group(other, target(1), target(2), names=names)
    assert [one["id"] for one in in_order(found)] == ["1/b", "1/gw", "1/gw=1", "1/gw=2", "1/none"]
    assert [one["id"] for one in as_written(found)] == ["1/b", "1/gw", "1/none"]


def test_what_another_release_says_has_no_names():
    member = {key: value for key, value in target(1).items() if key != "parent"}
    assert list(in_order({"name": "1", "destinations": [member]})) == [member]


@pytest.mark.parametrize(("members", "letters"), [
    ([target(1), target(2, health="down")], "AP"),
    ([target(1, health="down")], "IP"),
    ([], "IP"),
])  # fmt: skip
def test_kamailio_has_one_destination_for_a_name(members, letters):
    (row,) = records([group(*members)])["RECORDS"]
    (one,) = row["SET"]["TARGETS"]
    assert (one["DEST"]["URI"], one["DEST"]["FLAGS"]) == ("sip:gw.test", letters)
    assert flags({**together(*members), "admin": "disabled"}) == "DP"
