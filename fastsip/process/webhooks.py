"""What a supervisor says to the desk of webhooks and spans: in a file in memory, for URLs and secrets stand in it."""

import msgspec

from fastsip.config.model import Otel, Webhook


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, from now on.  since: by name, the number of the event that one begins with of which nothing is kept.
    otel: where spans of calls go, None = nowhere.
    """

    run_dir: str
    state_dir: str
    node: str
    release: str
    since: dict[str, int]
    webhooks: tuple[Webhook, ...]
    otel: Otel | None = None

    @property
    def wanted(self) -> bool:
        """Is there anybody to be told of anything?"""
        return bool(self.webhooks or self.otel)


def pack(order: Webhooks) -> bytes:
    return msgspec.msgpack.encode(order)


def unpack(raw: bytes) -> Webhooks:
    """It is of the same release: a supervisor starts its own desk."""
    return msgspec.msgpack.decode(raw, type=Webhooks)
