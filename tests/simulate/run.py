"""python -m tests.simulate.run --seed N [--trace]     one run, again, and the ladder of its messages
python -m tests.simulate.run --seconds 60 [--base B]   runs from B on, in as many processes as there are cores

A seed that fails is printed with its time, the rule and the last messages of that call, and is
written to build/simulate; the exit status is 1 then.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.simulate.checks import Violation
from tests.simulate.router import scratch_folder
from tests.simulate.sim import START_MS, Simulation

FINDINGS = Path("build/simulate")
SILENT_S = 120  # a run that takes so long does not end
PROGRESS_S = 5
# What is freed is overwritten, so that whoever still reads it goes wrong at once.
FIXED = {"PYTHONHASHSEED": "0", "MALLOC_PERTURB_": "165"}
SUMS = ("calls", "messages", "deaths", "reloads", "virtual_ms", "real_ms")


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


def figures(done: Simulation, real_s: float) -> dict:
    return {
        "seed": done.seed,
        "calls": done.callers.begun,
        "messages": done.messages,
        "deaths": done.deaths,
        "reloads": done.reloads,
        "virtual_ms": done.now - START_MS,
        "real_ms": int(real_s * 1000),
        "digest": done.digest.hexdigest(),
    }


# ---------------------------------------------------------------- one after the other


def work(seeds, seconds: float, passed_over: tuple[str, ...]) -> None:
    """Lines of JSON: the seed that begins, then what became of it."""
    end = time.monotonic() + seconds
    for seed in seeds:
        if time.monotonic() >= end:
            return
        began = time.monotonic()
        print(json.dumps({"begins": seed}), flush=True)
        try:
            print(json.dumps(figures(run_seed(seed, False, passed_over), time.monotonic() - began)), flush=True)
        except Violation as violation:
            print(json.dumps({"seed": seed, "violation": violation.report()}), flush=True)


class Worker:
    """A process that runs seeds, and what it said last."""

    def __init__(self, number: int, arguments: list[str]):
        environment = {**os.environ, **FIXED}
        command = [sys.executable, "-m", "tests.simulate.run", "--worker", str(number), *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.at = -1
        self.heard = time.monotonic()

    def listen(self, take) -> None:
        for line in self.process.stdout:
            said = json.loads(line)
            self.heard = time.monotonic()
            self.at = said.get("begins", self.at)
            if "seed" in said:
                take(said)
        if self.process.wait(60):
            take({"seed": self.at, "violation": f"seed {self.at}: the process ended with {self.process.returncode}"})

    def look(self) -> None:
        if time.monotonic() - self.heard > SILENT_S and self.process.poll() is None:
            print(f"seed {self.at} does not end", file=sys.stderr)
            self.process.kill()


class Soak:
    """All workers, the sums of what they did, and what they found."""

    def __init__(self, base: int, seconds: float, jobs: int, passed_over: list[str]):
        self.base, self.seconds, self.jobs = base, seconds, jobs
        self.sums = dict.fromkeys(SUMS, 0)
        self.seeds = 0
        self.failed: list[int] = []
        self.guard = threading.Lock()
        given = [x for text in passed_over for x in ("--pass-over", text)]
        arguments = ["--base", str(base), "--seconds", str(seconds), "--jobs", str(jobs), *given]
        self.workers = [Worker(number, arguments) for number in range(jobs)]

    def take(self, said: dict) -> None:
        with self.guard:
            self.seeds += 1
            if "violation" in said:
                self.note(said["seed"], said["violation"])
            for name in SUMS:
                self.sums[name] += said.get(name, 0)

    def note(self, seed: int, report: str) -> None:
        self.failed.append(seed)
        FINDINGS.mkdir(parents=True, exist_ok=True)
        (FINDINGS / f"seed-{seed}.txt").write_text(report + "\n")
        print(f"\r{report.splitlines()[0]}")

    def line(self) -> str:
        sums = self.sums
        ratio = sums["virtual_ms"] / max(sums["real_ms"], 1)
        rate = 1000 * sums["calls"] * self.jobs // max(sums["real_ms"], 1)
        return (
            f"{self.seeds} seeds, {sums['calls']:,} calls, {sums['messages']:,} messages, {sums['deaths']:,} deaths, "
            f"{sums['reloads']:,} reloads, {ratio:.0f} x real time, {rate} calls/s, {len(self.failed)} failed"
        )

    def run(self) -> int:
        print(f"seeds from {self.base} on, {self.jobs} processes, {self.seconds:.0f} s")
        threads = [threading.Thread(target=worker.listen, args=(self.take,)) for worker in self.workers]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            threads[0].join(PROGRESS_S) if threads[0].is_alive() else time.sleep(0.2)
            for worker in self.workers:
                worker.look()
            if sys.stdout.isatty():
                print(f"\r{self.line()}", end="", flush=True)
        print(("\r" if sys.stdout.isatty() else "") + self.line())
        if self.failed:
            print(f"failed (see {FINDINGS}; --seed N --trace runs one again):", *sorted(self.failed))
        return 1 if self.failed else 0


def replay(arguments) -> int:
    worst = 0
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        began = time.monotonic()
        try:
            done = run_seed(seed, arguments.trace, tuple(arguments.pass_over))
        except Violation as violation:
            print(violation.report() if arguments.count == 1 else violation)
            worst = 1
            continue
        found = figures(done, time.monotonic() - began)
        print(", ".join(f"{value} {name}" if name in SUMS else f"{name} {value}" for name, value in found.items()))
        if done.passed:
            print("passed over:", done.passed)
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="so many seeds from there on")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--base", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pass-over", action="append", default=[], help="rules with this text are counted only")
    arguments = parser.parse_args()
    base = secrets.randbelow(10**9) if arguments.base is None else arguments.base
    if arguments.seed is not None:
        return replay(arguments)
    if arguments.worker is not None:
        seeds = range(base + arguments.worker, base + 10**9, arguments.jobs)
        work(seeds, arguments.seconds, tuple(arguments.pass_over))
        return 0
    return Soak(base, arguments.seconds, arguments.jobs, arguments.pass_over).run()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != FIXED["PYTHONHASHSEED"]:
        os.environ.update(FIXED)
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulate.run", *sys.argv[1:]])
    sys.exit(main())
