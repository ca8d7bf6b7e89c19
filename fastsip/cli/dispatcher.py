"""`fastsip dispatcher`: destinations, what is known of them, and which of them take calls."""

import functools
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from fastsip._core.base.mapped import Damaged
from fastsip.base.plain import counted, reason
from fastsip.cli._ask import EXITS, answers, last_answer, run_dir_of
from fastsip.cli._config import config_option
from fastsip.cli._say import REFUSED, clear_screen, fail, one_line, say, say_indented, say_json, say_table
from fastsip.dispatcher import history
from fastsip.dispatcher.words import LONGEST_WHY, STATES
from fastsip.observe import transactions
from fastsip.observe.as_kamailio import as_text, records
from fastsip.observe.destinations import read_seen, takes_calls, whole_sets
from fastsip.observe.names import in_order

COLOURS = {"up": "green", "down": "red", "unresolved": "red", "trying": "yellow", "unknown": "bright_black",
           "draining": "yellow", "disabled": "red"}  # fmt: skip
HEAD = ("ID", "HEALTH", "SINCE", "ADMIN", "PROBES", "CHOSEN", "FAILED", "RTT")
MOST_SHOWN = 20     # changes


@click.group("dispatcher", short_help="Show destinations, enable, drain and disable them.")
def command() -> None:
    """Show destinations, and say which of them take calls."""


def sets_of(config: str) -> list[dict[str, Any]]:
    """Each set with its destinations and what is known of them, in the order of the configuration."""
    parts = list(answers(config, "destinations"))
    run_dir = run_dir_of(config)
    try:
        seen = read_seen(run_dir)
    except (OSError, Damaged) as error:
        fail(f"what is known of destinations cannot be read: {reason(error)}", REFUSED)
    return whole_sets(parts, seen)


def watched(command: Callable[..., None]) -> Callable[..., None]:
    """With --watch: again each second until Ctrl-C, in the same place on a terminal."""
    @functools.wraps(command)
    def again(watch: bool, **options: Any) -> None:
        while True:
            if watch:
                clear_screen()
            command(**options)
            if not watch:
                return
            time.sleep(1)

    return click.option("--watch", is_flag=True, help="Show it anew each second.")(again)


def fits(group: dict[str, Any], wanted: tuple[str, ...]) -> bool:
    return not wanted or group["name"] in wanted or (group["setid"] is not None and str(group["setid"]) in wanted)


# ---------------------------------------------------------------- list


@command.command("list", short_help="Show sets and their destinations.", epilog=EXITS)
@click.option("--set", "sets", multiple=True, metavar="SET", help="This one only, by name or setid; more than once.")
@click.option("--kamailio", is_flag=True, help="As `kamcmd dispatcher.list` prints it: sets that have a setid.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each set.")
@watched
@config_option
def listing(config: str, sets: tuple[str, ...], kamailio: bool, as_json: bool) -> None:
    """Show sets, their destinations and what is known of each."""
    found = [group for group in sets_of(config) if fits(group, sets)]
    if sets and not found:
        fail(f"there is no set {', '.join(sets)}", REFUSED)
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
    for group in sets_of(config):
        for one in in_order(group):
            if one["id"] == identity:
                _show(config, {"set": group["name"], **one}, as_json)
                return
    fail(f"there is no destination {identity}", REFUSED)


def _show(config: str, one: dict[str, Any], as_json: bool) -> None:
    mine = {one["id"], *one.get("targets", ())}
    changes = [change for change in history.read(last_answer(config, "status")["state_dir"]) if change.id in mine]
    one["open"] = _open_at(config, one.get("targets", [one["id"]]))
    if as_json:
        say_json({**one, "changes": [history.facts(change) for change in changes]})
        return
    for name, value in one.items():
        shown = ", ".join(f"{key}={text}" for key, text in value.items()) if isinstance(value, dict) else value
        shown = ", ".join(shown) if isinstance(shown, list) else shown
        if name in ("since", "retry_after", "said_at") and value is not None:
            shown = f"{_clock(value)} ({_ago(value)})"
        say(f"{name:<14} {'-' if shown in (None, '') else one_line(str(shown))}")
    say(f"\nlast changes{f', of {len(changes)} that are kept' if len(changes) > MOST_SHOWN else ''}:"
        if changes else "\nno change is kept")
    of_target = "targets" in one
    rows = [(_clock(each.at), each.now, f"by {each.by}", str(each.code or "-"), each.why,
             *((each.id.removeprefix(one["id"]),) if of_target else ())) for each in changes[-MOST_SHOWN:]]
    if rows:
        say_table(("WHEN", "NOW", "", "CODE", "WHY", *(("TARGET",) if of_target else ())), rows, COLOURS)


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _open_at(config: str, ids: Sequence[str]) -> int | None:
    """Transactions that are in progress at these; None: the store cannot be read."""
    wanted = set(ids)
    try:
        found = transactions.Reader(run_dir_of(config)).transactions(transactions.Filter())
        return sum(1 for one in found
                   if any(each.destination in wanted and each.last_status < 200 for each in one.branches))
    except transactions.NoStore:
        return None


# ---------------------------------------------------------------- enable, drain, disable


def say_state(config: str, ids: tuple[str, ...], sets: tuple[str, ...], why: str, order: str, as_json: bool) -> None:
    need_some(ids, sets)
    answer = last_answer(config, "admin", ids=ids, sets=sets, state=STATES[order], why=why)
    if as_json:
        say_json(answer)
        return
    same = len(answer["destinations"]) - answer["changed"]
    say(f"{answer['done']}: {counted(answer['changed'], 'destination')}"
        + (f"; {counted(same, 'destination')} already {'was' if same == 1 else 'were'}" if same else ""))
    for name in answer["empty"]:
        say(f"warning: nobody of set {name} takes new calls now", err=True)


@command.command("probe", short_help="Probe destinations now, and show what they answer.", epilog=EXITS)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--set", "sets", multiple=True, metavar="SET", help="All of this set, by name or setid.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def probe(config: str, ids: tuple[str, ...], sets: tuple[str, ...], as_json: bool) -> None:
    """Probe destinations now, also those that are disabled (exit 1: one of them does not count as alive)."""
    need_some(ids, sets)
    ends = last_answer(config, "probe", ids=ids, sets=sets)["ends"]
    if as_json:
        say_json({"ends": ends})
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
    answer = last_answer(config, "add", set=group, destination=uri, flags=flags, priority=priority, attrs=attrs)
    say_json({"id": answer["id"]}) if as_json else say(f"added: {answer['id']}")


@command.command("remove", short_help="Remove a destination that was added so.", epilog=EXITS)
@click.argument("identity", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@config_option
def remove(config: str, identity: str, as_json: bool) -> None:
    """Remove a destination that was added so; the calls that it has go on."""
    answer = last_answer(config, "remove", id=identity)
    say_json({"id": answer["id"]}) if as_json else say(f"removed: {answer['id']}")


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

