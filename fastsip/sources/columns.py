"""What the tables of all routers have in common: columns of whole numbers and URIs, files and their bounds, and how
one bad row leaves out only itself.

    open_text, numbered        a file, bounded, as text, and its lines
    gather                     rows and misfits of a source: what reads a row raises Unfit
    text_of, whole, share, sip_uri    one column; what is absent, NULL or empty has its default
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from fastsip._core.base.files import look_into
from fastsip.sources.rows import Misfit, Reading, Row, SourceAway

MOST_BYTES = 16 << 20    # of a file
LONGEST_LINE = 4096
MOST_ROWS = 100_000
MOST_MISFITS = 100      # that are said one by one
MOST_WEIGHT = 1_000_000  # what a destination of the configuration may have
MOST_SETID = 0x7FFF_FFFF
LEAST_PRIORITY, MOST_PRIORITY = -(1 << 31), (1 << 31) - 1

Columns = Mapping[str, object]


class Unfit(Exception):
    """What is wrong with a line or a row, and what stood there."""

    def __init__(self, why: str, found: str = ""):
        super().__init__(why)
        self.why, self.found = why, found[:80]


def open_text(path: str) -> str:
    """SourceAway when there is no such file, or none that can be read.  Bytes that are no UTF-8 become U+FFFD."""
    try:
        with open(look_into(path), "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SourceAway(f"the file cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise SourceAway(f"the file is larger than {MOST_BYTES >> 20} MiB")
    return raw.decode(errors="replace")


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a file and their numbers from 1, whichever of the usual ways they end."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        yield number, line.removesuffix("\r")


def check_length(line: str) -> None:
    if len(line) > LONGEST_LINE:
        raise Unfit(f"longer than {LONGEST_LINE} characters")


def gather(read: Iterable[tuple[str, Callable[[], Row]]], at: float) -> Reading:
    """Rows and misfits of a source: each place, and what reads it; `at` is when, in seconds since 1970."""
    rows: list[Row] = []
    misfits: list[Misfit] = []
    more = 0
    for where, take in read:
        try:
            if len(rows) == MOST_ROWS:
                raise Unfit(f"more than {MOST_ROWS} destinations")
            rows.append(take())
        except Unfit as unfit:
            more += len(misfits) >= MOST_MISFITS
            if len(misfits) < MOST_MISFITS:
                misfits.append(Misfit(where=where, why=unfit.why, found=unfit.found))
    if more:
        misfits.append(Misfit(where=f"{more} more", why="not shown one by one"))
    return Reading(at=at, rows=tuple(rows), misfits=tuple(misfits))


def text_of(columns: Columns, column: str) -> str:
    """What stands there without white space around it; "" for what is absent or NULL."""
    raw = columns.get(column)
    return "" if raw is None else str(raw).strip()


def whole(columns: Columns, column: str, least: int, most: int, *, hexadecimal: bool = False) -> int:
    """A whole number, 0 by default; `hexadecimal`: one may be written as 0x9, too."""
    text = text_of(columns, column) or "0"
    try:
        # Not int(text, 0): a leading zero is nothing bad here.
        value = int(text, 16) if hexadecimal and text[:2].lower() == "0x" else int(text)
    except ValueError:
        value = None
    if value is None or not least <= value <= most or "_" in text:
        raise Unfit(f"{column}: allowed is a whole number from {least} to {most}", text)
    return value


def sip_uri(columns: Columns, column: str) -> str:
    """A scheme that is missing is sip."""
    text = text_of(columns, column)
    if not text:
        raise Unfit(f"{column}: it is missing")
    return text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"


def share(columns: Columns, column: str) -> int | None:
    """A weight, None where there is none; here it is any number that a destination may have."""
    text = text_of(columns, column)
    if not text:
        return None
    if not text.isdecimal() or len(text) > 20 or int(text) > MOST_WEIGHT:
        raise Unfit(f"{column}: allowed is a whole number from 0 to {MOST_WEIGHT}", text)
    return int(text)
