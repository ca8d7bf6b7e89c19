"""Runs the fuzzers, one after another, each in a process of its own.

    python -m tests.fuzz.run [--what all|parser|shard|configurations] [--seconds 60] [--seed N]

`all` shares the time. A finding is written to a file whose path is printed: by the target
itself, or here when the target died of it. Exit code: 0 nothing found, 1 something.
"""

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.findings import FOUND, read_current, save

TARGETS = {name: f"tests.fuzz.{name}" for name in ("parser", "shard", "configurations")}


def run_target(name: str, module: str, seconds: float, seed: int, findings: Path) -> bool:
    """True when nothing was found."""
    with tempfile.TemporaryDirectory(prefix="fastsip-fuzz-") as place:
        current = Path(place) / "current"
        command = [sys.executable, "-m", module, "--seconds", str(seconds), "--seed", str(seed)]
        command += ["--current", str(current), "--findings", str(findings)]
        code = subprocess.run(command, check=False, timeout=seconds + 600).returncode
        if code not in (0, FOUND):
            text = read_current(current) if current.exists() else b""
            print(f"{name}: died with {code}: {save(findings, f'{name}-crash', seed, text)}")
    return code == 0


def main(arguments: list[str] | None = None, targets: dict[str, str] = TARGETS) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", choices=("all", *targets), default="all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000_000))
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    args = parser.parse_args(arguments)
    chosen = list(targets) if args.what == "all" else [args.what]
    share = args.seconds / len(chosen)
    clean = [run_target(name, targets[name], share, args.seed, args.findings) for name in chosen]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
