"""cli._say: tables that stand in columns whatever letters are in them, and texts that are no lines of ours."""

import pytest

from fastsip.base.plain import one_line, width_of
from fastsip.cli import _say
from fastsip.cli._say import say_pieces, say_table


def test_letters_of_any_width_stand_in_columns(capsys):
    say_table(("ID", "WHY"), [("1/bob", "a"), ("m/\u6f22\u5b57", "b"), ("e\u0301\u0301", "c"), ("x\x1b[2J", "d")], {})
    lines = capsys.readouterr().out.splitlines()
    assert len({width_of(line[:-1] if number else line[:-3]) for number, line in enumerate(lines)}) == 1
    assert "\x1b" not in "".join(lines)


def test_numbers_stand_to_the_right_but_for_what_a_line_is_about(capsys):
    say_table(("ID", "FAILED"), [("1/bob", "7"), ("media/carol", "1,234")], {})
    assert capsys.readouterr().out.splitlines() == ["ID           FAILED", "1/bob             7", "media/carol   1,234"]


def test_a_text_is_one_line():
    assert one_line("a\nb") == "a b" and (width_of("ab"), width_of("\u6f22"), width_of("e\u0301")) == (2, 2, 1)


@pytest.mark.parametrize(("no_color", "is_coloured"), [("1", False), ("", True)])
def test_nothing_is_coloured_for_who_wants_no_colours(monkeypatch, no_color, is_coloured):
    """NO_COLOR (no-color.org) counts when it says something, for lines and tables."""
    said = []
    monkeypatch.setattr(_say, "_echo", said.append)
    monkeypatch.setenv("NO_COLOR", no_color)
    say_table(("ID", "STATE"), [("a", "down")], {"down": "red"})
    say_pieces([("down", "red"), (" a", "")])
    assert [("\x1b" in line) for line in said] == [False, is_coloured, is_coloured]
