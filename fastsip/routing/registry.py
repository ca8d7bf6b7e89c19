"""Names to numbers that stay: what stored state calls a listener, a set, a destination, a rule.

Tables are rebuilt at each reload and their indexes mean nothing a moment later; a call
in set-up names what it uses by a 32-bit id from here (docs/core.md#ids-instead-of-indexes).  An id is
given once, and never to another name, also not after its name went.  It is a hash of
the name, or the next free number behind that: should records be lost, names find their ids again.

The file is text, one record per line, only ever appended to::

    fastsip registry 1
    <crc32 of the rest, 8 hex digits> <id> <kind> <name as a JSON string>

Several processes may use one file (a spare router compiles the next configuration
while the old one runs): a new name is looked for once more, and written, under a lock.

A file that cannot be read is kept under another name.

Must never: rewrite or reorder records.
"""

import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from fastsip._core.base.files import keep_aside, look_at, open_file
from fastsip.base.run_dir import REGISTRY
from fastsip.log import log

KINDS = ("listener", "tag", "set", "destination", "policy", "rule", "hook")
LAYOUT = 1
HEAD = b"fastsip registry "
LAST_ID = 2**32 - 1


class RegistryError(Exception):
    """There is no room for another name."""


class DamagedRegistry(RegistryError):
    """The file cannot be used: another program's, or of a newer layout."""


def wanted_id(kind: str, name: str) -> int:
    """The id of a name unless another name has it: 1..LAST_ID."""
    digest = hashlib.blake2b(f"{kind} {name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % LAST_ID + 1


def write_record(number: int, kind: str, name: str) -> bytes:
    """One line with its checksum."""
    rest = f"{number} {kind} {json.dumps(name)}".encode()
    return b"%08x %b\n" % (zlib.crc32(rest), rest)


def parse_record(line: bytes) -> tuple[int, str, str] | None:
    """(id, kind, name) of a whole line, None for a damaged one."""
    checksum, _, rest = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(rest):
        return None
    number, kind, name = rest.decode().split(" ", 2)
    return int(number), kind, json.loads(name)


def read_names(path: str | os.PathLike[str]) -> dict[int, tuple[str, str]]:
    """id -> (kind, name) of a registry file, for who only looks: nothing is locked, repaired or created."""
    lines = look_at(path).splitlines(keepends=True)[1:]
    records = filter(None, map(parse_record, lines))
    return {number: (kind, name) for number, kind, name in records}


class Registry:
    """Registry(run_dir): (kind, name) -> id.

    Kinds are those of KINDS, names any text.  A damaged tail is cut off with a warning.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.path = Path(run_dir) / REGISTRY
        self._ids: dict[tuple[str, str], int] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._read_bytes = 0
        self._fd = -1
        try:
            self._open()
        except DamagedRegistry as damage:
            log.warning(keep_aside(self.path, str(damage)))
            self._open()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._ids)

    def id(self, kind: str, name: str) -> int:
        """The id of this name, given now if it has none."""
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {kind!r}")
        known = self._ids.get((kind, name))
        if known is not None:
            return known
        self.learn([(kind, name)])
        return self._ids[kind, name]

    def learn(self, names: Iterable[tuple[str, str]]) -> None:
        """Gives an id to each (kind, name) that has none: one look and one write for all of them."""
        fresh = [name for name in dict.fromkeys(names) if name not in self._ids]
        if not fresh:
            return
        with self._locked():
            # Another process may have been faster.
            self._read_on()
            self._append([name for name in fresh if name not in self._ids])

    def find(self, kind: str, name: str) -> int | None:
        """The id of this name if it has one."""
        return self._ids.get((kind, name))

    def name(self, number: int) -> tuple[str, str] | None:
        """(kind, name) of an id."""
        return self._names.get(number)

    def close(self) -> None:
        """Writes through to the disk; the registry cannot be used afterwards."""
        if self._fd < 0:
            return
        try:
            os.fsync(self._fd)
        finally:
            self._release()

    def _release(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def _locked(self) -> "_Lock":
        if self._fd < 0:
            raise ValueError("the registry is closed")
        return _Lock(self._fd)

    def _open(self) -> None:
        self._fd = open_file(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            with self._locked():
                self._read_file()
        except BaseException:
            self._release()
            raise

    def _read_file(self) -> None:
        head = os.pread(self._fd, 64, 0)
        expected = HEAD + b"%d\n" % LAYOUT
        if head.startswith(expected):
            self._read_bytes = len(expected)
            self._read_on()
        elif expected.startswith(head):
            # New, or its making was cut short.
            os.ftruncate(self._fd, 0)
            self._write(expected)
        elif head.startswith(HEAD):
            layout = head.removeprefix(HEAD).split(b"\n")[0].decode("ascii", "replace")
            raise DamagedRegistry(f"of a newer version: layout {layout}, known is {LAYOUT}")
        else:
            raise DamagedRegistry("not a registry")

    def _read_on(self) -> None:
        """Takes in what was appended since; the lock is held."""
        size = os.fstat(self._fd).st_size
        lines = os.pread(self._fd, size - self._read_bytes, self._read_bytes).splitlines(keepends=True)
        records = [parse_record(line) for line in lines]
        whole = max((at for at, record in enumerate(records, 1) if record), default=0)
        for line, record in zip(lines[:whole], records, strict=False):
            self._read_bytes += len(line)
            if record is None:
                log.warning(f"{self.path}: a damaged record is left out: {line!r}")
            else:
                self._take(*record)
        if whole < len(lines):
            self._cut(lines[whole:])

    def _cut(self, lines: list[bytes]) -> None:
        """Drops a damaged tail."""
        log.warning(f"{self.path}: {len(lines)} damaged record(s) cut off the end")
        os.ftruncate(self._fd, self._read_bytes)

    def _take(self, number: int, kind: str, name: str) -> None:
        self._ids[kind, name] = number
        self._names[number] = (kind, name)

    def _append(self, names: list[tuple[str, str]]) -> None:
        """All of them, or none when there is no room."""
        given: dict[int, tuple[str, str]] = {}
        for kind, name in names:
            number = wanted_id(kind, name)
            while number in self._names or number in given:
                number = number % LAST_ID + 1
            given[number] = kind, name
        self._write(b"".join(write_record(number, *pair) for number, pair in given.items()))
        for number, pair in given.items():
            self._take(number, *pair)

    def _write(self, records: bytes) -> None:
        """Appends all of it or nothing."""
        try:
            written = os.write(self._fd, records)
        except OSError:
            written = 0
            raise
        finally:
            if written != len(records):
                os.ftruncate(self._fd, self._read_bytes)
        if written != len(records):
            raise RegistryError(f"{self.path}: no room for another record")
        self._read_bytes += written


class _Lock:
    """An advisory lock on an open file, between processes and between openings."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)
