"""`fastsip dispatcher`: destinations, what is known of them, and which of them take calls."""

import sys
import time
from typing import Any

import click

from fastsip.api import answers
from fastsip.base.plain import counted, one_line
from fastsip.cli._ask import EXITS, answer
from fastsip.cli._config import config_option
from fastsip.cli._say import REFUSED, say, say_indented, say_json, say_table
from fastsip.cli._watch import watched
from fastsip.dispatcher.words import LONGEST_WHY
from fastsip.observe.as_kamailio import as_text, records
from fastsip.observe.destinations import COLOURS, takes_calls
from fastsip.observe.names import in_order

HEAD = ("ID", "HEALTH", "SINCE", "ADMIN", "PROBES", "CHOSEN", "FAILED", "RTT")
MOST_SHOWN = 20     # changes
MOMENTS = ("since", "retry_after", "said_at")
RATIOS = ("ser", "seer", "isa")


@click.group("dispatcher", short_help="Show destinations, enable, drain and disable them.")
def command() -> None:
    """Show destinations, and say which of them take calls."""


# ---------------------------------------------------------------- list


@command.command("list", short_help="Show sets and their destinations.", epilog=EXITS)
@click.option("--set", "sets", multiple=True, metavar="SET", help="This one only, by name or setid; more than once.")
@click.option("--kamailio", is_flag=True, help="As `kamcmd dispatcher.list` prints it: sets that have a setid.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each set.")
@watched
@config_option
def listing(config: str, sets: tuple[str, ...], kamailio: bool, as_json: bool) -> None:
    """Show sets, their destinations and what is known of each."""
    found = answer(config, answers.sets, sets)
    if kamailio:
        say_indented(as_text(records(found)))
        return
    for place, group in enumerate(found):
        if as_json:
            say_json(group)
        else:
            _print_set(group, place)


def _print_set(group: dict[str, Any], place: int) -> None:
    members = group["destinations"]
    ready = sum(map(takes_calls, members))
    number = "" if group["setid"] is None else f"setid {group['setid']}, "
    say(("\n" if place else "") + f"{group['name']} ({number}{group['algorithm']}): "
        f"{counted(len(members), 'destination')}, {ready:,} take{'s' if ready == 1 else ''} calls")
    rows = list(in_order(group))
    if rows:
        say_table(HEAD, map(_row, rows), COLOURS)
    for name in group.get("names", ()):
        for why in filter(None, (name["trouble"], *name["left_out"])):
            say(f"{one_line(name['id'])}: {one_line(why)}")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    """Targets stand below their name, a bit to the right."""
    rtt = "-" if one["rtt_ms"] is None else f"{one['rtt_ms']:.0f} ms"
    health = one["health"] if one["retry_after"] is None else "retry later"
    identity = ("  " if one.get("parent") else "") + one["id"]
    return (identity, health, _ago(one["since"]), one["admin"], one["probe"], f"{one['chosen']:,}",
            f"{one['failed']:,}", rtt)


def _ago(at: float | None) -> str:
    """Time since then, in its two largest units."""
    if at is None:
        return "-"
    seconds = max(0, int(time.time() - at))
    for unit, length, below in (("d", 86_400, 3_600), ("h", 3_600, 60), ("m", 60, 1)):
        if seconds >= length:
            smaller = {"d": "h", "h": "m", "m": "s"}[unit]
            return f"{seconds // length}{unit} {seconds % length // below:02}{smaller}"
    return f"{seconds}s"


# ---------------------------------------------------------------- show


@command.command("show", short_help="Show one destination and its last changes.", epilog=EXITS)
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all changes that are kept.")
@watched
@config_option
def show(config: str, identity: str, as_json: bool) -> None:
    """Show all that is known of one destination, what is open there, and its last changes."""
    one = answer(config, answers.destination, identity)
    if as_json:
        say_json(one)
        return
    changes = one.pop("changes")
    for name, value in one.items():
        say(f"{name:<16} {_in_words(name, value)}")
    say(f"\nlast changes{f', of {len(changes)} that are kept' if len(changes) > MOST_SHOWN else ''}:"
        if changes else "\nno change is kept")
    of_target = "targets" in one
    rows = [(_clock(each["at"]), each["now"], f"by {each['by']}", str(each.get("code", "-")), each.get("why", ""),
             *((each["id"].removeprefix(one["id"]),) if of_target else ())) for each in changes[-MOST_SHOWN:]]
    if rows:
        say_table(("WHEN", "NOW", "", "CODE", "WHY", *(("TARGET",) if of_target else ())), rows, COLOURS)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _in_words(name: str, value: Any) -> str:
    """A fact for people: of many numbers those that are not 0, ratios in percent, moments on the clock."""
    if isinstance(value, dict):
        return one_line(", ".join(f"{key}={text}" for key, text in value.items() if text or name == "attrs")) or "-"
    if value in (None, ""):
        return "-"
    if isinstance(value, list):
        return one_line(", ".join(map(str, value))) or "-"
    if name in RATIOS:
        return f"{100 * value:.1f} %"
    if name in MOMENTS:
        return f"{_clock(value)} ({_ago(value)})"
    return one_line(str(value))


# ---------------------------------------------------------------- enable, drain, disable


def say_state(config: str, ids: tuple[str, ...], sets: tuple[str, ...], why: str, order: str, as_json: bool) -> None:
    need_some(ids, sets)
    said = answer(config, answers.say, order, ids, sets, why)
    if as_json:
        say_json(said)
        return
    same = len(said["destinations"]) - said["changed"]
    say(f"{said['done']}: {counted(said['changed'], 'destination')}"
        + (f"; {counted(same, 'destination')} already {'was' if same == 1 else 'were'}" if same else ""))
    for name in said["empty"]:
        say(f"warning: nobody of set {name} takes new calls now", err=True)


@command.command("probe", short_help="Probe destinations now, and show what they answer.", epilog=EXITS)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--set", "sets", multiple=True, metavar="SET", help="All of this set, by name or setid.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def probe(config: str, ids: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Probe destinations now, also those that are disabled (exit 1: one of them does not count as alive)."""
    need_some(ids, sets)
    found = answer(config, answers.probe, ids, sets)
    ends = found["ends"]
    if as_json:
        say_json(found)
    else:
        say_table(("ID", "ANSWER", "TIME", ""), map(_end, ends), {"alive": "green", "dead": "red"})
    sys.exit(0 if all(end["alive"] for end in ends) else REFUSED)


def _end(end: dict[str, Any]) -> tuple[str, ...]:
    if end["alive"] is None:
        return end["id"], "not known", "-", "-"
    code = "none" if end["code"] == 408 and not end["alive"] else str(end["code"])
    return end["id"], code, f"{end['ms']} ms", "alive" if end["alive"] else "dead"


def need_some(ids: tuple[str, ...], sets: tuple[str, ...]) -> None:
    if not ids and not sets:
        raise click.UsageError("name at least one ID, or a --set")


# ---------------------------------------------------------------- add, remove


@command.command("add", short_help="Add a destination to a set that has a setid.", epilog=EXITS)
@click.argument("group", metavar="SET")
@click.argument("uri", metavar="URI")
@click.option("--flags", type=int, default=0, help="As in Kamailio's list: 4 disabled, 8 probed, 9 down until probed.")
@click.option("--priority", type=int, default=0)
@click.option("--attrs", default="", metavar="TEXT", help='As in Kamailio\'s list, such as "duid=gw1;weight=30".')
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def add(config: str, group: str, uri: str, flags: int, priority: int, attrs: str, as_json: bool) -> None:
    """Add a destination to the router that runs; it stays, over restarts, until it is removed.

    Neither CONFIG nor a list is read or written for that.
    """
    added = answer(config, answers.add, group, destination=uri, flags=flags, priority=priority, attrs=attrs)
    say_json(added) if as_json else say(f"added: {added['id']}")


@command.command("remove", short_help="Remove a destination that was added so.", epilog=EXITS)
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def remove(config: str, identity: str, as_json: bool) -> None:
    """Remove a destination that was added so; the calls that it has go on."""
    removed = answer(config, answers.remove, identity)
    say_json(removed) if as_json else say(f"removed: {removed['id']}")


def admin_command(order: str, help_text: str) -> None:
    """Adds `fastsip dispatcher ORDER`."""
    @command.command(order, short_help=help_text, help=help_text + TAIL, epilog=EXITS)
    @click.argument("ids", metavar="[ID]...", nargs=-1)
    @click.option("--set", "sets", multiple=True, metavar="SET", help="All of this set, by name or setid.")
    @click.option("--why", default="", metavar="TEXT", help=f"Kept with the change; {LONGEST_WHY} letters.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
    @config_option
    def ordered(config: str, ids: tuple[str, ...], sets: tuple[str, ...], why: str, as_json: bool) -> None:
        say_state(config, ids, sets, why, order, as_json)


TAIL = ("\n\nIt stands over reloads and restarts, until another word, or until the configuration or its source says "
        "another thing of the destination than it does now.")
admin_command("enable", "Let destinations take calls.")
admin_command("drain", "Send no new calls to destinations; what belongs to calls goes on.")
admin_command("disable", "Take destinations out: no new calls, no probes.")

