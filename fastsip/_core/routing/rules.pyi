"""Types of the doors to the rule kernels; meanings stand in rules.pyx."""

from fastsip._core.routing.table import Table

def match(
    table: Table,
    text: bytes,
    source: str = "192.0.2.99",
    listener: int = 0,
    port: int = 5060,
    by_key: bool = True,
) -> int | None: ...
def own(table: Table, host: bytes, port: int = 0) -> bool: ...
