"""top.words: lines that are never wider than they may be, and do nothing to a terminal but stand there."""

import pytest

from fastsip.base.plain import cut, cut_before, width_of
from fastsip.top import words
from fastsip.top.course import Course

from .pictures import member, moment, row

EVIL = "m/\x1b[2J\u202e\x9b1m\nlast"


def text(line: words.Line) -> str:
    return "".join(piece for piece, _ in line)


def picture(*looks):
    course = Course()
    return [course.take(one) for one in looks or (moment(1), moment(2))][-1]


@pytest.mark.parametrize("width", [80, 81, 100, 200])
@pytest.mark.parametrize("identity", ["m/a", "m/" + "a" * 300, "m/" + "\u6f22" * 90, EVIL])
def test_a_row_is_as_wide_as_the_terminal_at_most(width, identity):
    rows = [row(identity, why="because " * 30, rate=123456.7, open=10**5), row("m/b")]
    columns = words.widths(width, rows)
    assert all(width_of(text(words.line_of(one, columns))) <= width + 1 for one in rows)
    assert width_of(text(words.head(columns))) <= width


def test_below_eighty_columns_a_row_is_cut_by_the_terminal():
    assert words.widths(20, [row("m/" + "a" * 50)])[0] == words.LEAST_ID


def test_for_a_pipe_nothing_is_cut():
    rows = [row("m/" + "a" * 300, why="because " * 30)]
    line = text(words.line_of(rows[0], words.widths(None, rows)))
    assert rows[0].id in line and rows[0].why.strip() in line


def test_of_ids_the_end_stays():
    rows = [row(f"media/sip:192.0.2.{last}:5060{'0' * 40}{last}") for last in range(3)]
    assert [text(words.line_of(one, words.widths(80, rows)))[:26].strip()[-2:] for one in rows] == ["00", "01", "02"]


def test_what_strangers_wrote_is_printable_in_every_line():
    seen = picture(moment(1, node=EVIL), moment(2, member(EVIL, why=EVIL, admin="draining"), node=EVIL))
    lines = [words.title(seen, ""), words.title(seen, EVIL), words.about(seen, 1, "load", EVIL), *words.upper(seen, 9),
             words.line_of(seen.rows[0], words.widths(None, seen.rows)), words.all_of(seen.rows[0])]  # fmt: skip
    assert all(text(line).isprintable() for line in lines)


def test_the_title_says_what_is_not_as_usual():
    assert "routes for 1d 01:01:01" in text(words.title(picture(), ""))
    assert "another router  router 4" in text(words.title(picture(moment(1), moment(2, counted_by=5)), ""))
    assert "no router routes" in text(words.title(picture(moment(1, router=None)), ""))
    assert "draining: new calls get 503" in text(words.title(picture(moment(1, draining=True)), ""))
    assert "2 sources away" in text(words.title(picture(moment(1, sources_away=["a", "b"])), ""))
    assert text(words.title(picture(), "no router runs")) == "what was seen last; now: no router runs"


def test_in_eighty_columns_nothing_that_matters_is_cut_off():
    """But for the smallest of many reasons: with large numbers in every place."""
    many = {"invites": 20_000, "failovers": 9_999, "exhausted": 9_999, "cancels": 9_999, "received": 10**6,
            "handed_over": 10**5, "lane_bytes": 10**7, "timer_lag_60000": 1, "round_60000": 1}  # fmt: skip
    codes = {180: 20_000, 200: 20_000, 302: 999, 486: 20_000, 500: 9_999, 603: 999}
    many |= {f"{way}_{code}": count for way in ("received", "sent") for code, count in codes.items()}
    seen = picture(moment(1), moment(2, counters=[many, {}, {}], timed={"reply": {14: 9}, "answer": {14: 9}}))
    wide = [text(line) for line in words.upper(seen, 2) if len(text(line)) > 80]
    assert wide == []
    busy = moment(1, node="n" * 99, draining=True, sources_away=["a"] * 16, router=4_194_304, routes_since_s=10**7)
    title = text(words.title(picture(busy, moment(2, counted_by=5, **busy.known.status)), ""))
    assert "draining" in title[:80] and "another router" in title[:80] and "16 sources away" in title[:90]
    assert text(words.title(picture(), "no router runs in /" + "x" * 90)).startswith("what was seen last; now: no ")


def test_of_many_shards_the_busiest_are_shown_in_their_order():
    before = moment(1, counters=[{}] * 40)
    seen = picture(before, moment(2, counters=[{"received": number % 20} for number in range(40)]))
    lines = [text(line) for line in words.upper(seen, 2)]
    assert "+38 more" in lines[-3] and [line.split()[0] for line in lines[-2:]] == ["19", "39"]
    assert len(words.upper(seen, 40)) == len(lines) + 38


ORDERS = {
    "load": ["busy", "open", "idle", "worst"],
    "errors": ["worst", "open", "idle", "busy"],
    "name": ["busy", "idle", "open", "worst"],
}


@pytest.mark.parametrize("sort", words.SORTS)
def test_rows_stand_in_the_order_that_is_asked_for(sort):
    rows = [row("idle", health="trying"), row("busy", rate=9.0, open=1), row("worst", failing=2.0, failed=1.0),
            row("open", open=5, health="down")]  # fmt: skip
    assert [one.id for one in words.chosen(rows, sort, "")] == ORDERS[sort]


def test_a_filter_looks_at_ids_sets_and_states_whatever_their_case():
    rows = [row("m/a"), row("m/b", health="down"), row("n/c", group="North")]
    assert [one.id for one in words.chosen(rows, "name", "DOWN")] == ["m/b"]
    assert [one.id for one in words.chosen(rows, "name", "north")] == ["n/c"]
    assert words.chosen(rows, "name", "nothing of that") == []


@pytest.mark.parametrize("rate, said", [(None, "-"), (0.0, "0"), (0.01, "<0.1"), (0.1, "0.1"), (99.94, "99.9"),
                                        (1234.5, "1,234")])  # fmt: skip
def test_rates_are_as_exact_as_they_are_small(rate, said):
    assert text(words.line_of(row("m/a", rate=rate), words.widths(None, [row("m/a")]))).split()[3] == said


def test_a_text_is_cut_to_its_columns():
    assert (cut("abc", 3), cut("abcd", 3), cut("\u6f22\u5b57", 3)) == ("abc", "ab\u2026", "\u6f22\u2026")
    assert (cut_before("abc", 3), cut_before("abcd", 3)) == ("abc", "\u2026cd")
    assert cut("abc", 1) == "\u2026"
