"""A configuration that was read once, handed to another process: to read a large file again takes longer than all else.
"""

import msgspec

from fastsip.config.model import Config


def pack(config: Config) -> bytes:
    """With its secrets: for nobody but a process of ours."""
    return msgspec.msgpack.encode(config)


def unpack(raw: bytes) -> Config | None:
    """None for what another release has packed, which knows other keys."""
    try:
        return msgspec.msgpack.decode(raw, type=Config)
    except msgspec.MsgspecError:
        return None
