"""Values and comments as TOML has them, each on one line, for texts that people go on writing.

The libraries that write TOML write whole documents of their own shape, without the comments that such a text is for.
What is written here is read back by the standard library's reader; a test holds the two together for any text.
"""

import json
import re

from fastsip.base.plain import printable

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_value(value: object) -> str:
    """A text, boolean or whole number, or a table of such values, inline."""
    if isinstance(value, dict):
        inner = ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    # JSON's texts, numbers and booleans are TOML's.  Letters that TOML does not take as they are, or that would turn
    # a terminal's line round, become escapes that both know.
    return printable(json.dumps(value, ensure_ascii=False))


def toml_key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else toml_value(key)


def toml_comment(text: str) -> str:
    """Whatever stands in the text, it does not leave the line."""
    return "# " + printable(" ".join(text.split()))
