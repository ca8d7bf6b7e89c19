"""The configuration as the kernels' immutable table (R4, docs/design.md#shape: Python decides, kernels do).

Names become ids by the registry and lines of the cells, which both outlive the
table: what was learned of a destination stays with its id over any reload.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastsip._core.base.clock import now_ms
from fastsip._core.dispatcher.cells import ADMIN_NAMES, Cells, CellsError
from fastsip._core.routing.table import ACTIONS, DIALOGS, RURI, WHEN_ALL_DOWN, RoutingTable
from fastsip.base import sip
from fastsip.config import (
    CallLimit,
    Condition,
    Config,
    ConfigError,
    Destination,
    DestinationSet,
    HeaderEdits,
    Policy,
    Probe,
    Rule,
)
from fastsip.config.headers import pieces
from fastsip.config.patterns import compile_patterns
from fastsip.config.secrets import purpose_key
from fastsip.config.targets import lines_of
from fastsip.dispatcher.words import Words, admin_of
from fastsip.routing.registry import Registry, RegistryError
from fastsip.routing.shares import laid_out

# Why there is no table: what its text, its cells or its registry have against it.
COMPILE_ERRORS = (ConfigError, CellsError, RegistryError, OSError)

ANY_PORT = 0

# What requests of dialogs fail over by between members of a shared set that names no policy for them; the
# name is one that nobody can give in a file.
IN_DIALOG = "in dialog"
DEFAULT_IN_DIALOG: dict[str, Any] = {"on": ["timeout", "transport"], "timeout_ms": 2_000}


class Before(NamedTuple):
    """A table and what it was compiled from."""

    config: Config
    table: RoutingTable


def compile_table(
    config: Config, registry: Registry, cells: Cells, version: int, before: Before | None = None
) -> RoutingTable:
    """A sealed table.  `config` is valid: what fails here is a defect, not the operator's.

    Sets, their members, and rules that are those of `before` are taken from its table as they stand: who changes one
    pays for that one.  What `before` names must have kept its ids and its cells.
    """
    registry.learn(names_in(config))  # one lock for all; from here on `id` only looks them up
    table = open_table(config, version)
    add_listeners(table, config, registry)
    # Sets and policies name each other; policies get their places in this order.
    policies = {name: place for place, name in enumerate(["", *(policy.name for policy in config.policies), IN_DIALOG])}
    sets = add_sets(table, config, registry, cells, policies, before)
    for policy in config.policies:
        table.add_policy(id=registry.id("policy", policy.name), **policy_fields(policy, sets))
    table.add_policy(id=registry.id("policy", IN_DIALOG), **DEFAULT_IN_DIALOG)
    if before and keeps_rules(config, before.config):
        table.take_rules(before.table)
    else:
        for rule in config.rules:
            table.add_rule(id=registry.id("rule", rule.name), **rule_fields(rule, registry, sets, policies))
    return table.seal()


def open_table(config: Config, version: int) -> RoutingTable:
    secret, *others = config.router.secret_keys
    timers = config.timers
    return RoutingTable(
        version,
        clocks=(timers.t1_ms, timers.t2_ms, timers.t4_ms, timers.c_ms),
        max_message=config.limits.max_message_bytes,
        max_head=config.limits.max_head_bytes,
        names_per_source=config.limits.names_per_source,
        names_burst=config.limits.names_burst,
        target_ms=config.resolve.target_timeout_ms,
        node=config.router.name,
        loop_key=purpose_key(config.router.placement_key, "loops"),
        branch_key=purpose_key(secret, "branch"),
        token_keys=tuple(purpose_key(key, "token") for key in config.router.secret_keys),
        other_branch_key=purpose_key(others[0], "branch") if others else None,
    )


def keeps_sets(config: Config, before: Config) -> bool:
    """Does a set that did not change mean the same: its listeners, and the key that places calls?"""
    return config.listeners == before.listeners and config.router.placement_key == before.router.placement_key


def keeps_rules(config: Config, before: Config) -> bool:
    """Does each index of a rule lead to what it led to?"""
    return (
        places_of(config) == places_of(before)
        and config.rules == before.rules
        and config.listeners == before.listeners
    )


def places_of(config: Config) -> tuple[list[str], list[str]]:
    """The names of sets and policies, at their indexes."""
    return [group.name for group in config.sets], [policy.name for policy in config.policies]


def names_in(config: Config) -> Iterator[tuple[str, str]]:
    """What the table will ask the registry for: thousands that are new are written at once."""
    for listener in config.listeners:
        yield from (("listener", listener.uri), ("tag", listener.tag))
    for group in config.sets:
        yield "set", group.name
        yield from (("destination", one.id) for one in group.destinations)
    yield from (("policy", policy.name) for policy in config.policies)
    yield "policy", IN_DIALOG
    yield from (("rule", rule.name) for rule in config.rules)


def compile_names(config: Config) -> dict[str, tuple[tuple[str, int, int, int], ...]]:
    """`[names]` as the table of names takes it: each address is a tier of its own, in the order of the file."""
    return {one.name: tuple((host, port, tier, 1) for tier, (host, port) in enumerate(one.addresses))
            for one in config.names}


def release_unnamed(cells: Cells, registry: Registry, *configs: Config) -> None:
    """Frees the lines of destinations that none of these configurations names, or has named a short time ago, and of
    sets with a limit.

    Before compile_table: what came and went would fill the cells in the end, over restarts, too.
    """
    named = {registry.find("destination", identity) for config in configs for identity in lines_of(config)}
    named |= {registry.find("set", group.name) for config in configs for group in config.sets if group.calls}
    for number in cells.assigned.keys() - named:
        cells.release(number)


def admin_lines(cells: Cells, registry: Registry, config: Config) -> list[tuple[int, Destination]]:
    """Each destination and its line."""
    lines = cells.assigned
    return [(lines[registry.id("destination", one.id)], one) for group in config.sets for one in group.destinations]


def set_admin_states(cells: Cells, lines: list[tuple[int, Destination]], words: Words) -> list[tuple[str, str]]:
    """The shards see it at the next choice.  For whoever routes, and nobody else.  Id and state of who changed."""
    numbers = {name: number for number, name in enumerate(ADMIN_NAMES)}
    changed = []
    for line, one in lines:
        state = admin_of(one, words)
        if cells.set_admin(line, numbers[state]) != numbers[state]:
            changed.append((one.id, state))
    return changed


def split_host(text: str, default_port: int = sip.PORT) -> tuple[str, int]:
    """host[:port], IPv6 in brackets, as (host without brackets, port)."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return text.strip("[]"), default_port
    return host.strip("[]"), int(port)


def add_listeners(table: RoutingTable, config: Config, registry: Registry) -> None:
    for listener in config.listeners:
        table.add_listener(
            id=registry.id("listener", listener.uri),
            tag_id=registry.id("tag", listener.tag),
            address=listener.host,
            port=listener.port,
            sent_by=listener.sent_by,
            tag=listener.tag,
            contact=listener.contact,
            headers_in=header_fields(listener.headers_in),
            headers_out=header_fields(listener.headers_out),
        )
        table.add_own(listener.host, listener.port)
        for name in filter(None, (listener.advertise, listener.contact)):
            table.add_own(*split_host(name))
    for domain in config.router.domains:
        table.add_own(*split_host(domain))
    for network in config.router.trusted:
        table.add_trusted(network)


def add_sets(
    table: RoutingTable,
    config: Config,
    registry: Registry,
    cells: Cells,
    policies: dict[str, int],
    before: Before | None = None,
) -> dict[str, int]:
    """Index by name; `policies` are the indexes that policies will have."""
    indexes = {}
    known: dict[str, tuple[int, DestinationSet]] = {}
    if before and keeps_sets(config, before.config):
        known = {group.name: (index, laid_out(group)) for index, group in enumerate(before.config.sets)}
    for group in map(laid_out, config.sets):
        dialog_policy = policies[group.in_dialog_failure or IN_DIALOG]
        place, same = known.get(group.name, (0, None))
        if before and same == group:
            indexes[group.name] = table.take_set(before.table, place, dialog_policy)
            continue
        indexes[group.name] = index = table.add_set(
            id=registry.id("set", group.name),
            algorithm=group.algorithm_number,
            ruri=RURI[group.ruri],
            in_dialog=DIALOGS[group.in_dialog],
            tiers=group.tiers,
            when_all_down=WHEN_ALL_DOWN[group.when_all_down],
            limit=group.limit,
            retry_ms=group.retry_ms,
            retry_after_max_ms=group.retry_after_max_ms,
            call_fall=group.call_fall,
            call_rise=group.call_rise,
            damping_ms=group.damping_ms,
            calls=limit_fields(group.calls),
            cell=cells.assign(registry.id("set", group.name)) if group.calls else 0,
            # A promise to the calls: who renames a set moves all of its keys.
            hash_key=purpose_key(config.router.placement_key, f"set {group.name}"),
            key_header=group.key,
            dialog_policy=dialog_policy,
            name=group.name,
            headers_out=header_fields(group.headers_out),
        )
        if same and group.calls and same.calls != group.calls:
            cells.begin_turns(cells.assigned[registry.id("set", group.name)])
        was = (place, same, before.table) if before and same else None
        add_members(table, index, group, registry, cells, was)
    return indexes


def add_members(
    table: RoutingTable, index: int, group: DestinationSet, registry: Registry, cells: Cells,
    was: tuple[int, DestinationSet, RoutingTable] | None,
) -> None:  # fmt: skip
    """The destinations of a set; `was`: its index, itself and the table before this one."""
    places = {one.id: at for at, one in enumerate(was[1].destinations)} if was else {}
    for one in group.destinations:
        at = places.get(one.id, -1)
        if was and at >= 0 and was[1].destinations[at] == one:
            table.take_destination(was[2], was[0], at)
            continue
        add_destination(table, index, one, registry, cells)
        if was and at >= 0 and was[1].destinations[at].calls != one.calls:
            cells.begin_turns(cells.assigned[registry.id("destination", one.id)])


def add_destination(
    table: RoutingTable, set_index: int, destination: Destination, registry: Registry, cells: Cells
) -> None:
    number = registry.id("destination", destination.id)
    host = f"[{destination.host}]" if destination.family == 6 else destination.host
    table.add_destination(
        set_index=set_index,
        id=number,
        cell=cells.assign(number, now_ms() if destination.starts_down else None),
        address=destination.host,
        port=destination.port,
        listener_index=destination.listener,
        uri=destination.uri,
        host_port=destination.named or f"{host}:{destination.port}",
        weight=destination.weight,
        priority=destination.priority,
        calls=limit_fields(destination.calls),
        probe=probe_fields(destination.probe),
        name=destination.id,
    )


def limit_fields(calls: CallLimit | None) -> tuple[int, int] | None:
    return (calls.per_second, calls.at_once) if calls else None


def probe_fields(probe: Probe | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    return {
        "interval_ms": probe.interval_ms,
        "timeout_ms": probe.timeout_ms,
        "rise": probe.rise,
        "fall": probe.fall,
        "mode": probe.mode,
        "accept": probe.accept,
        "method": probe.method,
        "from_uri": probe.from_uri,
        "headers": probe.headers,
    }


def policy_fields(policy: Policy, sets: dict[str, int]) -> dict[str, Any]:
    marks: dict[str | int, str] = {"default": policy.mark}
    for key, mark in policy.mark_by:
        marks[int(key) if key.isdigit() else key] = mark
    return {
        "on": [*policy.on_codes, *(f"{digit}xx" for digit in policy.on_classes), *policy.on_reasons],
        "timeout_ms": policy.timeout_ms,
        "progress_ms": policy.progress_ms,
        "ring_ms": policy.ring_ms,
        "budget_ms": policy.budget_ms,
        "after_progress": policy.after_progress,
        "mark": marks,
        "mark_last": policy.mark_last,
        "then_set": sets[policy.then] if policy.then else None,
        "exhausted": (policy.exhausted.code, policy.exhausted.reason) if policy.exhausted else None,
        "unavailable": (policy.unavailable.code, policy.unavailable.reason),
    }


def rule_fields(
    rule: Rule, registry: Registry, sets: dict[str, int], policies: dict[str, int]
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "action": ACTIONS["set"],
        "conditions": [condition_fields(condition, registry, sets) for condition in rule.conditions],
        "set_index": sets.get(rule.to, 0),
        "policy_index": policies[rule.failure],
        "record_route": rule.record_route,
        "ruri": RURI[rule.ruri],
        "headers": header_fields(rule.headers),
    }
    if rule.reply:
        fields |= {"action": ACTIONS["reply"], "reply": (rule.reply.code, rule.reply.reason)}
    if rule.forward:
        fields |= {"action": ACTIONS["forward"], "forward": rule.forward.partition(":")[2].encode()}
    return fields


def header_fields(edits: HeaderEdits) -> dict[str, Any]:
    assigned = []
    for name, value in edits.set:
        assigned.append((name.encode(), [(field, text.encode()) for field, text in pieces(value)]))
    return {"remove": [name.encode() for name in edits.remove], "set": assigned}


def condition_fields(condition: Condition, registry: Registry, sets: dict[str, int]) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": condition.key, "negate": condition.negate}
    if condition.key == "listen":
        fields["items"] = [registry.id("tag", tag) for tag in condition.values]
    elif condition.key == "source_set":
        fields["items"] = [sets[name] for name in condition.values]
    elif condition.key == "user_match":
        fields["items"] = [compile_patterns(condition.values)]
    elif condition.key == "domain":
        fields["items"] = [split_host(domain, ANY_PORT) for domain in condition.values]
    elif condition.key == "header":
        fields["items"] = [condition.header, *condition.values]
    elif condition.key == "to_tag":
        fields["flag"] = condition.wanted
    else:
        fields["items"] = list(condition.values)
    return fields
