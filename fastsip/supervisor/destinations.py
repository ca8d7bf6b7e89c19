"""What operators see and say of destinations: which there are, and which of them take calls.

A word is kept before the router hears of it (dispatcher/words): the next router knows it, whatever becomes of this
one.  What lives and what was learned stands in run_dir, for whoever looks (observe/destinations).
"""

import asyncio
import bisect
import difflib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fastsip.api.socket import Answer, Refused
from fastsip.base.plain import reason
from fastsip.config import Config, Destination, DestinationSet, NamedDestination
from fastsip.config.targets import ids_of, names_of, parent_of, question_of, questions_of
from fastsip.dispatcher.words import (
    Press,
    Word,
    Words,
    admin_of,
    read_words,
    said,
    standing,
    state_of,
    word_on,
    write_words,
)
from fastsip.log import log
from fastsip.process import messages
from fastsip.resolve.asking import Question
from fastsip.sources.added import read_added
from fastsip.supervisor.state import Pressed, State

ANSWER_LIMIT_S = 30.0   # a reload of a large configuration may be before it
MOST_NAMED = 20         # names without a target, in an answer
MOST_PROBED = 50        # their ids stand in one message
AT_ONCE = 500           # destinations of one answer: a millisecond or two of the supervisor's loop
MOST_PRESSED = 1000     # orders of the page that are remembered, so that none is done twice
MOST_SAID = 20          # of one change, in the log
MOST_COMPARED = 500     # names that one may have been meant for: 25 ms of the supervisor's loop
LONGEST_COMPARED = 200  # letters
NO_PRESS = Press()
KEPT = "it is kept, and counts from the next router on"


async def listing(here: State) -> AsyncIterator[Answer]:
    """Sets and their destinations, in order, a part of one set at a time."""
    config = here.config
    words = standing(await asyncio.to_thread(read_words, config.router.state_dir), config)
    questions = questions_of(config)
    for group in config.sets:
        members: Iterator[Destination] = iter(group.destinations)
        about = _set(group) | {"names": [_name(here, one, words, questions) for one in group.names]}
        while True:
            some = [_member(config, one, word_on(one, words)) for one in islice(members, AT_ONCE)]
            yield {"set": about, "destinations": some}
            await asyncio.sleep(0)
            if len(some) < AT_ONCE:
                break


def _set(group: DestinationSet) -> dict[str, Any]:
    return {"name": group.name, "setid": group.setid, "algorithm": group.algorithm,
            "calls_per_second": group.calls.per_second if group.calls else None}


def _common(one: Destination | NamedDestination, listener: str, word: Word | None) -> dict[str, Any]:
    """What an address and a name both show."""
    return {
        "id": one.id,
        "uri": one.uri,
        "priority": one.priority,
        "weight": one.weight,
        "attrs": dict(one.attrs),
        "listener": listener,
        "probe": one.probe.mode if one.probe else "none",
        "admin": state_of(one.admin, word),
        "configured": one.admin,
        "said_at": word.at if word else None,
        "why": word.why if word else "",
        "calls_per_second": one.calls.per_second if one.calls else None,
    }


def _member(config: Config, one: Destination, word: Word | None) -> dict[str, Any]:
    return _common(one, config.listeners[one.listener].uri, word) | {
        "parent": one.parent,
        "address": f"[{one.host}]:{one.port}" if one.family == 6 else f"{one.host}:{one.port}",
    }


def _name(here: State, one: NamedDestination, words: Words, questions: Container[Question]) -> dict[str, Any]:
    """A name; `resolved`: it has targets, `trouble`: what is wrong with DNS, "" = nothing."""
    word, question = word_on(one, words), question_of(one)
    resolved, trouble = here.names.state_of(question) if question in questions else (True, "")
    return _common(one, one.listen, word) | {
        "parent": "",
        "address": "",
        "resolved": resolved,
        "trouble": trouble,
        "left_out": list(one.left_out),
    }


def unresolved(here: State) -> list[str]:
    """Names without a target, of many the first."""
    with_targets = {one.parent for group in here.config.sets for one in group.destinations if one.parent}
    return [one.id for one in names_of(here.config) if one.id not in with_targets][:MOST_NAMED]


def chosen(config: Config, ids: Iterable[str], sets: Iterable[str]) -> list[str]:
    """These destinations, and all of these sets, each once; of a set names, not their targets.  Refused: one of them is
    not there.
    """
    known = set(ids_of(config))
    found: dict[str, None] = {}
    for identity in ids:
        if identity not in known:
            raise Refused(f"there is no destination {identity}{_near(identity, known)}")
        found[identity] = None
    numbered = {str(group.setid): group for group in config.sets if group.setid is not None}
    groups = numbered | {group.name: group for group in config.sets}
    for name in sets:
        if name not in groups:
            raise Refused(f"there is no set {name}{_near(name, {group.name for group in config.sets})}")
        found |= dict.fromkeys(one.id for one in groups[name].names)
        found |= dict.fromkeys(one.id for one in groups[name].destinations if not one.parent)
    return list(found)


def _with_targets(config: Config, ids: Iterable[str]) -> list[str]:
    """Of names their targets: those that can be sent to."""
    wanted = list(ids)
    names, targets = {one.id for one in names_of(config)}, defaultdict(list)
    for group in config.sets:
        for one in group.destinations:
            targets[one.parent].append(one.id)
    return list(dict.fromkeys(each for one in wanted for each in (targets[one] if one in names else [one])))


def _near(wanted: str, known: Iterable[str]) -> str:
    """Of many names some of those that stand beside it in the alphabet: each one that is compared takes its time."""
    if len(wanted) > LONGEST_COMPARED:
        return ""
    names = sorted(known)
    first = max(0, bisect.bisect(names, wanted) - MOST_COMPARED // 2)
    near = difflib.get_close_matches(wanted, names[first : first + MOST_COMPARED], 1)
    return f"; is {near[0]} meant?" if near else ""


async def say(here: State, ids: Sequence[str], sets: Sequence[str], state: str, why: str,
              press: Press = NO_PRESS) -> Answer:  # fmt: skip
    """From now on and until another word these are `state`: how many of them were not before (`changed`), and which
    sets have nobody left who takes new calls.  Refused: nothing is changed, or it counts from the next router on.
    """
    async with here.busy:
        config = here.config
        wanted = chosen(config, ids, sets)
        if done := here.pressed.get(press.once):
            return _again(done, state, wanted)
        try:
            words = await asyncio.to_thread(read_words, config.router.state_dir, needed=True)
            before = standing(words, config)
            _check_press(press, _states(config, before), wanted)
            after = said(before, config, wanted, state, why)
            write_words(config.router.state_dir, after)     # in no thread: it would write on when nobody waits any more
        except OSError as error:
            raise Refused(f"it cannot be kept, and nothing has changed: {reason(error)}") from None
        log.info(f"an operator says: {state}",
                 extra={"fields": {"count": len(wanted), "first": wanted[:3], "why": why}})
        answer = _answer(config, before, after, wanted)
        if press.once:      # before anybody waits: a browser asks again when it hears nothing
            here.pressed[press.once] = Pressed(state, wanted, answer)
            while len(here.pressed) > MOST_PRESSED:
                here.pressed.popitem(last=False)
        await _tell(here, why)
    return answer


def _answer(config: Config, before: Words, after: Words, wanted: Sequence[str]) -> Answer:
    changed = {identity for identity, _ in _states(config, before).items() - _states(config, after).items()}
    changed |= {parent_of(identity) for identity in changed}
    return {"destinations": wanted, "changed": len(changed.intersection(wanted)),
            "empty": _empty(config, after, wanted)}


def _again(done: Pressed, state: str, wanted: Sequence[str]) -> Answer:
    """Refused: it is no repetition."""
    if (done.state, done.ids) != (state, wanted):
        raise Refused("something else was ordered from the same look at the page; load it again, then order")
    return done.answer | {"again": True}


def _check_press(press: Press, states: Mapping[str, str], wanted: Sequence[str]) -> None:
    """Refused: he who pressed it meant another moment."""
    if press.until is not None and time.monotonic() > press.until:
        raise Refused("it comes too late after it was ordered, and nothing has changed; look, and order it again")
    for identity in wanted:
        if press.was and states[identity] != press.was:
            raise Refused(f"{identity} is {states[identity]}, and no longer {press.was} as it was shown: nothing has "
                          "changed; look, and order again")  # fmt: skip


def check_kept(config: Config) -> None:
    """OSError: what operators said or added cannot be read, and a configuration without it would be another one."""
    read_words(config.router.state_dir, needed=True)
    read_added(config.router.state_dir, needed=True)


async def probe(here: State, ids: Sequence[str], sets: Sequence[str]) -> Answer:
    """Asks these destinations now, whatever their modes say, and what each answered (`ends`).  Refused: one of them
    has no probe, or these are too many.
    """
    wanted = _with_targets(here.config, chosen(here.config, ids, sets))
    if len(wanted) > MOST_PROBED:
        raise Refused(f"{len(wanted)} destinations: at most {MOST_PROBED} are probed at once")
    probes = {one.id: one.probe for group in here.config.sets for one in group.destinations if one.probe}
    for identity in wanted:
        if identity not in probes:
            raise Refused(f"{identity} is not probed: give it or its set `probe`")
    if here.router is None:
        raise Refused("a router is just starting; ask again")
    limit_s = max((probes[identity].timeout_ms for identity in wanted), default=0) / 1000 + 1
    try:
        said = await here.router.order(messages.Probe(ids=wanted, limit_s=limit_s), messages.Probed,
                                       limit_s=limit_s + 5)
    except TimeoutError:
        raise Refused("the router does not answer") from None
    if not isinstance(said, messages.Probed):
        raise Refused(f"the router does not probe: {said.why}" if isinstance(said, messages.Failed)
                      else "the router ended meanwhile; ask again")
    ends = {end.id: end for end in said.ends}
    return {"ends": [{"id": one, "alive": ends[one].alive, "code": ends[one].code, "ms": ends[one].ms}
                     if one in ends else {"id": one, "alive": None, "code": 0, "ms": 0} for one in wanted]}


def _states(config: Config, words: Words) -> dict[str, str]:
    states = {one.id: admin_of(one, words) for one in names_of(config)}
    return states | {one.id: admin_of(one, words) for group in config.sets for one in group.destinations}


def _empty(config: Config, words: Words, touched: Sequence[str]) -> list[str]:
    """Sets of these destinations where nobody is enabled."""
    states, mine = _states(config, words), set(_with_targets(config, touched))
    found = []
    for group in config.sets:
        counts = Counter(states[one.id] for one in group.destinations)
        if counts["enabled"] == 0 and not mine.isdisjoint(one.id for one in group.destinations):
            found.append(group.name)
    return found


async def _tell(here: State, why: str) -> None:
    """Refused: the router does not say that it has heard.  One that just starts reads it by itself."""
    if here.router is None:
        return
    try:
        heard = await here.router.order(messages.Admin(why=why), messages.AdminSet, limit_s=ANSWER_LIMIT_S)
    except TimeoutError:
        raise Refused(f"the router does not answer; {KEPT}") from None
    if isinstance(heard, messages.Failed):
        raise Refused(f"the router does not take it ({heard.why}); {KEPT}")


def drop_words(config: Config) -> None:
    """Those that do not count any more, since the configuration says another thing now: they must not come back when
    it says what it said before.
    """
    try:
        check_kept(config)
    except OSError:
        return      # destinations that are missing for that come back
    words = read_words(config.router.state_dir)
    left = standing(words, config)
    if left == words:
        return
    for identity in [one for one in words if one not in left][:MOST_SAID]:
        log.info("the configuration has the last word on a destination", extra={"fields": {"destination": identity}})
    try:
        write_words(config.router.state_dir, left)
    except OSError as error:
        log.warning("words on destinations that are over stay on the disk", extra={"fields": {"why": reason(error)}})
