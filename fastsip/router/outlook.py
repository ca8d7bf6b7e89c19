"""What a configuration will do once it runs: the facts that `fastsip check` shows.

Asks the kernel for the receive buffers that listeners would get, on a socket of its own that is never
bound.  It never changes anything.  See docs/core.md#receive-buffers and docs/core.md#sizes.
"""

import contextlib
import ipaddress
import os
import socket
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from fastsip.base.plain import counted
from fastsip.config.model import (
    Api,
    Condition,
    Config,
    Destination,
    DestinationSet,
    HeaderEdits,
    Hep,
    NamedDestination,
    Otel,
    Probe,
    Rule,
    Source,
    Webhook,
)
from fastsip.config.names import ANY
from fastsip.config.patterns import compile_patterns, finds_everything
from fastsip.config.targets import most_lines, names_of
from fastsip.config.values import ms_text
from fastsip.config.webhooks import shown_place
from fastsip.routing.shares import laid_out

SO_RCVBUFFORCE = 33
# Measured: the kernel's default buffer of 212,992 bytes holds 92 INVITEs, 15 ms of 1,000 calls/s.
BUFFER_BYTES_PER_MS = 212_992 / 15
ENOUGH_MS = 500
CELL_BYTES, SPARE_DESTINATIONS = 64, 256
NAME_BYTES = 3_000  # of a name with 32 targets twice, and what the control plane keeps of it
# Measured without traffic: 16 MB of the supervisor, 20 of the router, 18 of its spare, and 17 of files that they share.
PROCESSES_BYTES = 71_000_000
# Measured with 2,000 to 150,000: the index, lists and timers that a router has of its own for each transaction.
OWN_BYTES = 260


class ListenerOutlook(msgspec.Struct, frozen=True):
    """A listener and the receive buffer that the kernel gives it, in bytes and ms of 1,000 calls/s."""

    uri: str
    tag: str
    sent_by: str
    rcvbuf_bytes: int
    effective_bytes: int
    buffer_ms: int


class DestinationOutlook(msgspec.Struct, frozen=True):
    """A destination in words."""

    id: str
    uri: str
    weight: int
    priority: int
    probe: str
    attrs: dict[str, str | int | float | bool]
    targets: tuple[str, ...] | None = None  # of a name, as they are known now; None: it is none


class SetOutlook(msgspec.Struct, frozen=True):
    """A set in words.  `at_once` is how many destinations a call may be offered to at the same time."""

    name: str
    setid: int | None
    algorithm: str
    at_once: int
    answering: bool
    destinations: tuple[DestinationOutlook, ...]


class NameOutlook(msgspec.Struct, frozen=True):
    """A name of [names], "*" = every other one, and its addresses as text, with their ports where given."""

    name: str
    addresses: tuple[str, ...]


class Outlook(msgspec.Struct, frozen=True):
    """Everything `check` shows.  `borders` and `rules` are sentences, rules in the order in which they are tried."""

    file: str
    name: str
    run_dir: str
    state_dir: str
    secret: str
    shards: int
    max_transactions: int
    memory_bytes: int  # all of it, when every ring was once full
    memory: tuple[tuple[str, int], ...]  # what it is for, in bytes
    listeners: tuple[ListenerOutlook, ...]
    sets: tuple[SetOutlook, ...]
    borders: tuple[str, ...]
    rules: tuple[str, ...]
    names: tuple[NameOutlook, ...]
    sources: tuple[str, ...]
    webhooks: tuple[str, ...]
    otel: str  # where spans of calls go, "" = nowhere
    hep: str  # where copies of messages go, "" = nowhere
    api: str  # where HTTP is spoken beside control.sock, "" = nowhere
    warnings: tuple[str, ...]


def outlook(config: Config) -> Outlook:
    """The facts about a valid configuration.  Raises ImportError when the kernels are not built."""
    memory = memory_of(config)
    listeners = tuple(
        _listener(listener.uri, listener.tag, listener.sent_by, listener.rcvbuf_bytes, listener.family)
        for listener in config.listeners
    )
    return Outlook(
        file=config.file,
        name=config.router.name,
        run_dir=config.router.run_dir,
        state_dir=config.router.state_dir,
        secret=_secret(config),
        shards=config.router.shards,
        max_transactions=config.limits.max_transactions,
        memory_bytes=sum(size for _, size in memory),
        memory=memory,
        listeners=listeners,
        sets=tuple(_set(group) for group in config.sets),
        borders=tuple(_border_texts(config)),
        rules=tuple(rule_text(rule) for rule in config.rules),
        names=tuple(NameOutlook(one.name, tuple(_place_text(*at) for at in one.addresses)) for one in config.names),
        sources=tuple(_source_text(source) for source in config.sources),
        webhooks=tuple(_webhook_text(one) for one in config.webhooks),
        otel=_otel_text(config.otel) if config.otel else "",
        hep=_hep_text(config.hep) if config.hep else "",
        api=_api_text(config.api) if config.api else "",
        warnings=(
            *_buffer_warnings(listeners),
            *_run_dir_warnings(config),
            *_secret_warnings(config),
            *_rule_warnings(config),
            *_source_warnings(config),
            *_api_warnings(config),
            *_name_warnings(config),
        ),
    )


def memory_of(config: Config) -> tuple[tuple[str, int], ...]:
    """What the two router processes and their supervisor take, by what it is for."""
    from fastsip._core.dispatcher.measures import fields, lines_of
    from fastsip._core.state.mirror_ring import RING_BYTES
    from fastsip._core.store.partitions import store_bytes
    from fastsip.router.shards import shard_bytes

    most = config.limits.max_transactions
    cells = 2 * most_lines(config) + SPARE_DESTINATIONS
    measured = config.router.shards * lines_of(cells) * fields()["bytes"][1]
    rings, buffers = shard_bytes(config.router.shards, len(config.listeners))
    return (
        ("calls", store_bytes(most) + OWN_BYTES * most),
        ("rings between shards", rings),
        ("buffers of shards", buffers),
        ("destinations", cells * CELL_BYTES + measured),
        ("names, when all are known", NAME_BYTES * config.limits.max_names),
        ("messages, for spans" if config.otel else "messages, while somebody looks", config.router.shards * RING_BYTES),
        *((("copies for the collector", _copies_bytes(config)),) if config.hep else ()),
        ("three Python processes", PROCESSES_BYTES),
    )


def _copies_bytes(config: Config) -> int:
    """What waits in each shard, and in its socket when the kernel is slower."""
    from fastsip._core.state.hep import HEP_BYTES
    from fastsip.router.views import SEND_BUFFER_BYTES

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return config.router.shards * (HEP_BYTES + probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))


def effective_rcvbuf(wanted: int, family: int) -> int:
    """The receive buffer that a UDP socket gets when `wanted` bytes are asked for, as read back.

    The kernel doubles what it is asked for, so half is asked for, as the listeners do.
    """
    with socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for option in (SO_RCVBUFFORCE, socket.SO_RCVBUF):
            with contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, option, wanted // 2)
                break
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def file_system(path: str) -> str:
    """The type of the file system that holds `path`, or would: "tmpfs" is what run_dir should be on."""
    there = os.path.realpath(path)
    found, longest = "unknown", -1
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        for line in mounts:
            place, kind = line.split()[1:3]
            inside = place == "/" or there == place or there.startswith(place + "/")
            if inside and len(place) >= longest:
                found, longest = kind, len(place)
    return found


def _listener(uri: str, tag: str, sent_by: str, wanted: int, family: int) -> ListenerOutlook:
    effective = effective_rcvbuf(wanted, family)
    return ListenerOutlook(uri, tag, sent_by, wanted, effective, int(effective / BUFFER_BYTES_PER_MS))


def _set(group: DestinationSet) -> SetOutlook:
    return SetOutlook(
        group.name,
        group.setid,
        group.algorithm,
        _at_once(group),
        group.answering,
        tuple(_destinations(group)),
    )


def _destinations(group: DestinationSet) -> Iterator[DestinationOutlook]:
    """As the configuration has them: a name stands at its place, and its targets in it."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for one in group.destinations:
        targets[one.parent].append(_place_text(one.host, one.port))
    fixed = [one for one in group.destinations if not one.parent]
    at = 0
    for name in group.names:
        yield from map(_destination, fixed[at : name.behind])
        at = name.behind
        yield _destination(name, tuple(targets[name.id]))
    yield from map(_destination, fixed[at:])


def _destination(
    one: Destination | NamedDestination, targets: tuple[str, ...] | None = None
) -> DestinationOutlook:
    return DestinationOutlook(one.id, one.uri, one.weight, one.priority, _probe_text(one.probe), dict(one.attrs),
                              targets)


def _at_once(group: DestinationSet) -> int:
    """The largest group of a parallel set: one tier, those of weight 0 apart."""
    if group.algorithm != "parallel":
        return 1
    group = laid_out(group)
    groups = Counter((one.priority if group.tiers else 0, one.weight == 0) for one in group.destinations)
    return min(max(groups.values(), default=1), group.limit)


def _place_text(host: str, port: int) -> str:
    text = f"[{host}]" if ":" in host else host
    return f"{text}:{port}" if port else text


def _probe_text(probe: Probe | None) -> str:
    if probe is None or probe.mode == "none":
        return "no probes"
    when = "" if probe.mode == "all" else f", {probe.mode}"
    return f"{probe.method} every {ms_text(probe.interval_ms)}{when}"


def _secret(config: Config) -> str:
    place = config.router.secret_file
    if not place:
        return "given"
    return place if config.router.secret_keys else f"{place} (made at the first start)"


# ---------------------------------------------------------------- rules in words


def rule_text(rule: Rule) -> str:
    """A rule as a sentence: `method INVITE and user_prefix 8 -> set media, failure next-media`."""
    when = " and ".join(_condition_text(condition) for condition in rule.conditions) or "everything"
    origin = " (no [[route]] given: the only set)" if rule.implied else ""
    return f"{rule.name}: {when} -> {', '.join(_action_words(rule))}{origin}"


def _action_words(rule: Rule) -> list[str]:
    if rule.reply:
        return [f"reply {rule.reply.code} {rule.reply.reason}"]
    header = rule.forward.partition(":")[2]
    words = [f"set {rule.to}" if rule.to else f"forward to the URI in {header or 'the Request-URI'}"]
    words += [f"failure {rule.failure}"] if rule.failure else []
    words += [f"ruri {rule.ruri}"] if rule.ruri else []
    words += _edit_words(rule.headers)
    words += [] if rule.record_route else ["no Record-Route"]
    if rule.forward and not _names_sources(rule):
        words.append("only from trusted sources and destinations")
    return words


def _edit_words(edits: HeaderEdits) -> list[str]:
    return [f"remove {name}" for name in edits.remove] + [f'set {name} = "{value}"' for name, value in edits.set]


def _border_texts(config: Config) -> Iterator[str]:
    """What listeners and sets change: `listener public, in: remove X-Auth-*`."""
    ways = [(f"listener {one.tag}, in", one.headers_in) for one in config.listeners]
    ways += [(f"listener {one.tag}, out", one.headers_out) for one in config.listeners]
    ways += [(f"set {one.name}, out", one.headers_out) for one in config.sets]
    for name, edits in ways:
        if edits:
            yield f"{name}: {', '.join(_edit_words(edits))}"


def _names_sources(rule: Rule) -> bool:
    """Does the rule say itself whom it is for?  Then that is whom it trusts."""
    return any(one.key in ("source", "source_set") and not one.negate for one in rule.conditions)


def _condition_text(condition: Condition) -> str:
    if condition.key == "to_tag":
        return "a To tag" if condition.wanted != condition.negate else "no To tag"
    values = " or ".join(condition.values)
    if condition.key == "header":
        said = f"header {condition.header}" + (f" = {values}" if values else "")
    else:
        said = f"{condition.key} {values}"
    return f"not {said}" if condition.negate else said


# ---------------------------------------------------------------- warnings


def _buffer_warnings(listeners: tuple[ListenerOutlook, ...]) -> list[str]:
    needed = int(ENOUGH_MS * BUFFER_BYTES_PER_MS)
    found = []
    for listener in listeners:
        if listener.buffer_ms < ENOUGH_MS:
            wanted = max(needed, listener.rcvbuf_bytes) // 2  # the kernel doubles it
            cure = (
                f"run: sysctl -w net.core.rmem_max={wanted}"
                if listener.rcvbuf_bytes >= needed
                else f"set rcvbuf to {needed} bytes or more"
            )
            found.append(
                f"{listener.uri}: the receive buffer holds {listener.buffer_ms} ms of 1,000 calls/s, "
                f"less than {ENOUGH_MS} ms: short stalls lose messages; {cure}"
            )
    return found


def _run_dir_warnings(config: Config) -> list[str]:
    kind = file_system(config.router.run_dir)
    if kind == "tmpfs":
        return []
    return [f"router.run_dir = {config.router.run_dir} is on {kind}, not on a tmpfs: a busy disk will stall calls"]


def _secret_warnings(config: Config) -> list[str]:
    place = config.router.secret_file
    if not place or not os.path.exists(place):
        return []
    if stat.S_IMODE(os.stat(place).st_mode) & 0o007:
        return [f"{place}: everybody on this machine can read the secret; run: chmod o= {place}"]
    return []


def _source_text(source: Source) -> str:
    return f"{source.name}: {source.kind} {source.origin}, {counted(source.row_count, 'destination')}"


def _webhook_text(one: Webhook) -> str:
    return f"{one.name}: {shown_place(one.url)}, {', '.join(one.events)}, {'' if one.secret else 'not '}signed"


def _source_warnings(config: Config) -> list[str]:
    found = []
    for source in config.sources:
        if source.away:
            found.append(f"source {source.name}: {source.origin}: {source.away}; what was read last counts")
        found += [f"source {source.name}: {source.origin}: {one}; left out" for one in source.left_out]
    return found


def _otel_text(one: Otel) -> str:
    return f"{shown_place(one.endpoint)}, {one.sample:.4g} of all calls, as {one.service}"


def _hep_text(one: Hep) -> str:
    share = f"{one.sample:.4g} of all calls" if one.sample else "nothing"
    return f"{one.collector}, {share}, as {one.node}{', its key in the clear' if one.key else ''}"


def _api_text(api: Api) -> str:
    readers = ", a token for those who only look" if api.read_token else ""
    return f"{'https' if api.certificate else 'http'}://{api.listen}{readers}"


def _api_warnings(config: Config) -> list[str]:
    api = config.api
    if not api or api.certificate or ipaddress.ip_address(api.host).is_loopback:
        return []
    return [f"api.listen = {api.listen} has no TLS: whoever is on the way reads the token; give it `certificate` and "
            "`key`"]


def _name_warnings(config: Config) -> list[str]:
    found = []
    fixed = {one.name for one in config.names}
    resolved = {one.parent for group in config.sets for one in group.destinations}
    for one in names_of(config):
        if one.id not in resolved and not one.left_out:
            where = "[names]" if fixed & {one.host, ANY} else "DNS, which is asked when a router runs"
            found.append(f"{one.id} has no target yet: they come from {where}")
        found += [f"{one.id}: {why}; left out" for why in one.left_out]
    return found


def _rule_warnings(config: Config) -> list[str]:
    found = []
    for place, rule in enumerate(config.rules[:-1]):
        if not rule.conditions:
            after = ", ".join(other.name for other in config.rules[place + 1 :])
            found.append(f"{rule.name} takes everything; never reached: {after}")
            break
    found += [text for rule in config.rules for text in _forward_warnings(rule, config)]
    found += [text for rule in config.rules for text in _pattern_warnings(rule)]
    reached = {rule.to for rule in config.rules} | {policy.then for policy in config.policies}
    reached |= {
        name
        for rule in config.rules
        for one in rule.conditions
        if one.key == "source_set"
        for name in one.values
    }
    found += [
        f"set {group.name} is not used by any rule" for group in config.sets if group.name not in reached
    ]
    used = {rule.failure for rule in config.rules} | {group.in_dialog_failure for group in config.sets}
    found += [
        f"failure policy {one.name} is not used by any rule or set"
        for one in config.policies
        if one.name not in used
    ]
    return found


def _forward_warnings(rule: Rule, config: Config) -> list[str]:
    known = config.router.trusted or any(group.destinations for group in config.sets)
    if not rule.forward or known or _names_sources(rule):
        return []
    cure = "name them in router.trusted, or as `source` of this rule"
    return [f"{rule.name} forwards for nobody: no source is trusted, all get 403; {cure}"]


def _pattern_warnings(rule: Rule) -> list[str]:
    return [
        f'{rule.name}: user_match "{text}" is found in every user; a pattern may stand anywhere in it, '
        "^ and $ hold it to the beginning and the end"
        for one in rule.conditions
        if one.key == "user_match"
        for text in one.values
        if finds_everything(compile_patterns((text,)))
    ]
