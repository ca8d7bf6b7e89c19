"""Comments and pages point at places that exist: docs/PAGE.md#anchor, and the links of Markdown files.

An anchor is a heading as GitHub spells it: lower case, blanks to dashes, other punctuation dropped, and a number
behind the second of two headings alike.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = re.compile(r"docs/([\w-]+)\.md(?:#([\w-]*))?")
LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*")
FENCE = re.compile(r"\s*(```|~~~)")
# A line end, and what begins the next line of a comment, may stand between the words.
GAP = r"[\s#*]+"
BY_NUMBER = re.compile(rf"\b(core|wire|design|config)(\.md)?{GAP}sections?{GAP}\d", re.IGNORECASE)


def tracked() -> list[Path]:
    """What git knows of the code and the pages; what is generated is none of it."""
    command = ["git", "ls-files", "-z", "fastsip", "tests", "bench", "docs", "*.md", "*.toml"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.decode().split("\0")
    return [ROOT / name for name in sorted(set(found)) if name and (ROOT / name).is_file()]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def prose(text: str) -> list[str]:
    """The lines of a page outside of code blocks."""
    lines, inside = [], False
    for line in text.splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return lines


def slug(heading: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors_in(text: str) -> set[str]:
    found: set[str] = set()
    times: dict[str, int] = {}
    for line in prose(text):
        if heading := HEADING.fullmatch(line):
            name = slug(heading[1])
            seen = times.get(name, 0)
            times[name] = seen + 1
            found.add(f"{name}-{seen}" if seen else name)
    return found


@cache
def anchors(path: Path) -> set[str]:
    return anchors_in(text_of(path))


def problem(path: Path, anchor: str) -> str:
    """What is wrong with a place; empty when it is there."""
    if not path.exists():
        return "no such file"
    if anchor and (path.suffix != ".md" or anchor not in anchors(path)):
        return "no such heading"
    return ""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def pointers(text: str) -> list[tuple[int, str, Path, str]]:
    """(line, as it stands, file, anchor) of each docs/PAGE.md in a text."""
    return [
        (number, match[0], ROOT / "docs" / f"{match[1]}.md", match[2] or "")
        for number, line in enumerate(text.splitlines(), 1)
        for match in PAGES.finditer(line)
    ]


def page_links(path: Path, text: str) -> list[tuple[str, Path, str]]:
    """(as it stands, file, anchor) of each link of a page that leads to a place of the repository."""
    found = []
    for line in prose(text):
        for target in LINK.findall(line):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            file, _, anchor = target.partition("#")
            found.append((target, (path.parent / file).resolve() if file else path, anchor))
    return found


OURS = Path(__file__).resolve()
FILES = [path for path in tracked() if path.resolve() != OURS]
MARKDOWN = [
    path for path in FILES
    if (path.parent == ROOT / "docs" and path.suffix == ".md")
    or name_of(path) in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
]  # fmt: skip


def test_there_is_something_to_read():
    assert len(FILES) > 200 and len(MARKDOWN) > 3
    assert sum(len(pointers(text_of(path))) for path in FILES) > 150


def test_what_comments_point_at_is_there():
    wrong = [
        f"{name_of(path)}:{number}: {target}: {why}"
        for path in FILES
        for number, target, file, anchor in pointers(text_of(path))
        if (why := problem(file, anchor))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_of_pages_lead_somewhere(page):
    wrong = [
        f"{target}: {why}"
        for target, file, anchor in page_links(page, text_of(page))
        if (why := "outside of the repository" if not file.is_relative_to(ROOT) else problem(file, anchor))
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_pointed_at_by_a_number():
    """Sections have names: a number is another one when something is put before it."""
    wrong = []
    for path in FILES:
        text = text_of(path)
        wrong += [f"{name_of(path)}:{text.count(chr(10), 0, m.start()) + 1}" for m in BY_NUMBER.finditer(text)]
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------- the reading itself


@pytest.mark.parametrize(
    "heading, anchor",
    [
        ("ACK is never answered", "ack-is-never-answered"),
        ("What `run_dir` holds, and why", "what-run_dir-holds-and-why"),
        ("A 2xx - late", "a-2xx---late"),
        ("[A link](wire.md) in it", "a-link-in-it"),
    ],
)
def test_a_heading_becomes_an_anchor(heading, anchor):
    assert slug(heading) == anchor


def test_headings_alike_are_numbered_and_code_has_none():
    assert anchors_in("# One\n\n## One\n\n```\n# Two\n```\n\nThree\n") == {"one", "one-1"}


def test_links_are_found():
    text = "[a](b.md#c), [d](#e) ![f](../g.png)\n[web](https://example.net/x.md#y)\n```\n[no](link.md)\n```\n"
    page = ROOT / "docs" / "page.md"
    found = page_links(page, text)
    assert [target for target, _, _ in found] == ["b.md#c", "#e", "../g.png"]
    assert [file for _, file, _ in found] == [ROOT / "docs" / "b.md", page, ROOT / "g.png"]
    assert [anchor for _, _, anchor in found] == ["c", "e", ""]


def test_pointers_are_found():
    found = pointers("# (docs/wire.md#cancel).\n#  see docs/core.md, docs/config.md#rules: all\n")
    assert [(number, file.name, anchor) for number, _, file, anchor in found] == [
        (1, "wire.md", "cancel"), (2, "core.md", ""), (2, "config.md", "rules"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text, by_number",
    [
        ("(wire section 4)", True),
        ("wire sections 1 and 6", True),
        ("Core section 3:", True),
        ("useless here (core.md\n# section 7)", True),
        ("of wire\n * section 4", True),
        ("RFC 3261 section 17", False),
        ("docs/wire.md#cancel", False),
    ],
)
def test_numbers_are_found(text, by_number):
    assert bool(BY_NUMBER.search(text)) is by_number
