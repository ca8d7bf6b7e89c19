"""Writes runtime.txt and build.txt anew: what the packages are made of, as new as pyproject.toml allows, with hashes.

Run by `make pins`.  The first line of each file stays as it is.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 600
EXTRAS = ("api", "otel", "sql", "tui")  # of what is optional: what operators of a package want without asking for it


def wanted() -> dict[str, list[str]]:
    """The requirements behind each file."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    extras = [each for name in EXTRAS for each in project["project"]["optional-dependencies"][name]]
    return {
        "runtime.txt": [*project["project"]["dependencies"], *extras],
        "build.txt": [*project["build-system"]["requires"], "pip"],
    }


def main() -> None:
    for name, requirements in wanted().items():
        said = subprocess.run(
            [sys.executable, "-m", "piptools", "compile", "--quiet", "--allow-unsafe", "--generate-hashes",
             "--strip-extras", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate",
             "--output-file", "-", "-"],
            input="\n".join(requirements), stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S,
        ).stdout  # fmt: skip
        first = (HERE / name).read_text().partition("\n")[0]
        pins = [line for line in said.splitlines() if line and not line.startswith("#")]
        (HERE / name).write_text("\n".join([first, *pins, ""]))


if __name__ == "__main__":
    main()
