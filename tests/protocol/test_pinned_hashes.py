"""Hashes that another node, or a later release on the same store, must find again.

Who changes one of them on purpose raises the store's layout or the token's version, and says in
CHANGELOG that calls of before are strangers.
"""

import struct

from fastsip.routing.registry import wanted_id
from tests.unit.test_slots import files_of, patch

from .script import ALICE, BOB, NUMBER, Stage

STORE_KEY_AT = 40
HEADER_BYTES, SLOT_BYTES, HIGH_WATER_AT = 4096, 448, 112
SERVER_INVITE, CLIENT_INVITE = 1, 3
INVITE = f"""\
INVITE {NUMBER} SIP/2.0
Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKpinned-one
Max-Forwards: 70
From: <sip:alice@10.0.0.1>;tag=pinned-tag
To: <{NUMBER}>
Call-ID: pinned-call@10.0.0.1
CSeq: 17 INVITE
Contact: <sip:alice@10.0.0.1>
Content-Length: 0

""".replace("\n", "\r\n").encode()


def keys_of_slots(run_dir) -> dict[int, int]:
    """By kind, of the slots in use."""
    found = {}
    for path in files_of(run_dir):
        raw = path.read_bytes()
        (high_water,) = struct.unpack_from("=I", raw, HIGH_WATER_AT)
        for index in range(high_water):
            at = HEADER_BYTES + index * SLOT_BYTES
            word, key = struct.unpack_from("=QQ", raw, at)
            found[word >> 24 & 0xFF] = key
    return found


def test_of_one_invite(scratch):
    Stage(scratch / "run")
    for path in files_of(scratch / "run"):
        patch(path, STORE_KEY_AT, b"a store's 16-key")
    stage = Stage(scratch / "run")
    stage.inject(INVITE, ALICE)
    sent = stage.expect_request(BOB[0], "INVITE")
    (token,) = (value.partition("sip:")[2].partition("@")[0] for name, value in sent.headers if name == "Record-Route")
    assert sent.branch == "z9hG4bK3fipzt6byw5ps.mvu5w5"
    assert token == "iaygss3t7g7aaaaaaloxzca6e3hmg4hikasg"
    assert keys_of_slots(scratch / "run") == {SERVER_INVITE: 6779350185174781264, CLIENT_INVITE: 15659293873606605561}


def test_of_names():
    """Calls in the store name what they use by these; a router that has lost its registry must find them again."""
    names = [("listener", "udp:192.0.2.10:5060"), ("set", "media"), ("destination", "media/sip:192.0.2.21:5060")]
    assert [wanted_id(*name) for name in names] == [2810357375, 606981197, 905898743]
