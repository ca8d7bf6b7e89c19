"""`fastsip events CONFIG`: what happened there, and what happens."""

import time
from collections.abc import Iterator
from typing import Any

import click

from fastsip._core.base.mapped import Damaged
from fastsip.base.plain import one_line, reason
from fastsip.cli._ask import EXITS, answers, last_answer, run_dir_of
from fastsip.cli._config import config_argument
from fastsip.cli._say import NOT_RUNNING, REFUSED, fail, say, say_json
from fastsip.cli._values import DAY_MS, Duration
from fastsip.events.follow import Event, Follower, Position, position_at_end
from fastsip.events.names import EVENTS, fits
from fastsip.observe.destinations import read_seen, whole_sets
from fastsip.observe.states import states

LOOK_S = 0.25
AGO = Duration(1, 365 * DAY_MS)
ABOUT = ("destination", "source", "webhook")


class _Since(click.ParamType):
    """The id of an event, as it stands, or a time ago, such as "10m": seconds since 1970."""

    name = "since"

    def convert(self, value, param, ctx) -> int | float:
        if isinstance(value, int | float):
            return value
        return int(value) if value.isdecimal() else time.time() - AGO.convert(value, param, ctx) / 1000


class _Pattern(click.ParamType):
    """That fits one event at least: what fits none would be waited for in vain."""

    name = "event"

    def convert(self, value, param, ctx) -> str:
        if not any(fits(event, (value,)) for event in EVENTS):
            self.fail(f"{value} is no event; there are {', '.join(EVENTS)}", param, ctx)
        return value


@click.command("events", short_help="Show what happens to destinations, sources, the router.", epilog=EXITS)
@config_argument
@click.option("--follow", is_flag=True, help="What comes, until Ctrl-C; without --since nothing that was before.")
@click.option("--initial", is_flag=True, help="First where things stand now, as events with `initial`.")
@click.option("--since", type=_Since(), metavar="ID|TIME", help='What came behind that id, or since "10m" ago.')
@click.option("--event", "patterns", type=_Pattern(), multiple=True, metavar="PATTERN",
              help="These only, such as destination.*; more than once.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each line.")
def command(config: str, follow: bool, initial: bool, since: int | float | None, patterns: tuple[str, ...],
            as_json: bool) -> None:
    """Show the events that the router on CONFIG has told (docs/events.md), as far as its record goes back."""
    run_dir = run_dir_of(config)
    end = position_at_end(run_dir)
    if end.number == 0 and not follow:
        fail(f"no router runs in {run_dir}, and none has left a record of events there", NOT_RUNNING)
    wanted = patterns or ("*",)
    show = say_json if as_json else _show
    if initial:
        for event in _states(config, run_dir, end.number):
            if fits(event["event"], wanted):
                show(event)
    only_now = initial or follow
    behind = Position(number=since + 1) if isinstance(since, int) else None
    follower = Follower(run_dir, behind or (end if since is None and only_now else None))
    earliest = since if isinstance(since, float) else 0.0
    for event in _told(follower, follow):
        if event["at"] >= earliest and fits(event["event"], wanted):
            show(event)


def _told(follower: Follower, follow: bool) -> Iterator[Event]:
    """Those that there are; then those that come, or the end."""
    while True:
        try:
            found = follower.read()
        except OSError as error:
            fail(f"the record of events cannot be read: {reason(error)}", REFUSED)
        if lost := follower.take_lost():
            say(f"{lost} events were gone before they were read", err=True)
        if follower.take_anew():
            say("the record was begun anew after that event: how many are missing is not known", err=True)
        yield from found
        if not found:
            if not follow:
                return
            time.sleep(LOOK_S)


def _states(config: str, run_dir: str, number: int) -> Iterator[Event]:
    status, parts = last_answer(config, "status"), list(answers(config, "destinations"))
    try:
        seen = read_seen(run_dir)
    except (OSError, Damaged) as error:
        fail(f"what is known of destinations cannot be read: {reason(error)}", REFUSED)
    yield from states(status, whole_sets(parts, seen), number)


def _show(event: Event) -> None:
    """When, what, about whom, and all that is said of it."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    about = next((str(event[name]) for name in ABOUT if name in event), event.get("node", ""))
    left_out = {"id", "at", "event", "node", "initial", "uri", "set", "state", *ABOUT}
    facts = [f"{name} {_text(value)}" for name, value in event.items() if name not in left_out]
    words = ", ".join((["now so"] if event.get("initial") else []) + facts)
    say(one_line(f"{when}  {event['event']:<20}  {about:<30}  {words}").rstrip())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
