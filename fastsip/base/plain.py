"""Text that came from the wire, or from a file that others may write, before a terminal or a log sees it.

A Call-ID may hold any bytes: CSI and OSC as one letter each (C1), marks that turn the direction of a line round.
What is not printable becomes an escape of its own number.
"""

import json
from typing import Any
from unicodedata import combining, east_asian_width

import orjson


def escaped(letter: str) -> str:
    """As JSON and Python write it: \\u202e; beyond 16 bits \\U000e0001."""
    return f"\\u{ord(letter):04x}" if ord(letter) <= 0xFFFF else f"\\U{ord(letter):08x}"


def printable(text: str) -> str:
    """Lines of text that do nothing to a terminal but stand there."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter == "\n" or letter.isprintable() else escaped(letter) for letter in text)


def one_line(text: str) -> str:
    """What stands in a text does not look like another line of ours."""
    return text.replace("\n", " ")


def width_of(text: str) -> int:
    """Columns of a terminal: Chinese letters take two, accents that stand on another letter none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(letter) else 1 + (east_asian_width(letter) in "WF") for letter in text)


def cut(text: str, width: int) -> str:
    """A text of one line in at most so many columns, at least one; what was cut off is three dots in one letter."""
    if width_of(text) <= width:
        return text
    kept = ""
    for letter in text:
        if width_of(kept + letter) > width - 1:
            break
        kept += letter
    return kept + "\u2026"


def cut_before(text: str, width: int) -> str:
    """The same, but what is cut off is its beginning."""
    return text if width_of(text) <= width else cut(text[::-1], width)[::-1]


def in_json(letter: str) -> str:
    """The same within a string of JSON, which knows 16 bits only: a reader finds the letter again."""
    number = ord(letter)
    if number <= 0xFFFF:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"


def json_text(value: Any) -> str:
    """One line of JSON without anything in it that is not printable; what JSON does not know is its text."""
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # half a pair of surrogates, as in the name of a file that is no UTF-8
        text = json.dumps(value, default=str)
    return plain_json(text)


def plain_json(text: str) -> str:
    """JSON that somebody wrote, on one line or more."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter == "\n" or letter.isprintable() else in_json(letter) for letter in text)


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def reason(error: BaseException) -> str:
    """Why, in words for people: of an OSError without its number, and with the file that it is about."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if isinstance(error.filename, str) else error.strerror
