"""fastsip.log: a line for people, an object for programs, and a limit on what calls cause."""

import io
import json
import logging
import os
import sys

import pytest

from fastsip import log as logs


def record(event="router started", level=logging.INFO, fields=None, failure=None):
    made = logging.LogRecord("fastsip", level, __file__, 1, event, None, failure)
    if fields is not None:
        made.fields = fields
    made.created = 1_700_000_000.123456
    return made


def failure():
    try:
        raise ValueError("why")
    except ValueError:
        return sys.exc_info()


@pytest.fixture
def kept_logger():
    """The logger as it was, afterwards."""
    log = logs.log
    before = (log.handlers[:], log.propagate, log.level)
    yield log
    log.handlers[:], log.propagate = before[0], before[1]
    log.setLevel(before[2])


# ---------------------------------------------------------------- formats


def test_json_is_one_object_a_line():
    fields = {"shards": 2, "listeners": ["udp:192.0.2.1:5060"], "text": 'a "b"\nc', "none": None}
    line = logs.JsonFormatter().format(record("destination down", logging.WARNING, fields))
    assert "\n" not in line
    expected = {"time": 1_700_000_000.123, "level": "warning", "event": "destination down", **fields}
    assert json.loads(line) == expected
    assert list(json.loads(line))[:3] == ["time", "level", "event"]


def test_json_of_what_json_does_not_know_is_its_text():
    from pathlib import Path

    assert json.loads(logs.JsonFormatter().format(record(fields={"at": Path("/run")})))["at"] == "/run"


def test_text_is_a_line_for_people():
    line = logs.TextFormatter().format(record("reloaded", fields={"version": 3, "who": "hup"}))
    assert line[2] == line[5] == ":" and line[8:] == " reloaded version=3 who=hup"
    assert logs.TextFormatter().format(record("reloaded"))[8:] == " reloaded"
    assert logs.TextFormatter().format(record("oh", logging.ERROR))[8:] == " error: oh"


def test_a_traceback_comes_with_both():
    made = record("a shard failed", logging.ERROR, {"shard": 1}, failure())
    found = json.loads(logs.JsonFormatter().format(made))
    assert found["traceback"].startswith("Traceback ") and "ValueError: why" in found["traceback"]
    text = logs.TextFormatter().format(made)
    assert text.splitlines()[0].endswith("error: a shard failed shard=1")
    assert text.splitlines()[-1] == "ValueError: why"


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind, is_json", [(io.TextIOWrapper, True), (Terminal, False)])
def test_programs_get_json_and_terminals_text(kept_logger, monkeypatch, tmp_path, kind, is_json):
    place = tmp_path / "log"
    with kind(place.open("wb")) as out:
        monkeypatch.setattr(sys, "stderr", out)
        logs.set_up()
        logs.set_up()  # a second time: still one line per record
        kept_logger.info("router started", extra={"fields": {"shards": 2}})
        kept_logger.debug("not this")
    (line,) = place.read_text().splitlines()
    assert line.startswith("{") == is_json
    assert ("shards=2" in line) != is_json
    assert not kept_logger.propagate


def test_what_has_no_descriptor_takes_lines():
    assert logs.takes_lines(io.StringIO())


def test_nobody_waits_for_who_does_not_read(kept_logger, monkeypatch):
    """A pipe that is full: lines are dropped, and the first one that fits says how many."""
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as out, os.fdopen(ours, "rb", buffering=0) as reader:
        monkeypatch.setattr(sys, "stderr", out)
        logs.set_up()
        written = 5_000
        for number in range(written):
            kept_logger.info("a line", extra={"fields": {"number": number}})
        lines = [json.loads(line) for line in reader.read(1 << 20).splitlines()]
        assert [line["number"] for line in lines] == list(range(len(lines)))
        assert 100 < len(lines) < written
        kept_logger.info("read again")
        assert json.loads(reader.read(1 << 20))["lines_dropped"] == written - len(lines)
        kept_logger.info("and all is well")
        assert "lines_dropped" not in json.loads(reader.read(1 << 20))


# ---------------------------------------------------------------- the limit


@pytest.fixture
def written(kept_logger, monkeypatch):
    """What is written, and a clock that the test moves."""

    class Written(list):
        now = 100.0

    found = Written()

    class Keep(logging.Handler):
        def emit(self, record):
            found.append((record.getMessage(), record.fields))

    kept_logger.handlers[:] = [Keep()]
    kept_logger.setLevel(logging.INFO)
    monkeypatch.setattr(logs.time, "monotonic", lambda: found.now)
    return found


def test_so_many_a_second_and_the_rest_is_counted(written):
    limited = logs.Limited(3)
    for number in range(8):
        limited.info("failover", {"call_id": number})
    assert [fields for _, fields in written] == [{"call_id": number} for number in range(3)]
    written.now += 1
    fields = {"call_id": 8}
    limited.info("failover", fields)
    assert written[-1] == ("failover", {"call_id": 8, "left_out": 5})
    assert fields == {"call_id": 8}  # the caller's own is not touched
    limited.info("failover", {"call_id": 9})
    assert written[-1] == ("failover", {"call_id": 9})


def test_a_quiet_second_says_nothing(written):
    limited = logs.Limited(1)
    for _ in range(4):
        limited.info("exhausted", {})
        written.now += 1
    assert written == [("exhausted", {})] * 4


def test_each_limit_counts_for_itself(written):
    one, other = logs.Limited(1), logs.Limited(1)
    for limited in (one, one, other, other):
        limited.info("failover", {})
    assert len(written) == 2 and (one.left_out, other.left_out) == (1, 1)
