"""Short ids: what tokens call the things of a configuration, the same on each node (docs/wire.md#record-route-token).

They are hashes of names, since a token is read by nodes that number things otherwise.  The key of the hash is no
secret: the token is signed as a whole.
"""

import functools
import hashlib

NODE_BITS = 10
LISTENER_BITS = 10
SET_BITS = 10
DESTINATION_BITS = 30


def short_id(name: str | bytes, bits: int) -> int:
    """1..2**bits - 1."""
    text = name.encode() if isinstance(name, str) else name
    number = int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"fastsip-short").digest())
    return number % (2**bits - 1) + 1


@functools.lru_cache(maxsize=1 << 15)   # each reload asks for all of them
def destination_short_id(name: bytes, twin: int = 0) -> int:
    """Of the destination that has `twin` others of its name before it in its set."""
    return short_id(b"%d %b" % (twin, name), DESTINATION_BITS)
