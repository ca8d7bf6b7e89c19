"""The tables [failure.NAME] and [[route]]: what is done when a branch fails, and who goes where.

Rules are looked through in the order of the file; the first whose conditions all hold decides.
Clocks and reasons: docs/wire.md#clocks-of-a-search; marks: docs/wire.md#marks.
"""

import re
from collections.abc import Callable, Collection

from fastsip.config import values
from fastsip.config.errors import Path, Wrong, did_you_mean, shown
from fastsip.config.headers import read_headers
from fastsip.config.language import CLASSES, MARK_KEYS, MARKS, MAX_POLICY_CODES, REASONS
from fastsip.config.model import Condition, HeaderEdits, Listener, Policy, Reply, Rule
from fastsip.config.patterns import PatternError, compile_patterns
from fastsip.config.reader import Section, listed

HOUR_MS = 3_600_000
UNAVAILABLE = Reply(code=500, reason="Server Internal Error")
SIX_XX = (
    "6xx is refused: it says that no other place can do better (RFC 3261 section 16.7 item 5); "
    'allowed: codes 300 to 599, "3xx", "4xx", "5xx", "timeout", "progress", "ring", "transport"'
)


# ---------------------------------------------------------------- policies


def read_policies(root: Section) -> tuple[Policy, ...]:
    """All failure policies in the order of the file."""
    sets = root.names_under("set")
    return tuple(_policy(name, section, sets) for name, section in root.named("failure", "failure"))


def _on_item(raw: object) -> str | int:
    """A reason, a class or a code of `on`."""
    if isinstance(raw, str) and (raw in REASONS or raw in CLASSES):
        return raw
    if isinstance(raw, str) and re.fullmatch("[0-9]{3}", raw):
        raw = int(raw)
    if raw == "6xx" or (isinstance(raw, int) and 600 <= raw <= 699):
        raise Wrong(SIX_XX)
    if isinstance(raw, int) and not isinstance(raw, bool) and 300 <= raw <= 599:
        return raw
    raise Wrong(
        'allowed: codes 300 to 599, "3xx", "4xx", "5xx", "timeout", "progress", "ring", "transport"',
        did_you_mean(raw, (*REASONS, *CLASSES)),
    )


def _policy(name: str, section: Section, sets: Collection[str]) -> Policy:
    section.read(section.path, name, values.name, "")
    if "on" not in section:
        section.report.add(
            section.path, "", '`on` is missing: what counts as a failure, such as [500, "timeout"]'
        )
    on = tuple(dict.fromkeys(section.take_list("on", _on_item)))
    codes = tuple(item for item in on if isinstance(item, int))
    if len(codes) > MAX_POLICY_CODES:
        allowed = f'allowed: at most {MAX_POLICY_CODES} codes; classes such as "5xx" count apart'
        section.report.add((*section.path, "on"), f"{len(codes)} codes", allowed)
    progress_ms = section.take("progress", values.duration(10, HOUR_MS), 0)
    if "progress" in on and "progress" not in section:
        allowed = 'needs the clock it waits for beside it, such as progress = "10s"'
        section.report.add((*section.path, "on"), '"progress"', allowed)
    mark, mark_by = _marks(section)
    return Policy(
        name=name,
        on_codes=codes,
        on_classes=tuple(int(item[0]) for item in on if isinstance(item, str) and item in CLASSES),
        on_reasons=tuple(item for item in on if isinstance(item, str) and item in REASONS),
        timeout_ms=section.take("timeout", values.duration(10, HOUR_MS), 0),
        progress_ms=progress_ms,
        ring_ms=section.take("ring", values.duration(10, HOUR_MS), 0),
        budget_ms=section.take("budget", values.duration(10, HOUR_MS), 0),
        after_progress=section.take("after_progress", values.boolean, True),
        mark=mark,
        mark_by=mark_by,
        mark_last=section.take("mark_last", values.boolean, False),
        then=section.take_reference("then", sets, "the name of a set"),
        exhausted=section.take("exhausted", values.reply, None),
        unavailable=section.take("unavailable", values.reply, UNAVAILABLE),
    )


def _marks(section: Section) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The mark for everything, and those by reason, class or code."""
    raw = section.raw.get("mark", "suspect")
    path: Path = (*section.path, "mark")
    if not isinstance(raw, dict):
        return section.take("mark", values.one_of(*MARKS), "suspect"), ()
    found = []
    for key, word in raw.items():
        if key not in MARK_KEYS:
            allowed = "allowed: " + ", ".join(MARK_KEYS)
            section.report.add((*path, key), "an unknown key", allowed, did_you_mean(key, MARK_KEYS))
            continue
        mark = section.read((*path, key), word, values.one_of(*MARKS), "")
        if key == "ring" and mark not in ("none", ""):
            allowed = 'allowed: "none": a phone that nobody picks up says nothing about a server'
            section.report.add((*path, key), shown(word), allowed)
        if mark:
            found.append((key, mark))
    return "suspect", tuple(found)


# ---------------------------------------------------------------- rules


def read_rules(root: Section, listeners: tuple[Listener, ...]) -> tuple[Rule, ...]:
    """All rules in the order of the file; with none and one set, everything goes to that set."""
    rules: list[Rule] = []
    names: dict[str, int] = {}
    known = _Known(root, listeners)
    for index, section in enumerate(root.listed("route", "route")):
        rule = _rule(index, section, known)
        if names.setdefault(rule.name, index) != index:
            allowed = f"allowed: a name of its own; route[{names[rule.name] + 1}] has it"
            section.report.add((*section.path, "name"), shown(rule.name), allowed)
        rules.append(rule)
    if "route" in root:
        return tuple(rules)
    sets = root.names_under("set")
    if len(sets) == 1:
        return (_implied(next(iter(sets))),)
    if sets:
        root.report.add(
            (), "", f"`[[route]]` is missing: {len(sets)} sets, and nothing says which calls go where"
        )
    elif not root.is_refused("source"):
        root.report.add((), "", "`[set.NAME]` and `[[route]]` are missing: there is nowhere to send calls to")
    return ()


def _implied(only_set: str) -> Rule:
    return Rule(
        name=only_set,
        conditions=(),
        to=only_set,
        reply=None,
        forward="",
        headers=HeaderEdits(remove=(), set=()),
        failure="",
        ruri="",
        record_route=True,
        implied=True,
    )


class _Known:
    """The names that rules may refer to, looked up by hash; `readers` are those of their conditions, by key."""

    def __init__(self, root: Section, listeners: tuple[Listener, ...]) -> None:
        self.sets, self.failures = root.names_under("set"), root.names_under("failure")
        tags = dict.fromkeys(listener.tag for listener in listeners)
        unsure = root.report.touches("listen")  # a listener that is wrong itself is not among the known
        self.readers = _ITEMS | {
            "listen": _name_reader(tags, "the tags of [[listen]]", unsure),
            "source_set": _name_reader(self.sets, "the name of a set"),
        }


def _rule(index: int, section: Section, known: _Known) -> Rule:
    to = section.take_reference("to", known.sets, "the name of a set")
    reply = section.take("reply", values.reply, None)
    forward = section.take("forward", _forward, "")
    _check_action(section)
    return Rule(
        name=section.take("name", values.name, "") or f"route-{index + 1}",
        conditions=_conditions(section, known),
        to=to,
        reply=reply,
        forward=forward,
        headers=read_headers(section),
        failure=section.take_reference("failure", known.failures, "the name of a failure policy"),
        ruri=section.take("ruri", values.one_of("keep", "host", "uri"), ""),
        record_route=section.take("record_route", values.boolean, True),
        implied=False,
    )


def _forward(raw: object) -> str:
    """What names the next hop: the Request-URI, or a header."""
    if isinstance(raw, str) and raw.startswith("header:"):
        return f"header:{values.token(raw.removeprefix('header:'))}"
    if raw != "request-uri":
        raise Wrong('allowed: "request-uri", "header:NAME"', did_you_mean(raw, ("request-uri",)))
    return "request-uri"


# Action -> the keys that mean nothing beside it.
_NOT_BESIDE = {"reply": ("failure", "ruri", "record_route", "headers"), "forward": ("ruri",), "to": ()}


def _check_action(section: Section) -> None:
    """Exactly one action, and beside it nothing that it would not look at."""
    actions = [key for key in ("to", "reply", "forward", "python") if key in section]
    if not actions:
        allowed = 'an action is missing; allowed: to = "SET", reply = "404 Not found", forward = "request-uri"'
        section.report.add(section.path, "", allowed)
    if len(actions) > 1:
        section.report.add(
            (*section.path, actions[1]), " and ".join(f"`{key}`" for key in actions), "allowed: one action"
        )
    elif actions:
        for key in _NOT_BESIDE.get(actions[0], ()):
            if key in section:
                others = " and ".join(f"`{other}`" for other in ("to", "forward") if key not in _NOT_BESIDE[other])
                found = f"`{key}` beside `{actions[0]}`"
                section.report.add((*section.path, key), found, f"allowed: only beside {others}")


def _conditions(section: Section, known: _Known) -> tuple[Condition, ...]:
    when = section.section("when", "when")
    conditions = _read_when(when, False, known)
    if "not" in when:
        inner = when.section("not", "when")
        if "not" in inner:
            inner.report.add(
                (*inner.path, "not"), "`not` inside `not`", "allowed: one `not`, beside the other keys"
            )
        conditions += _read_when(inner, True, known)
    return conditions


# Key of `when` -> reader of one item; the others have their own.
_ITEMS = {
    "method": values.method,
    "user": values.user,
    "user_prefix": values.user,
    "domain": values.host_port,
    "source": values.network,
}


def _read_when(when: Section, negate: bool, known: _Known) -> tuple[Condition, ...]:
    """The conditions of one `when` or `not`, in the order of the file."""
    found: list[Condition] = []
    for key in when.raw:
        if key in known.readers:
            found.append(Condition(key=key, negate=negate, values=when.take_list(key, known.readers[key])))
        elif key == "user_match":
            found.append(Condition(key=key, negate=negate, values=_patterns(when)))
        elif key == "header":
            found += _headers(when, negate)
        elif key == "to_tag":
            found.append(Condition(key=key, negate=negate, wanted=when.take(key, values.boolean, True)))
    return tuple(found)


def _name_reader(names: Collection[str], what: str, unsure: bool = False) -> Callable[[object], str]:
    """Makes a reader of one of these names; when they are not sure to be all, of any text."""

    def read(raw: object) -> str:
        if not isinstance(raw, str) or not (raw in names or unsure):
            raise Wrong(f"allowed: {what}: {listed(names)}", did_you_mean(raw, names))
        return raw

    return read


PATTERN_WORDS = r"letters, [classes], \d \w, the dot, (groups), |, ? * + {m,n}, ^ $"


def _pattern(raw: object) -> str:
    if not isinstance(raw, str):
        raise Wrong(f"allowed: a pattern of {PATTERN_WORDS}")
    try:
        compile_patterns((raw,))
    except PatternError as error:
        hook = "what needs more is for a Python hook, which a later release runs"
        raise Wrong(f"{error}; allowed: {PATTERN_WORDS}; {hook}") from None
    return raw


def _patterns(when: Section) -> tuple[str, ...]:
    """Each right by itself, and all of them not too large together."""
    found = when.take_list("user_match", _pattern)
    try:
        compile_patterns(found)
    except PatternError as error:
        allowed = f"together {error}; allowed: fewer or simpler ones, or a rule for each"
        when.report.add((*when.path, "user_match"), f"{len(found)} patterns", allowed)
    return found


def _headers(when: Section, negate: bool) -> list[Condition]:
    """header = { Name = "value" | ["one", "other"] | true }: one condition for each name."""
    headers = when.raw["header"]
    path: Path = (*when.path, "header")
    if not isinstance(headers, dict) or not headers:
        when.report.add(path, shown(headers), 'allowed: a table { Name = "value" } or { Name = true }')
        return []
    found = []
    for name, raw in headers.items():
        here = (*path, name)
        when.read(here, name, values.token, "")
        if raw is True:
            found.append(Condition(key="header", negate=negate, header=name))
            continue
        items = raw if isinstance(raw, list) and raw else [raw]
        texts = [when.read(here, item, _header_value, "") for item in items]
        found.append(Condition(key="header", negate=negate, header=name, values=tuple(filter(None, texts))))
    return found


def _header_value(raw: object) -> str:
    if raw is False or not isinstance(raw, str) or not re.fullmatch(r"[^\x00-\x1f\x7f]+", raw):
        hint = "absent is not = { header = { Name = true } }" if raw is False else ""
        raise Wrong("allowed: a value, a list of values, or true for any", hint)
    return raw
