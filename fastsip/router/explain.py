"""What would become of a request, and why, without anything that happens: the kernels themselves decide.

The rules are found out by a table in which each rule answers with its number; the candidates by the real table, of
which one after the other is taken away.  Both run on a shard of their own without sockets, over a store in a folder
that is gone afterwards, with what is known now of each destination.
"""

import tempfile
import time
from collections.abc import Container, Iterator, Mapping

import msgspec

from fastsip._core.base.clock import now_ms
from fastsip._core.dispatcher.cells import ADMIN_NAMES, Cells
from fastsip._core.harness.rig import Rig, Sent
from fastsip.config import Config, Destination, DestinationSet, Reply, Rule
from fastsip.dispatcher.words import Words, admin_of, word_on
from fastsip.observe.destinations import UNSEEN, Seen
from fastsip.routing.compile import compile_table
from fastsip.routing.registry import Registry

ASKED_BY = 480      # the code by which a rule says its number
TRANSACTIONS = 64   # of a store for one request


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Who would be tried, or why not."""

    id: str
    address: str
    why: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one request.

    rule        name of the first rule that fits, "" = none or none was looked at
    action      what it does, in words
    answer      what the router answers itself, "" = it goes on
    tried       whom it would try, in this order
    others      of the same set, with the reason
    sent        where it goes when that is no destination
    turns       the order depends on whose turn it is, or on chance: another request may begin elsewhere
    """

    rule: str = ""
    action: str = ""
    answer: str = ""
    tried: tuple[Candidate, ...] = ()
    others: tuple[Candidate, ...] = ()
    sent: tuple[str, ...] = ()
    turns: bool = False


TURNS = {"round-robin", "random", "latency", "weight", "relative-weight", "ordered-round-robin", "srv"}


def on_the_wire(text: bytes) -> bytes:
    """Line ends as SIP has them (RFC 3261 section 7), and an empty line behind the headers; a body stays as it is."""
    head, end, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    return head.strip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + (body if end else b"")


def explain(
    config: Config, words: Words, seen: Mapping[str, Seen], message: bytes, source: tuple[str, int], listener: int
) -> Explanation:
    """A request as it would come from this place to the listener with this index."""
    asked = _Asked(config, words, seen, message, source, listener)
    numbered = tuple(_saying(place, rule) for place, rule in enumerate(config.rules))
    first = _answer(asked.sent(msgspec.structs.replace(config, rules=numbered)))
    code, _, phrase = first.partition(" ")
    if code != str(ASKED_BY) or not phrase.startswith("rule "):
        return _without_rule(asked, first)
    rule = config.rules[int(phrase.removeprefix("rule "))]
    if rule.reply or rule.forward:
        sent = asked.sent(config)
        return Explanation(rule=rule.name, action=_action(rule), answer=_answer(sent), sent=tuple(_places(sent)))
    return _candidates(asked, rule)


def _saying(place: int, rule: Rule) -> Rule:
    """The same conditions, and its number as the answer."""
    return msgspec.structs.replace(rule, to="", forward="", failure="", ruri="", reply=Reply(code=ASKED_BY,
                                   reason=f"rule {place}"))  # fmt: skip


def _action(rule: Rule) -> str:
    if rule.reply:
        return f"answers {rule.reply.code} {rule.reply.reason}"
    if rule.forward:
        return f"forwards to {rule.forward}"
    return f"goes to set {rule.to}" + (f", failure {rule.failure}" if rule.failure else "")


class _Asked:
    """The request, and what is known."""

    def __init__(
        self, config: Config, words: Words, seen: Mapping[str, Seen], message: bytes, source: tuple[str, int],
        listener: int,
    ) -> None:  # fmt: skip
        self.config, self.words, self.seen = config, words, seen
        self.message, self.source, self.listener = message, source, listener

    def sent(self, config: Config, taken: Container[str] = ()) -> list[Sent]:
        """What a shard sends that has just got the request; whose ids are `taken` are not there for it."""
        with tempfile.TemporaryDirectory(prefix="fastsip-explain-") as folder, Registry(folder) as registry:
            cells = Cells(max(64, 2 * sum(1 + len(group.destinations) for group in config.sets)))
            for group in config.sets:
                for one in group.destinations:
                    self._set(cells, registry.id("destination", one.id), one, one.id in taken)
            rig = Rig(folder, compile_table(config, registry, cells, 1), cells, TRANSACTIONS, now_ms=now_ms())
            rig.receive(self.message, self.source, self.listener)
            return rig.sent()

    def _set(self, cells: Cells, number: int, one: Destination, taken: bool) -> None:
        known = self.seen.get(one.id, UNSEEN)
        down_since = now_ms() - _ms_ago(known.since) if known.health == "down" else None
        line = cells.assign(number, down_since)
        state = "disabled" if taken else admin_of(one, self.words)
        cells.set_admin(line, ADMIN_NAMES.index(state))
        if known.retry_after:
            cells.set_retry_after(line, now_ms() - _ms_ago(known.retry_after))

    def why_not(self, one: Destination) -> str:
        known, word = self.seen.get(one.id, UNSEEN), word_on(one, self.words)
        state = admin_of(one, self.words)
        if state != "enabled":
            return state + (f': "{word.why}"' if word and word.why and state == word.state else "")
        if known.health == "down":
            return f"down, code {known.last_code}"
        return "asked for later calls by Retry-After" if known.retry_after else ""


def _ms_ago(at: float | None) -> int:
    """How long this time is past; negative when it is to come."""
    return 0 if at is None else int((time.time() - at) * 1000)


def _answer(sent: list[Sent]) -> str:
    """Code and phrase of the final response that went out, "" when there is none."""
    for one in sent:
        line = one.datagram.partition(b"\r\n")[0].decode("utf-8", "replace")
        if line.startswith("SIP/2.0 ") and not line.startswith("SIP/2.0 1"):
            return line.removeprefix("SIP/2.0 ")
    return ""


def _places(sent: list[Sent]) -> Iterator[str]:
    """Where requests went."""
    for one in sent:
        if not one.datagram.startswith(b"SIP/2.0 "):
            host = f"[{one.to[0]}]" if ":" in one.to[0] else one.to[0]
            yield f"{host}:{one.to[1]}"


def _without_rule(asked: _Asked, answer: str) -> Explanation:
    """Inside of a dialog, by a Route, or refused before any rule."""
    sent = asked.sent(asked.config)
    return Explanation(answer=answer or _answer(sent), sent=tuple(_places(sent)))


def _candidates(asked: _Asked, rule: Rule) -> Explanation:
    group = asked.config.set_named(rule.to)
    tried: list[Candidate] = []
    answer = ""
    while len(tried) < group.limit:
        before = {one.id for one in tried}
        sent = asked.sent(asked.config, before)
        answer = _answer(sent)
        fresh = [one for place in _places(sent) for one in _members(group, place) if one.id not in before]
        if not fresh:
            break
        tried += [Candidate(id=one.id, address=_address(one), why=_ready(asked, one)) for one in fresh]
    mine = {one.id for one in tried}
    there = {one.parent for one in group.destinations}
    nowhere = [Candidate(id=one.id, address="", why="no target is known") for one in group.names if one.id not in there]
    others = [Candidate(id=one.id, address=_address(one),
                        why=asked.why_not(one) or f"behind the first {group.limit}")
              for one in group.destinations if one.id not in mine]  # fmt: skip
    return Explanation(rule=rule.name, action=_action(rule), answer="" if tried else answer, tried=tuple(tried),
                       others=(*others, *nowhere), turns=group.algorithm in TURNS and len(tried) > 1)


def _members(group: DestinationSet, place: str) -> list[Destination]:
    return [one for one in group.destinations if _address(one) == place]


def _address(one: Destination) -> str:
    return f"[{one.host}]:{one.port}" if one.family == 6 else f"{one.host}:{one.port}"


def _ready(asked: _Asked, one: Destination) -> str:
    return asked.seen.get(one.id, UNSEEN).health
