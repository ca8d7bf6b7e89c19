"""Instructions per call, counted by callgrind: the one figure that does not drift with the machine.

    python -m bench.instructions [--target fastsip] [--calls 500,1500] [--seconds 30]

Two runs of the same length, one with more calls than the other; the difference
divided by the calls between them leaves out the start, the end and what idles.  Of
fastsip the shard threads count, since the start of Python varies by more than all calls
cost and its control plane does nothing per call.  The kernel's share is not counted.
Calls come one by one here, so each pays for the wake-ups that a busy router shares
among many.  Expect a minute: callgrind is fifty times slower.
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from bench.load import write_report
from bench.processes import RunFailed
from bench.stage import stage
from bench.targets import TARGETS

# One thread per shard and no others, and every start of Python alike.
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
CONTROL_THREAD = "-01"
STOP_S = 120  # callgrind writes its file when the process ends


def read_totals(directory: Path) -> dict[str, int]:
    """Instructions by output file; one file per thread of each process that ended by itself."""
    found = {}
    for path in sorted(directory.glob("callgrind.*")):
        match = re.search(r"^(?:summary|totals): (\d+)", path.read_text(errors="replace"), re.M)
        if match:
            found[path.name] = int(match[1])
    if not found:
        raise RunFailed("callgrind left no output: the target did not end in an orderly way")
    return found


def count(name: str, calls: int, seconds: float) -> dict:
    """Instructions of a whole life of the target that serves `calls` calls in `seconds`."""
    with tempfile.TemporaryDirectory(prefix="fastsip-callgrind-") as directory:
        prefix = (
            "valgrind",
            "--tool=callgrind",
            "--separate-threads=yes",
            "--trace-children=yes",
            "-q",
            f"--callgrind-out-file={directory}/callgrind.%p",
        )
        # unpinned: nothing here is timed, and valgrind is slow enough
        limit_s = seconds + 600
        with stage(name, pin=False, limit_s=limit_s, prefix=prefix, start_s=180, env=ENVIRONMENT) as there:
            generator = there.generate(calls / seconds, seconds + 1, calls=calls, t1_ms=4000)
            try:
                outcome = generator.outcome(there.answerer)
            finally:
                generator.stop()
            there.target.stop(STOP_S)
        return {
            "calls": outcome.completed,
            "instructions": read_totals(Path(directory)),
            "problems": outcome.problems(),
        }


def work_of(name: str, run: dict) -> int:
    """Instructions of the threads that serve calls."""
    return sum(
        number
        for file, number in run["instructions"].items()
        if name != "fastsip" or not file.endswith(CONTROL_THREAD)
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--target", choices=list(TARGETS), default="fastsip")
    parser.add_argument(
        "--calls", type=lambda text: [int(each) for each in text.split(",")], default=[500, 1500]
    )
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if len(args.calls) != 2 or args.calls[0] >= args.calls[1]:
        parser.error("--calls wants two numbers, the smaller first")
    if not shutil.which("valgrind"):
        print("bench.instructions: valgrind is missing: apt-get install valgrind", file=sys.stderr)
        return 2
    try:
        few, many = (count(args.target, calls, args.seconds) for calls in args.calls)
    except RunFailed as failure:
        print(f"bench.instructions: {failure}", file=sys.stderr)
        return 2
    problems = few["problems"] + many["problems"]
    threads = len(few["instructions"]), len(many["instructions"])
    if threads[0] != threads[1]:        # callgrind was cut short: what is left to subtract says nothing
        print(f"bench.instructions: {threads[0]} and {threads[1]} threads were counted; run it again", file=sys.stderr)
        return 2
    calls = many["calls"] - few["calls"]
    if calls <= 0:
        print("bench.instructions: too few calls completed to subtract", file=sys.stderr)
        return 2
    per_call = (work_of(args.target, many) - work_of(args.target, few)) / calls
    print(f"{args.target}: {per_call:.0f} instructions per call, user space")
    for problem in problems:
        print(f"! {problem}")
    report = {
        "target": args.target,
        "instructions_per_call": per_call,
        "runs": [few, many],
        "problems": problems,
    }
    print(f"written to {write_report(report, 'instructions', args.json)}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
