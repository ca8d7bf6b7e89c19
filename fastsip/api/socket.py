"""run_dir/control.sock: what an operator asks of a running router, and who answers.

A UNIX stream socket, mode 0660.  The client sends one JSON object as a line, with `command` and what
that takes; the answer is JSON lines: any number with how far it is, then one with `error` (a
text) or `done`.

Whoever speaks HTTP there is told by his first byte, which is looked at and left where it is: a method begins with a
capital, and no JSON does.  He is given away with all that he has said.

The server runs in the supervisor, which gives it the handlers; the client is for cli and for the desk.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson

from fastsip.api.accept import Acceptor
from fastsip.base.plain import reason
from fastsip.base.run_dir import CONTROL
from fastsip.log import log

LONGEST_LINE = 1 << 20    # bytes of an order: that of a command line with ten thousand ids
READ_LIMIT_S = 5.0
CONNECT_LIMIT_S = 5.0
CLOSE_LIMIT_S = 1.0       # for what is said to those who still wait for an answer at the end
ANSWER_LIMIT_S = {"status": 5.0, "stop": 5.0}  # these are answered from what is known
NOBODY_THERE = (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)
LONGEST_SILENCE_S = 120.0  # a new router may take 30 s to prepare itself, and 30 s to start

WAITING = 100             # connections that the kernel keeps for us

STOPPED = "the router was stopped meanwhile"
BROKEN_OFF = "the connection ended before the answer came"

Answer = dict[str, Any]
Handler = Callable[["Client", dict[str, Any]], AsyncIterator[Answer]]


class Refused(Exception):
    """What was asked for is not done; the text says why."""


class NoAnswer(Refused):
    """Nobody says whether it is done."""


class NotRunning(Exception):
    """Nobody listens there."""


class Client:
    """Whoever asked; an upgrade answers him from another program."""

    def __init__(self, writer: asyncio.StreamWriter):
        self._writer = writer

    def keep(self) -> int:
        """A descriptor of his that outlives this connection."""
        return os.dup(self._writer.get_extra_info("socket").fileno())


class Server:
    """Answers with `handlers`, by command.

    inherited: the socket of the program before this one, where clients wait that came while there was none.
    unheard: connections there of which that program has read nothing.
    hand_over: takes whoever speaks HTTP, and owns the connection then; None = he gets nothing.
    """

    def __init__(
        self,
        run_dir: str,
        handlers: dict[str, Handler],
        inherited: int = -1,
        hand_over: Callable[[socket.socket], None] | None = None,
        unheard: Sequence[int] = (),
    ):
        self._path = Path(run_dir) / CONTROL
        self._handlers = handlers
        self._inherited = inherited
        self._hand_over = hand_over
        self._inherited_unheard = unheard
        self._acceptor: Acceptor | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._silent: set[socket.socket] = set()    # who has not said anything yet

    async def start(self) -> int:
        """Its descriptor, for the program after this one."""
        sock = socket.socket(fileno=self._inherited) if self._inherited >= 0 else self._bound()
        sock.listen(WAITING)
        self._acceptor = Acceptor(sock, self._begin, CONTROL)
        for fd in self._inherited_unheard:
            connection = socket.socket(fileno=fd)
            connection.setblocking(False)
            self._begin(connection)
        return sock.fileno()

    def rest(self) -> None:
        """Whoever comes waits, for go_on or for the program after this one."""
        if self._acceptor:
            self._acceptor.rest()

    def go_on(self) -> None:
        if self._acceptor:
            self._acceptor.go_on()

    def unheard(self) -> list[int]:
        """Connections of which nothing has been read: the program after this one may begin with them anew."""
        return [connection.fileno() for connection in self._silent]

    def _bound(self) -> socket.socket:
        """Whoever holds run_dir's lock may take the place of a socket that was left behind."""
        self._path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o117)
        try:
            sock.bind(str(self._path))
        except OSError as error:
            sock.close()
            raise OSError(f"{self._path} cannot be made: {reason(error)}") from None
        finally:
            os.umask(before)
        return sock

    async def close(self) -> None:
        """Nobody may ask any more, and whoever still waits hears why he waits in vain."""
        if self._acceptor:
            self._acceptor.close()
            self._acceptor = None
        self._path.unlink(missing_ok=True)
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=CLOSE_LIMIT_S)

    def _begin(self, connection: socket.socket) -> None:
        """A task of ours: those that asyncio makes complain when they are cancelled."""
        self._silent.add(connection)
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, connection: socket.socket) -> None:
        """Who says nothing loses the connection; who speaks HTTP is handed over."""
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                try:
                    first = await first_byte(connection)
                finally:
                    self._silent.discard(connection)
                if self._hand_over and first.isupper():
                    self._hand_over(connection)
                    return
                reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LONGEST_LINE)
        except asyncio.CancelledError:
            answer_kept(connection.detach(), {"error": STOPPED})    # he may have ordered already
            return
        except (OSError, TimeoutError):
            connection.close()
            return
        await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Who does not read what he gets loses the connection; what he has ordered goes on to its end, or to ours."""
        waits = True  # for an answer, and can hear it
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                asked = orjson.loads(await reader.readline())
            heard = True
            async for answer in self._answers(Client(writer), asked):
                waits = heard and not answer.keys() & {"done", "error"}
                heard = heard and await self._say(writer, answer)
        except (OSError, TimeoutError, ValueError):
            pass  # no order
        except asyncio.CancelledError:
            if waits:
                await self._say(writer, {"error": STOPPED})
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        try:
            writer.write(orjson.dumps(answer) + b"\n")
            async with asyncio.timeout(READ_LIMIT_S):
                await writer.drain()
        except (OSError, TimeoutError):
            writer.transport.abort()
            return False
        return True

    async def _answers(self, client: Client, asked: Any) -> AsyncIterator[Answer]:
        command = asked.get("command") if isinstance(asked, dict) else None
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            yield {"error": f"a command is one of {', '.join(self._handlers)}"}
            return
        try:
            async for answer in handler(client, asked):
                yield answer
        except Refused as refused:
            yield {"error": str(refused)}
        except Exception as error:
            log.exception("a command failed", extra={"fields": {"command": asked["command"]}})
            yield {"error": f"{type(error).__name__}: {error}; this is a fault of fastsip, its log has the traceback"}


async def first_byte(connection: socket.socket) -> bytes:
    """What comes first there, which stays there for whoever reads; b"" at the end of all."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        while True:
            try:
                return connection.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                readable.clear()
                await readable.wait()
    finally:
        loop.remove_reader(connection.fileno())


def answer_kept(fd: int, answer: Answer) -> None:
    """The last word to a client that was kept."""
    with socket.socket(fileno=fd) as sock, contextlib.suppress(OSError):
        sock.setblocking(True)
        sock.sendall(orjson.dumps(answer) + b"\n")


def ask(run_dir: str, command: str, **fields: Any) -> Generator[Answer, None, None]:
    """The answers to a command, the last of which has `done`.

    Raises NotRunning, and Refused with the text of an `error`, when the connection breaks or nobody answers.
    """
    order = line_of({"command": command, **fields})
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_LIMIT_S)
        try:
            sock.connect(str(Path(run_dir) / CONTROL))
            sock.sendall(order)
        except NOBODY_THERE:
            raise NotRunning(f"no router runs in {run_dir}") from None
        except PermissionError:
            raise Refused(f"only the user and the group of the router in {run_dir} may give it orders") from None
        except OSError as error:
            raise NoAnswer(f"the router in {run_dir} takes no orders: {reason(error)}") from None
        limit_s = ANSWER_LIMIT_S.get(command, LONGEST_SILENCE_S)
        sock.settimeout(limit_s)
        with sock.makefile("rb") as lines:
            while line := read_answer(lines, limit_s):
                answer = _said_in(line)
                if "error" in answer:
                    raise Refused(answer["error"])
                yield answer
                if "done" in answer:
                    return
    raise NoAnswer(BROKEN_OFF)


def _said_in(line: bytes) -> Answer:
    """NoAnswer: who answers died in the middle of it, or is somebody else."""
    if not line.endswith(b"\n"):
        raise NoAnswer(BROKEN_OFF)
    try:
        answer = orjson.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswer("what answers on control.sock does not speak as a supervisor does")
    return answer


def line_of(order: dict[str, Any]) -> bytes:
    """Refused: it is longer than a server reads, or has what is no text."""
    try:
        line = orjson.dumps(order) + b"\n"
    except TypeError:   # an argument of a command line may be any bytes
        raise Refused("what is given is no text in UTF-8") from None
    if len(line) > LONGEST_LINE:
        raise Refused(f"an order of {len(line)} bytes: at most {LONGEST_LINE} are taken at once")
    return line


def is_running(run_dir: str) -> bool:
    """Does anybody listen there?  Yes for whoever may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONNECT_LIMIT_S)
        try:
            sock.connect(str(Path(run_dir) / CONTROL))
        except NOBODY_THERE:
            return False
        except OSError:
            return True
    return True


def read_answer(lines: BufferedReader, limit_s: float) -> bytes:
    try:
        return lines.readline()
    except TimeoutError:
        raise NoAnswer(f"the supervisor has not answered for {limit_s:.0f} s; calls go on without it") from None
    except ConnectionError:
        return b""
