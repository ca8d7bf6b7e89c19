"""A router process whose store is gone when it ends: what bench.persistence compares with.

Started by bench.supervise.
"""

import ctypes
import mmap
import sys
from pathlib import Path

from fastsip._core.store.partitions import Store
from fastsip.router import process, router

MAP_FIXED = 0x10
FILLED_BYTES = 4096  # of a new partition: its header, all else is zero

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def make_anonymous(at: int, length: int) -> None:
    """Other memory with the same content at the same address."""
    header = ctypes.string_at(at, FILLED_BYTES)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    if _libc.mmap(at, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0) != at:
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memmove(at, header, FILLED_BYTES)


class AnonymousStore(Store):
    def __init__(self, *args):
        super().__init__(*args)
        replaced = 0
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(".slots"):
                begin, end = (int(number, 16) for number in line.split()[0].split("-"))
                make_anonymous(begin, end - begin)
                replaced += 1
        print(f"anonymous: {replaced} files of the store replaced", file=sys.stderr, flush=True)


if __name__ == "__main__":
    router.Store = AnonymousStore
    sys.exit(process.main())
