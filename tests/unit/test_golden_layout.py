"""What older code has written must be read: a store of each layout version since the first, as files.

    python -m tests.unit.test_golden_layout     writes the files of the present version, once

A change of the slots, records or header needs another version in slots.pxd, and with it another pair of files.
"""

import json
import struct
import tarfile
import tempfile
from pathlib import Path

import pytest

from fastsip._core.base.files import boot_id
from fastsip._core.store.partitions import Store
from fastsip._core.transaction import inspect
from fastsip.observe.transactions import Filter, Reader, as_dict
from tests.kernels.store_doors import BLOCKS, HEAD, KINDS, LAYOUT, Slots, kind_rows

from .test_slots import BOOT_AT, SMALL, client_record, files_of, patch, server_record

GOLDEN = Path(__file__).with_name("golden")
VERSION = f"{LAYOUT['major']}.{LAYOUT['minor']}"
PROCEEDING, COMPLETED = (
    next(number for number, name in inspect.SERVER_STATES.items() if name == wanted)
    for wanted in ("proceeding", "completed")
)
OLDER = sorted(GOLDEN.glob(f"store-{LAYOUT['major']}.*.tar.xz"))
OF_NOW = ("age_ms", "deadline_ms")
RINGING = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: golden-ringing\r\n\r\n"
ANSWER = b"SIP/2.0 200 OK\r\nCall-ID: golden-finished\r\n\r\n"


def described() -> dict:
    """Sizes, places and numbers that a file depends on."""
    fields = {name: list(place) for name, place in inspect.slot_fields().items()}
    return {"sizes": LAYOUT, "blocks": BLOCKS, "kinds": KINDS, "head": HEAD, "rows": kind_rows(), "fields": fields}


def fill(store: Store) -> None:
    """A search with two branches in partition 3, a finished request in partition 40."""
    slots = Slots(store)
    server = slots.take(3)
    slots.identify(server, 101)
    slots.commit(server, KINDS["server-invite"], PROCEEDING)
    for attempt, status in enumerate((503, 180)):
        branch = slots.take(3, reserved=True)
        slots.identify(branch, 200 + attempt, server, attempt)
        block = slots.write_block(branch, RINGING)
        slots.commit(branch, KINDS["client-invite"], 1, record=client_record(request=block, status=status))
        slots.index_insert(branch)
    slots.commit(server, KINDS["server-invite"], PROCEEDING, record=server_record(status=180, attempts=2))
    slots.index_insert(server)
    finished = slots.take(40)
    slots.identify(finished, 102)
    response = slots.write_block(finished, ANSWER)
    slots.commit(finished, KINDS["server-other"], COMPLETED, record=server_record(status=200, response=response))
    slots.index_insert(finished)


def shown(run_dir: Path) -> list[dict]:
    """What `fastsip transactions` says of it, but for what depends on the time of day."""
    found = json.loads(json.dumps([as_dict(one) for one in Reader(str(run_dir)).transactions(Filter())]))
    for one in found:
        for row in (one, *one["branches"]):
            for key in OF_NOW:
                row.pop(key, None)
    return sorted(found, key=lambda one: one["call_id"])


def make(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        store = Store(run_dir, SMALL)
        fill(store)
        with tarfile.open(folder / f"store-{VERSION}.tar.xz", "w:xz") as archive:
            for path in files_of(run_dir):
                archive.add(path, path.name)
        kept = {"layout": described(), "transactions": shown(run_dir)}
    (folder / f"store-{VERSION}.json").write_text(json.dumps(kept, indent=1) + "\n")


def test_the_layout_of_this_version_has_not_changed():
    kept = json.loads((GOLDEN / f"store-{VERSION}.json").read_text())
    assert json.loads(json.dumps(described())) == kept["layout"]


@pytest.mark.parametrize("archive", OLDER, ids=lambda path: path.name)
def test_a_store_of_older_code_is_taken_up(scratch, archive):
    (scratch / "transactions").mkdir()
    with tarfile.open(archive) as files:
        files.extractall(scratch / "transactions", filter="data")
    for path in files_of(scratch):
        patch(path, BOOT_AT, boot_id())
    store = Store(scratch, SMALL)
    slots = Slots(store)
    assert store.notes == [] and store.in_use()["slots"] == 4
    server = slots.index_find(3, 101, KINDS["server-invite"])
    branches = [slots.index_find(3, 200 + attempt, KINDS["client-invite"]) for attempt in range(2)]
    assert sorted(slots.children(server)) == sorted(branches)
    finished = slots.index_find(40, 102, KINDS["server-other"])
    unit, length = struct.unpack_from("=2I", slots.read(finished)["record"], 8)
    assert slots.read_block(finished, unit, length) == ANSWER
    kept = json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text())
    assert shown(scratch) == kept["transactions"] != []


if __name__ == "__main__":
    make(GOLDEN)
