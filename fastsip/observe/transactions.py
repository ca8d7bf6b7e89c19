"""The transactions of a store, read from its files while shards write them, or when nobody does any more.

Nothing is locked, asked or stopped. A slot is copied together with its commit word before and after;
where the two differ a shard was at it, and it is copied again (docs/core.md#readers-outside). Message blocks are
read the same way: what was freed meanwhile shows as a slot that has changed.

A transaction is the server's side of one request; `branches` are its attempts.
"""

import dataclasses
import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastsip._core.base.clock import now_ms
from fastsip._core.base.files import boot_id, look_into
from fastsip._core.sip.words import METHOD_NAMES
from fastsip._core.store.partitions import block_offset, file_bytes, read_header
from fastsip._core.transaction import inspect
from fastsip.base.plain import reason
from fastsip.base.run_dir import PARTITIONS, REGISTRY, TRANSACTIONS, partition_file
from fastsip.base.sip import call_id_in
from fastsip.routing.registry import read_names

UNIT_BYTES = file_bytes(0, 1) - file_bytes(0, 0)  # of a block: what one more makes a file longer
TRIES = 5
OPEN_STATES = tuple(number for number, name in inspect.CLIENT_STATES.items()
                    if name in ("calling", "proceeding", "cancel pending", "cancelling"))  # fmt: skip
BRANCH_KINDS = tuple(kind for kind in inspect.KINDS if kind not in inspect.SERVER_KINDS)


class NoStore(Exception):
    """There is nothing to read; the text says why."""


@dataclass(slots=True)
class Branch:
    """One attempt; times in ms, `deadline_ms` counts from now (None = none runs)."""

    destination: str
    state: str
    last_status: int
    age_ms: int
    deadline_ms: int | None
    flags: tuple[str, ...]


@dataclass(slots=True)
class Transaction:
    """One request that was received; times as in Branch."""

    state: str
    method: str
    call_id: str  # "" when no message of it is kept any more
    age_ms: int
    deadline_ms: int | None
    last_status: int
    in_dialog: bool
    flags: tuple[str, ...]
    branches: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown; empty = everything."""

    state: str = ""
    method: str = ""
    call_id: str = ""  # a part of it
    destination: str = ""
    older_ms: int = 0

    def rows(self, rows: np.ndarray, now_ms: int) -> np.ndarray:
        """Which rows of servers can be wanted, by what needs no message and no branch."""
        fits = rows["created_ms"] + np.uint64(self.older_ms) <= np.uint64(now_ms)
        if self.state:
            wanted = [number for number, name in inspect.SERVER_STATES.items() if name == self.state]
            fits &= np.isin(state_of(rows), wanted)
        if self.method:
            wanted = [number for number, name in enumerate(METHOD_NAMES) if name == self.method]
            fits &= np.isin(rows["method"], wanted)
        return fits

    def wants(self, one: Transaction) -> bool:
        return self.call_id in one.call_id and (
            not self.destination or any(self.destination == each.destination for each in one.branches)
        )


EVERYTHING = Filter()


def slot_dtype() -> np.dtype:
    fields = inspect.slot_fields()
    _, size = fields.pop("bytes")
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": size})


SLOT = slot_dtype()


class Partition:
    """One mapped file; `slots` are a copy in which each row is a slot before or after a change."""

    def __init__(self, path: Path):
        header = read_header(path)
        if not header:
            raise NoStore("missing" if header is None else "damaged, or of another version")
        self.header: dict = header
        with open(look_into(path), "rb") as file:
            self.mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        count = self.header["high_water"]
        self.live = np.frombuffer(self.mapping, SLOT, count, inspect.SLOTS_OFFSET)
        self.blocks_offset = block_offset(self.header["sizes"][0])
        self.slots, self.torn = self._copy()

    def _copy(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows, and which of them could not be read whole in TRIES looks."""
        rows = self.live.copy()
        torn = self.live["commit"] != rows["commit"]
        for _ in range(TRIES):
            places = np.flatnonzero(torn)
            if not len(places):
                break
            rows[places] = self.live[places]
            torn[places] = self.live["commit"][places] != rows["commit"][places]
        return rows, torn

    def block(self, row: int, unit: int, length: int) -> bytes:
        """A message block of a slot; b"" when the slot has changed since it was copied."""
        start = self.blocks_offset + unit * UNIT_BYTES
        text = self.mapping[start : start + length]
        same = self.live["commit"][row] == self.slots["commit"][row]
        return text if same else b""


def kind_of(rows: np.ndarray) -> np.ndarray:
    return (rows["commit"] >> np.uint64(24)) & np.uint64(0xFF)


def state_of(rows: np.ndarray) -> np.ndarray:
    return (rows["commit"] >> np.uint64(16)) & np.uint64(0xFF)


def of_record(rows: np.ndarray, name: str) -> np.ndarray:
    """The field of the committed one of the two records."""
    return np.where(rows["commit"] & np.uint64(1), rows[f"1.{name}"], rows[f"0.{name}"])


def words_of(names: dict[int, str], value: int) -> tuple[str, ...]:
    return tuple(name for bit, name in names.items() if value & bit)


def left(deadline_ms: int, now_ms: int) -> int | None:
    return deadline_ms - now_ms if deadline_ms else None


class Reader:
    """Reader(run_dir): walks over the partitions; `torn` counts slots that were never at rest, `damaged` says which
    files cannot be read, and why."""

    def __init__(self, run_dir: str | Path):
        self.run_dir = run_dir
        self.folder = Path(run_dir) / TRANSACTIONS
        if not self.folder.is_dir():
            raise NoStore(f"{self.folder}: there is no transaction store")
        self.torn = 0
        self.damaged: dict[Path, str] = {}
        self.names = self._names(Path(run_dir) / REGISTRY)

    def _names(self, registry: Path) -> dict[int, tuple[str, str]]:
        """Those of destinations; without them they are shown by their numbers."""
        try:
            return read_names(registry)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.damaged[registry] = reason(error)
            return {}

    def now_ms(self, header: dict) -> int:
        """Of the store's clock; of another boot's, the last time that was written."""
        if header["boot_id"] == boot_id():
            return now_ms()
        return header["boottime_ms"]

    def transactions(self, wanted: Filter = EVERYTHING) -> Iterator[Transaction]:
        """In the order of the files; those that the filter wants.  NoStore when no file can be read."""
        read = 0
        for number in range(PARTITIONS):
            path = partition_file(self.run_dir, number)
            try:
                partition = Partition(path)
            except (NoStore, OSError, ValueError) as error:
                self.damaged[path] = reason(error)
                continue
            read += 1
            self.torn += int(partition.torn.sum())
            yield from filter(wanted.wants, self._of_partition(partition, number, wanted))
        if not read:
            raise NoStore(f"{self.folder}: no file there is of a transaction store of this version")

    def _of_partition(self, partition: Partition, number: int, wanted: Filter) -> Iterator[Transaction]:
        rows, now_ms = partition.slots, self.now_ms(partition.header)
        kinds = kind_of(rows)
        is_server = np.isin(kinds, inspect.SERVER_KINDS) & ~partition.torn & wanted.rows(rows, now_ms)
        is_branch = np.isin(kinds, BRANCH_KINDS) & ~partition.torn
        branches: dict[tuple[int, int], list[int]] = {}
        for row in np.flatnonzero(is_branch):
            key = int(rows["parent"][row]), int(rows["parent_generation"][row])
            branches.setdefault(key, []).append(int(row))
        view = View(rows)
        for row in np.flatnonzero(is_server):
            reference = number << inspect.REFERENCE_BITS | int(row)
            of_this = branches.get((reference, int(rows["commit"][row]) >> 32), [])
            published = [each for each in of_this if rows["attempt"][each] < view.attempts[row]]
            yield self._transaction(partition, view, int(row), published, now_ms)

    def _transaction(
        self, partition: Partition, view: "View", row: int, branches: list[int], now_ms: int
    ) -> Transaction:
        rows = partition.slots
        return Transaction(
            state=inspect.SERVER_STATES.get(int(view.state[row]), "?"),
            method=METHOD_NAMES[rows["method"][row]] if rows["method"][row] < len(METHOD_NAMES) else "other",
            call_id=call_id_of(partition, view, row, branches),
            age_ms=now_ms - int(rows["created_ms"][row]),
            deadline_ms=left(int(view.server_expires[row]), now_ms),
            last_status=int(view.server_status[row]),
            in_dialog=bool(rows["in_dialog"][row]),
            flags=words_of(inspect.SERVER_FLAGS, int(view.server_flags[row])),
            branches=[
                self._branch(partition, view, each, now_ms)
                for each in sorted(branches, key=lambda at: int(rows["attempt"][at]))
            ],
        )

    def _branch(self, partition: Partition, view: "View", row: int, now_ms: int) -> Branch:
        rows = partition.slots
        number = int(rows["destination_id"][row])
        deadlines = [int(at) for at in (view.client_expires[row], view.client_c[row]) if at]
        return Branch(
            destination=self.names.get(number, ("", f"#{number}"))[1] if number else "",
            state=inspect.CLIENT_STATES.get(int(view.state[row]), "?"),
            last_status=int(view.client_status[row]),
            age_ms=now_ms - int(rows["created_ms"][row]),
            deadline_ms=left(min(deadlines, default=0), now_ms),
            flags=words_of(inspect.CLIENT_FLAGS, int(view.client_flags[row])),
        )


class View:
    """The committed fields of all rows, column by column."""

    def __init__(self, rows: np.ndarray):
        self.state = state_of(rows)
        self.attempts = of_record(rows, "server.attempt_count")
        self.server_expires = of_record(rows, "server.expire_ms")
        self.server_status = of_record(rows, "server.last_status")
        self.server_flags = of_record(rows, "server.flags")
        self.client_expires = of_record(rows, "client.expire_ms")
        self.client_c = of_record(rows, "client.c_ms")
        self.client_status = of_record(rows, "client.last_status")
        self.client_flags = of_record(rows, "client.flags")
        self.blocks = {
            name: (of_record(rows, f"{name}.unit"), of_record(rows, f"{name}.len"))
            for name in ("server.kept", "server.response", "client.request")
        }


def call_id_of(partition: Partition, view: View, row: int, branches: list[int]) -> str:
    """From any message that the transaction still has."""
    places = [(each, "client.request") for each in branches]
    for at, name in [*places, (row, "server.response"), (row, "server.kept")]:
        units, lengths = view.blocks[name]
        if lengths[at]:
            found = call_id_in(partition.block(at, int(units[at]), int(lengths[at])))
            if found:
                return found.decode("utf-8", "replace")
    return ""


def count_states(run_dir: str | Path) -> list[dict[str, Any]]:
    """Kind, state and how many there are, of all kinds and states that this release knows; [] when there is no store.

    By the commit words alone, so that a scrape pays for one look at each slot.  A file that cannot be read counts for
    nothing.
    """
    found = np.zeros(1 << 16, np.int64)
    for number in range(PARTITIONS):
        try:
            counts = np.bincount(_kinds_and_states(partition_file(run_dir, number)))
            found[: len(counts)] += counts
        except (NoStore, OSError, ValueError):
            continue
    if not (Path(run_dir) / TRANSACTIONS).is_dir():
        return []
    states = {kind: inspect.SERVER_STATES if kind in inspect.SERVER_KINDS else inspect.CLIENT_STATES
              for kind in inspect.KINDS}  # fmt: skip
    return [{"kind": name.replace(" ", "_").lower(), "state": state, "count": int(found[kind << 8 | each])}
            for kind, name in inspect.KINDS.items() for each, state in states[kind].items()]


def _kinds_and_states(path: Path) -> np.ndarray:
    """Of each slot that was ever used: kind and state in one number."""
    return ((_live(path)["commit"] >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int64)


def _live(path: Path) -> np.ndarray:
    """Each slot of a partition that was ever used, as shards write it."""
    header = read_header(path)
    if not header:
        raise NoStore("missing" if header is None else "damaged, or of another version")
    with open(look_into(path), "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapping, SLOT, header["high_water"], inspect.SLOTS_OFFSET)


def count_open(run_dir: str | Path, names: dict[int, tuple[str, str]]) -> dict[str, int]:
    """Branches that wait for their final response, by the id of their destination; names: those of the registry.

    By one look at each slot, as count_states: of one that changes hands in that moment it may count the one or the
    other.  A file that cannot be read counts for nothing.
    """
    found: Counter[int] = Counter()
    for number in range(PARTITIONS):
        try:
            slots = _live(partition_file(run_dir, number))
        except (NoStore, OSError, ValueError):
            continue
        words = slots["commit"].copy()
        waits = np.isin((words >> np.uint64(24)) & np.uint64(0xFF), BRANCH_KINDS)
        waits &= np.isin((words >> np.uint64(16)) & np.uint64(0xFF), OPEN_STATES)
        owners, counts = np.unique(slots["destination_id"][waits], return_counts=True)
        found.update(dict(zip(owners.tolist(), counts.tolist(), strict=True)))
    return {names[owner][1]: count for owner, count in found.items()
            if owner in names and names[owner][0] == "destination"}


def summary(transactions: list[Transaction]) -> dict[str, int]:
    """How many in each state."""
    counts: dict[str, int] = {}
    for one in transactions:
        counts[one.state] = counts.get(one.state, 0) + 1
    return dict(sorted(counts.items()))


def as_dict(one: Transaction) -> dict:
    return dataclasses.asdict(one)
