"""What a supervisor says to the desk of webhooks: in a file in memory, for URLs and secrets stand in it."""

import msgspec

from fastsip.config.model import Webhook


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, from now on.  since: by name, the number of the event that one begins with of which nothing is kept.
    """

    run_dir: str
    state_dir: str
    node: str
    release: str
    since: dict[str, int]
    webhooks: tuple[Webhook, ...]


def pack(order: Webhooks) -> bytes:
    return msgspec.msgpack.encode(order)


def unpack(raw: bytes) -> Webhooks:
    """It is of the same release: a supervisor starts its own desk."""
    return msgspec.msgpack.decode(raw, type=Webhooks)
