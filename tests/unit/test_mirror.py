"""What shards show: who sees which message, and readers of a ring that are slow, many, late, or read damaged files."""

import os
import struct
from pathlib import Path

import pytest

from fastsip._core.state.mirror import LONGEST_CALL_ID, MOST_AT_ONCE, View, place_in_sample
from fastsip._core.state.mirror_ring import KIND_RECEIVED, KIND_SENT, LONGEST_KEPT, RING_BYTES, MirrorRing
from fastsip.base.run_dir import mirror_file
from fastsip.observe import mirror
from fastsip.observe.mirror import Damaged, Mirror
from fastsip.router import looking
from fastsip.supervisor import looking as asked

HEAD, PAGE, ALIGN = 96, 4096, 64
CLAIMED_AT, WRITTEN_AT = 64, 72
MESSAGE = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nCall-ID: {}\r\n\r\n"


def message(call_id: str) -> bytes:
    return MESSAGE.format(call_id).encode()


@pytest.fixture
def run_dir(scratch) -> Path:
    (scratch / "mirror").mkdir(mode=0o750)
    return scratch


@pytest.fixture
def ring(run_dir) -> MirrorRing:
    return MirrorRing(mirror_file(run_dir, 0), 0)


@pytest.fixture
def reader(run_dir, ring):
    made = Mirror(run_dir)
    yield made
    made.close()


def texts(reader: Mirror) -> list[bytes]:
    return [seen.message for seen in reader.read()]


def room_of(kept: int) -> int:
    return -(-(HEAD + kept) // ALIGN) * ALIGN


# ---------------------------------------------------------------- the ring


def test_what_is_written_is_read_once(ring, reader):
    ring.put(KIND_RECEIVED, 1_500_000_000, b"one")
    ring.put(KIND_SENT, 2_000_000_000, b"")
    first, second = reader.read()
    assert (first.when, first.received, first.message, first.length, first.shard) == (1.5, True, b"one", 3, 0)
    assert (second.when, second.received, second.message, second.length) == (2.0, False, b"", 0)
    assert reader.read() == [] and reader.lost == 0


@pytest.mark.parametrize("left", [0, 64, 128, 192, 256])
def test_at_the_edge_an_entry_goes_to_the_beginning_and_none_is_lost(ring, reader, left):
    """left: bytes of the ring before the last entries, which take 192 each."""
    last = bytes(range(64))
    step = room_of(1000)
    for _ in range((RING_BYTES - left) // step):
        ring.put(KIND_SENT, 1, bytes(1000))
    rest = (RING_BYTES - left) % step
    if rest % 128:
        ring.put(KIND_SENT, 1, last)
        rest -= room_of(len(last))
    for _ in range(rest // 128):
        ring.put(KIND_SENT, 1, b"")
    while reader.read():
        pass
    for _ in range(3):
        ring.put(KIND_SENT, 1, last)
    assert texts(reader) == [last] * 3
    assert reader.lost == 0


def test_a_slow_reader_hears_how_many_it_has_missed_and_goes_on_with_the_oldest_that_is_there(ring, reader):
    count = RING_BYTES // room_of(500) + 1000
    for number in range(count):
        ring.put(KIND_SENT, number, struct.pack("I", number) * 125)
    found = []
    while some := reader.read():
        found += [struct.unpack_from("I", seen.message)[0] for seen in some]
    assert found == list(range(count - len(found), count))
    assert reader.lost == count - len(found)
    # All of the ring but what the last entry had to make room for.
    assert len(found) >= RING_BYTES // room_of(500) - 2


def test_two_readers_do_not_know_of_each_other(run_dir, ring, reader):
    ring.put(KIND_SENT, 1, b"before")
    late = Mirror(run_dir)
    ring.put(KIND_SENT, 2, b"after")
    assert texts(late) == [b"after"] and texts(reader) == [b"before", b"after"]
    late.close()


@pytest.mark.parametrize(("length", "kept"), [(LONGEST_KEPT - 1, LONGEST_KEPT - 1), (LONGEST_KEPT, LONGEST_KEPT),
                                              (LONGEST_KEPT + 1, LONGEST_KEPT)])
def test_a_message_longer_than_its_bound_is_cut_and_says_so(ring, reader, length, kept):
    ring.put(KIND_RECEIVED, 1, os.urandom(length))
    (seen,) = reader.read()
    assert (len(seen.message), seen.length) == (kept, length)


def test_an_answer_is_bounded_and_the_rest_comes_next(ring, reader, monkeypatch):
    monkeypatch.setattr(mirror, "MOST_AT_ONCE", 5)
    for number in range(12):
        ring.put(KIND_SENT, number, bytes([number]))
    sizes = []
    while some := reader.read():
        sizes.append(len(some))
    assert sizes == [5, 5, 2] and reader.lost == 0


def test_of_several_shards_the_messages_come_in_order_of_time(run_dir, ring, reader):
    other = MirrorRing(mirror_file(run_dir, 1), 1)
    for number in range(10):
        (ring if number % 3 else other).put(KIND_SENT, number * 10**9, bytes([number]))
    first = reader.read()
    second = reader.read()
    assert [seen.shard for seen in first + second].count(1) == 4
    both = Mirror(run_dir)
    for number in range(10):
        (ring if number % 3 else other).put(KIND_SENT, number * 10**9, bytes([number]))
    assert [seen.when for seen in both.read()] == list(range(10))
    both.close()


# ---------------------------------------------------------------- files that come, go, and are damaged


def test_the_file_of_another_router_is_found_and_what_the_one_before_wrote_last_comes_first(run_dir, ring, reader):
    ring.put(KIND_SENT, 1, b"last word")
    fresh = MirrorRing(mirror_file(run_dir, 0), 0)
    fresh.put(KIND_SENT, 2, b"first word")
    assert texts(reader) == [b"last word"]
    assert texts(reader) == [b"first word"] and reader.lost == 0


def test_who_looks_before_there_is_a_ring_reads_it_from_its_start(scratch):
    reader = Mirror(scratch)
    assert reader.read() == []
    (scratch / "mirror").mkdir(mode=0o750)
    ring = MirrorRing(mirror_file(scratch, 0), 0)
    ring.put(KIND_SENT, 1, b"one")
    assert texts(reader) == [b"one"]
    mirror_file(scratch, 0).unlink()
    assert reader.read() == [] and reader.lost == 0
    reader.close()


def test_nothing_that_stands_in_the_file_leads_the_writer_astray(run_dir, ring, reader):
    path = mirror_file(run_dir, 0)
    ring.put(KIND_SENT, 1, b"one")
    with path.open("r+b") as file:
        file.write(b"\xff" * (PAGE + 4096))
    for _ in range(2 * RING_BYTES // room_of(60_000)):
        ring.put(KIND_SENT, 1, bytes(60_000))
    raw = path.read_bytes()
    assert len(raw) == PAGE + RING_BYTES
    assert struct.unpack_from("Q", raw, WRITTEN_AT) == struct.unpack_from("Q", raw, CLAIMED_AT)
    assert struct.unpack_from("Q", raw, WRITTEN_AT)[0] > RING_BYTES


@pytest.mark.parametrize("bad", [b"", b"FSMRORR1", bytes(PAGE + RING_BYTES), b"\xff" * (PAGE + RING_BYTES)])
def test_a_file_that_is_no_ring_is_said_to_be_none(run_dir, bad):
    mirror_file(run_dir, 0).write_bytes(bad)
    with pytest.raises(Damaged, match=r"00\.ring is damaged, or of another version"):
        Mirror(run_dir)


@pytest.mark.parametrize("at", [CLAIMED_AT, WRITTEN_AT])
@pytest.mark.parametrize("value", [0, 1, 63, 1 << 20, (1 << 63) + 7, (1 << 64) - 1])
def test_a_head_that_says_what_cannot_be_gives_no_message_that_was_none(run_dir, ring, reader, at, value):
    ring.put(KIND_SENT, 1, b"one")
    with mirror_file(run_dir, 0).open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("Q", value))
    assert all(text == b"one" for text in texts(reader))


@pytest.mark.parametrize("at", range(0, HEAD, 4))
def test_an_entry_that_is_damaged_is_passed_over(run_dir, ring, reader, at):
    for text in (b"one", b"two", b"three"):
        ring.put(KIND_SENT, 1, text)
    with mirror_file(run_dir, 0).open("r+b") as file:
        file.seek(PAGE + room_of(3) + at)
        file.write(b"\xff\xff\xff\xff")
    found = texts(reader)
    assert {b"one", b"three"} <= set(found) and len(found) in (2, 3)


def test_what_a_sender_writes_is_taken_for_no_entry(ring, reader):
    """A message that holds all of the file as it is, heads and all; and then the ring is overrun."""
    ring.put(KIND_SENT, 1, b"an entry")
    forged = mirror_file(reader.folder.parent, 0).read_bytes()[PAGE : PAGE + 32_000]
    while len(forged) < LONGEST_KEPT:
        forged += forged
    for _ in range(RING_BYTES // 60_000 + 3):
        ring.put(KIND_SENT, 1, forged[: 60_000 - 7])
    assert set(texts(reader)) == {forged[: 60_000 - 7]} and reader.lost


# ---------------------------------------------------------------- who sees what


FIRST = ("192.0.2.1", 5060)
SECOND = ("2001:db8::2", 5062)


def shown(ring, reader, looks) -> set[str]:
    """Of three calls of two peers, those that are shown."""
    view = View(looks, ring)
    view.show(True, FIRST, message("one"))
    view.show(False, SECOND, message("two"))
    view.show(True, FIRST, b"\r\n\r\n")
    return {"alive" if not text.strip() else "one" if b"one" in text else "two" for text in texts(reader)}


@pytest.mark.parametrize(("looks", "wanted"), [
    ([], set()),
    ([("share", 1.0)], {"one", "two", "alive"}),
    ([("share", 0.0)], set()),
    ([("call", b"one")], {"one"}),
    ([("call", b"on")], set()),
    ([("call", b"one"), ("call", b"two")], {"one", "two"}),
    ([("peer", FIRST[0])], {"one", "alive"}),
    ([("peer", SECOND[0])], {"two"}),
    ([("peer", "192.0.2.9"), ("call", b"two")], {"two"}),
    ([("share", place_in_sample(b"one")), ("share", 0.0)], set()),
])
def test_what_is_looked_at_is_shown(ring, reader, looks, wanted):
    if any(kind == "share" and 0 < value < 1 for kind, value in looks):
        wanted = {"two"} if place_in_sample(b"two") < place_in_sample(b"one") else set()
    assert shown(ring, reader, looks) == wanted


def test_a_sample_is_of_whole_calls_and_as_large_as_it_says(ring, reader):
    calls = [f"{number}@example.net" for number in range(2000)]
    view = View([("share", 0.25)], ring)
    for call in calls:
        view.show(True, FIRST, message(call))
        view.show(False, SECOND, message(call))
    found = texts(reader)
    wanted = [call for call in calls if place_in_sample(call.encode()) < 0.25]
    assert found == [message(call) for call in wanted for _ in range(2)]
    assert 400 < len(wanted) < 600


def test_the_place_of_a_call_in_samples_is_the_same_on_each_node_and_in_each_release():
    places = [place_in_sample(text) for text in (b"", b"a", b"0123456789", b"one@example.net")]
    assert places == [0.5568474750034511, 0.5571638906840235, 0.9061594654340297, 0.04394868924282491]


def test_the_address_of_a_peer_is_shown_as_it_is(ring, reader):
    view = View([("share", 1.0)], ring)
    view.show(True, FIRST, b"x")
    view.show(False, SECOND, b"y")
    assert [seen.peer for seen in reader.read()] == [FIRST, SECOND]


@pytest.mark.parametrize(("looks", "words"), [
    ([("share", 1.1)], "a share is from 0 to 1, not 1.1"),
    ([("call", b"")], "a Call-ID of 0 bytes"),
    ([("call", bytes(LONGEST_CALL_ID + 1))], f"a Call-ID of {LONGEST_CALL_ID + 1} bytes: 1 to {LONGEST_CALL_ID}"),
    ([("peer", "localhost")], "'localhost' does not appear to be"),
    ([("method", "ACK")], "'method' is no kind of look"),
    ([("share", 1.0)] * (MOST_AT_ONCE + 1), f"{MOST_AT_ONCE + 1} looks: at most {MOST_AT_ONCE}"),
])
def test_what_cannot_be_looked_at_is_refused(ring, looks, words):
    with pytest.raises(ValueError, match=words):
        View(looks, ring)
    View([("call", bytes(LONGEST_CALL_ID))] * MOST_AT_ONCE, ring)


def test_bounds_are_the_same_wherever_they_stand():
    assert asked.LONGEST_CALL_ID == LONGEST_CALL_ID and asked.LONGEST_LOOK_S == looking.LONGEST_S
