"""Where a fuzzer leaves what it found, and how a target says that it found something."""

import argparse
import mmap
import os
import random
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

FOUND = 3  # exit code of a target; any other but 0 is a crash
SHARED_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
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


def run_seeds(target: str, what: str, most: int, run: Callable[[int, str, int], list[str]]) -> int:
    """The program of a target that goes by seeds: rounds until the time is over, or one finds something.

    run(seed, run_dir, most) says what is wrong; `most` is how many of `what` a round has if nothing else is asked for.
    """
    parser = argparse.ArgumentParser(description=f"Random rounds of {target}.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(f"--{what}", type=int, default=most, dest="most", help="of each seed")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000), help="the first one")
    parser.add_argument("--current", type=Path, help="a file that holds the command of the seed in work")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="directory for what is found")
    args = parser.parse_args()
    current = open_current(args.current) if args.current else None
    seed, end = args.seed, time.monotonic() + args.seconds
    while seed == args.seed or time.monotonic() < end:
        again = f"python -m tests.fuzz.{target} --seconds 0 --{what} {args.most} --seed {seed}\n".encode()
        note(current, again)
        with tempfile.TemporaryDirectory(dir=SHARED_MEMORY, prefix="fastsip-fuzz-") as run_dir:
            wrongs = run(seed, run_dir, args.most)
        if wrongs:
            print(f"seed {seed}: " + "\n  ".join([*wrongs, str(save(args.findings, target, seed, again))]))
            return FOUND
        seed += 1
    print(f"{target}: {seed - args.seed} seeds of {args.most} {what} from {args.seed}, nothing found")
    return 0
