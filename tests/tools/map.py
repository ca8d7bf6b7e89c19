"""python -m tests.tools.map [PACKAGE]: the rooms of the house, and who knows whom.

Without a package: one line for each, in the order in which they may know each other.  With one: its files, what each
is (the first sentence of its head), and which files of other packages it knows.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.unit.test_house import CORE, LAYERS, imports_of_core


def files() -> Iterator[tuple[str, list[Path]]]:
    """(package/stem, its files) in the order of the layers."""
    for place in LAYERS:
        yield place, [path for end in (".pyx", ".pxd", ".py") if (path := CORE / f"{place}{end}").exists()]


def known(paths: list[Path]) -> set[str]:
    """Files of the core, as package/stem, that these import from."""
    return {name for path in paths for name in imports_of_core(path)}


def first_sentence(path: Path) -> str:
    head = re.match(r'(?:# cython:[^\n]*\n)?(?:"""(.*?)"""|((?:#[^\n]*\n)+))', path.read_text(), re.S)
    text = " ".join((head[1] or head[2].replace("#", " ")).split()) if head else ""
    return re.split(r"(?<=[.:]) ", text)[0]


def packages() -> dict[str, set[str]]:
    """Package -> those that it knows, itself left out."""
    found: dict[str, set[str]] = {}
    for place, paths in files():
        package = place.partition("/")[0]
        found.setdefault(package, set()).update(name.partition("/")[0] for name in known(paths))
        found[package].discard(package)
    return found


def show_all() -> None:
    rooms = packages()
    for package in rooms:  # in the order of their first files
        count = sum(place.partition("/")[0] == package for place in LAYERS)
        users = sorted(other for other, knows in rooms.items() if package in knows)
        print(f"{package:<12} {count:>2} files  knows: {', '.join(sorted(rooms[package])) or '-'}")
        print(f"{'':<12} {'':>2}       known by: {', '.join(users) or '-'}")


def show(package: str) -> int:
    mine = [(place, paths) for place, paths in files() if place.partition("/")[0] == package]
    for place, paths in mine:
        print(f"{place}: {first_sentence(paths[0])}")
        others = sorted(name for name in known(paths) if not name.startswith(f"{package}/"))
        print(f"    knows {', '.join(others) or 'nobody'}")
    if not mine:
        print(f"no package {package}: {', '.join(packages())}", file=sys.stderr)
    return 0 if mine else 2


def main(words: list[str]) -> int:
    if words:
        return show(words[0])
    show_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
