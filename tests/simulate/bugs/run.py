"""python -m tests.simulate.bugs.run [--only TEXT]: does the simulator find what a hand can break?

Each NN-name.patch is one realistic mistake.  In a copy of the tree under build/bugs it is applied, what changed is
built, and worlds that the unbroken tree bears are run until one of them fails.  The table goes to build/bugs/found.json
and to standard output: found or not, after how many worlds, by which check.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATCHES = Path(__file__).parent
TREE = ROOT / "build" / "bugs" / "tree"
FOUND = ROOT / "build" / "bugs" / "found.json"
KERNELS = ("fastsip/_core", "tests/kernels")
JOBS = 2
WORLDS = 200  # that the unbroken tree bears
WORLD_S = 60
JUDGE = """
import sys
from tests.simulate.checks import Violation
from tests.simulate.run import run_seed
for seed in map(int, sys.argv[1:]):
    try:
        print(seed, flush=True)
        run_seed(seed, False)
    except Violation as violation:
        print("found", violation.rule, "|", violation.text[:100], flush=True)
        break
"""


def environment() -> dict:
    return {**os.environ, "PYTHONHASHSEED": "0", "MALLOC_PERTURB_": "165", "FASTSIP_TESTS": "1"}


def copy_tree() -> None:
    """With what is built already: times stay, so that only what a patch touches is built again."""
    listed = subprocess.run(
        ["git", "ls-files", "setup.py", "pyproject.toml", "README.md", "LICENSE", "fastsip", "tests"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    kernels = [path.with_suffix("") for place in KERNELS for path in (ROOT / place).rglob("*.pyx")]
    built = [str(path.relative_to(ROOT)) for each in kernels for path in each.parent.glob(f"{each.name}.c*")]
    for name in [*listed, *built]:
        source, target = ROOT / name, TREE / name
        if not source.is_file() or (target.exists() and source.stat().st_mtime == target.stat().st_mtime):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def build() -> bool:
    command = [sys.executable, "-W", "ignore", "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", "2"]
    return subprocess.run(command, cwd=TREE, env=environment(), capture_output=True, timeout=3600).returncode == 0


def judge(seeds: list[int]) -> subprocess.Popen:
    command = [sys.executable, "-c", JUDGE, *map(str, seeds)]
    return subprocess.Popen(
        command, cwd=TREE, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def verdict(process: subprocess.Popen, end: float) -> tuple[int, str]:
    """How many worlds it took, and the rule; "" = none was broken."""
    try:
        out, _ = process.communicate(timeout=max(end - time.monotonic(), 1))
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate(timeout=60)
        return out.count("\n"), "a run does not end"
    lines = out.splitlines()
    if lines and lines[-1].startswith("found"):
        return len(lines) - 1, lines[-1].removeprefix("found ")
    return len(lines), f"the process ended with {process.returncode}" if process.returncode else ""


def run_worlds(seeds: list[int]) -> tuple[int, str]:
    """All processes are heard, so that the next bug has the machine for itself."""
    end = time.monotonic() + WORLD_S * JOBS
    processes = [judge(seeds[number::JOBS]) for number in range(JOBS)]
    found = [verdict(process, end) for process in processes]
    broken = [(count, rule) for count, rule in found if rule]
    return min(broken) if broken else (sum(count for count, _ in found), "")


def sound_seeds(wanted: int) -> list[int]:
    """Seeds of worlds that the unbroken tree bears without a complaint."""
    kept: list[int] = []
    at = 1
    while len(kept) < wanted:
        processes = {seed: judge([seed]) for seed in range(at, at + JOBS)}
        kept += [seed for seed, process in processes.items() if not verdict(process, time.monotonic() + WORLD_S)[1]]
        at += JOBS
    return kept


def patch(path: Path, *how: str) -> bool:
    command = ["patch", "-p1", "--silent", "--no-backup-if-mismatch", "-i", str(path), *how]
    return subprocess.run(command, cwd=TREE, capture_output=True, timeout=60).returncode == 0


def try_bug(path: Path, seeds: list[int]) -> dict:
    if not patch(path):
        return {"bug": path.stem, "result": "does not apply"}
    try:
        if not build():
            return {"bug": path.stem, "result": "does not compile"}
        count, rule = run_worlds(seeds)
        return {"bug": path.stem, "result": "found" if rule else "not found", "worlds": count, "by": rule}
    finally:
        patch(path, "-R")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="patches with this text in their names")
    parser.add_argument("--worlds", type=int, default=WORLDS)
    arguments = parser.parse_args()
    copy_tree()
    if not build():
        print("the unbroken tree does not compile")
        return 2
    seeds = sound_seeds(arguments.worlds)
    print(f"worlds: {seeds}", flush=True)
    results = []
    for path in sorted(PATCHES.glob("*.patch")):
        if arguments.only in path.stem:
            results.append(try_bug(path, seeds))
            row = {"worlds": 0, "by": "", **results[-1]}
            print(f"{row['bug']:<42} {row['result']:<12} {row['worlds']:>3}  {row['by']}", flush=True)
            FOUND.write_text(json.dumps(results, indent=1))
    build()
    print(f"{sum(result['result'] == 'found' for result in results)} of {len(results)} found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
