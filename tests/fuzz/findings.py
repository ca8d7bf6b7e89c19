"""Where a fuzzer leaves what it found, and how a target says that it found something."""

import mmap
import struct
from pathlib import Path

FOUND = 3  # exit code of a target; any other but 0 is a crash
ROOM = 70_004  # of the current input: its length and its bytes


def open_current(path: Path) -> mmap.mmap:
    """A file that holds the input in work, whatever becomes of this process: 4 bytes of length, then the bytes."""
    with path.open("w+b") as file:
        file.truncate(ROOM)
        return mmap.mmap(file.fileno(), ROOM)


def note(current: mmap.mmap | None, text: bytes) -> None:
    if current is not None:
        current[: 4 + len(text)] = struct.pack("=I", len(text)) + text


def read_current(path: Path) -> bytes:
    raw = path.read_bytes()
    (length,) = struct.unpack("=I", raw[:4])
    return raw[4 : 4 + length]


def save(directory: Path, target: str, seed: int, text: bytes) -> Path:
    """Writes the failing input; its path, absolute, for people to be told."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory.resolve() / f"{target}-{seed}"
    path.write_bytes(text)
    return path
