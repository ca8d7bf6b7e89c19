"""run_dir/control.sock: who may, what is answered to whom, and to what is no command."""

import asyncio
import json
import os
import socket
import stat
import threading

import pytest

from fastsip import control
from fastsip.control import NotRunning, Refused, Server, answer_kept, ask


async def count(client, asked):
    for number in range(asked.get("to", 2)):
        yield {"number": number}
    yield {"done": "counted"}


async def refuse(client, asked):
    raise Refused("not today")
    yield {}


async def break_off(client, asked):
    yield {"number": 1}


async def stay_silent(client, asked):
    yield {"number": 1}
    await asyncio.Event().wait()


async def fall_over(client, asked):
    yield {"number": 1}
    raise ZeroDivisionError("nobody thought of this")


@pytest.fixture
def serve(tmp_path):
    """A function that runs something blocking while a server answers."""

    def run(blocking, **more):
        async def main():
            handlers = {"count": count, "refuse": refuse, "break": break_off, "fall": fall_over, **more}
            server = Server(str(tmp_path), handlers)
            await server.start()
            try:
                return await asyncio.to_thread(blocking, str(tmp_path))
            finally:
                server.close()

        return asyncio.run(asyncio.wait_for(main(), 20))

    return run


def talk(run_dir: str, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(os.path.join(run_dir, "control.sock"))
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as answers:
            return answers.read()


def test_nobody_waits_for_ever(serve, monkeypatch):
    monkeypatch.setitem(control.ANSWER_LIMIT_S, "status", 0.1)

    def ask_twice(run_dir: str) -> None:
        answers = ask(run_dir, "status")
        assert next(answers) == {"number": 1}
        with pytest.raises(Refused, match="has not answered"):
            next(answers)

    serve(ask_twice, status=stay_silent)


def test_answers_come_one_by_one(serve):
    assert serve(lambda run_dir: list(ask(run_dir, "count", to=3))) == [
        {"number": 0}, {"number": 1}, {"number": 2}, {"done": "counted"},
    ]  # fmt: skip


def test_a_refusal_has_its_words(serve):
    with pytest.raises(Refused, match="not today"):
        serve(lambda run_dir: list(ask(run_dir, "refuse")))


def test_whatever_happens_who_asked_is_told_and_the_next_one_is_answered(serve):
    def ask_both(run_dir):
        with pytest.raises(Refused, match="ZeroDivisionError: nobody thought of this"):
            list(ask(run_dir, "fall"))
        return list(ask(run_dir, "count", to=0))

    assert serve(ask_both) == [{"done": "counted"}]


def test_an_answer_that_never_ends_is_a_refusal(serve):
    with pytest.raises(Refused, match="ended before"):
        serve(lambda run_dir: list(ask(run_dir, "break")))


def test_who_waits_when_all_end_is_told(serve):
    said, begun = [], threading.Event()

    def wait(run_dir):
        try:
            for _ in ask(run_dir, "silent"):
                begun.set()
        except Refused as refused:
            said.append(str(refused))

    def begin(run_dir):
        waiting = threading.Thread(target=wait, args=(run_dir,))
        waiting.start()
        assert begun.wait(10)
        return waiting

    serve(begin, silent=stay_silent).join(10)
    assert said == ["the router leaves before this is done"]


@pytest.mark.parametrize("line", [b'{"command":"nonsense"}\n', b"{}\n", b"[1]\n", b'"x"\n', b'{"command":[]}\n'])
def test_an_unknown_command_is_told_the_known_ones(serve, line):
    assert json.loads(serve(lambda run_dir: talk(run_dir, line))) == {
        "error": "a command is one of count, refuse, break, fall"
    }


@pytest.mark.parametrize("line", [b"", b"\n", b"GET / HTTP/1.1\r\n", b"{", b"\xff\n", b"x" * 200_000])
def test_what_is_no_command_gets_nothing_and_harms_nobody(serve, line):
    def first_nonsense(run_dir):
        try:
            talked = talk(run_dir, line)
        except ConnectionError:
            talked = b""  # it did not even read all of it
        return talked, list(ask(run_dir, "count", to=0))

    assert serve(first_nonsense) == (b"", [{"done": "counted"}])


def test_who_asks_and_says_nothing_is_not_waited_for(serve, monkeypatch):
    monkeypatch.setattr(control, "READ_LIMIT_S", 0.05)

    def wait(run_dir):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(os.path.join(run_dir, "control.sock"))
            return sock.recv(100)

    assert serve(wait) == b""


def test_only_owner_and_group_may(serve):
    mode = serve(lambda run_dir: os.stat(os.path.join(run_dir, "control.sock")).st_mode)
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


def test_a_socket_that_was_left_behind_is_replaced(serve, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    assert serve(lambda run_dir: list(ask(run_dir, "count", to=0))) == [{"done": "counted"}]
    assert not (tmp_path / "control.sock").exists()


def test_where_nobody_listens(tmp_path):
    with pytest.raises(NotRunning, match=f"no router runs in {tmp_path}"):
        list(ask(str(tmp_path), "count"))


def test_another_program_may_have_the_last_word(serve):
    """As after an exec: the descriptor is all that is left of the connection."""
    kept = []

    async def keep(client, asked):
        kept.append(client.keep())
        answer_kept(kept[0], {"done": "by another"})
        yield {}

    assert serve(lambda run_dir: list(ask(run_dir, "keep")), keep=keep) == [{"done": "by another"}]
