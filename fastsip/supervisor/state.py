"""What a supervisor knows and holds, and the states in which it is.

    starting   nobody routes: the spare prepares itself, is told "go", and has not said "started" yet
    routing    a router routes, and a spare prepares itself or is warm
    leaving    the router was told to leave, for a planned change or at the end
    changing   it is gone: the spare of the change is told "go", and another configuration is in force
    stopping   the end was ordered: nobody is started any more

    starting --started--> routing --died--> starting
                          routing --a change is planned--> leaving --released or dead--> changing
    changing --started--> routing
    changing --did not start--> starting, with the configuration that was in force before
    any --stop--> stopping --released or dead--> the end of the process

What attributes mean in each of them:

    attribute   starting            routing             leaving             changing            stopping
    router      None, or told "go"  who routes          told to leave       None, or told "go"  told to leave, or None
    spare       not warm yet; None  not warm yet,       as in routing;      the change's;       killed at the end
                when told "go"      or warm             killed behind it    None: told "go"
    planned     None, or waits for  None, or the next   the change, or      None, or the next   as it was; its spare
                "started"           one to leave for    None at the end     one, which waits    is killed at the end
    underway    None                None                None                the change          as it was
    watch       None                looks every second  goes on             None                goes on, or None
    config      in force when it    what the router     as in routing       the change's; what  the last one
    text        starts              works with                              was stands in it
    lives       0 before the first  how many have said "started", this one included
    drop        what the next       empty               empty               empty, or as in     not looked at
                router frees                                                starting

`busy` lets one reload or upgrade at a time plan a change; `wish` wakes whoever waits for the router's end.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fastsip.api.socket import Server
from fastsip.config import Config
from fastsip.events.teller import Teller
from fastsip.log import log
from fastsip.process.launch import Newborn
from fastsip.process.marks import Mark, Marks
from fastsip.process.quarantine import Deaths
from fastsip.resolve.answers import read_answers
from fastsip.sources.away import read_away
from fastsip.supervisor.child import Child
from fastsip.supervisor.door import Door
from fastsip.supervisor.known_names import KnownNames
from fastsip.supervisor.sockets import Sockets
from fastsip.supervisor.systemd import Notifier
from fastsip.supervisor.upgrade import Inheritance
from fastsip.supervisor.watch import Watch


class StartError(Exception):
    """The router cannot start; the text says why."""


@dataclass(eq=False)
class Change:
    """A planned takeover: by whom, on what; `done` when it routes, or when it never will.

    `before`: what was in force, from the moment at which the change takes place.  `cause`: reload or upgrade.
    """

    spare: Child
    config: Config
    text: str
    cause: str = "reload"
    done: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    before: tuple[Config, str] | None = None

    def came_true(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(StartError(why))


def door_of(inherited: Inheritance | None) -> Door:
    """As the program before this one has left it."""
    if inherited is None or inherited.api is None:
        return Door()
    host, port, fd = inherited.api
    return Door((host, port), fd)


def with_told(config: Config, told: Mapping[tuple[str, str], str]) -> Config:
    """Of its sources those are away that were told to be: what is inherited was read without asking any of them."""
    sources = tuple(msgspec.structs.replace(one, away=told.get((one.name, one.origin), one.away))
                    for one in config.sources)
    return msgspec.structs.replace(config, sources=sources)


class Pressed(msgspec.Struct, frozen=True):
    """What was ordered by a press, and the answer."""

    state: str
    ids: list[str]
    answer: dict[str, Any]


class State:
    """One for a supervisor.  `inherited`: what the program before it in this process held."""

    def __init__(
        self,
        config: Config,
        text: str,
        program: Sequence[str],
        born: Newborn | None,
        lock: int,
        sockets: Sockets,
        notifier: Notifier,
        inherited: Inheritance | None = None,
    ):
        self.told_away = read_away(config.router.state_dir)  # as `away`, of all sources, when it was told last
        self.config = with_told(config, self.told_away) if inherited else config
        self.text, self.program = text, tuple(program)
        self.born = born  # taken by the first spare
        self.lock, self.sockets, self.notifier = lock, sockets, notifier
        self.inherited = inherited
        self.marks, self.deaths = Marks(config.router.run_dir), Deaths()
        self.router: Child | None = None
        self.spare: Child | None = None
        self.planned: Change | None = None
        self.underway: Change | None = None
        self.watch: Watch | None = None
        self.drop: list[tuple[int, int]] = []  # slots that the next router frees
        self.hung_at: list[Mark] = []  # what the shards stood at of a router that we ended
        self.seen_at: dict[int, Mark | None] = {}  # at the last look, of shards that stood still
        self.slow_loop = False
        self.stopping = False
        self.draining = inherited.draining if inherited else False
        self.version = inherited.version if inherited else 1  # of the configuration
        self.control = -1  # the socket where operators ask
        self.server: Server | None = None  # who answers there
        self.door = door_of(inherited)
        self.desk: Child | None = None  # reads databases, asks DNS, speaks HTTP; started when somebody wants that
        self.desk_wish = asyncio.Event()  # there is one, or one is wanted
        self.replacing = False  # another program takes over in this process: nobody else is begun
        self.visitors: list[socket.socket] = []  # who speaks HTTP on control.sock and waits for that one
        self.names = KnownNames(read_answers(config.router.state_dir, config.resolve.stale_ms / 1000))
        # Name and origin of a source -> why its database cannot be read.
        self.away = {(one.name, one.origin): one.away for one in self.config.sources if one.kind == "sql" and one.away}
        self.events = Teller(config.router.run_dir, lambda: self.config.router.name)
        self.events_since = 0  # number of the first event of this supervisor
        self.told_refused = ""  # why what a source says was not taken
        self.cause = "start"  # why the next router starts
        self.pressed: OrderedDict[str, Pressed] = OrderedDict()  # by Press.once, the last ones
        self.untaken = False  # a source has said another thing than what is in force
        self.short_lives, self.lives = 0, 1 if inherited else 0
        self.wish = asyncio.Event()
        self.busy = asyncio.Lock()
        self.tasks: set[asyncio.Task] = set()

    def new_spare(self) -> Child:
        born, self.born = self.born, None
        return Child.start(self.config, self.text, self.program, born)

    def open_sockets(self, config: Config) -> None:
        """What it wants and is not open; StartError: nothing has changed."""
        try:
            self.sockets.widen(config.listeners, config.router.shards)
        except OSError as error:
            raise StartError(str(error.strerror)) from None

    def status_text(self) -> str:
        return f"{'draining' if self.draining else 'routing'}, {self.config.router.shards} shards"

    def stop(self) -> None:
        self.notifier.stopping("leaving")
        self.stopping = True
        self.wish.set()

    def start_task(self, work: Coroutine) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a task of the supervisor failed", exc_info=task.exception())
