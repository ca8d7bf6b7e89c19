"""Another configuration, or another code: what a change needs, what it cannot change, and how it takes place.

What the table holds changes in place, in the router that routes.  Shards, sockets, the size of the store and code
change by a planned takeover: another router is made ready, the one that routes leaves, and nothing has changed when
that fails.
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fastsip import __version__
from fastsip._core.store.partitions import lack_of_room
from fastsip.api.socket import STOPPED, Answer, Client, Refused, answer_kept
from fastsip.base.plain import reason
from fastsip.config import Config, ConfigError, load_text, read_text
from fastsip.config.sources import Fresh, Spec, all_of_them
from fastsip.config.targets import with_answers
from fastsip.dispatcher.diff import Diff, compare
from fastsip.log import log
from fastsip.process import messages
from fastsip.resolve.answers import Answers
from fastsip.supervisor import databases, desks, limits, upgrade
from fastsip.supervisor.asking import ask_first
from fastsip.supervisor.child import Child, handed
from fastsip.supervisor.destinations import check_kept, drop_words
from fastsip.supervisor.sockets import place_of
from fastsip.supervisor.state import Change, StartError, State
from fastsip.supervisor.watch import patience_of

OLD_RUNS_ON = "the old configuration runs on"
OLD_CODE_RUNS_ON = "the old code runs on"
MOST_LEFT_OUT = 20  # records of one source and one reload


def read_file(file: str, fresh: Fresh = all_of_them, answers: Answers | None = None) -> tuple[Config, str]:
    """What it says now, read and as it stands.  Takes as long as it is large.  fresh, answers: as of load_text."""
    if Path(file).is_fifo():
        raise StartError(f"{file} is a pipe: who waits for one may wait for ever")
    text = read_text(file)
    return load_text(text, file, fresh=fresh, answers=answers), text


def read_change(before: Config, answers: Answers) -> tuple[Config, str]:
    """What its file says now.

    Databases have just been read, but for those that are new: what is kept of one may be of long ago.
    """
    just_read = {(one.name, one.origin) for one in databases.sql_sources(before)}

    def is_fresh(spec: Spec) -> bool:
        return (spec.name, spec.origin) not in just_read

    check_kept(before)
    return read_file(before.file, is_fresh, answers)


def check_change(old: Config, fresh: Config) -> None:
    """StartError: this cannot change while calls are kept, or finds no room."""
    if fresh.router.run_dir != old.router.run_dir:
        raise StartError("router.run_dir changes with a restart only: the calls in progress are there")
    if fresh.router.state_dir != old.router.state_dir:
        raise StartError("router.state_dir changes with a restart only: the secret that calls in progress are signed "
                         "with is there; take it along")
    now, wanted = old.limits.max_transactions, fresh.limits.max_transactions
    words = lack_of_room(fresh.router.run_dir, wanted) if wanted != now else ""
    if words:
        raise StartError(words)


def needs_takeover(old: Config, fresh: Config) -> bool:
    """Do the shards, the sockets or the store change?  All else is in the table."""
    def held(config: Config) -> tuple:
        sockets = [(place_of(one), one.rcvbuf_bytes) for one in config.listeners]
        return config.router.shards, config.limits.max_transactions, sockets

    return held(old) != held(fresh)


# ---------------------------------------------------------------- reload


async def reload(here: State) -> Answer:
    """What the file and its sources say now, in place or by a planned takeover; Refused whole when it is wrong.

    Databases are read before anybody else has to wait for us: one that does not answer takes its time.
    """
    with said_when_refused(here):
        await databases.look_at_all(here)
    async with here.busy:
        here.notifier.reloading()
        try:
            with said_when_refused(here):
                fresh, text = await asyncio.to_thread(read_change, here.config, dict(here.names.answers))
                fresh = await with_first(here, fresh)
                diff = compare(here.config, fresh)
                await apply(here, databases.with_away(here, fresh), text)
        finally:
            here.notifier.ready(here.status_text())
        here.untaken = False
        note_reload(here, diff, "reload")
        return {"configuration": here.version, **diff.named(), "left_out": left_out(here.config)}


async def with_first(here: State, fresh: Config) -> Config:
    """With what DNS says of names that are new; it has a moment for that."""
    if not await ask_first(here, fresh):
        return fresh
    return await asyncio.to_thread(with_answers, fresh, dict(here.names.answers), time.time())


@contextlib.contextmanager
def said_when_refused(here: State) -> Iterator[None]:
    """Why nothing has changed, in the log, as an event and to whoever asked."""
    try:
        yield
    except (ConfigError, StartError, OSError) as error:
        log.error(f"reload refused, {OLD_RUNS_ON}", extra={"fields": {"why": reason(error)}})
        here.events.tell("config.refused", cause="reload", why=reason(error))
        raise Refused(f"{reason(error)}\n{OLD_RUNS_ON}") from None
    except Exception as error:
        log.exception(f"reload failed, {OLD_RUNS_ON}")
        here.events.tell("config.refused", cause="reload", why=f"{type(error).__name__}: {error}")
        raise Refused(f"{type(error).__name__}: {error}\n{OLD_RUNS_ON}") from None


def note_reload(here: State, diff: Diff, cause: str) -> None:
    """After another configuration came into force.  cause: reload, source, operator, names or upgrade."""
    here.version += 1
    drop_words(here.config)
    databases.forget_removed(here)
    log.info("reloaded", extra={"fields": {"version": here.version, **diff.facts()}})
    here.events.tell("config.reloaded", cause=cause, version=here.version, **diff.facts())
    here.told_refused = ""
    databases.tell_away(here)
    say_sources(here.config)


def left_out(config: Config) -> list[str]:
    """For an answer: what sources have that counts for nothing, of much the first."""
    found = [f"{source.name}: {source.away}; what was read last counts" for source in config.sources if source.away]
    for source in config.sources:
        found += [f"{source.name}: {one}" for one in source.left_out]
    return found[:MOST_LEFT_OUT] + ([f"{len(found) - MOST_LEFT_OUT} more"] if len(found) > MOST_LEFT_OUT else [])


def say_sources(config: Config) -> None:
    """Which of them is away, and what they have that no set took in."""
    for source in config.sources:
        fields = {"source": source.name, "origin": source.origin}
        if source.away:
            log.warning("a source is away, what was read last counts", extra={"fields": {**fields, "why": source.away}})
        for one in source.left_out[:MOST_LEFT_OUT]:
            log.warning("left out of a source", extra={"fields": {**fields, "where": one.where, "why": one.why,
                                                                  "found": one.found}})


async def apply(here: State, fresh: Config, text: str) -> None:
    """StartError or OSError says why it cannot be."""
    check_change(here.config, fresh)
    with here.door.opened(fresh.api):
        await put_in_force(here, fresh, text)
    desks.tell(here)


async def put_in_force(here: State, fresh: Config, text: str) -> None:
    """In place, or by a planned takeover."""
    if needs_takeover(here.config, fresh) or not await reload_in_place(here, fresh, text):
        await take_over(here, fresh, text)
        return
    here.config, here.text = fresh, text
    if here.watch:
        here.watch.patience, here.watch.for_the_loop = patience_of(fresh)
    if here.spare:
        here.spare.kill()
        here.spare = here.new_spare()


async def reload_in_place(here: State, fresh: Config, text: str) -> bool:
    """False: it needs a new router, also when the old one died over it or says nothing."""
    router = here.router
    if router is None:
        return False
    try:
        with handed(fresh, text) as fds:
            said = await router.order(messages.Reload(file=fresh.file), messages.Reloaded, messages.ReloadRefused,
                                      limit_s=limits.RELOAD_LIMIT_S, fds=fds)
    except TimeoutError:
        log.error("a reload is not answered: another router takes over", extra={"fields": {"pid": router.pid}})
        return False
    if isinstance(said, messages.Failed) or (isinstance(said, messages.ReloadRefused) and not said.larger):
        raise StartError(said.why)
    return isinstance(said, messages.Reloaded) and router is here.router and router.status is None


async def take_over(here: State, config: Config, text: str, cause: str = "reload") -> None:
    """Another router routes with this configuration when this returns; StartError: nothing has changed."""
    spare, change = Child.start(config, text, here.program), None
    try:
        async with asyncio.timeout(limits.WARM_LIMIT_S):
            said = await spare.hear(messages.Warm, messages.Refused)
        if isinstance(said, messages.Refused):
            raise StartError(said.why)
        if isinstance(said, messages.Ended):
            raise StartError(f"the new router ended with {spare.status}")
        here.open_sockets(config)
        spare.inbox.insert(0, said)
        change = here.planned = Change(spare, config, text, cause)
        here.wish.set()
        await change.done
    except BaseException as error:
        if spare not in (here.spare, here.router):  # it takes over, whoever does not wait for it
            here.planned = None if here.planned is change else here.planned
            spare.kill()
        if isinstance(error, TimeoutError):
            raise StartError(f"the new router was not ready within {limits.WARM_LIMIT_S:.0f} s") from None
        raise


# ---------------------------------------------------------------- upgrade


async def upgrade_all(here: State, client: Client) -> None:
    """Does not return: the new code answers, when the router's code is new, too.  Refused: nothing has changed."""
    async with here.busy:
        words = await upgrade.objection(here.config.file)
        if words:
            log.error(f"upgrade refused, {OLD_CODE_RUNS_ON}", extra={"fields": {"why": words}})
            raise Refused(f"{words}\n{OLD_CODE_RUNS_ON}")
        try:
            await asyncio.to_thread(check_kept, here.config)
            await replace(here, client.keep())
        except OSError as error:
            raise Refused(f"{reason(error)}\n{OLD_CODE_RUNS_ON}") from None


async def replace(here: State, client: int) -> None:
    """The installed code goes on in this process and answers the client; an exception: nothing has changed."""
    here.replacing = True
    try:
        if here.spare:
            spare, here.spare = here.spare, None
            spare.kill()
            await spare.hear()
        await here.events.settle()
        await desks.send_away(here)     # which asks us for what it answers, so we still listen
        if here.server:
            here.server.rest()
        if here.router is None:
            raise OSError(errno.EAGAIN, "a router is just starting; ask again")
        if here.stopping:
            raise Refused(STOPPED)  # the new code would know nothing of that order
        upgrade.replace(upgrade.Inheritance(
            file=here.config.file, text=here.text, lock=here.lock,
            groups=[(host, port, fds) for (host, port), fds in here.sockets.groups.items()],
            router_pid=here.router.pid, router_line=here.router.line.fileno(), client=client,
            version=here.version, draining=here.draining, control=here.control, api=here.door.passed_on(),
            unheard=unheard(here),
        ))  # fmt: skip
    except BaseException:
        os.close(client)
        here.replacing = False
        here.desk_wish.set()
        if here.server:
            here.server.go_on()
        if here.router and not here.spare and not here.stopping:
            here.spare = here.new_spare()
        raise


def unheard(here: State) -> list[int]:
    """Connections of control.sock with which the next program begins anew."""
    silent = here.server.unheard() if here.server else []
    return silent + [connection.fileno() for connection in here.visitors]


async def finish_upgrade(here: State, client: int) -> None:
    """The supervisor's code is new; now the router's, on what the file says."""
    answer = {"error": STOPPED}
    try:
        answer = await upgrade_router(here)
    finally:  # also when it is cancelled, at the end of all
        if client >= 0:
            answer_kept(client, answer)


async def upgrade_router(here: State) -> Answer:
    try:
        await databases.look_at_all(here)
        async with here.busy:
            fresh, text = await asyncio.to_thread(read_change, here.config, dict(here.names.answers))
            diff = compare(here.config, fresh)
            with here.door.opened(fresh.api):
                await take_over(here, databases.with_away(here, fresh), text, "upgrade")
            desks.tell(here)
            here.untaken = False
            note_reload(here, diff, "upgrade")
    except Exception as error:
        planned = isinstance(error, ConfigError | StartError | OSError)
        words = reason(error) if planned else f"{type(error).__name__}: {error}"
        log.error("the router was not upgraded", exc_info=None if planned else error,
                  extra={"fields": {"why": words}})
        here.events.tell("config.refused", cause="upgrade", why=words)
        return {"error": f"{words}\n{OLD_RUNS_ON} under the new supervisor"}
    log.info("upgraded", extra={"fields": {"version": __version__}})
    return {"done": "upgraded", "version": __version__}
