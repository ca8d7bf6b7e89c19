"""desk.http.kamailio: what a batch may take up, and who works on it; with methods of the test's own."""

import msgspec
import orjson
import pytest

from fastsip.desk.http import kamailio, limits
from fastsip.desk.http.access import ORDER, READ
from fastsip.desk.http.kamailio import Method, rpc, where_of
from fastsip.desk.http.routes import Call, Where


@pytest.fixture
def done(monkeypatch):
    """What was done, by method; `long` answers with 1 MiB."""
    found: list[str] = []

    def method(name: str, answer: str, needs: int = READ) -> Method:
        def work(call, params):
            found.append(name)
            return answer

        return Method(work, needs)

    long = "x" * ((1 << 20) - len('{"jsonrpc":"2.0","result":"","id":1}'))
    methods = {"look": method("look", "seen"), "long": method("long", long), "order": method("order", "done", ORDER)}
    monkeypatch.setattr(kamailio, "METHODS", methods)
    return found


def call(*asked, may: int = ORDER) -> Call:
    return Call(run_dir="", file="", may=may, body=msgspec.json.encode(asked[0] if len(asked) == 1 else list(asked)))


def one(method: str, identity: int | None = 1) -> dict:
    return {"jsonrpc": "2.0", "method": method, **({} if identity is None else {"id": identity})}


@pytest.mark.parametrize(("asked", "may", "where"), [
    ([one("look")], ORDER, Where.READERS), ([one("order")], ORDER, Where.ORDERERS),
    ([one("look"), one("order")], ORDER, Where.ORDERERS), ([one("look"), one("long")], ORDER, Where.READERS),
    ([one("order"), one("look")], READ, Where.READERS), ([one("order", None), 5], ORDER, Where.ORDERERS),
    ([{"method": "order"}], ORDER, Where.READERS), ([5], ORDER, Where.READERS), ([None, None], ORDER, Where.READERS),
])  # fmt: skip
def test_who_looks_does_so_among_those_who_look(done, asked, may, where):
    assert where_of(call(*asked, may=may)) is where


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_said_by_those_who_look(done, body):
    asked = Call(run_dir="", file="", body=body)
    assert where_of(asked) is Where.READERS and rpc(asked)["error"]["message"] == "Parse error"


def test_answers_of_a_batch_have_a_bound_and_orders_are_done_behind_it(done):
    most = limits.MOST_BATCH_ANSWER >> 20
    found = rpc(call(*[one("long")] * most, one("order"), one("look"), one("no such"), 5)).body
    answers = orjson.loads(found)
    assert len(found) < limits.MOST_BATCH_ANSWER + 4096
    assert ["result" in each for each in answers] == [True] * most + [True, False, False, False]
    assert "at most 16 MiB" in answers[most + 1]["error"]["data"] == answers[most + 2]["error"]["data"]
    assert done == ["long"] * most + ["order"]


def test_the_one_that_is_too_long_is_refused_with_all_that_follow(done):
    most = limits.MOST_BATCH_ANSWER >> 20
    answers = orjson.loads(rpc(call(one("look"), *[one("long")] * most, one("look"))).body)
    assert ["result" in each for each in answers] == [True] * most + [False, False]
    assert done == ["look"] + ["long"] * most


def test_what_nobody_wants_to_hear_is_not_looked_up(done):
    assert rpc(call(one("long", None), one("order", None))).status == 204
    assert done == ["order"]


def test_for_who_has_left_orders_are_done_and_nothing_is_looked_up(done):
    asked = call(one("long"), one("order"))
    asked.departure.note()
    rpc(asked)
    assert done == ["order"]
