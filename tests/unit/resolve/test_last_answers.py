"""What DNS said last, on the disk: as it was written, never older than it may be, and never what stops a start."""

import json
import time

import pytest

from fastsip.resolve.answers import REST_S, Answer, Gone, followed, read_answers, write_answers
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import MOST_TARGETS, WHOLE, Target

GW, OTHER = Question("gw.test"), Question("gw.test", 5070, "udp")
DAY_S = 86_400


def target(number: int, weight: int = WHOLE) -> Target:
    return Target(f"10.0.0.{number}", 5060, "udp", 0, weight)


def answer(*numbers: int, at: float = 0.0) -> Answer:
    return Answer(targets=tuple(map(target, numbers)), at=at or time.time())


def test_what_was_written_is_read(scratch):
    answers = {GW: answer(1, 2), OTHER: followed(answer(3), [target(4)], 7, time.time())}
    write_answers(scratch, answers)
    assert read_answers(scratch, DAY_S) == answers
    write_answers(scratch, {GW: answer(5)})
    assert set(read_answers(scratch, DAY_S)) == {GW}


def test_what_is_older_than_it_may_be_is_not_read(scratch):
    write_answers(scratch, {GW: answer(1, at=time.time() - 100), OTHER: answer(2)})
    assert set(read_answers(scratch, 50)) == {OTHER}
    assert set(read_answers(scratch, 1_000)) == {GW, OTHER}
    assert read_answers(scratch, 0) == {}


@pytest.mark.parametrize("content", [
    b"", b"{", b"\xff", b"[]", b'{"layout":2,"names":[]}',
    b'{"layout":1,"names":[{"question":["a",0],"answer":{"targets":[["10.0.0.1"]],"at":1}}]}',
    b'{"layout":1,"names":[{"question":"a","answer":{"targets":[],"at":1}}]}',
])  # fmt: skip
def test_what_cannot_be_read_is_as_if_it_were_not_there(scratch, content):
    (scratch / "targets").write_bytes(content)
    assert read_answers(scratch, DAY_S) == {}
    assert list(scratch.glob("targets.*"))
    write_answers(scratch, {GW: answer(1)})
    assert set(read_answers(scratch, DAY_S)) == {GW}


@pytest.mark.parametrize("wrong", [
    ["gw.test", 5060, "udp", 0, 1], ["010.0.0.1", 5060, "udp", 0, 1], ["10.0.0.1", 0, "udp", 0, 1],
    ["10.0.0.1", 65_536, "udp", 0, 1], ["10.0.0.1", 5060, "sctp", 0, 1], ["10.0.0.1", 5060, "udp", -1, 1],
    ["10.0.0.1", 5060, "udp", MOST_TARGETS, 1], ["10.0.0.1", 5060, "udp", 0, 0],
    ["10.0.0.1", 5060, "udp", 0, WHOLE + 1], ["224.0.0.1", 5060, "udp", 0, 1],
])  # fmt: skip
def test_what_no_dns_says_does_not_count(scratch, wrong):
    write_answers(scratch, {GW: answer(1)})
    kept = json.loads((scratch / "targets").read_text())
    kept["names"][0]["answer"]["targets"].append(wrong)
    kept["names"][0]["answer"]["gone"] = [{"target": wrong, "at": time.time()}]
    (scratch / "targets").write_text(json.dumps(kept))
    found = read_answers(scratch, DAY_S)[GW]
    assert (found.targets, found.gone) == ((target(1),), ())


def test_no_more_targets_are_read_than_a_name_may_have(scratch):
    write_answers(scratch, {GW: answer(*range(1, MOST_TARGETS + 2))})
    assert len(read_answers(scratch, DAY_S)[GW].targets) == MOST_TARGETS


def test_who_is_in_the_answer_no_more_rests_and_comes_back():
    first = followed(None, [target(1), target(2)], 0, 100.0)
    assert first.gone == ()
    second = followed(first, [target(2, 5)], 0, 200.0)
    assert second.gone == (Gone(target=target(1), at=200.0),)
    third = followed(second, [target(2)], 0, 300.0)
    assert third.gone == second.gone, "it rests since it went"
    assert followed(third, [target(1), target(2)], 0, 400.0).gone == ()


@pytest.mark.parametrize(("now", "rests"), [(200.0, 1), (199.0 + REST_S, 1), (200.0 + REST_S, 0), (199.0, 0)])
def test_it_rests_for_ten_minutes(now, rests):
    gone = followed(followed(None, [target(1)], 0, 100.0), [target(2)], 0, 200.0)
    assert len(gone.resting(now)) == rests


def test_of_many_that_went_the_last_ones_rest():
    found = None
    for number in range(100):
        found = followed(found, [target(number)], 0, 100.0 + number)
    assert [one.target for one in found.gone] == [target(number) for number in range(99 - MOST_TARGETS, 99)]
