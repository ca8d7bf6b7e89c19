"""Which line of a TOML text a key path stands on.

tomllib gives values without places.  This scanner walks a text that tomllib has already accepted, so it
only has to find where things begin, never to judge them.  It understands tables, arrays of tables, inline
tables, dotted and quoted keys, all four kinds of strings and arrays over several lines.

It must never raise on a text that tomllib accepts.  Asked only when there is a problem.
"""

import re
import tomllib
from bisect import bisect_right

from fastsip.config.errors import Path

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*")


class Locator:
    """Lines by key path; what has no line of its own gets its table's."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0] + [found.end() for found in re.finditer("\n", text)]
        self._offsets: dict[Path, int] = {}
        self._last: dict[Path, int] = {}  # array of tables -> index of its last table
        self._scan()

    def line(self, path: Path) -> int:
        """The line (from 1) of the longest known beginning of `path`; 1 when nothing of it is known."""
        for length in range(len(path), 0, -1):
            offset = self._offsets.get(path[:length])
            if offset is not None:
                return bisect_right(self._starts, offset)
        return 1

    def _note(self, path: Path, offset: int) -> None:
        """The first place of a path wins: [a.b] names `a` only if nothing did before."""
        self._offsets.setdefault(path, offset)

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _key(self, at: int) -> tuple[list[str], int]:
        """A dotted key at `at`: its parts and the offset behind it."""
        parts: list[str] = []
        while found := _KEY_PART.match(self._text, at):
            part = found[1]
            if part[0] in "\"'":
                part = tomllib.loads(f"k = {part}")["k"]
            parts.append(part)
            at = found.end()
            if self._text[at : at + 1] != ".":
                break
            at += 1
        return parts, at

    def _scan(self) -> None:
        table: Path = ()
        at = self._blank(0)
        while at < len(self._text):
            start = at
            if self._text[at] == "[":
                table, at = self._header(at)
            else:
                at = self._pair(table, at)
            at = self._blank(at)
            if at <= start:
                return

    def _header(self, at: int) -> tuple[Path, int]:
        """[a.b] or [[a.b]]: the table that the next pairs belong to."""
        start = at
        is_array = self._text.startswith("[[", at)
        parts, at = self._key(at + (2 if is_array else 1))
        table: Path = ()
        for number, part in enumerate(parts):
            table = (*table, part)
            self._note(table, start)
            if number == len(parts) - 1 and is_array:
                self._last[table] = self._last.get(table, -1) + 1
            if table in self._last:
                table = (*table, self._last[table])
                self._note(table, start)
        self._offsets[table] = start
        return table, at + (2 if is_array else 1)

    def _pair(self, table: Path, at: int) -> int:
        start = at
        parts, at = self._key(at)
        for part in parts:
            table = (*table, part)
            self._note(table, start)
        equals = self._text.find("=", at)
        if equals < 0:
            return len(self._text)
        return self._value(table, self._blank(equals + 1))

    def _value(self, path: Path, at: int) -> int:
        opening = self._text[at : at + 1]
        if opening == "[":
            return self._array(path, at + 1)
        if opening == "{":
            return self._inline(path, at + 1)
        found = _STRING.match(self._text, at) or _SCALAR.match(self._text, at)
        return found.end() if found else at + 1

    def _array(self, path: Path, at: int) -> int:
        index = 0
        at = self._blank(at)
        while at < len(self._text) and self._text[at] != "]":
            self._note((*path, index), at)
            index += 1
            at = self._blank(self._value((*path, index - 1), at))
            if self._text[at : at + 1] == ",":
                at = self._blank(at + 1)
        return at + 1

    def _inline(self, path: Path, at: int) -> int:
        at = self._blank(at)
        while at < len(self._text) and self._text[at] != "}":
            at = self._blank(self._pair(path, at))
            if self._text[at : at + 1] == ",":
                at = self._blank(at + 1)
        return at + 1
