"""What callers wrote does nothing to a terminal or a log, and a reader of JSON still finds it."""

import errno
import json
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.base.plain import counted, json_text, plain_json, printable, reason
from fastsip.log import MOST_LETTERS, JsonFormatter, TextFormatter

CLI = Path(__file__).parents[3] / "fastsip" / "cli"
EVIL = "a\x9b2J\x9d0;title\x9c\x1b[31m\u202egpj.exe\u2066\u200f\x7f\u2028\r\U000e0041"
ODD = st.text(st.one_of(st.characters(), st.sampled_from(EVIL)))


@given(ODD)
def test_no_text_does_anything_but_stand_there(text):
    assert printable(text).replace("\n", "").isprintable()


@pytest.mark.parametrize("text", ["", "plain", "Grüße 世界", "two\nlines"])
def test_what_is_printable_stays(text):
    assert printable(text) == text


@given(st.dictionaries(ODD, st.one_of(ODD, st.integers(-(2**53), 2**53), st.lists(ODD))))
def test_json_is_printable_and_says_the_same(value):
    text = json_text(value)
    assert text.isprintable() and json.loads(text) == value


def test_json_of_several_lines_keeps_them():
    assert plain_json('{\n  "a": "\x9b"\n}') == '{\n  "a": "\\u009b"\n}'


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_record_of_the_log_is_one_plain_line(formatter):
    record = logging.LogRecord("fastsip", logging.INFO, "", 0, f"failover {EVIL}", (), None)
    record.fields = {"call_id": EVIL, "long": "x" * 1_000_000, "path": "\udcff"}
    line = formatter.format(record)
    assert line.isprintable() and len(line) < 2 * MOST_LETTERS


def test_commands_print_by_one_way():
    """`unit` prints a file that ships with the program; what drain writes over a line is made plain there."""
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(CLI.glob("*.py"))
        if path.name not in ("_say.py", "unit.py")
        for line in path.read_text().splitlines()
        if re.search(r"(click\.echo|ClickException|(?<![\w.])print)\(", line)
        and not re.search(r"printable\(|_json\(|is not built", line)
    ]
    assert found == []


@pytest.mark.parametrize("error, words", [
    (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/y"), "/x/y: No such file or directory"),
    (BlockingIOError(errno.EAGAIN, "ask again"), "ask again"),
    (OSError(None, "machine at x: in use"), "machine at x: in use"),
    (OSError("in one word"), "in one word"),
    (ValueError("no number"), "no number"),
])  # fmt: skip
def test_people_are_told_no_numbers(error, words):
    assert reason(error) == words


def test_no_text_is_made_of_an_error_with_its_number():
    """Where an OSError may come, its words are those of `reason`."""
    found = []
    for path in sorted(CLI.parent.rglob("*.py")):
        lines = path.read_text().splitlines()
        for at, line in enumerate(line.replace("{type(error).__name__}: {error}", "") for line in lines):
            caught = next((before for before in reversed(lines[:at]) if re.match(r" *except .* as error:", before)), "")
            if "OSError" in caught and re.search(r"str\(error\)|\{error\}", line):
                found.append(f"{path.name}:{at + 1}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("number, words", [(0, "0 calls"), (1, "1 call"), (2, "2 calls"), (1_000, "1,000 calls")])
def test_one_is_not_many(number, words):
    assert counted(number, "call") == words
