"""HEP3 read back as its documents have it (docs/hep.md): what a collector sees of a datagram."""

import socket
import struct

FILLING = 0xFFFF    # vendor and type of what nobody reads
WORDS = {1: "family", 2: "protocol", 11: "type", 12: "agent", 14: "key", 15: "message", 17: "correlation", 19: "node"}
NUMBERS = {1: ">B", 2: ">B", 7: ">H", 8: ">H", 9: ">I", 10: ">I", 11: ">B", 12: ">I"}


def chunks_of(datagram: bytes) -> dict[int, bytes]:
    """Type -> value, each once; AssertionError for what is no HEP3."""
    assert datagram[:4] == b"HEP3" and struct.unpack_from(">H", datagram, 4) == (len(datagram),)
    found: dict[int, bytes] = {}
    at = 6
    while at < len(datagram):
        vendor, kind, length = struct.unpack_from(">HHH", datagram, at)
        assert vendor in (0, FILLING) and kind not in found and 6 <= length <= len(datagram) - at
        found[kind] = datagram[at + 6 : at + length]
        assert (vendor == FILLING) == (kind == FILLING) and (vendor == 0 or not found.pop(kind).strip(b"\0"))
        at += length
    return found


def read_datagram(datagram: bytes) -> dict:
    """source and target as (host, port), when in seconds, and the chunks of WORDS that there are."""
    chunks = chunks_of(datagram)
    values = {kind: struct.unpack(NUMBERS[kind], raw)[0] if kind in NUMBERS else raw for kind, raw in chunks.items()}
    family, places = (socket.AF_INET, (3, 4)) if values[1] == 2 else (socket.AF_INET6, (5, 6))
    source, target = (socket.inet_ntop(family, chunks[place]) for place in places)
    assert not chunks.keys() & ({3, 4, 5, 6} - set(places))
    return {word: values[kind] for kind, word in WORDS.items() if kind in values} | {
        "source": (source, values[7]), "target": (target, values[8]), "when": values[9] + values[10] / 1e6,
    }  # fmt: skip
