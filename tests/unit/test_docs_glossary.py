"""docs/glossary.md: what it names is in the code, and each group is sorted."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text()
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| `(\w+)` \|$", re.M)


def groups() -> list[list[tuple[str, str]]]:
    """Word and symbol of each row, by heading."""
    return [ROW.findall(part) for part in re.split(r"^## ", PAGE, flags=re.M)[1:]]


def test_every_row_is_read():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| word |")]
    assert sum(map(len, groups())) == len(lines) > 40


def test_every_symbol_is_in_the_code():
    files = [path for end in ("py", "pyx", "pxd") for path in (ROOT / "fastsip").rglob(f"*.{end}")]
    known = set(re.findall(r"\w+", "\n".join(path.read_text() for path in files)))
    assert {symbol for rows in groups() for _, symbol in rows} - known == set()


def test_words_are_sorted():
    for rows in groups():
        words = [word.lower() for word, _ in rows]
        assert words == sorted(words)
