"""What shards see of messages, as whoever looks reads it."""

from typing import NamedTuple


class Seen(NamedTuple):
    """One message as a shard saw it."""

    when: float             # unix seconds
    received: bool          # else sent
    ours: tuple[str, int]   # our listener's address
    peer: tuple[str, int]
    transport: str
    shard: int
    message: bytes          # whole, or the first of it
    length: int             # as it was on the wire
