"""What operators ask of a running router, by the names of the commands of api/socket.

What is asked for the supervisor does.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from fastsip.api.socket import Answer, Client, Handler, Refused
from fastsip.dispatcher.words import LONGEST_ONCE, LONGEST_WHY, STATES, Press
from fastsip.process.messages import Looked
from fastsip.supervisor.draining import PATIENCE_S
from fastsip.supervisor.looking import LONGEST_CALL_ID, LONGEST_LOOK_S, LONGEST_NAME, is_address

LONGEST_DRAIN_S = 86_400
COLUMNS = ("destination", "flags", "priority", "attrs")     # of Kamailio's table, but for the set
COMMANDS = ("status", "reload", "destinations", "admin", "probe", "look", "add", "remove", "drain", "upgrade", "stop")


class Service(Protocol):
    """What orders need of a supervisor.  Whatever cannot be done is Refused, with the reason."""

    @property
    def draining(self) -> bool:
        """No new calls are taken."""

    def status(self) -> Answer:
        """What runs, now."""

    async def reload(self) -> Answer:
        """Takes the file and its sources as they are now: `configuration`, the number of this one, which destinations
        it has `added`, `removed` and `changed`, and what was `left_out` of its sources."""

    def destinations(self) -> AsyncIterator[Answer]:
        """Each `set` and its `destinations`, in parts."""

    async def say_admin(self, ids: list[str], sets: list[str], state: str, why: str, press: Press) -> Answer:
        """Of these destinations, and all of these sets: `enabled`, `draining` or `disabled`, until another word."""

    async def probe(self, ids: list[str], sets: list[str]) -> Answer:
        """Of each of these, in `ends`: is it `alive`, by which `code`, after how many `ms`."""

    async def look(self, name: str, looked: Looked, seconds: float) -> None:
        """What shards see of messages is in run_dir/mirror for so long, 0 = no longer; whoever looks renews it."""

    async def add(self, group: str, columns: dict[str, Any]) -> Answer:
        """A destination for the set of this name or setid, by the columns of Kamailio's table; its `id`."""

    async def remove(self, identity: str) -> Answer:
        """One that was added so."""

    def drain(self, limit_s: float) -> AsyncIterator[Answer]:
        """Takes no new calls, and says once in a while what is still `open`."""

    async def undo_drain(self) -> None:
        """Takes new calls again."""

    async def upgrade(self, client: Client) -> None:
        """Goes on as another program, which answers the client; so it does not return."""

    def stop(self) -> None:
        """Leaves, soon."""


def handlers(service: Service) -> dict[str, Handler]:
    orders = Orders(service)
    return {name: getattr(orders, name) for name in COMMANDS}


def _names(asked: dict[str, Any], key: str) -> list[str]:
    found = asked.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise Refused(f"{key} is a list of names")
    return found


def _some(asked: dict[str, Any]) -> tuple[list[str], list[str]]:
    """`ids` and `sets`, at least one."""
    ids, sets = _names(asked, "ids"), _names(asked, "sets")
    if not ids and not sets:
        raise Refused("ids or sets: name at least one")
    return ids, sets


def _press(asked: dict[str, Any]) -> Press:
    once, was, until = asked.get("once", ""), asked.get("was", ""), asked.get("until")
    if not isinstance(once, str) or len(once) > LONGEST_ONCE:
        raise Refused(f"once is a text of at most {LONGEST_ONCE} letters")
    if not isinstance(was, str) or was not in ("", *STATES.values()):
        raise Refused(f"was is one of {', '.join(STATES.values())}")
    if until is not None and (isinstance(until, bool) or not isinstance(until, int | float)):
        raise Refused("until is a number of seconds of the monotonic clock")
    return Press(once=once, was=was, until=until)


def _looked(asked: Any) -> Looked:
    """Refused: it is not one of the three."""
    one = asked if isinstance(asked, dict) and len(asked) == 1 else {}
    share, call_id, peer = (one.get(key) for key in ("share", "call_id", "peer"))
    if isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1:
        return Looked(share=float(share))
    if isinstance(call_id, str) and 0 < len(call_id.encode()) <= LONGEST_CALL_ID:
        return Looked(call_id=call_id)
    if isinstance(peer, str) and is_address(peer):
        return Looked(peer=peer)
    raise Refused("filter is one of share, from 0 to 1 of all calls; "
                  f"call_id, of at most {LONGEST_CALL_ID} bytes; peer, an IP address")


class Orders:
    """A handler for each command; the last answer of each has `done`."""

    def __init__(self, service: Service):
        self.service = service

    async def status(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        yield {"done": "status", **self.service.status()}

    async def reload(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        yield {"done": "reloaded", **await self.service.reload()}

    async def destinations(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        async for answer in self.service.destinations():
            yield answer
        yield {"done": "destinations"}

    async def admin(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`state` = enabled, draining or disabled; `ids`, `sets`: lists of names; `why`: a text; `once`, `was` and
        `until` as of Press.
        """
        state, why = asked.get("state"), asked.get("why", "")
        if not isinstance(state, str) or state not in STATES.values():
            raise Refused(f"state is one of {', '.join(STATES.values())}")
        if not isinstance(why, str) or len(why) > LONGEST_WHY:
            raise Refused(f"why is a text of at most {LONGEST_WHY} letters")
        press = _press(asked)
        yield {"done": state, **await self.service.say_admin(*_some(asked), state, why, press)}

    async def probe(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`ids`, `sets` as of admin."""
        yield {"done": "probed", **await self.service.probe(*_some(asked))}

    async def look(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`name` of who looks; `filter`: one of `share` (0 to 1 of all calls), `call_id`, `peer` (an address);
        `seconds`, 0 = he does not look any more.
        """
        name, seconds = asked.get("name"), asked.get("seconds")
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise Refused(f"name is a text of 1 to {LONGEST_NAME} letters")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_LOOK_S:
            raise Refused(f"seconds is a number from 0 to {LONGEST_LOOK_S}")
        await self.service.look(name, _looked(asked.get("filter")), float(seconds))
        yield {"done": "looking" if seconds else "not looking"}

    async def add(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`set`, and of COLUMNS those that there are: texts or numbers."""
        columns = {name: asked[name] for name in COLUMNS if name in asked}
        if not isinstance(asked.get("set"), str) or not all(isinstance(one, str | int) for one in columns.values()):
            raise Refused("set is the name or setid of a set; columns are texts or numbers")
        yield {"done": "added", **await self.service.add(asked["set"], columns)}

    async def remove(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`id`."""
        if not isinstance(asked.get("id"), str):
            raise Refused("id is that of a destination")
        yield {"done": "removed", **await self.service.remove(asked["id"])}

    async def stop(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        yield {"done": "leaving"}
        self.service.stop()

    async def drain(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """`limit_s`, `then` = "stop" or nothing; `undo`: takes new calls again."""
        if asked.get("undo"):
            await self.service.undo_drain()
            yield {"done": "new calls are taken"}
            return
        left, limit_s = None, asked.get("limit_s", PATIENCE_S)
        if not isinstance(limit_s, int | float) or not 0 <= limit_s <= LONGEST_DRAIN_S:
            raise Refused(f"limit_s is a number of seconds from 0 to {LONGEST_DRAIN_S}")
        async for answer in self.service.drain(float(limit_s)):
            left = answer["open"]
            yield answer
        if not self.service.draining:
            raise Refused("somebody has undone the draining")
        yield {"done": "drained" if left == 0 else "the time is over", "open": left}
        if asked.get("then") == "stop":
            self.service.stop()

    async def upgrade(self, client: Client, asked: dict[str, Any]) -> AsyncIterator[Answer]:
        """The new code answers, when the router's code is new, too."""
        await self.service.upgrade(client)
        yield {"done": "nothing"}
