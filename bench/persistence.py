"""What it costs that transactions outlive the process: the store on tmpfs beside the same in anonymous memory.

    python -m bench.persistence [--pairs 30] [--seconds 3] [--rate 1500] [--bar 1.02]

The same binary twice. In one of the two each mapped file of the store is replaced, when it is open, by
anonymous memory at the same address: nothing else differs.  Pages are of 4 KiB in both, unless the machine
gives huge ones to who does not ask for them; the report says so.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from bench import targets
from bench.load import describe_machine, now, write_report
from bench.pairs import add_pair_arguments, judge, limit_s, measure
from bench.processes import Process, RunFailed
from bench.stage import stage
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
    os.sched_setaffinity(0, {1})  # the runner must not sit on the targets' core
    try:
        with stage(MAPPED, limit_s=limit_s(args)) as mapped, stage(ANONYMOUS, limit_s=limit_s(args)) as anonymous:
            pairs = measure({MAPPED: mapped, ANONYMOUS: anonymous}, args)
    except RunFailed as problem:
        print(f"bench.persistence: {problem}", file=sys.stderr)
        return 2
    found = judge(pairs, MAPPED, ANONYMOUS, args.bar)
    report = {
        "when": now(),
        "commit": targets.commit(),
        "command": " ".join(sys.orig_argv),
        "machine": describe_machine(),
        "huge_pages": {name: (HUGE_PAGES / name).read_text().strip() for name in ("enabled", "shmem_enabled")},
        **found,
    }
    print(f"written to {write_report(report, 'persistence', args.json)}")
    return int(found["failed"])


if __name__ == "__main__":
    sys.exit(main())
