"""Log records: lines for people on a terminal, JSON for everything else.

Nothing is logged per packet.  What calls cause (failover, exhausted searches) is
limited to a rate, and what was left out is counted in the next record.
"""

import logging
import select
import sys
import time
from typing import TextIO

from fastsip.base.plain import json_text, printable

MOST_LETTERS = 2_000  # of a field: takes_lines looks for the room of a line, not of a book

log = logging.getLogger("fastsip")


def cut(value: object) -> object:
    """A text that is not too long for a line; its beginning says most."""
    return f"{value[:MOST_LETTERS]} ..." if isinstance(value, str) and len(value) > MOST_LETTERS else value


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, event, and the fields of `extra={"fields": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": round(record.created, 3), "level": record.levelname.lower(), "event": record.getMessage()}
        line.update({key: cut(value) for key, value in getattr(record, "fields", {}).items()})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-MOST_LETTERS:]
        return json_text(line)


class TextFormatter(logging.Formatter):
    """Time, level where it matters, event, fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={cut(value)}" for key, value in getattr(record, "fields", {}).items())
        level = "" if record.levelno == logging.INFO else record.levelname.lower() + ": "
        line = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {level}{record.getMessage()} {fields}"
        traceback = "\n" + self.formatException(record.exc_info)[-MOST_LETTERS:] if record.exc_info else ""
        return printable(line.rstrip()) + printable(traceback)


def takes_lines(stream: TextIO) -> bool:
    """Would a line leave at once?  (A pipe or a socket that takes anything takes 4 KiB.)"""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except ValueError:
        return True  # it has no descriptor: nobody else reads it


def say(line: str) -> None:
    """On stderr as it stands, for who waits for it."""
    if takes_lines(sys.stderr):
        print(printable(line), file=sys.stderr, flush=True)


class UnhurriedHandler(logging.StreamHandler):
    """Drops lines while nobody reads them, and counts them in the next one.

    A stalled journal, or a pipe into a program that hangs: no call and no takeover waits for that.
    """

    def __init__(self, stream: TextIO):
        super().__init__(stream)
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        if not takes_lines(self.stream):
            self.dropped += 1
            return
        if self.dropped:
            record.fields = {**getattr(record, "fields", {}), "lines_dropped": self.dropped}
            self.dropped = 0
        super().emit(record)


def set_up() -> None:
    handler = UnhurriedHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if sys.stderr.isatty() else JsonFormatter())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


class Limited:
    """At most `per_second` records of a kind; the rest is counted and said with the next one."""

    def __init__(self, per_second: int = 10):
        self.per_second = per_second
        self.second = 0
        self.written = 0
        self.left_out = 0

    def info(self, event: str, fields: dict[str, object]) -> None:
        if (due := self._due(fields)) is not None:
            log.info(event, extra={"fields": due})

    def error(self, event: str, fields: dict[str, object], fault: Exception) -> None:
        """With its traceback."""
        if (due := self._due(fields)) is not None:
            log.error(event, exc_info=fault, extra={"fields": due})

    def _due(self, fields: dict[str, object]) -> dict[str, object] | None:
        """With the count of those before it; None: it is left out itself."""
        second = int(time.monotonic())
        if second != self.second:
            self.second, self.written = second, 0
        if self.written >= self.per_second:
            self.left_out += 1
            return None
        self.written += 1
        if self.left_out:
            fields = {**fields, "left_out": self.left_out}
            self.left_out = 0
        return fields
