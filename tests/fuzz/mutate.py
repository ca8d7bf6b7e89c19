"""Random damage to SIP messages: bytes, lines, numbers, lengths, order.

Deterministic by seed, so that a finding can be played again.
"""

import random

SPICE = (
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"<", b">", b'"', b"\\", b"=", b"@", b"[", b"]", b"%",
    b"\xff", b"\xc3\x28", b"SIP/2.0", b"z9hG4bK", b";fs=", b";branch=", b";rport", b";received=", b";tag=", b";lr",
    b"sip:", b"[::1]", b"[::ffff:1.2.3.4]", b"0", b"-1", b"4294967296", b"99999999999999999999", b"Via:", b"v:",
    b"Route: <sip:10.0.0.254:5060;lr>\r\n", b"Record-Route: <sip:a;lr>,<sip:b>\r\n", b"Content-Length: 0\r\n",
    b"Max-Forwards: 0\r\n", b"CSeq: 1 CANCEL\r\n", b" folded\r\n",
)  # fmt: skip


def cut_lines(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.split(b"\r\n")
    at = rng.randrange(len(lines))
    choice = rng.randrange(4)
    if choice == 0:
        del lines[at]
    elif choice == 1:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif choice == 2:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at] * rng.choice((2, 3, 40))
    return b"\r\n".join(lines)


def change_bytes(raw: bytes, rng: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def insert_spice(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice(SPICE) * rng.choice((1, 1, 1, 2, 70)) + raw[at:]


def cut_range(raw: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(raw) + 1)
    return raw[:start] + raw[start + rng.choice((1, 3, 20, 200, len(raw))) :]


MUTATORS = (cut_lines, change_bytes, insert_spice, insert_spice, cut_range)


def mutate(raw: bytes, rng: random.Random) -> bytes:
    """One to four kinds of damage; at most a datagram's size."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        raw = rng.choice(MUTATORS)(raw, rng)
    return raw[:65_535]
