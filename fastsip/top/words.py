"""A picture of a router as lines of text, for a terminal or for a pipe.

A line is pieces of text with a colour each ("" = none).  What came from the wire or from a file is made printable here,
so that whoever shows lines need not think of it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from fastsip.base.plain import counted, cut, cut_before, one_line, printable, width_of
from fastsip.observe.destinations import COLOURS
from fastsip.top.course import Picture, Row, Shard

Piece = tuple[str, str]
Line = list[Piece]

HEAD = ("ID", "HEALTH", "ADMIN", "CALLS/S", "OPEN", "FAILED", "WHY")
WIDTHS = (10, 8, 7, 5, 6)       # of those between the first and the last
TO_THE_RIGHT = (3, 4, 5)
LEAST_ID, LEAST_WHY = 16, 12
LABEL = 11
LONGEST_NODE = 20
NO_END = 1 << 16    # columns: more than any text has
HEALTHS = ("unresolved", "down", "trying", "unknown", "up")     # the worst first

# The name of a key of `sort` -> what stands first.  Of those that are alike the names decide, so that rows stand still.
SORTS = {
    "load": lambda row: (-(row.rate or 0.0), -row.open, row.id),
    "errors": lambda row: (-(row.failing or 0.0), -(row.failed or 0.0), HEALTHS.index(row.health), row.id),
    "name": lambda row: row.id,
}


def chosen(rows: Iterable[Row], sort: str, text: str) -> list[Row]:
    """Those in which the text stands, whatever its case, in the order of SORTS."""
    wanted = text.casefold()
    return sorted((row for row in rows if wanted in _searched(row)), key=SORTS[sort])


def _searched(row: Row) -> str:
    return "\n".join((row.id, row.uri, row.group, row.health, row.admin)).casefold()


def plain(text: str) -> str:
    return one_line(printable(text))


# ---------------------------------------------------------------- the router


def upper(picture: Picture, shards: int) -> list[Line]:
    """What stands above the destinations; at most so many lines of shards, the busiest."""
    rates = picture.rates
    lines = [
        [(f"{'calls':<{LABEL}}", ""), (_calls(picture), "")],
        [(f"{'replies':<{LABEL}}", ""), (f"in/s  {_classes(picture.classes('received'), rates)}", "")],
        [(" " * LABEL, ""), (f"out/s {_classes(picture.classes('sent'), rates)}", "")],
        [(f"{'set-up':<{LABEL}}", ""), (_times(picture.times), "")],
        *([(f"{kind:<{LABEL}}", ""), (_counts(counts), "")] for kind, counts in picture.states.items()),
        _reasons("refused", picture.refused(), rates),
        _reasons("dropped", picture.dropped(), rates),
        _store(picture.gauges),
        *_shards(picture.shards, shards, bool(rates)),
    ]
    return lines


def title(picture: Picture, trouble: str) -> Line:
    """Whose picture it is, and first what is not as usual; trouble: why it is not of this moment."""
    status = picture.status
    if trouble:
        return [(f"what was seen last; now: {plain(trouble)}", "red")]
    line = [(f"fastsip {cut(plain(str(status.get('node') or '')), LONGEST_NODE)}  ", "")]
    if status.get("router") is None:
        return [*line, ("no router routes at this moment", "red")]
    if status.get("draining"):
        line.append(("draining: new calls get 503  ", "yellow"))
    if picture.anew:
        line.append(("another router  ", "yellow"))
    if away := status.get("sources_away"):
        line.append((f"{counted(len(away), 'source')} away  ", "yellow"))
    line.append((f"router {status['router']} routes for {_lasted(status.get('routes_since_s') or 0)}", ""))
    return line


def about(picture: Picture, shown: int, sort: str, text: str) -> Line:
    """The line above the table of destinations."""
    there = len(picture.rows)
    takes = f"{picture.taking:,} take{'s' if picture.taking == 1 else ''} calls"
    filtered = f'; {shown:,} with "{plain(text)}"' if text else ""
    return [(f"{counted(there, 'destination')}, {takes}; by {sort}{filtered}", "")]


def _calls(picture: Picture) -> str:
    rates = picture.rates
    if not rates:
        return "-"
    return (f"{_rate(rates.get('invites'))}/s  failovers {_rate(rates.get('failovers'))}/s  "
            f"nobody found {_rate(rates.get('exhausted'))}/s  cancelled {_rate(rates.get('cancels'))}/s")


def _classes(classes: Mapping[str, float], rates: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {_rate(rate) if rates else '-'}" for name, rate in classes.items())


def _times(times: Mapping[str, Sequence[float | None]]) -> str:
    """Two times each: half of them were done by then, and 95 of a hundred."""
    words = {"reply": "first reply", "answer": "answer"}
    return "; ".join(f"{words[name]} 50 % {_ms(half)}, 95 % {_ms(most)}" for name, (half, most) in times.items()) or "-"


def _counts(counts: Mapping[str, int]) -> str:
    """States in which there is none are left out: with many in each the line would be too long."""
    return "  ".join(f"{state} {count:,}" for state, count in counts.items() if count) or "none"


def _reasons(name: str, reasons: Mapping[str, float], rates: Mapping[str, float]) -> Line:
    words = "  ".join(f"{reason} {_rate(rate)}" for reason, rate in reasons.items())
    label = (f"{name:<{LABEL}}", "")
    if not rates or not reasons:
        return [label, ("-" if not rates else "0/s", "")]
    return [label, (f"{_rate(sum(reasons.values()))}/s  ", "yellow"), (words, "")]


def _store(gauges: Mapping[str, int]) -> Line:
    places, size = gauges.get("slot_places", 0), gauges.get("store_bytes", 0)
    slots, used = gauges.get("slots", 0), gauges.get("slot_bytes", 0) + gauges.get("block_bytes", 0)
    full = slots / places if places else 0.0
    colour = "red" if full > 0.9 else "yellow" if full > 0.7 else ""
    return [(f"{'store':<{LABEL}}", ""), (_percent(full if places else None), colour),
            (f" of {places:,} places, {_percent(used / size if size else None)} of {size / 1e6:,.0f} MB", "")]


def _shards(shards: Sequence[Shard], most: int, known: bool) -> list[Line]:
    busiest = sorted(shards, key=lambda one: -one.received)[:most]
    hidden = len(shards) - len(busiest)
    head = f"{'shard':<{LABEL}}{'datagrams/s':>12}{'handed over':>12}{'timers late':>12}{'round':>8}{'waiting':>13}"
    rows = [[(f"{one.number:<{LABEL}}{_rate(one.received) if known else '-':>12}{_percent(one.handed_over):>12}"
              f"{_ms(one.late_ms):>12}{_ms(one.round_ms):>8}{f'{one.waiting:,} B':>13}", "")]
            for one in sorted(busiest, key=lambda one: one.number)]
    return [[(head + (f"  +{hidden} more" if hidden else ""), "")], *rows]


# ---------------------------------------------------------------- destinations


def widths(width: int | None, rows: Iterable[Row]) -> list[int]:
    """Of the columns for these rows, in so many columns of a terminal; None: as many as they need."""
    longest = max((width_of(plain(row.id)) for row in rows), default=0)
    if width is None:
        return [max(len(HEAD[0]), longest), *WIDTHS, NO_END]
    left = max(LEAST_ID + LEAST_WHY, width - sum(WIDTHS) - len(WIDTHS) - 1)
    of_ids = min(max(LEAST_ID, longest), left - LEAST_WHY)
    return [of_ids, *WIDTHS, left - of_ids]


def head(columns: Sequence[int]) -> Line:
    return _laid(HEAD, columns)


def line_of(row: Row, columns: Sequence[int]) -> Line:
    identity = cut_before(plain(row.id), columns[0])    # many begin alike
    return _laid((identity, row.health, row.admin, _rate(row.rate), f"{row.open:,}", _percent(row.failed), row.why),
                 columns)  # fmt: skip


def all_of(row: Row) -> Line:
    """What may be cut off in its line, and what has no column there."""
    rtt = "" if row.rtt_ms is None else f", last probe {_ms(row.rtt_ms)}"
    failing = "" if not row.failing else f", {_rate(row.failing)} failures/s"
    why = f", {row.why}" if row.why else ""
    return [(plain(f"{row.id} of {row.group}: {row.uri}{failing}{rtt}{why}"), "")]


def _laid(cells: Sequence[str], columns: Sequence[int]) -> Line:
    """Each cut to its column; the last one as long as it is."""
    line: Line = []
    for place, (text, width) in enumerate(zip(cells, columns, strict=True)):
        text = cut(plain(text), width)
        space = "" if place == len(columns) - 1 else " " * (width - width_of(text))
        line.append((space + text if place in TO_THE_RIGHT else text + space, COLOURS.get(text, "")))
        line.append((" ", ""))
    return line[:-1]


# ---------------------------------------------------------------- numbers


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:,.0f}" if rate >= 100 or rate == 0 else f"{rate:.1f}" if rate >= 0.1 else "<0.1"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _ms(ms: float | None) -> str:
    if ms is None:
        return "-"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def _lasted(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    return f"{days}d " * bool(days) + time.strftime("%H:%M:%S", time.gmtime(rest))
