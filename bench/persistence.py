"""What it costs that transactions outlive the process: the store on tmpfs beside the same in anonymous memory.

    python -m bench.persistence [--pairs 30] [--seconds 3] [--rate 1500] [--bar 1.02]

The same binary twice. In one of the two each mapped file of the store is replaced, when it is open, by
anonymous memory at the same address: nothing else differs.  Pages are of 4 KiB in both, unless the machine
gives huge ones to who does not ask for them; the report says so.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bench import targets
from bench.pairs import add_pair_arguments, compare
from bench.processes import Process
from bench.targets import ROOT, Site, start_fastsip

MAPPED, ANONYMOUS = "fastsip", "anonymous"
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


def start_anonymous(site: Site) -> Process:
    return start_fastsip(replace(site, program=(sys.executable, str(ROOT / "bench" / "anonymous_router.py"))))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.persistence", description=(__doc__ or "").partition("\n")[0]
    )
    add_pair_arguments(parser, bar=1.02)
    args = parser.parse_args()
    targets.TARGETS[ANONYMOUS] = start_anonymous
    huge_pages = {name: (HUGE_PAGES / name).read_text().strip() for name in ("enabled", "shmem_enabled")}
    return compare("persistence", MAPPED, ANONYMOUS, args, huge_pages=huge_pages)


if __name__ == "__main__":
    sys.exit(main())
