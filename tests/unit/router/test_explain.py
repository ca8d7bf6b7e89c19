"""router.explain: what a request would meet is what it does meet, in the words of people."""

import time

import pytest

from fastsip.config import load_text
from fastsip.dispatcher.words import Word
from fastsip.observe.destinations import UNSEEN, Seen
from fastsip.router.explain import Explanation, explain, on_the_wire

TEXT = """
[router]
state_dir = "{state}"
run_dir = "{state}/run"
domains = ["edge.example.net"]
trusted = ["10.9.0.0/16"]
[[listen]]
uri = "udp:10.0.0.254:5060"
[set.media]
algorithm = "{algorithm}"
limit = {limit}
destinations = ["sip:10.0.0.1", "sip:10.0.0.2:5070", {{ uri = "sip:10.0.0.3", priority = 5 }}]
[failure.next]
on = [503, "timeout"]
[[route]]
name = "blocked"
when = {{ user_prefix = "0900" }}
reply = "403 Not wanted"
[[route]]
name = "trusted"
forward = "header:X-To"
when = {{ source = ["10.9.0.0/16"], header = {{ X-To = true }} }}
[[route]]
name = "calls"
when = {{ method = "INVITE" }}
to = "media"
failure = "next"
"""


@pytest.fixture
def read(scratch):
    def reads(algorithm: str = "priority", limit: int = 16):
        return load_text(TEXT.format(state=scratch, algorithm=algorithm, limit=limit), str(scratch / "c.toml"))

    return reads


def request(method: str = "INVITE", user: str = "80123", call_id: str = "a@b", more: str = "", to: str = "") -> bytes:
    return on_the_wire(f"""{method} sip:{user}@example.net SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKx
Max-Forwards: 70
From: <sip:a@example.net>;tag=1
To: <sip:b@example.net>{to}
Call-ID: {call_id}
CSeq: 1 {method}
Contact: <sip:a@192.0.2.7>
{more}Content-Length: 0
""".encode())


def ask(config, message, words=None, source=("192.0.2.7", 5060), **seen: Seen) -> Explanation:
    known = {f"media/sip:10.0.0.{place[1:]}": one for place, one in seen.items()}
    return explain(config, words or {}, known, message, source, 0)


def known(**facts) -> Seen:
    import msgspec

    return msgspec.structs.replace(UNSEEN, **facts)


def ids(found: Explanation) -> list[str]:
    return [one.id.removeprefix("media/sip:10.0.0.") for one in found.tried]


def test_a_rule_that_answers(read):
    found = ask(read(), request(user="0900123"))
    assert (found.rule, found.action, found.answer) == ("blocked", "answers 403 Not wanted", "403 Not wanted")
    assert found.tried == found.others == found.sent == ()


def test_all_of_a_set_in_the_order_in_which_they_would_be_tried(read):
    found = ask(read(), request())
    assert (found.rule, found.action, found.answer) == ("calls", "goes to set media, failure next", "")
    assert ids(found) == ["3", "1", "2:5070"] and found.tried[2].address == "10.0.0.2:5070" and not found.turns


def test_why_others_are_not_tried(read):
    words = {"media/sip:10.0.0.1": Word(state="draining", configured="enabled", at=1, why="new memory")}
    found = ask(read(), request(), words, _3=known(health="down", since=time.time() - 5, last_code=408))
    assert ids(found) == ["2:5070"]
    assert {one.id: one.why for one in found.others} == {
        "media/sip:10.0.0.1": 'draining: "new memory"', "media/sip:10.0.0.3": "down, code 408"}


def test_a_retry_after_counts_until_its_time(read):
    later = ask(read(), request(), _3=known(health="up", retry_after=time.time() + 60))
    assert ids(later) == ["1", "2:5070"] and later.others[0].why == "asked for later calls by Retry-After"
    assert ids(ask(read(), request(), _3=known(health="up", retry_after=time.time() - 1))) == ["3", "1", "2:5070"]


def test_who_is_behind_the_limit_is_said(read):
    found = ask(read(limit=2), request())
    assert ids(found) == ["3", "1"] and [one.why for one in found.others] == ["behind the first 2"]


def test_nobody_left_is_the_answer(read):
    gone = known(health="down", since=time.time(), last_code=503)
    found = explain(read(), {}, {f"media/sip:10.0.0.{place}": gone for place in ("1", "2:5070", "3")}, request(),
                    ("192.0.2.7", 5060), 0)  # fmt: skip
    assert found.tried == () and found.answer.startswith("500 ") and len(found.others) == 3


def test_a_hash_is_told_for_this_call(read):
    config = read("call-id")
    orders = {tuple(ids(ask(config, request(call_id=f"{number}@b")))) for number in range(12)}
    assert len(orders) > 1
    assert ids(ask(config, request())) == ids(ask(config, request()))


@pytest.mark.parametrize(("algorithm", "turns"), [("round-robin", True), ("random", True), ("from-uri", False)])
def test_where_chance_or_turns_decide_it_says_so(read, algorithm, turns):
    found = ask(read(algorithm), request())
    assert found.turns is turns and sorted(ids(found)) == ["1", "2:5070", "3"]


def test_who_is_asked_at_once(read):
    found = ids(ask(read("parallel"), request()))
    assert found[0] == "3" and sorted(found[1:]) == ["1", "2:5070"]     # tiers first


def test_a_next_hop_of_a_header(read):
    more = "X-To: <sip:198.51.100.7:5070>\n"
    found = ask(read(), request(more=more), source=("10.9.0.1", 5060))
    assert (found.rule, found.sent) == ("trusted", ("198.51.100.7:5070",))


def test_what_no_rule_sees(read):
    assert ask(read(), request("REGISTER")) == Explanation(answer="404 Not Found")
    strange = ask(read(), request("BYE", more="Route: <sip:10.0.0.254;lr>\n", to=";tag=2"))
    assert strange.rule == "" and strange.answer.startswith("403 ")
    assert ask(read(), request().replace(b"Max-Forwards: 70", b"Max-Forwards: 0")).answer.startswith("483 ")


@pytest.mark.parametrize("message", [b"", b"nonsense", b"SIP/2.0 200 OK\r\n\r\n", b"\0" * 70_000])
def test_what_is_no_request_is_answered_by_nothing(read, message):
    found = ask(read(), message[:65_000])
    assert (found.rule, found.answer, found.sent) == ("", "", ())


def test_nothing_is_left_behind(read, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ask(read(), request())
    assert list(tmp_path.iterdir()) == []
