"""How numbers are written for Prometheus: its text format (0.0.4), and OpenMetrics 1.0, from the same families.

Values of labels may be anything that somebody wrote into a file or a database.  What is not printable is escaped
first, so that a scrape does nothing to a terminal and no reader takes a lone CR for the end of a line; then as the
formats say.
"""

import math
from collections.abc import Iterable, Mapping

from fastsip.base.plain import printable

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = ("seconds", "bytes")
SUFFIXES = {"counter": "_total", "info": "_info"}
TEXT_KINDS = {"info": "gauge", "": "untyped"}
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})    # a quotation mark stands for itself there

Value = int | float | None
Sample = tuple[str, Value]


def labels(pairs: Mapping[str, object]) -> str:
    """Names and values inside of the braces; one whose value is empty is left out, which means the same."""
    return ",".join(f'{name}="{escaped}"' for name, value in pairs.items() if (escaped := label_value(value)))


def label_value(value: object) -> str:
    text = "" if value is None else str(value)
    if text.isalnum() and text.isascii():
        return text
    return printable(text).translate(ESCAPES)


def joined(*parts: str) -> str:
    """Several of labels()."""
    return ",".join(filter(None, parts))


class Exposition:
    """The text, family by family; each name once, with its help and type before its samples."""

    def __init__(self, openmetrics: bool):
        self._openmetrics = openmetrics
        self._lines: list[str] = []
        self._names: set[str] = set()

    def add(self, name: str, kind: str, words: str, samples: Iterable[Sample]) -> None:
        """`name` as its samples have it, `kind`: counter, gauge or info; nothing is written of one without samples.

        A value that is None, or no finite number, is none: a NaN would be taken for something that was measured.
        """
        found = [(inside, number) for inside, value in samples if (number := written(value))]
        if not found:
            return
        assert name not in self._names, name
        self._names.add(name)
        self._lines += self._head(name, kind, words)
        self._lines += (f"{name}{{{inside}}} {number}" if inside else f"{name} {number}" for inside, number in found)

    def _head(self, name: str, kind: str, words: str) -> Iterable[str]:
        suffix = SUFFIXES.get(kind, "")
        if not name.endswith(suffix):   # readers would add it: OpenMetrics' do, and some of the text format
            kind = suffix = ""
        if not self._openmetrics:
            return f"# HELP {name} {words.translate(HELP_ESCAPES)}", f"# TYPE {name} {TEXT_KINDS.get(kind, kind)}"
        family, kind = name.removesuffix(suffix), kind or "unknown"     # there the family's name has no suffix
        unit = family.rpartition("_")[2]
        units = (f"# UNIT {family} {unit}",) if unit in UNITS else ()
        return (f"# TYPE {family} {kind}", *units, f"# HELP {family} {words.translate(ESCAPES)}")

    def text(self) -> str:
        """Ends with a line end; of nothing it is empty, but for the mark at the end of OpenMetrics."""
        lines = [*self._lines, "# EOF"] if self._openmetrics else self._lines
        return "".join(f"{line}\n" for line in lines)


def written(value: Value) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return repr(value) if isinstance(value, float) else str(int(value))
