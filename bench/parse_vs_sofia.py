"""Parsing one 1,264 byte INVITE: fastsip beside sofia-sip, alternately.

    python bench/parse_vs_sofia.py [--rounds 5] [--loops 50000]

Ours is all that a router reads: every header indexed, Request-URI, both Vias,
From, To, CSeq, Call-ID, Max-Forwards, Route and Record-Route values.  sofia-sip
parses all headers (bench_parse.c).  Prints medians and their ratio; exit status
1 when the ratio is above the bar of 0.2.  Needs gcc, pkg-config and
libsofia-sip-ua-dev.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / "bench" / "bin"
BAR = 0.2

sys.path.insert(0, str(ROOT))


def build_sofia() -> Path:
    """Compile bench_parse.c against the installed library."""
    BIN.mkdir(exist_ok=True)
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "sofia-sip-ua"], check=True, capture_output=True, text=True
    ).stdout.split()
    target = BIN / "bench_parse"
    subprocess.run(["gcc", "-O2", "-o", target, ROOT / "bench" / "bench_parse.c", *flags], check=True)
    return target


def main() -> int:
    from fastsip._core import parser_doors
    from tests.unit.messages import INVITE

    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--loops", type=int, default=50_000)
    args = args.parse_args()

    sofia = build_sofia()
    sample = BIN / "invite.sip"
    sample.write_bytes(INVITE)

    theirs, ours = [], []
    for _ in range(args.rounds):
        result = subprocess.run([sofia, sample, str(args.loops)], check=True, capture_output=True, text=True)
        theirs.append(float(result.stdout))
        begin = time.perf_counter_ns()
        good = parser_doors.bench_parse(INVITE, args.loops)
        ours.append((time.perf_counter_ns() - begin) / args.loops)
        if good != args.loops:
            raise SystemExit(f"fastsip read {good} of {args.loops} messages")

    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"message          {len(INVITE):,} bytes")
    print(f"sofia-sip        {statistics.median(theirs):8.0f} ns   {min(theirs):.0f} to {max(theirs):.0f}")
    print(f"fastsip          {statistics.median(ours):8.0f} ns   {min(ours):.0f} to {max(ours):.0f}")
    print(f"ratio            {ratio:8.3f}      bar {BAR}")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    raise SystemExit(main())
