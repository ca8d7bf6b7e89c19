"""How commands print: nothing that came from the wire, a file or a router does anything to the terminal.

What a command has to say about itself is on stderr behind "fastsip: ".  Whoever does not take that does not
change how the command ends; what does not take its output is an OSError that says so.
"""

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import click

from fastsip.base.plain import json_text, one_line, printable, width_of

REFUSED, WRONG, NOT_RUNNING = 1, 2, 3  # exit codes


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    _echo(printable(text), err=err, nl=nl)


def _echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """As it stands: what came from elsewhere is printable before."""
    try:
        click.echo(text, err=err, nl=nl)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # who reads it has seen enough
        if not err:
            raise OSError(error.errno, f"standard output: {error.strerror}") from None


def say_table(head: Sequence[str], rows: Iterable[Sequence[str]], colours: Mapping[str, str]) -> None:
    """Columns of texts as wide as they need to be, numbers to the right; `colours` by text.

    The first column says what a line is about, and is no number, though it may begin with one.
    """
    lines = [[one_line(printable(text)) for text in row] for row in (head, *rows)]
    widths = [max(map(width_of, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = []
        for place, (text, width) in enumerate(zip(line, widths, strict=True)):
            space = " " * (width - width_of(text))
            padded = space + text if place and text[:1].isdigit() else text + space
            cells.append(padded.replace(text, coloured(text, colours[text])) if text in colours else padded)
        _echo("  ".join(cells).rstrip())


def say_pieces(pieces: Iterable[tuple[str, str]]) -> None:
    """A line of texts with a colour each, "" for none."""
    _echo("".join(coloured(one_line(printable(text)), colour) for text, colour in pieces).rstrip())


def coloured(text: str, colour: str) -> str:
    """"" for none.  On a terminal only, for click takes it out elsewhere, and not where NO_COLOR says something."""
    return click.style(text, fg=colour) if colour and not os.environ.get("NO_COLOR") else text


def terminal_width() -> int | None:
    """Columns of standard output; None: it is no terminal, and lines may be as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def clear_screen() -> None:
    """On a terminal; elsewhere what is shown again follows what was shown before."""
    if sys.stdout.isatty():
        _echo("\033[H\033[J", nl=False)


def say_json(value: Any) -> None:
    """One object on one line."""
    say(json_text(value))


def say_indented(text: str) -> None:
    """Lines that tabs lead in."""
    for line in text.split("\n"):
        words = line.lstrip("\t")
        _echo("\t" * (len(line) - len(words)) + printable(words))


def say_over(text: str) -> None:
    """On stderr; on a terminal in the place of the line before."""
    if not sys.stderr.isatty():
        say(text, err=True)
        return
    with contextlib.suppress(OSError):
        click.echo(f"\r\033[K{printable(text)}", err=True, nl=False)


def fail(words: str, code: int) -> NoReturn:
    say(f"fastsip: {words}", err=True)
    sys.exit(code)


def give_up_output() -> None:
    """What a stream did not take is dropped: the interpreter would try it once more at its end, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
