"""Does a call notice that the disk is busy?  Another process writes to the disk of state_dir as fast as it can.

    python -m bench.disk [--disk DIRECTORY] [--pairs 16] [--seconds 6] [--rate 1500] [--bar 1.25]

One router with its state_dir on that disk, loaded by turns without and with the writer, which
shares the load's core at the lowest priority: what is asked is whether anything waits for the disk, not for a core.
One answer is the median of the turns' 99.9th percentiles from INVITE to 180 with the writer over that
without, beside the same of the quiet turns of even and odd number, which shows the noise.  The other has no
noise: how many bytes all processes of the router read from disks or wrote there meanwhile.  Nobody waits
for what he does not ask for.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench import targets
from bench.build import HERE
from bench.load import write_report
from bench.pairs import turn
from bench.processes import Process, RunFailed
from bench.procfs import descendants, read_disk_bytes
from bench.stage import Stage, stage
from bench.targets import Site, start_fastsip
from bench.traffic import Outcome

ON_DISK = "on disk"
SETTLE_S = 1.0  # of the writer, before the load
# Past the page cache: what fills the disk's queue, not the memory's bus.
WRITER = """\
import mmap, os, sys, time
os.nice(19)
end = time.monotonic() + float(sys.argv[2])
block, written = mmap.mmap(-1, 1 << 20), 0
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT)
while time.monotonic() < end:
    written += os.pwrite(fd, block, written % (256 << 20))
    if written % (8 << 20) == 0:
        os.fdatasync(fd)
os.unlink(sys.argv[1])
print(written)
"""


def busy_turn(there: Stage, args: argparse.Namespace, place: Path, number: int) -> tuple[Outcome, float]:
    """One load while the writer writes, and its MB/s."""
    seconds = args.seconds + 2 * SETTLE_S
    argv = [sys.executable, "-c", WRITER, str(place / "writer"), str(seconds)]
    writer = Process(argv, there.files / "writer.log", there.load_core, seconds + 30)
    try:
        time.sleep(SETTLE_S)
        outcome = turn(there, args.rate, args.seconds, f"busy-{number}")
        writer.wait(seconds + 30)
    finally:
        writer.stop()
    return outcome, int(writer.output()) / seconds / 1e6


def measure(args: argparse.Namespace) -> dict:
    with TemporaryDirectory(dir=args.disk, prefix="disk-") as name:
        place = Path(name)

        def start(site: Site) -> Process:
            return start_fastsip(replace(site, state_dir=place / "state"))

        targets.TARGETS[ON_DISK] = start
        quiet, busy, rates = [], [], []
        with stage(ON_DISK, limit_s=4 * args.pairs * (args.seconds + 3) + 120) as there:
            turn(there, args.rate, args.seconds, "warm")
            pids = descendants(there.target.pid)
            before = read_disk_bytes(pids)
            for number in range(args.pairs):
                quiet.append(turn(there, args.rate, args.seconds, f"quiet-{number}"))
                outcome, rate = busy_turn(there, args, place, number)
                busy.append(outcome)
                rates.append(rate)
            moved = read_disk_bytes(pids) - before
    return {
        "disk_bytes": moved,
        "quiet_ms": [outcome.details["ringing_us"]["p999"] / 1000 for outcome in quiet],
        "busy_ms": [outcome.details["ringing_us"]["p999"] / 1000 for outcome in busy],
        "written_mb_per_s": rates,
        "problems": [problem for outcome in quiet + busy for problem in outcome.problems()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.disk", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--disk", type=Path, default=HERE / "results", help="a directory on a disk, no tmpfs")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6, help="of each turn")
    parser.add_argument("--rate", type=float, default=1500, help="calls per second")
    parser.add_argument("--bar", type=float, default=1.25)
    parser.add_argument("--json", type=Path, help="result file; default: a new one in bench/results/")
    args = parser.parse_args()
    os.sched_setaffinity(0, {1})  # the runner must not sit on the target's core
    try:
        found = measure(args)
    except RunFailed as problem:
        print(f"bench.disk: {problem}", file=sys.stderr)
        return 2
    quiet, busy, rate = (median(found[name]) for name in ("quiet_ms", "busy_ms", "written_mb_per_s"))
    ratio, noise = busy / quiet, median(found["quiet_ms"][::2]) / median(found["quiet_ms"][1::2])
    print(f"p99.9 to 180: quiet {quiet:.2f} ms, beside {rate:.0f} MB/s of writing {busy:.2f} ms")
    print(f"ratio {ratio:.2f}, bar {args.bar}; quiet to quiet {noise:.2f}")
    print(f"the router read or wrote {found['disk_bytes']} bytes of disks; the bar is 0")
    for problem in found["problems"]:
        print(f"! {problem}")
    report = {"ratio": ratio, "noise": noise, "bar": args.bar, **found}
    print(f"written to {write_report(report, 'disk', args.json)}")
    return int(ratio > args.bar or found["disk_bytes"] > 0 or bool(found["problems"]))


if __name__ == "__main__":
    sys.exit(main())
