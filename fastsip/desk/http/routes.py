"""What a path is.  Another one is a row in the ROUTES of the file that answers its group; a new group is a file that
table.py names.

An answer is made in a thread, by a function that knows nothing of HTTP: it gets a Call, and gives what becomes JSON, or
a Text.  What it raises becomes a problem (problems.STATUS).
"""

import contextlib
import enum
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from fastsip.desk.http.access import ORDER, READ


class Departure:
    """Of whoever asked: he has left, or is waited for no longer, and what was begun for him alone may end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.is_over = False

    def note(self) -> None:
        """Called in the loop: none of the ends takes its time."""
        with self._lock:
            self.is_over, ends = True, self._ends
            self._ends = []
        for end in ends:
            end()

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """`end` is called when he leaves meanwhile, or has left before."""
        with self._lock:
            gone = self.is_over
            if not gone:
                self._ends.append(end)
        if gone:
            end()
        try:
            yield
        finally:
            with self._lock:
                self._ends = [each for each in self._ends if each is not end]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request.

    run_dir, file   of the router, as the supervisor said last
    parts           of the path, by name
    query           values by name
    accept          the header of that name
    body            of the route's type, b"" where it has none
    may             what whoever asks may (access)
    departure       his, from before the end
    """

    run_dir: str
    file: str
    parts: dict[str, str] = {}
    query: dict[str, list[str]] = {}
    accept: str = ""
    body: Any = b""
    may: int = ORDER
    departure: Departure = msgspec.field(default_factory=Departure)


class Text(msgspec.Struct, frozen=True):
    """An answer that is no JSON; status 204 with nothing."""

    body: str
    content_type: str
    status: int = 200
    headers: dict[str, str] = {}


class Where(enum.Enum):
    """Who works on it: threads of a kind, so that the slow ones keep nobody waiting but their like; or the loop itself,
    for what takes no time and opens no file.
    """

    LOOP = "loop"
    READERS = "readers"
    ORDERERS = "orderers"
    EXPLAINERS = "explainers"
    PAGES = "pages"


class Query(msgspec.Struct, frozen=True):
    """A value behind the path.  many: it may stand there more than once."""

    name: str
    help: str
    values: tuple[str, ...] = ()    # allowed ones; () = any
    many: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """needs: of access.  answers, body: types of what is answered and asked; None: a text, or no body.

    where: who works on it, and so how long it may take (workers.LIMITS); a function where that is as the call is.
    raw: the body is read by `answer`, which says in its own way what is wrong with it.
    """

    method: str
    path: str
    answer: Callable[[Call], Any]
    help: str
    needs: int = READ
    where: Where | Callable[[Call], Where] = Where.READERS
    answers: Any = None
    body: Any = None
    raw: bool = False
    query: tuple[Query, ...] = ()
    status: int = 200
    content_types: tuple[str, ...] = ("application/json",)
