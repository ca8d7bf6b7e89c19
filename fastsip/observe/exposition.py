"""How numbers are written for Prometheus: its text format (0.0.4), and OpenMetrics 1.0, from the same families.

Values of labels may be anything that somebody wrote into a file or a database.  What is not printable is escaped
first, so that a scrape does nothing to a terminal and no reader takes a lone CR for the end of a line; then as the
formats say.

Names and labels are the same from scrape to scrape, so their text is laid out once and kept (Kept); only the numbers
are put in.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fastsip._core.base.buckets import BOUNDS_MS
from fastsip.base.plain import printable

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = ("seconds", "bytes")
SUFFIXES = {"counter": "_total", "info": "_info"}
TEXT_KINDS = {"info": "gauge", "": "untyped"}
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})    # a quotation mark stands for itself there
# Upper bounds of the buckets of a histogram, in seconds; the same text in both formats, or they were other series.
BOUNDS = (*(repr(bound / 1000) for bound in BOUNDS_MS), "+Inf")
HISTOGRAM_SAMPLES = len(BOUNDS) + 2     # of one: the buckets, their sum and their count

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


class Layout(msgspec.Struct, frozen=True):
    """The text of a family: what stands before each number, and all of it with a place for each."""

    head: str
    insides: Sequence[str]
    before: list[str]
    template: str


Kept = dict[str, Layout]    # by the family's name: from one scrape to the next, of one format


class Exposition:
    """The text, family by family; each name once, with its help and type before its samples."""

    def __init__(self, openmetrics: bool, kept: Kept | None = None):
        self._openmetrics = openmetrics
        self._kept: Kept = {} if kept is None else kept
        self._parts: list[str] = []
        self._names: set[str] = set()

    def add(self, name: str, kind: str, words: str, samples: Iterable[Sample]) -> None:
        """`name` as its samples have it, `kind`: counter, gauge or info; nothing is written of one without samples."""
        found = [*samples]
        self.put(name, kind, words, [inside for inside, _ in found], [value for _, value in found])

    def put(self, name: str, kind: str, words: str, insides: Sequence[str], values: Iterable[Value]) -> None:
        """The same, labels and values apart.  A histogram has HISTOGRAM_SAMPLES values for each of its labels.

        A value that is None, or no finite number, is none: a NaN would be taken for something that was measured.
        """
        self.put_texts(name, kind, words, insides, [*map(written, values)])

    def put_texts(self, name: str, kind: str, words: str, insides: Sequence[str], texts: Sequence[str]) -> None:
        """The same with numbers that are written already; "" is none."""
        if not any(texts):
            return
        assert name not in self._names, name
        self._names.add(name)
        layout = self._kept.get(name)
        if layout is None or (layout.insides is not insides and layout.insides != insides):
            layout = self._kept[name] = self._lay_out(name, kind, words, insides)
        self._parts.append(layout.head)
        if "" in texts:
            self._parts += (before + text + "\n" for before, text in zip(layout.before, texts, strict=True) if text)
        else:
            self._parts.append(layout.template % tuple(texts))

    def _lay_out(self, name: str, kind: str, words: str, insides: Sequence[str]) -> Layout:
        before = [f"{sample}{{{inside}}} " if inside else f"{sample} "
                  for sample, inside in _samples_of(name, kind, insides)]
        head = "".join(f"{line}\n" for line in self._head(name, kind, words))
        template = "".join(f"{text.replace('%', '%%')}%s\n" for text in before)
        return Layout(head, insides, before, template)

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
        return "".join((*self._parts, "# EOF\n") if self._openmetrics else self._parts)


def _samples_of(name: str, kind: str, insides: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Name and labels of each line of a family."""
    if kind != "histogram":
        return ((name, inside) for inside in insides)
    return (each for inside in insides for each in (
        *((f"{name}_bucket", joined(inside, f'le="{bound}"')) for bound in BOUNDS),
        (f"{name}_sum", inside), (f"{name}_count", inside)))  # fmt: skip


def histogram(sum_s: float, counts: Sequence[int]) -> list[Value]:
    """The values of one: of each bucket with all below it, the sum, and how many there are."""
    found: list[Value] = []
    total = 0
    for count in counts:
        total += count
        found.append(total)
    return [*found, sum_s, total]


def written(value: Value) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return repr(value) if isinstance(value, float) else str(int(value))
