"""What a row of a source means for its set, for both who ask: sources.py, which takes rows in while a configuration is
read, and imported.py, which writes them down as text.
"""

from fastsip.config.errors import Wrong
from fastsip.config.short_names import short_ids_of
from fastsip.sources.rows import Row


def listener_of(row: Row) -> str:
    """The name of the listener that the row asks for, by address or by tag; "" for the set's."""
    return row.socket or row.listener_tag


def weight_of(row: Row, algorithm: str) -> int:
    """Of the two weights the one that the set's algorithm asks for there; both are shares among all here."""
    shares = (row.weight, row.relative_weight)
    if algorithm == "relative-weight":
        shares = (row.relative_weight, row.weight)
    return next((share for share in shares if share is not None), 1)


def identity_of(group: str, row: Row, uri: str) -> str:
    """By set and `duid`, or by set, URI and socket: one URI by two sockets is two destinations."""
    listener = listener_of(row)
    return f"{group}/{row.name or uri + (f'@{listener}' if listener else '')}"


class Identities:
    """The ids of all destinations, each once, also as tokens call them."""

    def __init__(self, known: list[tuple[str, str]]) -> None:
        """`known`: set and id of those that are there before any row."""
        self.seen = {identity for _, identity in known}
        self.short_ids = {short_ids_of(*one): one[1] for one in known}

    def take(self, group: str, row: Row, uri: str) -> str:
        """The id of this row, whose URI reads `uri`; Wrong when another one has it."""
        identity = identity_of(group, row, uri)
        if identity in self.seen:
            raise Wrong("it stands in this set already; another `duid` or `socket` would tell the two apart")
        other = self.short_ids.setdefault(short_ids_of(group, identity), identity)
        if other != identity:
            raise Wrong(f'its short id is that of "{other}": give it a `duid`')
        self.seen.add(identity)
        return identity
