"""Types of the routing table's builder; meanings and units stand in table.pyx."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

ACTIONS: dict[str, int]
RURI: dict[str, int]
DIALOGS: dict[str, int]
WHEN_ALL_DOWN: dict[str, int]

class RoutingTable:
    def __init__(
        self,
        version: int,
        clocks: tuple[int, int, int, int] = ...,
        max_message: int = ...,
        max_head: int = ...,
        branch_key: bytes = ...,
        token_keys: tuple[bytes, ...] = ...,
        other_branch_key: bytes | None = ...,
        loop_key: bytes = ...,
        node: str | bytes = ...,
        names_per_source: int = ...,
        names_burst: int = ...,
        target_ms: int = ...,
    ) -> None: ...
    @property
    def version(self) -> int: ...
    @property
    def sealed(self) -> bool: ...
    @property
    def total_bytes(self) -> int: ...
    @property
    def pointer(self) -> int: ...
    def add_listener(
        self,
        id: int,
        tag_id: int,
        address: str,
        port: int,
        sent_by: str | bytes,
        tag: str | bytes = b"",
        headers_in: dict[str, Any] | None = None,
        headers_out: dict[str, Any] | None = None,
        contact: str | bytes = b"",
        transport: int = 1,
    ) -> int: ...
    def add_set(
        self,
        id: int,
        algorithm: int,
        ruri: int = 0,
        in_dialog: int = 0,
        tiers: bool = True,
        when_all_down: int = 0,
        limit: int = 0,
        retry_ms: int = 30000,
        retry_after_max_ms: int = 60000,
        call_fall: int = 0,
        call_rise: int = 0,
        damping_ms: int = 0,
        calls: tuple[int, int] | None = None,
        cell: int = 0,
        hash_key: bytes = ...,
        key_header: str | bytes = b"",
        dialog_policy: int = 0,
        name: str | bytes = b"",
        headers_out: dict[str, Any] | None = None,
    ) -> int: ...
    def add_destination(
        self,
        set_index: int,
        id: int,
        cell: int,
        address: str,
        port: int,
        listener_index: int,
        uri: str | bytes,
        host_port: str | bytes,
        weight: int = 1,
        priority: int = 0,
        max_load: int = 0,
        calls: tuple[int, int] | None = None,
        probe: Mapping[str, Any] | None = None,
        name: str | bytes = b"",
    ) -> None: ...
    def take_destination(self, before: RoutingTable, set_index: int, place: int) -> None: ...
    def take_set(self, before: RoutingTable, set_index: int, dialog_policy: int) -> int: ...
    def take_rules(self, before: RoutingTable) -> None: ...
    def add_policy(
        self,
        id: int,
        *,
        on: Iterable[int | str] = (),
        timeout_ms: int = 0,
        progress_ms: int = 0,
        ring_ms: int = 0,
        budget_ms: int = 0,
        after_progress: bool = True,
        mark: str | Mapping[int | str, str] = "suspect",
        mark_last: bool = False,
        then_set: int | None = None,
        exhausted: tuple[int, str | bytes] | None = None,
        unavailable: tuple[int, str | bytes] = ...,
    ) -> int: ...
    def add_rule(
        self,
        id: int,
        action: int,
        conditions: Iterable[Mapping[str, Any]] = (),
        set_index: int = 0,
        policy_index: int = 0,
        reply: tuple[int, str | bytes] | None = None,
        record_route: bool = True,
        ruri: int = 255,
        forward: bytes = b"",
        headers: Mapping[str, Any] | None = None,
    ) -> int: ...
    def add_trusted(self, network: str) -> None: ...
    def add_own(self, host: str | bytes, port: int = 0) -> None: ...
    def seal(self) -> Self: ...
    def members(self, set_index: int) -> list[tuple[int, int, int, int, int, int]]: ...
