"""desk.http.page: who is let in, and what of a router's files becomes numbers, failures, rows and lines."""

import re
import time
import types

import msgspec
import numpy as np
import pytest

from fastsip.api.socket import Refused
from fastsip.config.secrets import digest_of_token
from fastsip.desk.http import limits
from fastsip.desk.http.access import NOBODY, ORDER, READ, Access
from fastsip.desk.http.page import entrance, overview, timeline, watch
from fastsip.desk.http.page.entrance import Attempts, is_foreign, may_by_session, session_for
from fastsip.desk.http.page.failures import Failures
from fastsip.desk.http.page.overview import Destinations, Query, found
from fastsip.desk.http.page.pages import Pages, asked_again, new_form, press_of, query_of
from fastsip.desk.http.page.render import Renderer, milliseconds, number
from fastsip.desk.http.page.stream import Stream
from fastsip.desk.http.page.timeline import WIDTH, of_health, of_operators
from fastsip.desk.http.page.watch import CODES, Reading, Watch
from fastsip.desk.http.problems import Wrong
from fastsip.desk.http.routes import Call
from fastsip.desk.http.workers import Served
from fastsip.dispatcher.history import Change
from fastsip.dispatcher.words import Press

ACCESS = Access(token=digest_of_token("the token of operators"), read_token=digest_of_token("the token of lookers"))
NOW = 1_000_000.0


# ---------------------------------------------------------------- sessions


def test_a_session_may_what_its_token_may_until_it_ends():
    """Whoever may order signs in again sooner."""
    for may, seconds in ((ORDER, 3600), (READ, 12 * 3600)):
        session = session_for(may, ACCESS, NOW)
        assert may_by_session(session, ACCESS, NOW) == may
        assert may_by_session(session, ACCESS, NOW + seconds - 1) == may
        assert may_by_session(session, ACCESS, NOW + seconds) == NOBODY
    assert session_for(READ, ACCESS, NOW) != session_for(READ, ACCESS, NOW)


def test_a_session_ends_with_its_token_and_no_other():
    other = Access(token=digest_of_token("another token of many"), read_token=ACCESS.read_token)
    assert may_by_session(session_for(ORDER, ACCESS, NOW), other, NOW) == NOBODY
    assert may_by_session(session_for(READ, ACCESS, NOW), other, NOW) == READ
    assert may_by_session(session_for(READ, ACCESS, NOW), Access(token=ACCESS.token), NOW) == NOBODY


@pytest.mark.parametrize("change", [
    lambda session: "", lambda session: session[:-1], lambda session: session + "0", lambda session: "x" * 500,
    lambda session: session.replace("read", "order"), lambda session: session.replace("1", "2"),
    lambda session: session.replace(".", ""), lambda session: "\xe9" + session, lambda session: "...",
    lambda session: "read..." + session,
])  # fmt: skip
def test_a_session_that_somebody_made_is_none(change):
    assert may_by_session(change(session_for(READ, ACCESS, NOW)), ACCESS, NOW) == NOBODY


def test_what_signs_sessions_is_neither_the_token_nor_its_digest():
    assert entrance.key_of(ACCESS.token) != entrance.key_of(ACCESS.read_token) and len(entrance.key_of(b"x")) == 32


# ---------------------------------------------------------------- browsers that were sent

PAGE = {"Host": "edge:8060", "Origin": "http://edge:8060", "Sec-Fetch-Site": "same-origin"}
LOCAL = {"Host": "localhost:8060", "Origin": "http://localhost:8060", "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(("method", "headers", "local", "foreign"), [
    ("POST", PAGE, False, False), ("POST", {"Host": "edge:8060"}, False, False),
    ("POST", {**PAGE, "Origin": "http://elsewhere"}, False, True), ("POST", {**PAGE, "Origin": "null"}, False, True),
    ("POST", {**PAGE, "Sec-Fetch-Site": "cross-site"}, False, True),
    ("POST", {**PAGE, "Sec-Fetch-Site": "same-site"}, False, True),
    ("POST", {**PAGE, "Sec-Fetch-Site": "none"}, False, True),
    ("GET", {"Host": "edge:8060", "Sec-Fetch-Site": "none"}, False, False),
    ("GET", {"Host": "edge:8060", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False, False),
    ("GET", {"Host": "edge:8060", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False, True),
    ("POST", LOCAL, True, False), ("POST", PAGE, True, True), ("GET", {"Host": "x"}, True, False),
    ("GET", {"Host": "[::1]:8060", "Sec-Fetch-Site": "same-origin"}, True, False),
    ("GET", {"Host": "elsewhere", "Sec-Fetch-Site": "none"}, True, True),
    ("GET", {"Sec-Fetch-Site": "none"}, True, True),
])  # fmt: skip
def test_whose_page_had_a_browser_ask(method, headers, local, foreign):
    assert is_foreign(types.SimpleNamespace(method=method, headers=headers), local=local) is foreign


# ---------------------------------------------------------------- wrong tokens


def test_an_address_may_bring_some_wrong_tokens_and_then_one_at_a_time():
    attempts = Attempts()
    for _ in range(limits.WRONG_AT_ONCE):
        assert attempts.may("192.0.2.1", NOW)
        attempts.wrong("192.0.2.1", NOW)
    assert not attempts.may("192.0.2.1", NOW) and attempts.may("192.0.2.2", NOW)
    assert not attempts.may("192.0.2.1", NOW + limits.WRONG_EVERY_S - 0.1)
    assert attempts.may("192.0.2.1", NOW + limits.WRONG_EVERY_S)


def test_of_ipv6_a_whole_network_is_one_address():
    attempts = Attempts()
    for low in range(limits.WRONG_AT_ONCE):
        attempts.wrong(f"2001:db8::{low}", NOW)
    assert not attempts.may("2001:db8::ffff", NOW) and attempts.may("2001:db8:0:1::1", NOW)
    assert attempts.may("control.sock", NOW)


def test_addresses_that_are_remembered_have_a_bound():
    attempts = Attempts()
    for place in range(limits.MOST_ADDRESSES + 10):
        attempts.wrong(f"10.0.{place >> 8}.{place & 255}", NOW)
    assert len(attempts._left) == limits.MOST_ADDRESSES


# ---------------------------------------------------------------- numbers


def reading(at: float, invites: int = 0, wall: float | None = None, **lines) -> Reading:
    """lines: by owner, attempts and answers by code."""
    owners = np.array([int(name[1:]) for name in lines], np.uint32)
    codes = np.array([[one.get(code, 0) for code in CODES] for one in lines.values()], np.int64).reshape(-1, len(CODES))
    return Reading(at=at if wall is None else wall, tick=at,
                   counters={"invites": invites, "slots": 5, "no_rule": invites // 10}, owners=owners,
                   attempts=codes.sum(axis=1), codes=codes, reply=np.array([0, codes.sum()] + [0] * 14),
                   answer=np.zeros(16, np.int64))  # fmt: skip


@pytest.fixture
def look(monkeypatch):
    """A function that has a Watch see these files."""
    names = {7: "media/seven", 8: "media/eight"}
    monkeypatch.setattr(watch, "read_line_names", lambda run_dir: names)
    here = Watch()

    def see(one: Reading):
        monkeypatch.setattr(watch, "read", lambda run_dir: one)
        return here.look("")

    see.watch = here
    return see


def test_rates_are_differences_and_the_first_look_has_none(look):
    first = look(reading(NOW, 100, o7={"2xx": 50}))
    assert (first.calls, first.ok, first.slots) == (None, None, 5)
    second = look(reading(NOW + 2, 120, o7={"2xx": 60, "503": 4, "487": 9}))
    assert (second.calls, second.ok, second.failed) == (10, 5, 2)
    assert look.watch.rates == {"media/seven": 11.5} and look.watch.minute["2xx"] == 10
    assert second.reply == (1.5, 1.9) and second.answer == (None, None)


def test_a_clock_that_is_set_back_makes_no_rate(look):
    look(reading(NOW, 100, o7={"2xx": 50}))
    after = look(reading(NOW + 2, 120, wall=NOW - 3600, o7={"2xx": 60}))
    assert (after.at, after.calls, after.ok, look.watch.rates) == (NOW - 3600, 10, 5, {"media/seven": 5})


def test_another_router_counts_from_nothing(look):
    look(reading(NOW, 1000))
    assert look(reading(NOW + 1, 7)).calls == 7


def test_a_line_that_has_another_owner_or_another_place_tells_nothing(look):
    look(reading(NOW, o7={"2xx": 50}))
    look(reading(NOW + 1, o8={"2xx": 500, "503": 400}))
    assert look.watch.rates == {} and look.watch.failures.last(9) == []
    look(reading(NOW + 2, o8={"2xx": 500, "503": 400}, o7={"2xx": 9}))
    assert look.watch.rates == {}


def test_failures_have_place_reason_and_number_and_alike_ones_are_one(look):
    look(reading(NOW, 0, o7={}, o8={}))
    look(reading(NOW + 1, 10, o7={"503": 2}, o8={"timeout": 1, "2xx": 8, "challenge": 5}))
    look(reading(NOW + 2, 10, o7={"503": 5}, o8={"timeout": 1, "2xx": 8, "challenge": 5}))
    shown = {(one.destination, one.reason): one.count for one in look.watch.failures.last(9)}
    assert shown == {("media/seven", "503"): 5, ("media/eight", "no answer in time"): 1,
                     ("", "requests that no rule matched: 404"): 1}  # fmt: skip


def test_of_very_many_failures_at_once_the_most_frequent_are_told_alone(look):
    lines = {f"o{owner}": {} for owner in range(1, watch.MOST_NEW + 11)}
    look(reading(NOW, **lines))
    look(reading(NOW + 1, **{name: {"503": 2 if place >= 10 else 1} for place, name in enumerate(lines)}))
    rest = [one.count for one in look.watch.failures.last(999) if one.reason == "many at once"]
    assert rest == [10]


def test_what_is_kept_has_bounds(look):
    for second in range(limits.MOST_POINTS + 5):
        look(reading(NOW + second, second))
    assert len(look.watch.points) == limits.MOST_POINTS
    failures = Failures()
    for place in range(limits.MOST_FAILURES * 5):
        failures.add(NOW + place, f"media/{place}", "503", 1)
    assert len(failures.last(999)) == limits.MOST_FAILURES and failures.last(1)[0].destination == "media/499"
    assert len(failures._open) <= 2 * limits.MOST_FAILURES + 1


def test_after_a_minute_alike_failures_are_another_entry():
    failures = Failures()
    for at in (0, 59, 60):
        failures.add(NOW + at, "media/one", "503", 1)
    assert [one.count for one in failures.last(9)] == [1, 2]


def test_with_a_clock_that_was_set_back_failures_go_on_newest_first():
    failures = Failures()
    for at, destination in ((0, "one"), (1, "two"), (-3600, "one"), (-3599, "one")):
        failures.add(NOW + at, destination, "503", 1)
    shown = [(one.destination, one.first - NOW, one.last - NOW, one.count) for one in failures.last(9)]
    assert shown == [("one", -3600, -3599, 2), ("two", 1, 1, 1), ("one", 0, 0, 1)]


# ---------------------------------------------------------------- destinations


def destination(identity: str, **more) -> dict:
    return {"id": identity, "uri": f"sip:{identity}", "admin": "enabled", "health": "up", "since": None,
            "said_at": None, "retry_after": None, "latency_ms": None, "chosen": 0, "failed": 0, "parent": "",
            **more}  # fmt: skip


@pytest.fixture
def known(monkeypatch, tmp_path):
    """A function that has Destinations see these, and the sets that they are in."""
    here = Destinations()
    monkeypatch.setattr(overview.answers, "status", lambda run_dir: {"state_dir": str(tmp_path)})

    def see(*members: dict, rates=None):
        monkeypatch.setattr(overview.answers, "sets", lambda run_dir: [{"name": "media", "destinations": [*members]}])
        here.stale()
        return here.look("", rates or {})

    see.place, see.here = tmp_path, here
    return see


def test_destinations_are_found_by_text_and_state_and_sorted(known):
    seen = known(destination("One"), destination("two", health="down"), destination("three", admin="draining"),
                 rates={"three": 5.0, "One": 1.0})  # fmt: skip
    def ids(**query) -> list[str]:
        return [row.id for row in found(seen, Query(**query))]

    assert ids() == ["One", "two", "three"] and ids(text="ONE") == ["One"] and ids(text="media") == ids()
    assert ids(state="trouble") == ["two", "three"] and ids(state="down") == ["two"] and ids(state="up") == ["One"]
    assert ids(sort="state") == ["two", "three", "One"] and ids(sort="rate") == ["three", "One", "two"]
    assert (seen.sums["down"], seen.sums["draining"], seen.sums["up"]) == (1, 1, 1)


def test_what_has_changed_is_told_with_its_reason_and_has_a_bound(known):
    assert known(destination("one")).states == 0
    (known.place / "history").write_text('{"at":5,"id":"one","now":"down","by":"timeout","code":408}\n')
    seen = known(destination("one", health="down"))
    assert (seen.states, seen.told) == (1, ["one is down: timeout 408"])
    assert known(destination("one", health="down")).states == 1
    many = [destination(str(place), health="down") for place in range(20)]
    assert known(*many).told[-1] == "and 15 others" and known().told == ["destinations are gone"]


def test_one_look_serves_all_who_come_meanwhile(known, monkeypatch):
    seen = known(destination("one"))
    monkeypatch.setattr(overview.answers, "sets", lambda run_dir: pytest.fail("looked again"))
    here = Destinations()
    here._known, here._fresh_until = seen, time.monotonic() + 1000
    assert here.look("", {}) is seen


def test_while_a_look_hangs_the_one_before_counts(known, monkeypatch):
    monkeypatch.setattr(overview, "PATIENCE_S", 0.01)
    monkeypatch.setattr(overview, "FIRST_S", 0.01)
    here = Destinations()
    with here._lock:
        with pytest.raises(TimeoutError):
            here.look("", {})
        here._known = known(destination("one"))
        assert here.look("", {}) is here._known


def test_what_is_down_or_has_no_address_is_one_number(known):
    seen = known(destination("one", health="down"), destination("two", health="unresolved"), destination("three"))
    assert seen.sums["out"] == 2


def test_a_look_that_fails_or_hangs_is_said_with_the_time_of_the_last_one(known, monkeypatch):
    here = known.here
    seen = known(destination("one"))
    assert here.trouble() == ""

    def fail(run_dir):
        raise Refused("nobody answers")

    with monkeypatch.context() as patch, pytest.raises(Refused):
        patch.setattr(overview.answers, "sets", fail)
        here.stale()
        here.look("", {})
    assert here.trouble() == ""         # not at once
    monkeypatch.setattr(overview, "SILENT_S", 0)
    assert here.trouble() == f"Destinations are not known since {timeline.clock(seen.at)}: nobody answers"
    known(destination("one"))
    assert here.trouble() == ""
    hanging = []
    monkeypatch.setattr(overview.answers, "sets", lambda run_dir: hanging.append(here.trouble()) or [])
    here.stale()
    here.look("", {})
    assert "the supervisor does not answer" in hanging[0] and here.trouble() == ""


def change(at: float, now: str, by: str = "timeout") -> Change:
    return Change(at=at, id="one", now=now, by=by, code=408 if by == "timeout" else 0)


def test_a_line_is_the_last_hour_in_pieces_with_reasons():
    changes = [change(NOW - 9000, "up", "probe"), change(NOW - 1800, "down"), change(NOW - 900, "draining", "operator"),
               change(NOW - 600, "trying", "probe")]  # fmt: skip
    pieces = of_health(changes, NOW)
    assert [(one.state, one.x, one.width) for one in pieces] == [
        ("up", 0, WIDTH / 2), ("down", WIDTH / 2, WIDTH / 3), ("trying", WIDTH * 5 / 6, WIDTH / 6)]  # fmt: skip
    assert "down since" in pieces[1].words and pieces[1].words.endswith("timeout 408")
    assert [(one.state, one.x) for one in of_operators(changes, NOW)] == [("draining", WIDTH * 3 / 4)]
    assert of_health([], NOW) == of_operators([change(NOW - 5, "enabled", "operator")], NOW) == []


def test_a_piece_that_has_just_begun_is_to_be_seen():
    piece, = of_health([change(NOW - 0.1, "down")], NOW)
    assert piece.width == timeline.LEAST and piece.x + piece.width == WIDTH


def test_of_ten_thousand_destinations_a_page_is_shown(known):
    """And what it shows is made once for all who ask for the same."""
    pages = Pages(Stream(Served()))
    seen = known(*(destination(f"media/{place}", health="down" if place == 9_999 else "up") for place in range(10_000)))

    def listed(may: int = ORDER, **query) -> str:
        return pages._listed(Call(run_dir="", file="", may=may), seen, Query(**query))

    first, last = listed(), listed(page=999_999)
    assert first.count("<tr") == limits.ROWS + 1 and len(first) < 50_000 and "page 1 of 400" in first
    assert "media/9999" in last and "page 400 of 400" in last and "Next" not in last
    assert "media/9999" in listed(state="trouble") and "1 of 10,000" in listed(state="trouble")
    assert listed() is first and listed(READ) is not first and "Drain" not in listed(READ)
    for place in range(limits.MOST_FRAGMENTS + 5):
        listed(text=str(place))
    assert len(pages._fragments) == limits.MOST_FRAGMENTS


# ---------------------------------------------------------------- orders


def pressed(**form: str) -> dict[str, str]:
    return {"once": "a", **form}


@pytest.mark.parametrize(("form", "until"), [
    (pressed(pressed=str(NOW)), NOW + limits.PRESS_S), (pressed(pressed=str(NOW - limits.PRESS_S)), NOW),
    (pressed(pressed=str(NOW + limits.AHEAD_S)), NOW + limits.PRESS_S),
    (pressed(drawn=str(NOW - limits.FORM_S)), NOW), (pressed(drawn="0", pressed=str(NOW)), NOW + limits.PRESS_S),
])  # fmt: skip
def test_an_order_counts_for_a_while_from_its_press_or_its_form_on(form, until):
    assert press_of(form, "enabled", NOW) == Press(once="a", was="enabled", until=until)


@pytest.mark.parametrize(("form", "status"), [
    (pressed(pressed=str(NOW - limits.PRESS_S - 0.1)), 409), (pressed(pressed=str(NOW + limits.AHEAD_S + 0.1)), 409),
    (pressed(drawn=str(NOW - limits.FORM_S - 1)), 409), (pressed(drawn="nan"), 409), (pressed(pressed="-inf"), 409),
    (pressed(drawn=str(NOW), pressed="nan"), 409), (pressed(pressed="soon"), 422), (pressed(), 422), ({}, 422),
    ({"drawn": str(NOW)}, 422), ({"once": "x" * 65, "drawn": str(NOW)}, 422),
])  # fmt: skip
def test_what_was_pressed_long_ago_or_will_be_is_refused(form, status):
    with pytest.raises(Wrong) as found:
        press_of(form, "enabled", NOW)
    assert found.value.status == status


def test_each_look_at_the_page_has_a_form_of_its_own():
    first, second = new_form(), new_form()
    assert first["once"] != second["once"] and press_of(first, "enabled", time.monotonic()).once == first["once"]
    with pytest.raises(Wrong, match="load the page again"):
        press_of(first, "up", time.monotonic())


@pytest.mark.parametrize(("said", "words"), [
    ({"changed": 1, "empty": []}, "<p>media/one is draining.</p>"),
    ({"changed": 0, "empty": []}, "<p>media/one is draining already.</p>"),
    ({"changed": 1, "empty": [], "again": True}, "<p>Asked twice, ordered once: media/one is draining.</p>"),
])  # fmt: skip
def test_an_order_is_given_for_the_state_that_was_shown(monkeypatch, said, words):
    given = []
    monkeypatch.setattr(overview.answers, "say", lambda *order: given.append(order) or said)
    form = {"drain": "enabled media/one", "why": " new memory ", "once": "a", "pressed": str(time.monotonic())}
    call = Call(run_dir="/run", file="", body=form, parts={"part": "yes"})
    assert Pages(Stream(Served())).order(call).body == words
    (run_dir, word, ids, sets, why, press), = given
    assert (run_dir, word, ids, sets, why) == ("/run", "drain", ["media/one"], [], "new memory")
    assert (press.once, press.was) == ("a", "enabled")


def test_buttons_keep_their_places_and_say_what_they_were_drawn_for(known):
    """One of the two can be pressed."""
    pages = Pages(Stream(Served()))
    shown = {}
    for admin in ("enabled", "draining", "disabled"):
        html = pages._listed(Call(run_dir="", file="", may=ORDER), known(destination("one", admin=admin)), Query())
        shown[admin] = re.findall(r'<button id="(\w+)-\w+" name="(\w+)" value="(.*?)" [^>]*?( disabled)?>', html)
    assert shown["enabled"] == [("drain", "drain", "enabled one", ""), ("enable", "enable", "enabled one", " disabled")]
    for admin in ("draining", "disabled"):
        assert shown[admin] == [("drain", "drain", f"{admin} one", " disabled"),
                                ("enable", "enable", f"{admin} one", "")]  # fmt: skip


# ---------------------------------------------------------------- one destination


def test_of_a_name_there_are_changes_and_rates_of_its_targets_and_its_trouble(monkeypatch):
    pages = Pages(Stream(Served()))
    pages.stream.watch.rates = {"media/gw/1": 1.5, "media/gw/2": 2.0, "media/other": 9.0}
    changes = [msgspec.to_builtins(Change(at=NOW + place, id=f"media/gw/{place}", now="down", by="timeout", code=408))
               for place in (1, 2)]  # fmt: skip
    one = destination("media/gw", targets=["media/gw/1", "media/gw/2"], changes=changes, trouble="no <address>",
                      set="media", priority=0, weight=1, attrs={}, probe="all", rtt_ms=None, probes_failed=0,
                      probes_sent=0, calls_per_second=0, limited=0, open=0, why="")  # fmt: skip
    monkeypatch.setattr(overview.answers, "destination", lambda run_dir, identity: one)
    html = pages.destination(Call(run_dir="", file="", query={"id": ["media/gw"]})).body
    assert "<dt>Calls a second</dt><dd>3.5" in html and "no &lt;address&gt;" in html
    assert html.index("media/gw/2: timeout 408") < html.index("media/gw/1: timeout 408")


# ---------------------------------------------------------------- what is asked, and how it is shown


@pytest.mark.parametrize(("name", "offset", "hours"), [
    ("UTC0", 0, "+00:00"), ("XST-5:30", 19_800, "+05:30"), ("YST+3:30", -12_600, "-03:30"),
])  # fmt: skip
def test_the_zone_of_all_times_is_the_routers(monkeypatch, name, offset, hours):
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        assert timeline.zone() == {"name": name[:3], "offset": offset, "hours": hours}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_no_page_with_a_form_loads_itself_again():
    render = Renderer()
    for name in render._templates.list_templates():
        assert "http-equiv" not in render._templates.loader.get_source(render._templates, name)[0], name


@pytest.mark.parametrize(("asked", "query"), [
    ({}, Query()), ({"q": [" a "], "state": ["down"], "sort": ["rate"], "page": ["3"]},
                    Query(text="a", state="down", sort="rate", page=3)),
    ({"state": ["x"], "sort": ["y"], "page": ["0"]}, Query()), ({"page": ["\u0663"]}, Query()),
    ({"page": ["9" * 50]}, Query()), ({"page": ["-1"], "q": ["x" * 999]}, Query(text="x" * 200)),
])  # fmt: skip
def test_what_makes_no_sense_is_as_if_it_were_not_there(asked, query):
    assert query_of(Call(run_dir="", file="", query=asked)) == query


def test_the_same_is_asked_again_by_its_address():
    query = Query(text="a&b=<c>", state="down", page=2)
    assert asked_again(query) == "?q=a%26b%3D%3Cc%3E&state=down&page=2" and asked_again(Query()) == ""


@pytest.mark.parametrize(("value", "text"), [
    (None, "\u2013"), (0, "0"), (1234, "1,234"), (1.25, "1.2"), (123.4, "123"),
])  # fmt: skip
def test_numbers_for_people(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(None, "\u2013"), (0.4, "0 ms"), (999, "999 ms"), (1500, "1.5 s")])
def test_times_for_people(value, text):
    assert milliseconds(value) == text


def test_no_template_trusts_anybody_and_no_script_stands_in_one():
    render = Renderer()
    for name in render._templates.list_templates():
        source = render._templates.loader.get_source(render._templates, name)[0]
        assert "|safe" not in source.replace(" ", "") and "autoescape" not in source, name
        assert not any(word in source for word in ("<script>", "<style", " style=", "onclick", "hx-on", "js:")), name
    assert "a\\u202eb" in render.html("said.html", words="a\u202eb", is_wrong=False)
    assert render.html("said.html", words="<b>&\"'", is_wrong=False) == "<p>&lt;b&gt;&amp;&#34;&#39;</p>"
