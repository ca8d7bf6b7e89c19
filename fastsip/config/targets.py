"""Destinations that are names: a configuration with the targets that DNS, or [names], says that they have.

A name is compiled to its targets, so what routes knows no names: each is a destination of its own, with a health of its
own, that says what the name says.  No answer of DNS makes a configuration wrong: what cannot be a destination is left
out of the answer, and said.  See docs/names.md#destinations-that-are-names.
"""

from collections.abc import Iterator

import msgspec

from fastsip.config.model import Config, Destination, DestinationSet, NamedDestination
from fastsip.config.names import ANY
from fastsip.config.sets import find_listener, from_listener
from fastsip.config.short_names import short_ids_of
from fastsip.resolve.answers import Answer, Answers, place_of
from fastsip.resolve.asking import Question
from fastsip.resolve.targets import Target, find_targets, plain_place

SEPARATOR = "="     # between the id of a name and what tells its targets apart


def question_of(one: NamedDestination) -> Question:
    return Question(one.host, one.port, one.transport)


def names_of(config: Config) -> Iterator[NamedDestination]:
    for group in config.sets:
        yield from group.names


def questions_of(config: Config) -> set[Question]:
    """What DNS is asked: the names that [names] does not have."""
    fixed = {one.name for one in config.names}
    return set() if ANY in fixed else {question_of(one) for one in names_of(config) if one.host not in fixed}


def families_of(config: Config) -> list[int]:
    """Of addresses that somebody can send to."""
    return sorted({listener.family for listener in config.listeners})


def target_id(parent: str, target: Target) -> str:
    transport, host, port = place_of(target)
    text = f"[{host}]" if ":" in host else host
    return f"{parent}{SEPARATOR}{transport}:{text}:{port}"


def parent_of(identity: str) -> str:
    """The id of the name that such a target would be of, "" when it can be none."""
    parent, separator, _ = identity.rpartition(f"{SEPARATOR}udp:")
    return parent if separator else ""


def with_answers(config: Config, answers: Answers, now: float) -> Config:
    """The same configuration with the targets that its names have by these answers; `now` in seconds since 1970."""
    if not any(group.names for group in config.sets):
        return config
    known = _Known(config)
    return msgspec.structs.replace(config, sets=tuple(_grown(config, group, answers, now, known)
                                                      for group in config.sets))


class _Known:
    """Ids that are taken, in full and as tokens call them."""

    def __init__(self, config: Config) -> None:
        fixed = [(group.name, one.id) for group in config.sets for one in group.destinations if not one.parent]
        self.ids = {identity for _, identity in fixed} | {one.id for one in names_of(config)}
        self.short_ids = {short_ids_of(*one) for one in fixed}

    def take(self, group: str, identity: str) -> bool:
        """Is it free?  Then it is so no more."""
        short = short_ids_of(group, identity)
        if identity in self.ids or short in self.short_ids:
            return False
        self.ids.add(identity)
        self.short_ids.add(short)
        return True


def _grown(config: Config, group: DestinationSet, answers: Answers, now: float, known: _Known) -> DestinationSet:
    if not group.names:
        return group
    fixed = [one for one in group.destinations if not one.parent]
    found: list[Destination] = []
    names = []
    at = 0
    for named in group.names:
        found += fixed[at : named.behind]
        at = named.behind
        answer = _fixed_answer(config, named, now) or answers.get(question_of(named))
        members, left_out = _members(config, group, named, answer, known)
        found += members
        resting = tuple(target_id(named.id, one.target) for one in answer.resting(now)) if answer else ()
        names.append(msgspec.structs.replace(named, left_out=left_out, resting=resting))
    return msgspec.structs.replace(group, destinations=(*found, *fixed[at:]), names=tuple(names))


def _fixed_answer(config: Config, named: NamedDestination, now: float) -> Answer | None:
    """What [names] has; a port in the URI comes before one there."""
    exact = next((one for one in config.names if one.name == named.host), None)
    line = exact or next((one for one in config.names if one.name == ANY), None)
    if line is None:
        return None
    places = [plain_place(host, named.port or port)._replace(rank=(rank,))
              for rank, (host, port) in enumerate(line.addresses)]
    targets, cut = find_targets(places, {host: [host] for host, _ in line.addresses})
    return Answer(targets=tuple(targets), at=now, cut=cut)


def _members(
    config: Config, group: DestinationSet, named: NamedDestination, answer: Answer | None, known: _Known
) -> tuple[list[Destination], tuple[str, ...]]:
    """The targets as destinations; and what was left out."""
    found: list[Destination] = []
    left_out: list[str] = []
    for target in answer.targets if answer else ():
        one, why = _member(config, group, named, target)
        if one and not known.take(group.name, one.id):
            one, why = None, "another destination has its id, or its short id"
        if one:
            found.append(one)
        else:
            left_out.append(f"{_text(target)}: {why}")
    if answer and answer.cut:
        left_out.append(f"{answer.cut} more targets than a name may have")
    return found, tuple(left_out)


def _member(
    config: Config, group: DestinationSet, named: NamedDestination, target: Target
) -> tuple[Destination | None, str]:
    listeners = config.listeners
    family = 6 if ":" in target.host else 4
    if any((listener.host, listener.port) == (target.host, target.port) for listener in listeners):
        return None, "it is our own [[listen]] address: calls would go round in a loop"
    listener = find_listener(listeners, family, named.listen)
    if listener is None:
        wanted = f"{named.listen} " if named.listen else ""
        return None, f"no [[listen]] {wanted}has an IPv{family} address to send from"
    probe = from_listener(named.probe, listeners, listener, config.router.name) if named.probe else None
    return Destination(
        id=target_id(named.id, target),
        uri=named.uri,
        host=target.host,
        port=target.port,
        family=family,
        weight=named.weight,
        priority=named.priority,
        attrs=named.attrs,
        listener=listener,
        probe=probe,
        admin=named.admin,
        starts_down=named.starts_down,
        calls=named.calls,
        parent=named.id,
        named=str(question_of(named)),
        tier=target.tier,
        share=target.weight,
    ), ""


def _text(target: Target) -> str:
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"


def ids_of(config: Config) -> Iterator[str]:
    """All that operators can speak of: destinations, names and their targets."""
    for group in config.sets:
        yield from (one.id for one in group.names)
        yield from (one.id for one in group.destinations)


def most_lines(config: Config) -> int:
    """How many lines of what is learned it takes at most: a set with a limit of calls has one, too."""
    return sum(1 for _ in lines_of(config)) + len(config.sets)


def lines_of(config: Config) -> Iterator[str]:
    """Ids that have a line of what was learned: destinations, and targets that may come back."""
    for group in config.sets:
        yield from (one.id for one in group.destinations)
        for named in group.names:
            yield from named.resting
