"""Types of failure policies; meanings and units stand in policies.pyx."""

from collections.abc import Iterable, Mapping
from typing import Any

REASONS: dict[str, int]
MARKS: dict[str, int]

def number_in(name: str, value: Any, low: int, high: int) -> int: ...
def reply_parts(name: str, reply: Any) -> tuple[int, bytes]: ...
def mark_number(where: str, word: str) -> int: ...
def pack_policy(
    policy_id: int,
    *,
    on: Iterable[int | str] = (),
    timeout_ms: int = 0,
    progress_ms: int = 0,
    ring_ms: int = 0,
    budget_ms: int = 0,
    after_progress: bool = True,
    mark: str | Mapping[int | str, str] = "suspect",
    mark_last: bool = False,
    exhausted: int = 0,
    unavailable: int = 500,
) -> bytes: ...
