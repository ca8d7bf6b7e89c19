"""run_dir/control.sock: who may, what is answered to whom, and to what is no command."""

import asyncio
import errno
import json
import os
import socket
import stat
import threading

import pytest

from fastsip.api import accept
from fastsip.api import socket as api_socket
from fastsip.api.socket import STOPPED, NoAnswer, NotRunning, Refused, Server, answer_kept, ask, is_running


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


async def stay_busy(client, asked):
    while True:
        yield {"number": 1}
        await asyncio.sleep(0.01)


async def stay_for_ever(client, asked):
    """Whoever is cancelled may have something to put in order first."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
    yield {}


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
                await server.close()

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
    monkeypatch.setitem(api_socket.ANSWER_LIMIT_S, "status", 0.1)

    def ask_twice(run_dir: str) -> None:
        answers = ask(run_dir, "status")
        assert next(answers) == {"number": 1}
        with pytest.raises(Refused, match="has not answered"):
            next(answers)

    serve(ask_twice, status=stay_silent)


@pytest.mark.parametrize("handler", [stay_silent, stay_busy, stay_for_ever])
def test_whoever_waits_at_the_end_is_answered(tmp_path, caplog, capfd, handler):
    """And nobody else hears of it: no traceback in the log."""
    asked = threading.Semaphore(0)

    async def wait(client, order):
        asked.release()
        async for answer in handler(client, order):
            yield answer

    def order(run_dir: str) -> None:
        with pytest.raises(Refused, match=STOPPED):
            list(ask(run_dir, "wait"))

    async def main():
        server = Server(str(tmp_path), {"wait": wait})
        await server.start()
        orders = [asyncio.create_task(asyncio.to_thread(order, str(tmp_path))) for _ in range(3)]
        for _ in orders:
            assert await asyncio.to_thread(asked.acquire, timeout=10)
        await server.close()
        await asyncio.gather(*orders)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert caplog.records == [] and capfd.readouterr().err == ""


def test_whoever_has_his_answer_hears_nothing_more(tmp_path):
    """The order that ends us is answered once."""
    async def main():
        ended = asyncio.Event()

        async def stop(client, order):
            yield {"done": "leaving"}
            ended.set()
            await asyncio.Event().wait()

        server = Server(str(tmp_path), {"stop": stop})
        await server.start()
        talking = asyncio.create_task(asyncio.to_thread(talk, str(tmp_path), b'{"command":"stop"}\n'))
        await ended.wait()
        await server.close()
        return await talking

    assert asyncio.run(asyncio.wait_for(main(), 20)) == b'{"done":"leaving"}\n'


def test_who_listens_is_running(serve, tmp_path):
    assert serve(is_running) is True
    assert is_running(str(tmp_path)) is False and is_running(str(tmp_path / "nowhere")) is False
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
    assert is_running(str(tmp_path)) is False


def test_a_socket_that_cannot_be_made_is_said_in_words(tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(OSError, match=r"control\.sock cannot be made: AF_UNIX path too long"):
        asyncio.run(Server(str(deep), {}).start())


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


@pytest.mark.parametrize("line, why", [
    (b'{"done":"loo', "ended before"), (b'{"done":"looking"}', "ended before"), (b"", "ended before"),
    (b'{"done":\n', "does not speak"), (b"[]\n", "does not speak"), (b"\xff\n", "does not speak"),
])  # fmt: skip
def test_an_answer_that_is_torn_is_none(tmp_path, line, why):
    """As of a supervisor that dies in the middle of it."""
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "control.sock"))
        there.listen()

        def answer() -> None:
            connection, _ = there.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(line)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NoAnswer, match=why):
            list(ask(str(tmp_path), "look"))
        thread.join(timeout=20)


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
    assert said == [STOPPED]


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
    monkeypatch.setattr(api_socket, "READ_LIMIT_S", 0.05)

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
    with pytest.raises(NotRunning, match=f"^no router runs in {tmp_path}$"):
        list(ask(str(tmp_path), "count"))


def test_another_program_may_have_the_last_word(serve):
    """As after an exec: the descriptor is all that is left of the connection."""
    kept = []

    async def keep(client, asked):
        kept.append(client.keep())
        answer_kept(kept[0], {"done": "by another"})
        yield {}

    assert serve(lambda run_dir: list(ask(run_dir, "keep")), keep=keep) == [{"done": "by another"}]


def test_what_is_no_order_is_refused_before_it_is_sent(tmp_path):
    with pytest.raises(Refused, match="no text in UTF-8"):
        next(ask(str(tmp_path), "count", ids=["\udcff"]))
    room = api_socket.LONGEST_LINE - len(api_socket.line_of({"ids": [""]}))
    assert len(api_socket.line_of({"ids": ["x" * room]})) == api_socket.LONGEST_LINE
    with pytest.raises(Refused, match="at most"):
        api_socket.line_of({"ids": ["x" * (room + 1)]})


def test_the_longest_order_is_read(serve):
    room = api_socket.LONGEST_LINE - len(api_socket.line_of({"command": "count", "ids": [""]}))
    assert serve(lambda run_dir: list(ask(run_dir, "count", ids=["x" * room])))[-1] == {"done": "counted"}


# ---------------------------------------------------------------- who speaks HTTP


def test_who_speaks_http_is_handed_over_with_all_that_he_has_said(tmp_path):
    """And who speaks JSON is not, whenever he comes."""
    taken: list[socket.socket] = []

    def speak(run_dir: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(os.path.join(run_dir, "control.sock"))
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return sock.recv(100)

    def take(connection: socket.socket) -> None:
        taken.append(connection)
        connection.setblocking(True)
        assert connection.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        connection.close()

    async def main() -> None:
        server = Server(str(tmp_path), {"count": count}, hand_over=take)
        await server.start()
        assert await asyncio.to_thread(speak, str(tmp_path)) == b"HTTP/1.1 200 OK\r\n"
        heard = await asyncio.to_thread(talk, str(tmp_path), b' {"command": "count", "to": 0}\n')
        assert json.loads(heard) == {"done": "counted"} and len(taken) == 1
        await server.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_who_comes_while_it_rests_is_heard_afterwards(tmp_path):
    async def main() -> None:
        server = Server(str(tmp_path), {"count": count})
        await server.start()
        server.rest()
        asked = asyncio.create_task(asyncio.to_thread(lambda: list(ask(str(tmp_path), "count", to=0))))
        assert not (await asyncio.wait((asked,), timeout=0.1))[0]
        server.go_on()
        assert await asked == [{"done": "counted"}]
        await server.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_without_descriptors_who_comes_waits_until_there_are_some(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(accept, "NO_ROOM_PAUSE_S", 0.05)

    class Crowded:
        """A socket that cannot accept for a while."""

        def __init__(self, sock: socket.socket):
            self.sock, self.refusals = sock, 3

        def __getattr__(self, name: str):
            return getattr(self.sock, name)

        def accept(self):
            self.refusals -= 1
            if self.refusals >= 0:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return self.sock.accept()

    async def main() -> None:
        server = Server(str(tmp_path), {"count": count})
        await server.start()
        server._acceptor.sock = Crowded(server._acceptor.sock)
        assert await asyncio.to_thread(lambda: list(ask(str(tmp_path), "count", to=0))) == [{"done": "counted"}]
        await server.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert caplog.text.count("nobody can be heard on control.sock") == 3
