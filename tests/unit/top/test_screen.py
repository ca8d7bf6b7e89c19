"""top.screen: what a terminal shows and what keys do there, in textual's own pilot.  Looks and orders are made up."""

import threading
from contextlib import asynccontextmanager

import pytest
from textual import events

from fastsip.api.socket import NotRunning
from fastsip.top import screen
from fastsip.top.screen import Answered, Destinations, Top, Watcher

from .pictures import member, moment

MANY = 10_000


class Looks:
    """Gives the moment that stands here, or raises it; `seen` when a look is over."""

    def __init__(self, found):
        self.found, self.at, self.count = found, 0, threading.Semaphore(0)

    def __call__(self, run_dir):
        self.count.release()
        if isinstance(self.found, Exception):
            raise self.found
        self.at += 1
        return moment(self.at, *self.found)


@pytest.fixture
def looks(monkeypatch):
    found = Looks([member("m/a"), member("m/b"), member("m/c", health="down")])
    monkeypatch.setattr(screen, "look", found)
    return found


@pytest.fixture
def orders(monkeypatch):
    """(order, id) of those that were given."""
    given: list[tuple[str, str]] = []

    def order_text(run_dir, order, identity):
        given.append((order, identity))
        return f"done: {order} {identity}"

    monkeypatch.setattr(screen, "order_text", order_text)
    return given


def shown(app: Top) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


@asynccontextmanager
async def running(size=(80, 24)):
    app = Top("/nowhere", 0.1, "name", "")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.picture is not None or app._trouble)
        yield app, pilot


async def until(pilot, found) -> None:
    """The limit is that of the test."""
    while not found():
        await pilot.pause(0.02)


async def test_of_ten_thousand_destinations_only_the_visible_rows_are_made(looks):
    looks.found = [member(f"m/{number:05}") for number in range(MANY)]
    async with running() as (app, pilot):
        table = app.query_one(Destinations)
        await until(pilot, lambda: table.made)
        assert len(table.rows) == MANY and "10,000 destinations" in shown(app)
        before = table.made
        await pilot.press("end")
        await until(pilot, lambda: "m/09999" in shown(app))
        assert table.made - before < 40 * table.size.height
        app.query_one(Destinations).action_step(-MANY)
        await until(pilot, lambda: "m/00000" in shown(app))


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (200, 60), (1, 1)])
async def test_any_size_of_terminal_is_filled_and_no_more(looks, size):
    async with running(size) as (app, _):
        lines = shown(app).split("\n")
        assert (len(lines), {len(line) for line in lines}) == (size[1], {size[0]})
        if size >= (80, 24):
            assert "calls" in lines[1] and "m/a" in shown(app) and "q quit" in lines[-1]


async def test_an_order_is_given_after_y_and_after_nothing_else(looks, orders):
    async with running() as (app, pilot):
        for no in ("n", "escape", "enter", "q", "Y"):
            await pilot.press("D", no)
        assert orders == []
        for key, order in (("d", "drain"), ("e", "enable"), ("D", "disable"), ("p", "probe")):
            await pilot.press(key)
            assert f"{order} m/a?" in shown(app)
            await pilot.press("y")
            await until(pilot, lambda order=order: f"done: {order} m/a" in shown(app))
            assert orders == [(order, "m/a")]
            orders.clear()


@pytest.mark.parametrize("keys, given", [("yyy", 1), ("ny", 0), ("yn", 1)])
async def test_keys_that_come_together_are_one_answer(looks, orders, keys, given):
    """A key that is held down, or that is pasted."""
    async with running() as (app, pilot):
        await pilot.press("d")
        for key in keys:
            app.screen.post_message(events.Key(key, key))
        await until(pilot, lambda: "m/a?" not in shown(app))
        await pilot.press("j")
        assert len(orders) == given and app.fault is None


async def test_what_was_asked_about_is_what_the_order_is_for(looks, orders):
    """Also when it is not there any more, and others are in its place."""
    async with running() as (app, pilot):
        await pilot.press("j", "d")
        looks.found = [member("m/z")]
        await until(pilot, lambda: len(app.picture.rows) == 1)
        await pilot.press("y")
        await until(pilot, lambda: orders)
        assert orders == [("drain", "m/b")]


async def test_one_order_at_a_time(looks, monkeypatch):
    held, given = threading.Event(), []

    def order_text(run_dir, order, identity):
        given.append(order)
        held.wait(60)
        return "done"

    monkeypatch.setattr(screen, "order_text", order_text)
    async with running() as (app, pilot):
        await pilot.press("d", "y", "e")
        await until(pilot, lambda: "not answered yet" in shown(app))
        held.set()
        await until(pilot, lambda: "done" in shown(app))
        assert given == ["drain"]


async def test_the_choice_stays_with_its_destination(looks):
    async with running() as (app, pilot):
        table = app.query_one(Destinations)
        await pilot.press("down", "j", "k")
        assert table.chosen.id == "m/b"
        looks.found = [member(f"m/0{number}") for number in range(50)] + [member("m/b")]
        await until(pilot, lambda: len(table.rows) == 51)
        assert table.chosen.id == "m/b" and "m/b of m" in shown(app)
        looks.found = [member("m/a")]
        await until(pilot, lambda: len(table.rows) == 1)
        assert table.chosen.id == "m/a"
        looks.found = []
        await until(pilot, lambda: not table.rows)
        await pilot.press("j", "k", "d", "end", "pageup")
        assert table.chosen is None and "0 destinations" in shown(app)


async def test_keys_sort_filter_and_help(looks):
    async with running() as (app, pilot):
        await pilot.press("s")
        assert "by load" in shown(app)
        await pilot.press("slash", *"dow")
        await until(pilot, lambda: '1 with "dow"' in shown(app))
        assert "m/a" not in shown(app)
        await pilot.press("enter", "d", "n")
        assert '1 with "dow"' in shown(app)
        await pilot.press("slash", "n", "d")      # letters, while one writes
        await until(pilot, lambda: '0 with "downd"' in shown(app))
        await pilot.press("escape")
        assert "m/a" in shown(app) and " with " not in shown(app)
        await pilot.press("question_mark")
        assert "Any key goes back" in shown(app)
        await pilot.press("q")
        assert "m/a" in shown(app)
        await pilot.press("q")
        assert app._exit


async def test_a_router_that_is_gone_is_said_and_waited_for(looks):
    async with running() as (app, pilot):
        there, looks.found = looks.found, NotRunning("no router runs in /x\x1b[2J")
        await until(pilot, lambda: "what was seen last" in shown(app))
        assert "m/a" in shown(app) and "\x1b" not in shown(app)
        looks.found = there
        await until(pilot, lambda: "what was seen last" not in shown(app))


async def test_no_router_from_the_beginning_is_waited_for(looks):
    there, looks.found = looks.found, NotRunning("no router runs in /nowhere")
    async with running() as (app, pilot):
        assert "no router runs in /nowhere" in shown(app)
        await pilot.press("d", "s", "j", "question_mark", "x")
        looks.found = there
        await until(pilot, lambda: "m/a" in shown(app))


async def test_what_nobody_expected_ends_it_and_is_not_lost(looks, orders, monkeypatch):
    async with running() as (app, pilot):
        looks.found = ZeroDivisionError("a look")
        await until(pilot, lambda: app.fault)
        assert isinstance(app.fault, ZeroDivisionError)
    looks.found = [member("m/a")]
    monkeypatch.setattr(screen, "order_text", lambda *_: 1 / 0)
    async with running() as (app, pilot):
        await pilot.press("d", "y")
        await until(pilot, lambda: app.fault)
    assert isinstance(app.fault, ZeroDivisionError)


async def test_words_in_brackets_are_no_markup(looks):
    looks.found = [member("m/[bold]x[/bold]"), member("m/[/]")]
    async with running() as (app, pilot):
        assert "m/[bold]x[/bold]" in shown(app)
        await pilot.press("d")
        assert "drain m/[/]?" in shown(app)
        await pilot.press("n")
        app.post_message(Answered("[/] [red]x"))
        await until(pilot, lambda: "[/] [red]x" in shown(app))


def test_who_stops_watching_is_not_kept_waiting(looks):
    told = []
    watcher = Watcher("/nowhere", 3600, told.append)
    watcher.start()
    assert looks.count.acquire(timeout=60)
    watcher.stop()
    watcher.join(60)
    assert not watcher.is_alive() and len(told) == 1


@pytest.mark.parametrize("wanted", ["", "1"])
async def test_without_colours_there_is_none(looks, wanted, monkeypatch):
    """NO_COLOR with anything in it, or with nothing, as textual reads it."""
    monkeypatch.setenv("NO_COLOR", wanted)
    async with running() as (app, _):
        styles = {str(segment.style) for strip in app.screen._compositor.render_strips()
                  for segment in strip.apply_filter(app._filters[-1], app.screen.styles.background)}
        assert not any(word in style for style in styles for word in ("red", "green", "yellow", "#"))
