"""The shards under ThreadSanitizer: does it find a race that was made, and none that was not?

    python -m tests.tsan.run [--seconds 60] [--shards 3]

To be run with kernels built for it (`make tsan` does).  First a short turn with a fault on
purpose: a sanitizer that sees nothing there would see nothing anywhere.  Then the real one, under
calls that fail, tables that are swapped, names that change.  Exit status 1 when either is
not as it should be.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOUND = 66  # the sanitizer's own exit status
OPTIONS = (
    f"suppressions={HERE / 'suppressions.txt'}", f"exitcode={FOUND}", "history_size=5", "second_deadlock_stack=1",
    "ignore_noninstrumented_modules=1",
)  # fmt: skip
DRIVER = "tests.crash.reloads"
LIMIT_S = 240


def library() -> str:
    command = ("gcc", "-print-file-name=libtsan.so")
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return found.stdout.strip()


def run(seconds: float, shards: int, **more: str) -> subprocess.CompletedProcess[str]:
    """Addresses are not randomised: the sanitizer wants its own at their places."""
    argv = ["setarch", platform.machine(), "-R", sys.executable, "-m", DRIVER, "--switches", "20"]
    argv += ["--seconds", str(seconds), "--shards", str(shards)]
    env = {**os.environ, "LD_PRELOAD": library(), "TSAN_OPTIONS": ":".join(OPTIONS), **more}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds + LIMIT_S, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--shards", type=int, default=3)
    args = parser.parse_args()
    made = run(1, args.shards, FASTSIP_RACE="1")
    seen = made.returncode == FOUND and "stress_produce" in made.stderr
    if not seen:
        print(f"! the race that was made was not found: exit status {made.returncode}\n{made.stderr[-4000:]}")
    real = run(args.seconds, args.shards)
    print(real.stdout, end="")
    if real.returncode:
        print(f"! exit status {real.returncode}\n{real.stderr[:40_000]}")
    return int(not seen or real.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
