"""What callers wrote does nothing to a terminal or a log, and a reader of JSON still finds it."""

import json
import logging
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.log import MOST_LETTERS, JsonFormatter, TextFormatter
from fastsip.plain import json_text, plain_json, printable

CLI = Path(__file__).parents[2] / "fastsip" / "cli"
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
