"""sources.away: which sources were told to be away, for the next supervisor."""

from fastsip.base.run_dir import AWAY
from fastsip.sources.away import read_away, write_away


def test_what_was_told_is_known_to_the_next_one(scratch):
    told = {("list", "/etc/a.list"): "no such file", ("db", "sqlite:x"): "it does not answer"}
    assert read_away(scratch) == {}
    write_away(scratch, told)
    assert read_away(scratch) == told
    write_away(scratch, {})
    assert read_away(scratch) == {}


def test_a_damaged_file_is_kept_and_nobody_is_away(scratch):
    (scratch / AWAY).write_text('{"layout": 1, "sources": [{"name": 1}]}')
    assert read_away(scratch) == {}
    assert [one.name for one in scratch.iterdir()] != [AWAY]
