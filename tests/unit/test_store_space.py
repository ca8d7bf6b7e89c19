"""A store that does not fit where it shall be."""

import errno
import os
import re
import shutil
import subprocess
import sys

import pytest

from fastsip._core.store.partitions import Store, StoreError, store_bytes
from tests.conftest import ROOT

from .test_slots import SMALL, files_of


def test_no_space_is_said_with_sizes_and_leaves_no_files(scratch, monkeypatch):
    made = []

    def allocate(fd, offset, length):
        made.append(length)
        if len(made) == 40:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with pytest.raises(StoreError) as refused:
        Store(scratch, SMALL)
    text = str(refused.value)
    assert f"{store_bytes(SMALL):,}" in text and "limits.max_transactions" in text and "run_dir" in text
    assert len(made) == 40 and " are free" in text
    assert files_of(scratch) == []


def test_another_error_while_allocating_is_not_called_lack_of_space(scratch, monkeypatch):
    def refuse(fd, offset, length):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="Input/output"):
        Store(scratch, SMALL)


OPEN_STORE = """
import errno, os, sys
from fastsip._core.store.partitions import Store, StoreError

def allocate(fd, offset, length):
    raise OSError(errno.ENOSPC, "No space left on device")

if sys.argv[2] == "simulated":
    os.posix_fallocate = allocate
try:
    Store(sys.argv[1], 64)
except StoreError as error:
    print(error)
"""


def test_on_a_full_tmpfs(scratch):
    """The real thing where mounting is allowed, the same with an allocation that fails elsewhere."""
    mount = f'mount -t tmpfs -o size=1m none "{scratch}" && exec "$@"'
    command = [sys.executable, "-c", OPEN_STORE, str(scratch)]
    private = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try_it = [*private, "true"]
    real = shutil.which("unshare") and not subprocess.run(try_it, capture_output=True, timeout=60).returncode
    command = [*private, *command, "real"] if real else [*command, "simulated"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    free = "1,048,576" if real else "[0-9,]+"
    assert re.search(f"needs {store_bytes(64):,} bytes and {free} are free", done.stdout), done.stderr
