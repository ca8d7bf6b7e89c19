"""Types of rule conditions; meanings stand in conditions.pyx."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from fastsip._core.routing.patterns import Automaton

class Plan(NamedTuple):
    kind: int
    negate: bool
    methods: int
    texts: tuple[bytes, ...]
    networks: tuple[tuple[bytes, int, int], ...]
    tags: tuple[int, ...]
    header_id: int
    flag: bool
    compact: int
    automaton: Automaton | None

def as_host(item: Any, what: str) -> bytes: ...
def network_parts(text: str) -> tuple[bytes, int, int]: ...
def shortest_prefixes(texts: Iterable[bytes]) -> tuple[bytes, ...]: ...
def plan_condition(given: Mapping[str, Any]) -> Plan: ...
