"""The challenges of all branches reach the caller, who answers them in one request: RFC 3261 16.7 item 7."""

import pytest

from tests.protocol.script import PARALLEL, Stage

WWW, PROXY = "WWW-Authenticate", "Proxy-Authenticate"
LARGEST, MOST_HEADERS = 65_535, 128


def challenge(realm: str, size: int = 0) -> str:
    """A Digest challenge; its nonce has `size` letters more than it needs."""
    return f'Digest realm="{realm}", nonce="{realm}{"x" * size}"'


def challenges(final) -> list[tuple[str, str]]:
    """(header, value) in the order of the message."""
    return [(name, value) for name, value in final.headers if name in (WWW, PROXY)]


def fork_of(stage, answers) -> Stage:
    """Each callee of a fork answers in turn: (status, headers)."""
    stage.invite()
    for invite, (status, headers) in zip(stage.expect_fork(range(len(answers))), answers, strict=True):
        stage.refuse(invite, status, headers=headers)
    return stage


@pytest.mark.parametrize("statuses", [(401, 407), (407, 401), (401, 401), (407, 407)])
def test_challenges_of_all_are_in_the_answer(make_fork, statuses):
    """Also of the other kind; the first of equals is the answer, and the rest of it is its own."""
    lines = [(WWW if status == 401 else PROXY, challenge(f"realm{n}")) for n, status in enumerate(statuses)]
    stage = make_fork(destinations=2)
    fork_of(stage, [(status, [line, ("X-Own", line[1])]) for status, line in zip(statuses, lines, strict=True)])
    final = stage.expect_response(statuses[0])
    assert challenges(final) == lines
    assert final.to_tag == "bob-1"
    assert final.lines("X-Own") == [lines[0][1]]
    stage.nothing_sent()


def test_each_may_bring_several(make_fork):
    """Unchanged, as many lines as they were."""
    first = [(WWW, challenge("a")), (WWW, challenge("b"))]
    second = [(PROXY, challenge("c")), (WWW, challenge("d")), (PROXY, f"{challenge('e')}, {challenge('f')}")]
    stage = make_fork(destinations=2)
    fork_of(stage, [(401, first), (407, second)])
    found = challenges(stage.expect_response(401))
    assert found == [*first, second[1], second[0], second[2]]


def test_body_of_the_answer_stays(make_fork):
    stage = make_fork(destinations=2)
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.refuse(first, 401, headers=[(WWW, challenge("a")), ("Content-Type", "text/plain")], body=b"who?\r\n\r\n")
    stage.refuse(second, 401, headers=[(WWW, challenge("b"))])
    final = stage.expect_response(401)
    assert final.body == b"who?\r\n\r\n"
    assert [value for _, value in challenges(final)] == [challenge("a"), challenge("b")]


@pytest.mark.parametrize("better", [302, 603])
def test_a_better_answer_takes_none(make_fork, better):
    """Only a 401 or 407 that is chosen brings them."""
    stage = make_fork()
    fork_of(stage, [(401, [(WWW, challenge("a"))]), (better, []), (407, [(PROXY, challenge("b"))])])
    assert not challenges(stage.expect_response(better))


def test_others_leave_no_trace(make_fork):
    """Challenges of what is none, and what came before the first one."""
    stage = make_fork(destinations=4)
    answers = [(404, [(WWW, challenge("no"))]), (401, [(WWW, challenge("a"))]),
               (500, [(PROXY, challenge("no"))]), (407, [(PROXY, challenge("b"))])]  # fmt: skip
    fork_of(stage, answers)
    assert challenges(stage.expect_response(401)) == [(WWW, challenge("a")), (PROXY, challenge("b"))]


def test_one_without_a_challenge_adds_nothing(make_fork):
    stage = make_fork(destinations=2)
    fork_of(stage, [(401, [(WWW, challenge("a"))]), (401, [])])
    assert challenges(stage.expect_response(401)) == [(WWW, challenge("a"))]


def test_abandoned_ones_have_no_say(make_fork):
    """A late failure is acknowledged and ignored (docs/wire.md#abandoned-branches)."""
    stage = make_fork(destinations=2, policy={"on": ["timeout"], "timeout_ms": 2_000})
    stage.invite()
    first, second = stage.expect_fork(range(2))
    stage.ring_back(second)
    stage.advance(2_020)
    stage.waiting.clear()
    stage.refuse(first, 401, headers=[(WWW, challenge("late"))])
    stage.refuse(second, 401, headers=[(WWW, challenge("a"))])
    assert challenges(stage.expect_response(401)) == [(WWW, challenge("a"))]


def test_non_invite_gets_them_too(make_fork):
    stage = make_fork(destinations=2)
    stage.send("MESSAGE")
    for n, request in enumerate(stage.expect_fork(range(2), "MESSAGE")):
        stage.reply(request, 407, headers=[(PROXY, challenge(f"realm{n}"))])
    assert len(challenges(stage.expect_response(407, "MESSAGE"))) == 2


def test_credentials_are_for_all_that_were_asked(make_fork):
    """Several may have challenged: the request with credentials is forked like the first one."""
    stage = make_fork(destinations=2)
    call = stage.invite()
    for n, invite in enumerate(stage.expect_fork(range(2))):
        stage.refuse(invite, 407, headers=[(PROXY, challenge(f"realm{n}"))])
    call.ack(stage.expect_response(407))
    credentials = [("Proxy-Authorization", 'Digest username="alice"')]
    stage.invite(call_id=call.message.call_id, cseq=2, headers=credentials)
    stage.expect_fork(range(2))


def test_they_outlive_the_process(make_fork, scratch):
    parts = {"algorithm": PARALLEL}
    stage = make_fork(**parts)
    stage.invite()
    first, second, third = stage.expect_fork(range(3))
    stage.refuse(first, 401, headers=[(WWW, challenge("a"))])
    stage.refuse(second, 407, headers=[(PROXY, challenge("b"))])
    again = Stage(scratch / "run0", now_ms=stage.now, **parts)
    again.rig.recover()
    again.collect()
    again.refuse(third, 404)
    assert challenges(again.expect_response(401)) == [(WWW, challenge("a")), (PROXY, challenge("b"))]


# ---------------------------------------------------------------- bounds


def merged(make_fork, size: int, lines: int):
    """Two answers with 30 challenges of 1,000 bytes each; in the second one `lines` more, and one of `size` bytes more.

    Returns the stage, what the caller got, its length in bytes.
    """
    half = [(WWW, challenge("a", 950))] * 30
    more = [(PROXY, challenge("b"))] * lines
    stage = make_fork(destinations=2)
    fork_of(stage, [(401, half), (401, [*half, *more, (WWW, challenge("c", size))])])
    final = stage.expect_response(401)
    (server,) = stage.slots("server")
    return stage, final, server["blocks"]["response"][1]


def test_a_message_has_at_most_65535_bytes(make_fork):
    """What would not fit is left out as a whole, and counted."""
    size = LARGEST - merged(make_fork, 0, 0)[2]
    stage, final, length = merged(make_fork, size, 0)
    assert (length, len(challenges(final)), stage.counter("no_room")) == (LARGEST, 61, 0)
    stage, final, _ = merged(make_fork, size + 1, 0)
    assert (len(challenges(final)), stage.counter("no_room")) == (30, 1)


def test_a_message_has_at_most_128_headers(make_fork):
    lines = MOST_HEADERS - len(merged(make_fork, 0, 0)[1].headers)
    stage, final, _ = merged(make_fork, 0, lines)
    assert (len(final.headers), len(challenges(final)), stage.counter("no_room")) == (MOST_HEADERS, lines + 61, 0)
    stage, final, _ = merged(make_fork, 0, lines + 1)
    assert (len(challenges(final)), stage.counter("no_room")) == (30, 1)
