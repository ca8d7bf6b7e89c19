"""Compiles the C programs of the benchmark into bench/bin/: `python -m bench.build`.

Called by every command that needs one of them; compiles only what is older than
its sources, so that a run never measures yesterday's program.
"""

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE / "bin"
PROGRAMS = ("floor", "generator", "answerer")
FLAGS = ("-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")


def build(name: str) -> Path:
    """The path of the compiled program; raises CalledProcessError when it does not compile."""
    source, program = HERE / f"{name}.c", BIN / name
    newest = max(path.stat().st_mtime for path in (source, *HERE.glob("*.h")))
    if not program.exists() or program.stat().st_mtime < newest:
        BIN.mkdir(exist_ok=True)
        subprocess.run(["gcc", *FLAGS, "-o", str(program), str(source)], check=True, timeout=60)
    return program


def main() -> None:
    for name in PROGRAMS:
        print(build(name))


if __name__ == "__main__":
    main()
