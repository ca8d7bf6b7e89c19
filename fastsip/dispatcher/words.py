"""What operators have said of destinations: take calls, drain, be disabled; over reloads, restarts and boots.

A word stands until another one, or until the configuration and its sources say another thing of that destination than
they did when it was given: who changes a flag in a file means it.  The supervisor alone writes the file, whole; the
router reads it when it lays out what its shards see, so that a word is true before anybody has heard that it is.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fastsip.base.json_file import Laid, read_json_file, write_json_file
from fastsip.base.run_dir import WORDS
from fastsip.config import Config, Destination, NamedDestination
from fastsip.config.targets import names_of, parent_of
from fastsip.log import log

LAYOUT = 1
LONGEST_WHY = 200
LONGEST_ONCE = 64
STATES = {"enable": "enabled", "drain": "draining", "disable": "disabled"}  # an order, and what it makes


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """`configured`: what the configuration said at that time, `at`: seconds since 1970."""

    state: str
    configured: str
    at: float
    why: str = ""


class Press(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with the order of somebody who saw a state and pressed a button, so that it is not done late, twice,
    or of another state than he saw.

    once    a text of his own, "" = none: the second order with it is not done, and answered as the first was
    was     the state that he saw, "" = any
    until   by time.monotonic of this machine, None = for ever: later it is not done
    """

    once: str = ""
    was: str = ""
    until: float | None = None


Words = Mapping[str, Word]  # by id of the destination


class _File(Laid, frozen=True, kw_only=True):
    words: dict[str, Word]


def read_words(state_dir: str | Path, *, needed: bool = False) -> dict[str, Word]:
    """What cannot be read is as if it were not there, and said; a damaged file is kept under another name.

    needed: OSError when it cannot be read, for whoever would write it anew or take other words than those that count.
    """
    found, words = read_json_file(Path(state_dir) / WORDS, _File, LAYOUT, needed=needed)
    if words:
        log.error("what operators said of destinations is missing", extra={"fields": {"why": words}})
    return found.words if found else {}


def write_words(state_dir: str | Path, words: Words) -> None:
    """OSError: there is no room, and what stood there before stands."""
    write_json_file(Path(state_dir) / WORDS, _File(layout=LAYOUT, words=dict(words)))


def state_of(configured: str, word: Word | None) -> str:
    """What counts of a destination that the configuration calls `configured`."""
    return word.state if word and word.configured == configured else configured


def word_on(one: Destination | NamedDestination, words: Words) -> Word | None:
    """The one that counts: on a target its own before the one on its name; None: as it is configured."""
    ids = (one.id, one.parent) if isinstance(one, Destination) and one.parent else (one.id,)
    return next((words[each] for each in ids if each in words and words[each].configured == one.admin), None)


def admin_of(one: Destination | NamedDestination, words: Words) -> str:
    return state_of(one.admin, word_on(one, words))


def standing(words: Words, config: Config) -> dict[str, Word]:
    """Those that still count: for destinations that there are, and for targets whose name is there, as they may come
    back.
    """
    if not words:
        return {}
    names = {one.id: one.admin for one in names_of(config)}
    configured = {one.id: one.admin for group in config.sets for one in group.destinations} | names
    return {identity: word for identity, word in words.items()
            if configured.get(identity, names.get(parent_of(identity))) == word.configured}


def said(words: Words, config: Config, ids: Iterable[str], state: str, why: str) -> dict[str, Word]:
    """The words after this one.  What only repeats the configuration, or the word on a name, needs none; one on a name
    is the last one on all of its targets.
    """
    names = {one.id: one for one in names_of(config)}
    members = {one.id: one for group in config.sets for one in group.destinations}
    after, now = dict(words), time.time()
    for identity in ids:
        one = names.get(identity) or members[identity]
        if identity in names:
            after = {key: word for key, word in after.items() if parent_of(key) != identity}
        after.pop(identity, None)
        if state != admin_of(one, after):
            after[identity] = Word(state=state, configured=one.admin, at=now, why=why)
    return after
