"""python -m tests.simulate.run --seed N [--trace]: one run, again."""

import argparse
import os
import shutil
import sys
import time

from tests.simulate.checks import Violation
from tests.simulate.router import scratch_folder
from tests.simulate.sim import START_MS, Simulation


def run_seed(seed: int, tracing: bool = False, passed_over: tuple[str, ...] = ()) -> Simulation:
    """Raises Violation."""
    folder = scratch_folder(str(seed))
    try:
        simulation = Simulation(seed, folder)
        simulation.tracing, simulation.passed_over = tracing, passed_over
        simulation.run()
        return simulation
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--pass-over", action="append", default=[], help="rules with this text are not looked at")
    arguments = parser.parse_args()
    worst = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        began = time.monotonic()
        try:
            done = run_seed(seed, arguments.trace, tuple(arguments.pass_over))
        except Violation as violation:
            print(violation.report() if arguments.count == 1 else violation)
            worst = 1
            continue
        real, virtual = time.monotonic() - began, done.now - START_MS
        print(
            f"seed {seed}: {done.callers.begun} calls, {done.messages} messages, {done.deaths} deaths, "
            f"{done.reloads} reloads, {virtual / 1000:.0f} s in {real:.2f} s ({virtual / 1000 / real:.0f} x), "
            f"{done.callers.begun / real:.0f} calls/s, {done.digest.hexdigest()}"
        )
    return worst


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulate.run", *sys.argv[1:]])
    sys.exit(main())
