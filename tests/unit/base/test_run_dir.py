"""The names of files in run_dir and state_dir stand in one place, and are those that the kernels use."""

import re
from pathlib import Path

from fastsip._core.store.partitions import Store
from fastsip.base import run_dir

ROOT = Path(__file__).parents[3]
NAMES = {key: value for key, value in vars(run_dir).items() if key.isupper() and isinstance(value, str)}


def test_the_store_makes_the_files_that_are_named(scratch):
    Store(str(scratch), 100)
    wanted = [run_dir.partition_file(scratch, number) for number in range(run_dir.PARTITIONS)]
    assert sorted((scratch / run_dir.TRANSACTIONS).iterdir()) == wanted


def test_each_name_stands_there_alone():
    """A path is put together from what the table says, wherever it is."""
    spelled = re.compile(rf"/ f?\"({'|'.join(map(re.escape, NAMES.values()))})[\"/]")
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in (ROOT / "fastsip").rglob("*.py")
             if "_core" not in path.parts for match in spelled.finditer(path.read_text())]  # fmt: skip
    assert found == []


def test_the_table_lists_all_of_them():
    listed = re.findall(r"^ {4}(?:run_dir|state_dir)? {2,}([\w.]+)", run_dir.__doc__, re.M)
    assert sorted(listed) == sorted(NAMES.values())
