"""Parsing one 1,264 byte INVITE: fastsip beside sofia-sip, alternately.

    python -m bench.parse_vs_sofia [--rounds 5] [--loops 50000]

Ours is all that a router reads: every header indexed, Request-URI, both Vias,
From, To, CSeq, Call-ID, Max-Forwards, Route and Record-Route values.  sofia-sip
parses all headers (bench_parse.c).  Prints medians and their ratio, writes JSON; exit status
1 when the ratio is above the bar of 0.2.  Needs gcc, pkg-config and
libsofia-sip-ua-dev.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.build import BIN, HERE
from bench.load import write_report

BAR = 0.2


def build_sofia() -> Path:
    """Compile bench_parse.c against the installed library; LookupError says what is missing."""
    missing = [name for name in ("gcc", "pkg-config") if not shutil.which(name)]
    if missing:
        raise LookupError(f"{', '.join(missing)} missing")
    asked = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "sofia-sip-ua"], capture_output=True, text=True, timeout=10
    )
    if asked.returncode:
        raise LookupError("libsofia-sip-ua-dev missing")
    BIN.mkdir(exist_ok=True)
    target = BIN / "bench_parse"
    argv = ["gcc", "-O2", "-o", str(target), str(HERE / "bench_parse.c"), *asked.stdout.split()]
    subprocess.run(argv, check=True, timeout=60)
    return target


def measure(sofia: Path, rounds: int, loops: int) -> tuple[list[float], list[float]]:
    """Nanoseconds of one message, theirs and ours, by round."""
    from tests.kernels import parser_doors
    from tests.unit.messages import INVITE

    sample = BIN / "invite.sip"
    sample.write_bytes(INVITE)
    theirs, ours = [], []
    for _ in range(rounds):
        argv = [str(sofia), str(sample), str(loops)]
        result = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300)
        theirs.append(float(result.stdout))
        begin = time.perf_counter_ns()
        good = parser_doors.bench_parse(INVITE, loops)
        ours.append((time.perf_counter_ns() - begin) / loops)
        if good != loops:
            raise LookupError(f"fastsip read {good} of {loops} messages")
    print(f"message          {len(INVITE):,} bytes")
    return theirs, ours


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.parse_vs_sofia", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loops", type=int, default=50_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    try:
        theirs, ours = measure(build_sofia(), args.rounds, args.loops)
    except (LookupError, ImportError) as failure:
        print(f"bench.parse_vs_sofia: {failure}", file=sys.stderr)
        return 2
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"sofia-sip        {statistics.median(theirs):8.0f} ns   {min(theirs):.0f} to {max(theirs):.0f}")
    print(f"fastsip          {statistics.median(ours):8.0f} ns   {min(ours):.0f} to {max(ours):.0f}")
    print(f"ratio            {ratio:8.3f}      bar {BAR}")
    report = {
        "sofia_ns": theirs,
        "fastsip_ns": ours,
        "ratio": ratio,
        "bar": BAR,
    }
    print(f"written to {write_report(report, 'parse', args.json)}")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
