"""Everything that can be wrong with a configuration, collected and shown at once.

    ConfigError           raised once, with all problems of a file
      Problem             one of them: where, what was found, what is allowed

    Wrong                 raised by the value readers (values.py), never leaves the package

The package never stops at the first problem: an operator who fixes a file at night wants the whole
list.
"""

from difflib import get_close_matches

import msgspec

Path = tuple[str | int, ...]

MOST_WORDS = 500  # of which the nearest is looked for: each costs some 20 us


def key_text(path: Path) -> str:
    """A key path as people write it: ("route", 1, "to") -> "route[2].to"; lists count from 1."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        elif part.replace("-", "").replace("_", "").isalnum() and part.isascii():
            text += f".{part}" if text else part
        else:
            text += f'."{part}"' if text else f'"{part}"'
    return text


def shown(value: object) -> str:
    """A found value in TOML's spelling, cut to one short line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text = quoted.encode("unicode_escape").decode("ascii") if not quoted.isprintable() else quoted
    elif isinstance(value, dict):
        text = "a table" if value else "an empty table"
    elif isinstance(value, list):
        text = "a list" if value else "an empty list"
    else:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def did_you_mean(found: object, known: object) -> str:
    """A hint that names the nearest known word, or "" when none is near or there are too many."""
    words = [str(word) for word in known]  # type: ignore[attr-defined]
    if len(words) > MOST_WORDS:
        return ""
    near = get_close_matches(str(found), words, n=1, cutoff=0.6)
    if not near:
        folded = str(found).casefold()
        near = [word for word in words if word.casefold() == folded][:1]
    return f'did you mean "{near[0]}"?' if near else ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong.  `line` counts from 1; 0 means the file as a whole."""

    file: str
    line: int
    key: str
    found: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [f"{place}: "]
        if self.key:
            parts.append(f"{self.key}: ")
        if self.found:
            parts.append(f"found {self.found}; ")
        parts.append(self.allowed)
        if self.hint:
            parts.append(f" ({self.hint})")
        return "".join(parts)


class ConfigError(Exception):
    """A configuration that cannot be used.  `problems` holds all of them, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Wrong(Exception):
    """A value that is not allowed: `allowed` says what is, `hint` what was probably meant."""

    def __init__(self, allowed: str, hint: str = "") -> None:
        super().__init__(allowed)
        self.allowed = allowed
        self.hint = hint
