"""Damage to a slot costs that call at most: no crash, no hang, and nothing that waits for nothing.

Every byte of the slots of a call is spoilt, one at a time, and the store is taken up by another router.
"""

import errno
import random
import struct

import pytest

from fastsip._core.harness.rig import Rig
from tests.kernels.audit import complaints, live_slots
from tests.kernels.store_doors import HEAD, LAYOUT
from tests.protocol.script import BOB, WHOLE, Stage

HEADER_BYTES, SLOT_BYTES = 4096, 448
MINOR_AT, HIGH_WATER = 12, 112  # where the header has them
OWES_AT = 1  # of a slot: in its commit word
DAYS_MS = 3 * 86_400_000


def ringing(stage: Stage) -> None:
    stage.invite()
    stage.ring(BOB[0])


def calling(stage: Stage) -> None:
    stage.send("MESSAGE")


def cancelling(stage: Stage) -> None:
    call = stage.invite()
    stage.ring(BOB[0])
    call.cancel()


def refused(stage: Stage) -> None:
    stage.invite()
    stage.reply(stage.expect_request(BOB[0], "INVITE"), 486)


def answered(stage: Stage) -> None:
    stage.send("MESSAGE")
    stage.reply(stage.expect_request(BOB[0], "MESSAGE"), 200)


def parked(stage: Stage) -> None:
    stage.send("INVITE", headers=[("Route", "<sip:gw.example.net;lr>")])


class Image:
    """The partition that holds a call, and how to put a spoilt one in its place."""

    def __init__(self, make_stage, scenario):
        self.stage = make_stage(trusted=("10.0.0.0/24",), policy={"on": ["timeout", 500], "timeout_ms": 2_000})
        scenario(self.stage)
        self.now = self.stage.now
        self.refs = [slot["ref"] for slot in live_slots(self.stage.rig)]
        name = f"{self.refs[0] >> 26:02d}.slots"
        self.path = self.stage.run_dir / "transactions" / name
        del self.stage.rig
        self.whole = self.path.read_bytes()

    def places(self) -> list[int]:
        """Offsets of all bytes of the slots in use."""
        starts = [HEADER_BYTES + (ref & 0x3FFFFFF) * SLOT_BYTES for ref in self.refs]
        return [start + n for start in starts for n in range(SLOT_BYTES)]

    def take_up(self, spoilt: bytes) -> None:
        """Another router serves it until all its clocks have run out; what was there before is set back behind it."""
        with self.path.open("r+b") as file:
            file.write(spoilt)
        rig = Rig(self.stage.run_dir, self.stage.table, self.stage.cells, 64, now_ms=self.now + 100)
        rig.recover()
        rig.advance(40_000)
        rig.sent()
        rig.advance(DAYS_MS)
        left = live_slots(rig)
        assert left == []
        del rig
        for kept in self.path.parent.glob(f"{self.path.name}.*"):
            kept.unlink()


@pytest.mark.parametrize("scenario", [ringing, calling, cancelling, refused, answered, parked])
def test_any_byte_of_a_slot_may_be_damaged(make_stage, scenario):
    image = Image(make_stage, scenario)
    wrongs = {}
    for place in image.places():
        value = (0xFF, 0x80, 0x01)[place % 3]
        spoilt = bytearray(image.whole)
        spoilt[place] ^= value
        try:
            image.take_up(bytes(spoilt))
        except AssertionError as error:
            wrongs[(place - HEADER_BYTES) % SLOT_BYTES, value] = str(error)[:300]
    assert not wrongs


@pytest.mark.parametrize("scenario", [ringing, refused, parked])
def test_any_bytes_of_a_slot_may_be_damaged(make_stage, scenario):
    image, chance = Image(make_stage, scenario), random.Random(4711)
    places = image.places()
    for _ in range(150):
        spoilt = bytearray(image.whole)
        for place in chance.sample(places, chance.randrange(2, 40)):
            spoilt[place] = chance.randrange(256)
        image.take_up(bytes(spoilt))


def with_word(whole: bytes, ref: int, kind: int, state: int) -> bytearray:
    spoilt = bytearray(whole)
    at = HEADER_BYTES + (ref & 0x3FFFFFF) * SLOT_BYTES
    word = struct.unpack_from("<Q", spoilt, at)[0]
    struct.pack_into("<Q", spoilt, at, word & ~0xFFFF0000 | kind << 24 | state << 16)
    return spoilt


@pytest.mark.parametrize("kind, state", [(1, 7), (1, 110), (2, 4), (3, 8), (4, 3), (4, 255), (5, 1), (200, 2)])
def test_kinds_and_states_that_no_release_of_this_layout_writes_are_let_go(make_stage, kind, state):
    """They cannot be taken up, and must not stay for ever."""
    image = Image(make_stage, ringing)
    for ref in image.refs:
        image.take_up(bytes(with_word(image.whole, ref, kind, state)))


@pytest.mark.parametrize("owes", range(1, 16))
@pytest.mark.parametrize("scenario", [ringing, calling, cancelling, refused, parked])
def test_what_a_slot_cannot_owe_is_not_sent(make_stage, scenario, owes):
    """What it owes says which of its blocks is read, so another kind's would be read as what it is not."""
    image = Image(make_stage, scenario)
    for ref in image.refs:
        spoilt = bytearray(image.whole)
        spoilt[HEADER_BYTES + (ref & 0x3FFFFFF) * SLOT_BYTES + OWES_AT] = owes
        image.take_up(bytes(spoilt))


@pytest.mark.parametrize("kind, state", [(9, 2), (1, 7)])
def test_what_a_later_release_began_is_there_for_it_afterwards(make_stage, kind, state):
    """After a downgrade: no router of this code answers for it, and none takes its place (docs/core.md#kinds)."""
    invites = []
    image = Image(make_stage, lambda stage: (stage.invite(), invites.append(stage.ring(BOB[0]))))
    stage, later = image.stage, with_word(image.whole, image.refs[0], kind, state)
    struct.pack_into("<I", later, MINOR_AT, LAYOUT["minor"] + 1)
    for at, row in zip((0, 4 * 8), ((1, 7, 0b111), (9, 4, 0b111)), strict=True):
        struct.pack_into("<BBxxI", later, HEAD["kinds_off"] + at, *row)
    image.path.write_bytes(later)
    places = [slice(HEADER_BYTES, HEADER_BYTES + len(image.refs) * SLOT_BYTES)]
    stage.rig = Rig(stage.run_dir, stage.table, stage.cells, 64, now_ms=image.now + 100)
    assert stage.rig.recover() == 0 and stage.rig.sent() == [] and complaints(stage.rig) == []
    stage.reply(invites[0], 200)  # by the hint of a branch that is kept
    stage.rig.take_error(invites[0].to_bytes(), BOB[0], errno.ECONNREFUSED)
    stage.rig.advance(DAYS_MS)
    assert complaints(stage.rig) == [] and live_slots(stage.rig) == []
    assert [image.path.read_bytes()[place] for place in places] == [bytes(later)[place] for place in places]


@pytest.mark.parametrize("high_water", [0, 1])
def test_a_spoilt_mark_of_use_costs_no_later_call(make_stage, high_water):
    """Slots above it are free, whatever stands in them; whoever takes one begins a new life."""
    image = Image(make_stage, cancelling)
    spoilt = bytearray(image.whole)
    assert struct.unpack_from("<I", spoilt, HIGH_WATER)[0] == len(image.refs)
    struct.pack_into("<I", spoilt, HIGH_WATER, high_water)
    image.path.write_bytes(spoilt)
    stage = image.stage
    stage.rig = Rig(stage.run_dir, stage.table, stage.cells, 64, now_ms=image.now + WHOLE)
    stage.rig.recover()
    stage.rig.sent()
    partition = int(image.path.name.partition(".")[0])
    beside = (name for name in map("{}@alice".format, range(10_000))
              if stage.rig.partition_of(name.encode()) == partition)
    calls = [stage.send("INVITE", call_id=next(beside)) for _ in range(2)]
    for invite in stage.take_requests(BOB[0], "INVITE"):
        stage.reply(invite, 486)
    assert [message.call_id for message in stage.take_responses(486)] == [call.message.call_id for call in calls]
    stage.finish()
