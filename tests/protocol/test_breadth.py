"""Max-Breadth: how many branches may follow from one request at once (RFC 5393 5.3, docs/wire.md#max-breadth)."""

import pytest

from tests.kernels.audit import live_slots
from tests.protocol.script import BOB


def shares(arrived) -> list[str]:
    """Max-Breadth of each request, "" without one."""
    for request in arrived:
        assert len(request.lines("Max-Breadth")) <= 1
    return [request.get("Max-Breadth") for request in arrived]


def breadth(value) -> dict:
    return {"headers": [("Max-Breadth", str(value))]}


def headers_left(stage) -> int:
    """How many more a plain INVITE may have; between start line and body stand its headers and an empty line."""
    return 128 - (stage.make("INVITE").to_bytes().count(b"\r\n") - 2)


# ---------------------------------------------------------------- forks


@pytest.mark.parametrize("count, each", [(2, ["30"] * 2), (3, ["20"] * 3), (8, ["8"] * 4 + ["7"] * 4)])
def test_a_fork_shares_60_when_nothing_is_said(make_fork, count, each):
    stage = make_fork(destinations=count)
    stage.invite()
    assert shares(stage.expect_fork(range(count))) == each


def test_a_fork_shares_what_it_got(make_fork):
    """The sum is never more."""
    stage = make_fork()
    stage.invite(**breadth(8))
    assert shares(stage.expect_fork(range(3))) == ["3", "3", "2"]


@pytest.mark.parametrize("value", [61, 1_000, 10**17])
def test_more_than_60_is_not_believed(make_fork, value):
    """RFC 5393 5.3.3: a proxy has a largest value of its own."""
    stage = make_fork(destinations=2)
    stage.invite(**breadth(value))
    assert shares(stage.expect_fork(range(2))) == ["30", "30"]


def test_no_more_branches_than_breadth(make_fork):
    """The others are the next group, which can use the same breadth again."""
    stage = make_fork(policy={"on": [500]})
    stage.invite(**breadth(2))
    first, second = stage.expect_fork(range(2))
    assert shares([first, second]) == ["1", "1"]
    stage.refuse(first, 500)
    stage.nothing_sent()
    stage.refuse(second, 500)
    assert shares(stage.expect_fork([2])) == ["2"]


def test_breadth_of_one_is_a_serial_search(make_fork):
    stage = make_fork(policy={"on": [500]})
    stage.invite(**breadth(1))
    for number in range(3):
        (invite,) = stage.expect_fork([number])
        assert shares([invite]) == ["1"]
        stage.refuse(invite, 500)
    stage.expect_response(500)


def test_each_group_has_all_of_it(make_fork):
    """Groups are not concurrent; the later ones start from a request that has its share in it."""
    stage = make_fork(destinations=6, priorities=(2, 2, 1, 1, 1, 0), policy={"on": [500]})
    stage.invite()
    for numbers, each in (((0, 1), ["30"] * 2), ((2, 3, 4), ["20"] * 3), ((5,), ["60"])):
        arrived = stage.expect_fork(numbers)
        assert shares(arrived) == each
        for invite in arrived:
            stage.refuse(invite, 500)


def test_a_fork_of_a_request_with_the_most_headers(make_fork):
    """With Via, Record-Route and Max-Breadth of ours: what could not be read back is refused as too large."""
    stage = make_fork(policy={"on": [500]})
    room = headers_left(stage) - 3
    many = [("X-Many", "x")] * room
    stage.invite(headers=many)
    first, *others = stage.expect_fork(range(3))
    assert len(first.headers) == 128
    stage.ring_back(first)
    stage.reply(others[0], 200)
    stage.expect_response(200)
    stage.expect_request(BOB[0], "CANCEL")
    stage.send("INVITE", headers=[*many, ("X-Many", "x")])
    stage.expect_response(513)
    stage.nothing_sent()


def test_a_later_fork_of_a_request_with_the_most_headers(make_fork):
    """A single branch has room for one more than a fork; the fork behind it is not made."""
    stage = make_fork(priorities=(1, 0, 0), policy={"on": [500]})
    room = headers_left(stage) - 2
    stage.invite(headers=[("X-Many", "x")] * room)
    (first,) = stage.expect_fork([0])
    assert len(first.headers) == 128
    stage.refuse(first, 500)
    stage.expect_response(500)
    stage.nothing_sent()


# ---------------------------------------------------------------- single branches


@pytest.mark.parametrize("algorithm", [8, 12])
def test_a_single_branch_says_nothing_unasked(make_stage, algorithm):
    """The next hop assumes 60 by itself."""
    stage = make_stage(algorithm=algorithm, destinations=1)
    stage.invite()
    assert shares(stage.expect_fork([0])) == [""]


@pytest.mark.parametrize("value", [1, 2, 59, 60])
def test_a_single_branch_passes_it_on(stage, value):
    stage.invite(**breadth(value))
    assert shares(stage.expect_fork([0])) == [str(value)]


def test_a_single_branch_passes_on_at_most_60(stage):
    stage.invite(**breadth(61))
    assert shares(stage.expect_fork([0])) == ["60"]


def test_a_serial_search_passes_it_on_each_time(make_stage):
    stage = make_stage(policy={"on": [500]})
    stage.invite(**breadth(7))
    for number in range(3):
        (invite,) = stage.expect_fork([number])
        assert shares([invite]) == ["7"]
        stage.refuse(invite, 500)


# ---------------------------------------------------------------- refused


def test_breadth_of_none_is_440(make_fork):
    stage = make_fork()
    stage.send("INVITE", **breadth(0))
    assert stage.expect_response(440).reason == "Max-Breadth Exceeded"
    stage.nothing_sent()
    assert stage.counter("too_broad") == 1
    assert live_slots(stage.rig) == []


@pytest.mark.parametrize("value", ["", "many", "-1", "1, 2", "6 0", "9" * 19])
def test_unreadable_is_400(stage, value):
    stage.send("INVITE", **breadth(value))
    assert stage.expect_response(400).reason == "Bad Max-Breadth"
    stage.nothing_sent()


def test_twice_is_400(stage):
    stage.send("INVITE", headers=[("Max-Breadth", "2"), ("Max-Breadth", "2")])
    stage.expect_response(400)
    stage.nothing_sent()


def test_an_ack_is_never_answered(stage):
    stage.send("ACK", **breadth(0))
    stage.nothing_sent()


def test_in_a_dialog_it_passes_unread_but_for_none(stage):
    """By route there is one branch, whatever it says."""
    call = stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 200)
    ok = stage.expect_response(200)
    route = [("Route", value) for value in reversed(ok.values("Record-Route"))]
    for value, status in ((61, None), (0, 440)):
        parts = {"to_tag": ok.to_tag, "call_id": call.message.call_id, "cseq": 2 + (value == 0)}
        stage.send("INFO", ok.get("Contact").strip("<>"), headers=[*route, ("Max-Breadth", str(value))], **parts)
        if status:
            stage.expect_response(status, "INFO")
        else:
            assert shares([stage.expect_request(BOB[0], "INFO")]) == [str(value)]
