"""Reads raw TOML tables key by key and remembers every problem instead of stopping.

Report collects problems by key path and turns them into lines at the end; Section wraps one raw table.
After a problem the reader goes on with the key's default, so that one slip does not hide the next.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from fastsip.config.errors import ConfigError, Path, Problem, Wrong, did_you_mean, key_text, shown
from fastsip.config.language import KEYS, LATER
from fastsip.config.locate import Locator
from fastsip.config.values import text

T = TypeVar("T")
D = TypeVar("D")

NOT_YET = "is not in this release"
MOST_PROBLEMS = 200  # of one file; whoever has so many has another file in mind
MOST_LISTED = 20  # names of what is allowed


class Enough(Exception):
    """There are MOST_PROBLEMS already: nobody reads on.  Never leaves the package."""


def later_by_table() -> dict[str, dict[str, tuple[str | int, ...] | None]]:
    """LATER by the pattern of the table, then by key: most tables have nothing of it."""
    found: dict[str, dict[str, tuple[str | int, ...] | None]] = {}
    for pattern, words in LATER.items():
        table, _, key = pattern.rpartition(".")
        found.setdefault(table, {})[key] = words
    return found


LATER_BY_TABLE = later_by_table()


class Report:
    """The problems of one file."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text
        self._found: list[tuple[Path, str, str, str]] = []
        self.refused: set[Path] = set()  # keys of later releases, already reported

    def add(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        """Remembers one problem; `found` is "" where something is missing.  Raises Enough when there are too many."""
        self._found.append((path, found, allowed, hint))
        if len(self._found) == MOST_PROBLEMS:
            raise Enough

    def wrong(self, path: Path, raw: object, wrong: Wrong) -> None:
        """Remembers a value that a reader refused."""
        self.add(path, shown(raw), wrong.allowed, wrong.hint)

    def touches(self, *path: str | int) -> bool:
        """Is something wrong below this path?  Checks that would only echo it are then left out."""
        return any(found[0][: len(path)] == path for found in self._found)

    def raise_if_any(self) -> None:
        """Raises ConfigError with all problems in the order of their lines."""
        if not self._found:
            return
        locator = Locator(self._text)
        problems = [
            Problem(
                file=self.file,
                line=locator.line(path),
                key=key_text(path),
                found=found,
                allowed=allowed,
                hint=hint,
            )
            for path, found, allowed, hint in self._found
        ]
        problems.sort(key=lambda problem: problem.line)
        if len(problems) >= MOST_PROBLEMS:
            allowed = f"{MOST_PROBLEMS} problems were found, and the rest was not looked at"
            problems.append(Problem(file=self.file, line=0, key="", found="", allowed=allowed))
        raise ConfigError(tuple(problems))


class Section:
    """One raw table: takes keys out of it, and knows at the end which ones nobody asked for."""

    def __init__(self, raw: dict[str, Any], path: Path, kind: str, report: Report) -> None:
        self.raw = raw
        self.path = path
        self.kind = kind
        self.report = report
        self._later()
        self._unknown()

    def _later(self) -> None:
        later = LATER_BY_TABLE.get(_pattern(self.path)) if self.raw else None
        if later is None:
            return
        for key, raw in self.raw.items():
            words = later.get(key, ())
            path = (*self.path, key)
            if words is None:
                self.report.refused.add(path)
                self.report.add(path, "", f"`{key}` {NOT_YET}; remove it")
            elif not isinstance(raw, bool) and (raw in words or _scheme(raw) in words):
                self.report.refused.add(path)
                self.report.add(path, "", f"{shown(raw)} {NOT_YET}; choose another value")

    def _unknown(self) -> None:
        known = KEYS[self.kind]
        for key in self.raw:
            if key in known:
                continue
            path = (*self.path, key)
            if path not in self.report.refused:
                self.report.add(
                    path, "an unknown key", "allowed: " + ", ".join(known), did_you_mean(key, known)
                )

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def is_refused(self, key: str) -> bool:
        """Was this key reported as one of a later release?"""
        return (*self.path, key) in self.report.refused

    def take(self, key: str, read: Callable[[object], T], default: D) -> T | D:
        """The checked value of a key; `default` when it is absent or wrong."""
        if key not in self.raw or self.is_refused(key):
            return default
        return self.read((*self.path, key), self.raw[key], read, default)

    def need(self, key: str, read: Callable[[object], T], default: D, why: str) -> T | D:
        """Like take, but the key must be there; `why` says what for."""
        if key not in self.raw:
            self.report.add(self.path, "", f"`{key}` is missing: {why}")
        return self.take(key, read, default)

    def read(self, path: Path, raw: object, read: Callable[[object], T], default: D) -> T | D:
        """One value by its path."""
        try:
            return read(raw)
        except Wrong as wrong:
            self.report.wrong(path, raw, wrong)
            return default

    def take_list(self, key: str, read: Callable[[object], T]) -> tuple[T, ...]:
        """The checked items of a key that holds one item or a list of them; wrong items are left out."""
        if key not in self.raw or self.is_refused(key):
            return ()
        raw = self.raw[key]
        if isinstance(raw, list) and not raw:
            self.report.add((*self.path, key), "an empty list", "allowed: one item or a list of them")
        items = enumerate(raw) if isinstance(raw, list) else [(None, raw)]
        values: list[T] = []
        for index, item in items:
            path = (*self.path, key) if index is None else (*self.path, key, index)
            value = self.read(path, item, read, None)
            if value is not None:
                values.append(value)
        return tuple(values)

    def take_reference(self, key: str, known: Collection[str], what: str) -> str:
        """A name that must be one of `known`; "" when absent or wrong.  `what` says what it names."""
        name = self.take(key, text, "")
        if name and name not in known:
            allowed = f"allowed: {what}: {listed(known)}"
            self.report.add((*self.path, key), shown(name), allowed, did_you_mean(name, known))
            return ""
        return name

    def names_under(self, key: str) -> Collection[str]:
        """The names of the tables [key.NAME] as written, whether or not what they hold is right; looked up by hash."""
        raw = self.raw.get(key, {})
        return raw.keys() if isinstance(raw, dict) else ()

    def section(self, key: str, kind: str) -> "Section":
        """The table under a key; an empty one when it is absent or not a table."""
        raw = self.raw.get(key, {})
        if not isinstance(raw, dict):
            self.report.add(
                (*self.path, key), shown(raw), f"allowed: a table, [{key_text((*self.path, key))}]"
            )
            raw = {}
        return Section(raw, (*self.path, key), kind, self.report)

    def named(self, key: str, kind: str) -> Iterator[tuple[str, "Section"]]:
        """The tables [key.NAME], in the order of the file."""
        raw = self.raw.get(key, {})
        if not isinstance(raw, dict):
            self.report.add((*self.path, key), shown(raw), f"allowed: tables, [{key}.NAME]")
            return
        for name, inner in raw.items():
            if isinstance(inner, dict):
                yield name, Section(inner, (*self.path, key, name), kind, self.report)
            else:
                self.report.add((*self.path, key, name), shown(inner), f"allowed: a table, [{key}.{name}]")

    def listed(self, key: str, kind: str) -> Iterator["Section"]:
        """The tables [[key]], in the order of the file."""
        raw = self.raw.get(key, [])
        if not isinstance(raw, list):
            hint = f"did you mean [[{key}]]?" if isinstance(raw, dict) else ""
            self.report.add((*self.path, key), shown(raw), f"allowed: tables, [[{key}]]", hint)
            return
        for index, inner in enumerate(raw):
            if isinstance(inner, dict):
                yield Section(inner, (*self.path, key, index), kind, self.report)
            else:
                self.report.add((*self.path, key, index), shown(inner), f"allowed: a table, [[{key}]]")


def listed(names: Collection[str]) -> str:
    """The names that are allowed, in quotes; of many the first."""
    words = [f'"{name}"' for name, _ in zip(names, range(MOST_LISTED), strict=False)]
    more = len(names) - len(words)
    return (", ".join(words) + (f" and {more} more" if more > 0 else "")) or "none is defined"


def _pattern(path: Path) -> str:
    """A path as LATER spells it: names of sets and policies, and list positions, become "*"."""
    parts = ["*" if isinstance(part, int) else part for part in path]
    if len(parts) > 1 and parts[0] in ("set", "failure"):
        parts[1] = "*"
    return ".".join(parts)


def _scheme(raw: object) -> str:
    return raw.partition(":")[0] if isinstance(raw, str) and ":" in raw else ""
